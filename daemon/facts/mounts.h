/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The mount table as the host's init sees it.
 *
 * Source: /proc/1/mountinfo by libmount. Our own namespace would not do: there everything is read-only because we made
 * it so. The descriptor is kept: poll(2) tells of changes by it (POLLPRI). Any thread, one at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

typedef struct Mount {
        char *target; /* mount point, unescaped */
        char *root;   /* directory of the file system that is mounted there; "/" for the whole */
        char *type;   /* "xfs" */
        char *source; /* "/dev/sda1"; may be NULL */
        dev_t device; /* of its super block: st_dev of its files, but on btrfs, where each subvolume has its own */
        bool writable; /* neither this mount nor its super block is read-only */
} Mount;

typedef struct MountTable {
        Mount *mounts; /* owned; in the order of the kernel: later ones may cover earlier ones */
        size_t n_mounts;
} MountTable;

/* Opens the host's table; keep the descriptor. Returns it or -errno (-EACCES where even root may not look). */
int mount_table_open(void);

/* Reads it anew. Returns 0, -errno or -EBADMSG for a line that libmount cannot read. */
int mount_table_read(int table_fd, MountTable *ret);
void mount_table_done(MountTable *table);

/* Whether device is the number of a super block without a block device of its own, as btrfs has it. */
bool device_is_anonymous(dev_t device);

/* The mount to reach a device by: the last one of the whole file system (root "/"; for an anonymous device of any part of it) that
 * is writable, else one that is not; NULL when there is none. */
const Mount *mount_table_find(const MountTable *table, dev_t device);

/* Are the same directories of that device mounted in the same places in both? */
bool mount_table_same(const MountTable *a, const MountTable *b, dev_t device);

/* The device of the mount that fd (O_PATH will do) is open on, as the mount table has it; status is fd's. Source: fstat(2), for an anonymous
 * device statx(2) and our own mount table. Returns 0 or -errno. */
int mount_device(int fd, const struct stat *status, dev_t *ret);
