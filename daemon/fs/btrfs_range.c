/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The call that moves. */

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fs/btrfs_defrag.h"

/* include/uapi/linux/btrfs.h. Linux 6.17: every written extent is written anew, be there one next to it or not; the data are not compressed, which of
 * what we hand over with it none would be. */
#ifndef BTRFS_DEFRAG_RANGE_NOCOMPRESS
#define BTRFS_DEFRAG_RANGE_NOCOMPRESS 8
#endif
/* Linux 6.15: of the word with the algorithm the second byte is the level. Kernels before take the level of the mount, which is the one that we ask
 * for; later ones take the algorithm's own where none is asked for. */
#ifndef BTRFS_DEFRAG_RANGE_COMPRESS_LEVEL
#define BTRFS_DEFRAG_RANGE_COMPRESS_LEVEL 4
#endif

static int range_defrag(int fd, struct btrfs_ioctl_defrag_range_args range)
{
        return ioctl(fd, BTRFS_IOC_DEFRAG_RANGE, &range) < 0 ? -errno : 0;
}

int btrfs_range_move(int fd, uint64_t offset, uint64_t end, BtrfsMove how)
{
        const uint8_t word[sizeof(uint32_t)] = {how.encoding.type, (uint8_t)how.encoding.level};
        struct btrfs_ioctl_defrag_range_args range = {
                .start = offset,
                .len = end - offset,
                /* Everything in it: which extents are good was decided when the region was planned. */
                .extent_thresh = UINT32_MAX,
        };
        int r;

        if (how.encoding.type == BTRFS_ENCODING_NONE) {
                range.flags = (how.start_io ? BTRFS_DEFRAG_RANGE_START_IO : 0) |
                              (how.singles ? BTRFS_DEFRAG_RANGE_NOCOMPRESS : 0);
                return range_defrag(fd, range);
        }
        /* Only as long as the call lasts is it known how to compress. */
        range.flags = BTRFS_DEFRAG_RANGE_START_IO | BTRFS_DEFRAG_RANGE_COMPRESS;
        if (how.encoding.level != 0) {
                struct btrfs_ioctl_defrag_range_args with_level = range;

                with_level.flags |= BTRFS_DEFRAG_RANGE_COMPRESS_LEVEL;
                memcpy(&with_level.compress_type, word, sizeof(word));
                r = range_defrag(fd, with_level);
                if (r != -EOPNOTSUPP && r != -EINVAL)
                        return r;
        }
        range.compress_type = how.encoding.type;
        return range_defrag(fd, range);
}

int btrfs_range_wait(int fd, uint64_t offset, uint64_t end)
{
        if (sync_file_range(fd, (off_t)offset, (off_t)(end - offset),
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                    SYNC_FILE_RANGE_WAIT_AFTER) < 0)
                return -errno;
        return 0;
}
