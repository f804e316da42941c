/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Only while nobody else has the file. Read-ahead takes the size of the file before it waits for somebody who is making it shorter, and ext4
 * fills a page behind the new end with a block from before it; who lets the file grow again has that in it (docs/UPSTREAM.md). */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/private_memory.h"
#include "base/protection.h"
#include "facts/page_cache.h"
#include "fs/copy.h"
#include "fs/ext4_progress.h"
#include "fs/ext4_read.h"
#include "fs/lease.h"
#include "fs/target.h"

/* The largest folio that the page cache has for a file. */
#define FOLIO_MAX_BYTES (2 * MIB)

/* What is asked for between two looks whether somebody waits for the file. */
#define ASK_BYTES (256 * KIB)

/* Whoever opens the file while it is read gets it within the time of a piece, and may be gone a moment later. */
#define READ_TRIES      20
#define READ_PAUSE_MSEC 10

/* How far the reading of a slice has come: what is asked for, in pieces, and then waited for. */
typedef struct Reading {
        uint64_t offset, end; /* of the slice */
        bool is_leased;       /* leave off as soon as somebody waits for it */
        bool is_split;
        /* Of the folios that were dropped, in front of the slice and behind it. */
        uint64_t before_from, before_to, behind_from, behind_to;
        uint64_t asked, at;
} Reading;

/* Drops what is to be asked for from the page cache, with the neighbours in the folios at its ends, which come back. What was written
 * lately lies in large folios (Linux 6.16). MOVE_EXT takes a page at a time, which leaves the folio dirty, and for each further page of a
 * dirty folio it has the journal committed: 2 MiB took 1.0 to 5.3 s so, with the file locked, and 0.05 to 0.07 s without. What is read ahead
 * comes in single pages. Kernels that cannot tell what is cached have no such folios. */
static void split_folios(const EngineJob *job, Reading *reading)
{
        /* What was asked for before is in single pages. */
        const uint64_t begin = reading->asked;
        const uint64_t from = begin > reading->offset ? begin : u64_align_down(begin, FOLIO_MAX_BYTES);
        const uint64_t to = u64_align_up(reading->end, FOLIO_MAX_BYTES);
        uint64_t cached, before, behind;

        if (begin >= reading->end || page_cache_resident(job->target_fd, from, to - from, &cached) < 0 ||
            cached == 0 || page_cache_resident(job->target_fd, from, begin - from, &before) < 0 ||
            page_cache_resident(job->target_fd, reading->end, to - reading->end, &behind) < 0)
                return;
        (void)posix_fadvise(job->target_fd, (off_t)from, (off_t)(to - from), POSIX_FADV_DONTNEED);
        if (before > 0) {
                reading->before_from = from;
                reading->before_to = begin;
        }
        if (behind > 0) {
                reading->behind_from = reading->end;
                reading->behind_to = to;
        }
}

static bool is_wanted(const EngineJob *job, const Reading *reading)
{
        return reading->is_leased && PROTECTED_BY(LEASE_YIELDED) && lease_is_wanted(job->target_fd);
}

/* Returns false when somebody waits for the lease. */
static bool neighbours_ask(const EngineJob *job, const Reading *reading, uint64_t *from, uint64_t to)
{
        for (; *from < to; *from = u64_min(*from + PROGRESS_PIECE_BYTES, to)) {
                if (is_wanted(job, reading))
                        return false;
                page_cache_refill(job->target_fd, *from, u64_min(PROGRESS_PIECE_BYTES, to - *from));
        }
        return true;
}

/* The next part of a stretch, up to a multiple of a piece. */
static bool piece_next(const EngineJob *job, uint64_t from, uint64_t end, Stretch *ret)
{
        if (!stretch_next(&job->map, from, end, ret))
                return false;
        ret->n_bytes = u64_min(ret->n_bytes, u64_align_down(ret->offset, PROGRESS_PIECE_BYTES) +
                                                     PROGRESS_PIECE_BYTES - ret->offset);
        return true;
}

