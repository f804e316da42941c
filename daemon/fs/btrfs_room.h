/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How free space is, for a region that was sampled. Private to the btrfs engine. */

#include <stdbool.h>
#include <stdint.h>

#include "fs/engine.h"

/* Would what is written come to lie in more runs than it takes to be worth it? fewest: even if all free space were one piece. Returns ENGINE_DONE, a
 * verdict or -errno. */
int btrfs_room_check(EngineJob *job, uint32_t fewest);

/* Would slices that are written one by one come to lie apart, though there may be room for several of them together? Returns ENGINE_DONE or -errno. */
int btrfs_room_in_pieces(const EngineJob *job, bool *ret);
