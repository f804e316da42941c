/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What only an ext4 tells of itself; the rest is file_system_ext4 in facts/file_system.h.
 *
 * Sources: the super block, read from the block device that is mounted, because no ioctl before Linux 6.18 gives the features;
 * /proc/fs/ext4/DEVICE/options, which unlike the mount table also shows what the super block sets by default; files by
 * open_by_handle_at(2) (CAP_DAC_READ_SEARCH); the inode tables by libext2fs on the device, opened read-only. The kernel keeps the tables
 * in the page cache of the device and changes them there, so that is how they are now, also before a sync. Whoever else writes to
 * the device may put anything there: it is a hint for what to look at, and nothing is moved by it.
 *
 * The device is opened for the length of one call. An open device does not hinder umount(8). */

#include <stdbool.h>
#include <stdint.h>

typedef struct Ext4Facts {
        uint32_t inodes_per_group;
        uint32_t first_inode; /* the first that is not reserved */
        uint8_t flex_shift; /* 2^this groups have their inodes together, and are one group to the allocator */
        bool has_journal;   /* and it is in use */
        bool has_barriers;  /* the device is told to flush its cache */
        bool has_async_commit; /* journal_async_commit: the end of a transaction does not wait for its data to be stable */
        bool has_fast_commits; /* the feature fast_commit: an fsync may log less than a transaction */
        bool has_extents;      /* false: an ext2 or ext3 */
        bool has_clusters;     /* the feature bigalloc */
        bool journals_data;    /* data=journal */
} Ext4Facts;

/* What the kernel calls the attributes of an open file on any file system (FS_IOC_GETFLAGS). Returns 0 or -errno. */
int ext4_flags_read(int fd, uint32_t *ret);

/* Of FS_IOC_GETFLAGS; linux/fs.h has names for all of them. */
#define EXT4_FLAG_JOURNAL_DATA UINT32_C(0x00004000)
#define EXT4_FLAG_ENCRYPTED    UINT32_C(0x00000800)
#define EXT4_FLAG_EXTENTS      UINT32_C(0x00080000) /* not indirect-mapped */
#define EXT4_FLAG_VERITY       UINT32_C(0x00100000)
#define EXT4_FLAG_DAX          UINT32_C(0x02000000)
#define EXT4_FLAG_INLINE_DATA  UINT32_C(0x10000000) /* the content lies in the inode */
