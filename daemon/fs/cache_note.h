/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What of a job's region was in the page cache, for an engine whose kernel works there (ext4, btrfs): what was not in it before shall not be in it
 * afterwards. Through the job's target_fd; any thread. */

#include "base/number.h"
#include "fs/aside.h"
#include "fs/engine.h"

/* It is known of pieces that are at least so long. A page of any machine divides it. */
#define CACHE_NOTE_PIECE_BYTES (64 * KIB)
#define CACHE_NOTE_PIECES_MAX  1024

/* A bit for each piece of the region: the first is that of its first byte. All zero: nothing was there. */
typedef struct CacheNote {
        uint64_t cached[CACHE_NOTE_PIECES_MAX / 64];
} CacheNote;

/* Looks at all of the region, into a note that is all zero, and counts job->cached_bytes: before anything of it is read, because whoever reads the
 * first part of a file makes the kernel read more. */
void cache_note_take(EngineJob *job, CacheNote *note);

/* Drops what of the range was not there then, or has it dropped beside everything else. Clean pages only: the caller waits for the others. singly: no two
 * requests are under way on return, for a caller whose next call must not be interrupted (fs/ring.h). */
void cache_note_leave(const EngineJob *job, const CacheNote *note, uint64_t offset, uint64_t n_bytes);
void cache_note_leave_aside(const EngineJob *job, const CacheNote *note, uint64_t offset, uint64_t n_bytes,
                            Aside *aside, bool singly);

/* The same of what was asked for and came to nothing. It may be on its way still, and stays where that takes longer than some 10 ms. */
void cache_note_withdraw(const EngineJob *job, const CacheNote *note, uint64_t offset, uint64_t n_bytes);
