/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A slice on its way into the page cache, before it is moved: the kernel would read it page by page in the middle of the move (four times
 * slower, and with the file locked). Private to the engine of ext4. */

#include "fs/engine.h"
#include "fs/ext4_progress.h"

/* Reads what is allocated of [offset, offset + n_bytes), under a write lease of its own. Whoever waits for the file gets it within the time
 * of a piece of 64 KiB, and it goes on when he is gone soon. What lies in front of asked was asked for before. Returns ENGINE_DONE, a verdict
 * or -errno. */
int ext4_slice_read(EngineJob *job, uint64_t offset, uint64_t n_bytes, uint64_t asked);

/* Is a slice to be asked for beside others? Not where some of it is in the page cache: that may have to be dropped first, which is for
 * ext4_slice_read(). */
bool ext4_slice_is_cold(const EngineJob *job, uint64_t offset, uint64_t n_bytes);

/* Asks for more of what is ahead (progress->ahead), for max_bytes at most, without waiting, under the lease that the caller holds; for nothing more
 * when somebody waits for the file. What a ring was asked for by then is not taken back: aside_wait() waits until the kernel has begun with it. */
void ext4_ask_ahead(const EngineJob *job, Progress *progress, uint64_t max_bytes);
