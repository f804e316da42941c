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

/* Does every chunk find a place, and are they few enough to be worth it? */
int btrfs_encoded_check_room(EngineJob *job);

/* More runs than that are not worth it. Which of free space the kernel takes is a guess: with less to gain a file might be moved again and again. */
uint64_t btrfs_encoded_most_runs(const EngineJob *job);

/* The first chunk of the region is compressed once more, in a file that nobody sees: does it come out no longer than it is? job->donor_fd is that file
 * afterwards, empty. */
int btrfs_encoded_try(EngineJob *job, BtrfsEncoding would);

/* From now on whoever opens the file for writing waits, until btrfs_encoded_end(): for a slice at most. What others have written is on the disk by then. */
int btrfs_encoded_begin(EngineJob *job, const BtrfsSlice *slice);
void btrfs_encoded_end(EngineJob *job);
