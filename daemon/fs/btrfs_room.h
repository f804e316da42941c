/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How free space is, for a region that was sampled. Private to the btrfs engine. */

#include <stdbool.h>
#include <stdint.h>

#include "fs/engine.h"

/* With less than that free nothing is even tried: each change takes new places in the trees, and where there are none for them the kernel makes the
 * volume read-only (seen on Linux 6.18, in __btrfs_free_extent(), on one that was being filled; which change was the one is not known). */
#define BTRFS_LEAST_FREE_BYTES (16 * MIB)

/* Would what is written come to lie in more runs than it takes to be worth it? fewest: even if all free space were one piece. Returns ENGINE_DONE, a
 * verdict or -errno. */
int btrfs_room_check(EngineJob *job, uint32_t fewest);

/* Would slices of slice_bytes (fs/btrfs_slice.h) that are written one by one come to lie apart, though there may be room for several of them together? Returns ENGINE_DONE or -errno. */
int btrfs_room_in_pieces(const EngineJob *job, uint64_t slice_bytes, bool *ret);
