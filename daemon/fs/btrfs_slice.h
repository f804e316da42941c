/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Parts of a region that the btrfs engine hands to the kernel one after the other. Private to it. */

#include <stdbool.h>
#include <stdint.h>

#include "facts/extent_map.h"

/* The most that is being written at a time, but for the length of one extent: a fifth of a second for a disk. Slices of 4 to 64 MiB left the same
 * number of runs and took the same time (256 MiB in runs of 16 KiB; measured 2026-11-28, Linux 6.18). That the next one is read meanwhile, and the
 * first one while it is looked at, made it 1.24 instead of 1.35 times what btrfs(8) took for 512 MiB (2026-11-29); to begin to move the next one as
 * well gained nothing that could be told from noise. */
#define BTRFS_SLICE_BYTES (8 * MIB)

typedef struct BtrfsSlice {
        uint64_t offset, end;
        uint64_t written_bytes;
        uint64_t shared_bytes;
        uint64_t n_runs;
} BtrfsSlice;

/* What of a map lies from offset to end, which are the borders of extents. Pure. */
void btrfs_slice_count(const ExtentMap *map, uint64_t offset, uint64_t end, BtrfsSlice *ret);

/* The next slice of a map from this offset on: it ends with an extent. False at the end of the map. Pure. */
bool btrfs_slice_next(const ExtentMap *map, uint64_t offset, BtrfsSlice *ret);

/* From where on does the end of a slice lie where it lay before, though the kernel was told to move all of it? singles: it moves extents that
 * have none next to them, too; else such a one at the end says nothing. slice->end: nowhere, as far as can be told. after: the map of the slice. Pure. */
uint64_t btrfs_slice_rest(const ExtentMap *before, const ExtentMap *after, const BtrfsSlice *slice,
                          bool singles);

/* As it lies now. ret_map takes the map as well (released with extent_map_done()), or is NULL. Returns 0, -EAGAIN for one with too many
 * extents, -errno. */
int btrfs_slice_read(int fd, uint64_t offset, uint64_t end, bool sync, BtrfsSlice *ret, ExtentMap *ret_map);
