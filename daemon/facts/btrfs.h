/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What only a btrfs tells of itself; the rest is file_system_btrfs in facts/file_system.h.
 *
 * Source: the ioctls of <linux/btrfs.h> and /sys/fs/btrfs (Linux 5.11 and newer for the exclusive operations). One file system may be
 * mounted in many places, each the top of another subvolume, and each subvolume has a device number and inode numbers of its own. Any descriptor
 * on any of them will do as fs_fd. Workers only. */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "facts/file_id.h"

typedef struct BtrfsFacts {
        uint64_t n_devices;
        uint64_t incompat; /* BTRFS_FEATURE_INCOMPAT_*: what a kernel has to know to write to it */
        bool is_degraded;  /* a device is missing */
        bool has_seed; /* lies in part on a device that is never written: what is moved there is there twice afterwards */
} BtrfsFacts;

/* The number of the top subvolume, and of the directory that each subvolume begins with. */
#define BTRFS_TOP_SUBVOLUME  UINT32_C(5)
#define BTRFS_SUBVOLUME_ROOT UINT64_C(256)

/* The directory that the whole file system begins with, be it mounted anywhere or not, through a mount of any subvolume, opened for reading. It
 * is one and the same for all mounts: the place for a lock, and the only one where fanotify takes a mark on the file system (elsewhere:
 * EXDEV; measured on Linux 6.18). Returns the descriptor; -EOPNOTSUPP when fs_fd is not on a btrfs; -errno. */
int btrfs_top_open(int fs_fd);

/* The block devices that it lies on, at most max, by /sys/fs/btrfs/UUID/devices. Returns their number or -errno. */
int btrfs_devices_read(int fs_fd, dev_t *ret, size_t max);

/* Path of a subvolume below the top of the file system, without a slash in front: "" is the top itself. Returns 0 with *ret owned by the
 * caller, -ENOENT when it is gone, -errno. */
int btrfs_subvolume_path(int fs_fd, uint32_t subvolume, char **ret);

/* The same of a file or directory: one of its names, where it has many. */
int btrfs_inode_path(int fs_fd, FileId id, char **ret);

/* The same of a directory, as facts/file_system.h has it. */
int btrfs_directory_path(int fs_fd, FileId directory, char ret[static PATH_MAX]);
