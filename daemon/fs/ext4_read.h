/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A slice on its way into the page cache, before it is moved: the kernel would read it page by page in the middle of the move (four times
 * slower, and with the file locked). Private to the engine of ext4. */

#include "fs/engine.h"

/* Reads what is allocated of [offset, offset + n_bytes), under a write lease of its own. Whoever waits for the file gets it within the time
 * of a piece of 64 KiB, and it goes on when he is gone soon. What lies in front of asked was asked for before. Returns ENGINE_DONE, a verdict
 * or -errno. */
int ext4_slice_read(EngineJob *job, uint64_t offset, uint64_t n_bytes, uint64_t asked);

/* Asks for it without waiting, under the lease that the caller holds, while what lies in front of it may be on its way to the device. What
 * lies in front of asked was asked for before. Nothing is asked for where some of the rest is in the page cache: that may have to be
 * dropped first, which is for ext4_slice_read(). Returns how far it came: not to the end when somebody waits for the file. */
uint64_t ext4_slice_ask(const EngineJob *job, uint64_t offset, uint64_t n_bytes, uint64_t asked);
