/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two looks at the page cache, of which nothing is to be seen afterwards. */

#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>

#include "base/number.h"
#include "facts/page_cache.h"
#include "fs/cache_note.h"

/* How long what is on its way into the page cache is waited for in order to be dropped. */
#define DROP_TRIES      5
#define DROP_PAUSE_MSEC 10

/* Is anything of a range in the page cache? Before Linux 6.5 there is only a read that does not wait. */
static bool any_cached(int fd, uint64_t offset, uint64_t n_bytes, uint64_t *ret_bytes)
{
        uint64_t resident;
        char byte;

        if (page_cache_resident(fd, offset, n_bytes, &resident) == 0) {
                *ret_bytes = resident;
                return resident > 0;
        }
        *ret_bytes = 1;
        for (uint64_t at = 0; at < n_bytes; at += CACHE_NOTE_PIECE_BYTES) {
                const struct iovec one = {.iov_base = &byte, .iov_len = 1};

                if (preadv2(fd, &one, 1, (off_t)(offset + at), RWF_NOWAIT) == 1)
                        return true;
        }
        return false;
}

static uint64_t piece_bytes(const Region *region)
{
        uint64_t bytes = CACHE_NOTE_PIECE_BYTES;

        while (region->length / bytes >= CACHE_NOTE_PIECES_MAX - 1)
                bytes *= 2;
        return bytes;
}

static bool was_cached(const EngineJob *job, const CacheNote *note, uint64_t offset)
{
        const uint64_t bytes = piece_bytes(&job->region);
        const uint64_t i = offset / bytes - job->region.offset / bytes;

        return note->cached[i / 64] >> (i % 64) & 1;
}

void cache_note_take(EngineJob *job, CacheNote *note)
{
        const uint64_t bytes = piece_bytes(&job->region), end = job->region.offset + job->region.length;
        uint64_t unused;

        if (!any_cached(job->target_fd, job->region.offset, job->region.length, &job->cached_bytes))
                job->cached_bytes = 0;
        if (job->cached_bytes == 0)
                return;
        for (uint64_t at = job->region.offset, i = 0; at < end; at = u64_align_down(at, bytes) + bytes, i++)
                if (job->cached_bytes == job->region.length ||
                    any_cached(job->target_fd, at, u64_min(u64_align_down(at, bytes) + bytes, end) - at,
                               &unused))
                        note->cached[i / 64] |= UINT64_C(1) << (i % 64);
}

static void leave(const EngineJob *job, const CacheNote *note, uint64_t offset, uint64_t n_bytes,
                  Aside *aside, bool singly)
{
        const uint64_t bytes = piece_bytes(&job->region), end = offset + n_bytes;
        uint64_t from = offset;

        for (uint64_t at = offset, to; at < end; at = to) {
                to = u64_min(u64_align_down(at, bytes) + bytes, end);
                if (was_cached(job, note, at)) {
                        from = to;
                } else if (to == end || was_cached(job, note, to)) {
                        if (aside && singly)
                                aside_wait(aside);
                        if (aside)
                                aside_drop(aside, job->target_fd, from, to - from);
                        else
                                (void)posix_fadvise(job->target_fd, (off_t)from, (off_t)(to - from),
                                                    POSIX_FADV_DONTNEED);
                        from = to;
                }
        }
}

void cache_note_leave(const EngineJob *job, const CacheNote *note, uint64_t offset, uint64_t n_bytes)
{
        leave(job, note, offset, n_bytes, NULL, true);
}

void cache_note_leave_aside(const EngineJob *job, const CacheNote *note, uint64_t offset, uint64_t n_bytes,
                            Aside *aside, bool singly)
{
        leave(job, note, offset, n_bytes, aside, singly);
}

void cache_note_withdraw(const EngineJob *job, const CacheNote *note, uint64_t offset, uint64_t n_bytes)
{
        uint64_t cached;

        if (n_bytes == 0)
                return;
        for (unsigned n = 0; n < DROP_TRIES; n++) {
                cache_note_leave(job, note, offset, n_bytes);
                if (job->cached_bytes > 0 ||
                    page_cache_resident(job->target_fd, offset, n_bytes, &cached) < 0 || cached == 0)
                        break;
                (void)poll(NULL, 0, DROP_PAUSE_MSEC);
        }
}
