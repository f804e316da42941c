/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The second pass of an inventory: names. Private to work/inventory.c. */

#include "work/inventory.h"

/* Reads directories from the cursor on until deadline_usec (CLOCK_MONOTONIC) or *cancel, at least a chunk of one. The items are sorted by
 * inode. Returns 1 while there is more, 0 at the end, -errno. */
int inventory_step_names(Inventory *inventory, const FsVolume *volume, int root_fd,
                         const VolumeConfig *config, uint64_t deadline_usec, const atomic_bool *cancel);
