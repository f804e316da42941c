/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the btrfs engine and its probe share. */

#include <stdbool.h>
#include <stdint.h>

#include "facts/btrfs_encoding.h"
#include "facts/extent_map.h"

typedef struct BtrfsMove {
        bool singles; /* also extents that have none next to them, which takes a kernel that can (FsVolume.moves_singles) */
        bool start_io; /* begins to write it, too */
        BtrfsEncoding
                encoding; /* that all of it has: it gets the same again. What is compressed moves as a whole, singles or not, and is
                                 * written at once */
} BtrfsMove;

/* Has the kernel write [offset, end) of a file anew, in one piece if there is room. Returns 0; -EOPNOTSUPP or nothing moved where it cannot;
 * -errno. */
int btrfs_range_move(int fd, uint64_t offset, uint64_t end, BtrfsMove how);

/* Waits until that is on the disk. Returns 0 or -errno. */
int btrfs_range_wait(int fd, uint64_t offset, uint64_t end);

/* The fewest runs that a region can come to lie in that is handed over by slices of least_bytes (fs/btrfs_slice.h). Pure. */
uint32_t btrfs_fewest_runs(const ExtentMap *map, uint64_t least_bytes, bool singles);