/* From where it was left off. Returns false when somebody waits for the lease. */
static bool ask(const EngineJob *job, Reading *reading)
{
        Stretch piece;

        if (!reading->is_split && is_wanted(job, reading))
                return false;
        if (!reading->is_split)
                split_folios(job, reading);
        reading->is_split = true;
        if (!neighbours_ask(job, reading, &reading->before_from, reading->before_to) ||
            !neighbours_ask(job, reading, &reading->behind_from, reading->behind_to))
                return false;
        while (piece_next(job, reading->asked, reading->end, &piece)) {
                if (is_wanted(job, reading))
                        return false;
                page_cache_refill(job->target_fd, piece.offset, piece.n_bytes);
                reading->asked = piece.offset + piece.n_bytes;
        }
        return true;
}

/* All of it, and waits. Returns 0, LEASE_REFUSED or -errno. */
static int fill(const EngineJob *job, Reading *reading)
{
        _cleanup_(private_memory_done) PrivateMemory buffer = {0};
        Stretch piece;
        int r;

        r = private_memory_take(&buffer, PROGRESS_SAMPLE_BYTES);
        if (r < 0)
                return r;
        if (!ask(job, reading))
                return LEASE_REFUSED;
        while (piece_next(job, reading->at, reading->end, &piece)) {
                if (is_wanted(job, reading))
                        return LEASE_REFUSED;
                if (pread(job->target_fd, buffer.at, piece.n_bytes, (off_t)piece.offset) < 0)
                        return -errno;
                reading->at = piece.offset + piece.n_bytes;
        }
        return 0;
}

bool ext4_slice_is_cold(const EngineJob *job, uint64_t offset, uint64_t n_bytes)
{
        uint64_t cached;

        return page_cache_resident(job->target_fd, offset, n_bytes, &cached) < 0 || cached == 0;
}

void ext4_ask_ahead(const EngineJob *job, Progress *progress, uint64_t max_bytes)
{
        Stretch stretch;

        while (max_bytes > 0 && stretch_next(&job->map, progress->asked, progress->ahead, &stretch)) {
                if (PROTECTED_BY(LEASE_YIELDED) && lease_is_wanted(job->target_fd))
                        return;
                stretch.n_bytes = u64_min(stretch.n_bytes, u64_min(max_bytes, ASK_BYTES));
                aside_read_ahead(copier_aside(job->copier), job->target_fd, stretch.offset, stretch.n_bytes);
                max_bytes -= stretch.n_bytes;
                progress->asked = stretch.offset + stretch.n_bytes;
        }
}

/* Has what was asked for of a slice come into the page cache? Then the move waits for what may still be on its way. */
static bool has_come(const EngineJob *job, uint64_t offset, uint64_t asked)
{
        uint64_t cached;

        return page_cache_resident(job->target_fd, offset, asked - offset, &cached) == 0 &&
               cached >= stretches_bytes(&job->map, offset, asked);
}

int ext4_slice_read(EngineJob *job, uint64_t offset, uint64_t n_bytes, uint64_t asked)
{
        Reading reading = {
                .offset = offset, .end = offset + n_bytes, .asked = u64_max(asked, offset), .at = offset};

        if (asked > offset && has_come(job, offset, u64_min(asked, reading.end)))
                reading.at = asked;
        if (reading.at >= reading.end)
                return ENGINE_DONE;
        /* What is dropped of the slice before would look like a neighbour to be kept. */
        aside_wait(copier_aside(job->copier));
        for (unsigned n = 0; n < READ_TRIES; n++) {
                int r = PROTECTED_BY(READ_LEASE) ? lease_take_write(job->target_fd) : LEASE_OFF;

                if (r < 0)
                        return r;
                reading.is_leased = r == 0;
                if (r > 0 && PROTECTED_BY(READ_LEASE) && PROTECTED_BY(LEASE)) {
                        /* Who came in the middle of it, or of the commit before, may have been quick. */
                        if ((n == 0 && asked <= offset) || r == LEASE_OFF)
                                return target_verdict_of_lease(job, r);
                        (void)poll(NULL, 0, READ_PAUSE_MSEC);
                        continue;
                }
                r = fill(job, &reading);
                (void)lease_release(job->target_fd);
                if (r != LEASE_REFUSED)
                        return r;
        }
        return target_verdict_of_lease(job, LEASE_REFUSED);
}
