/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is special about moving compressed extents. Private to the btrfs engine.
 *
 * The kernel compresses what it writes anew, chunk by chunk, and looks for a place for each chunk by itself: it takes small ones, and where it finds none
 * that is as long it writes the chunk as it is, not compressed. If the data cannot be compressed it notes that in the inode, for good. And it writes
 * everything in that way that is dirty in the file, also what others have just written. So a chunk is tried on another file first, room is looked for
 * that chunks would find, and nobody else writes to the file meanwhile. All return ENGINE_DONE, a verdict or -errno. */

#include <stdint.h>

#include "facts/btrfs_encoding.h"
#include "fs/btrfs_slice.h"
#include "fs/engine.h"

/* Does every chunk find a place, and would it be worth it? *ret_most: when the region has come to lie in more runs than that it is not any more. */
int btrfs_encoded_check_room(EngineJob *job, uint64_t *ret_most);

/* The first chunk of the region is compressed once more, in a file that nobody sees: does it come out no longer than it is? */
int btrfs_encoded_try(EngineJob *job, BtrfsEncoding would);

/* From now on whoever opens the file for writing waits, until btrfs_encoded_end(): for a slice at most. What others have written is on the disk by then. */
int btrfs_encoded_begin(EngineJob *job, const BtrfsSlice *slice);
void btrfs_encoded_end(EngineJob *job);
