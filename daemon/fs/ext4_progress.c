/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What was done of a region, and samples of it. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/private_memory.h"
#include "facts/page_cache.h"
#include "fs/copy.h"
#include "fs/ext4_progress.h"

Progress progress_load(const EngineJob *job)
{
        Progress progress;

        memcpy(&progress, &job->cookie, sizeof(progress));
        return progress;
}

void progress_store(EngineJob *job, const Progress *progress)
{
        memcpy(&job->cookie, progress, sizeof(*progress));
}

/* The first extent that ends behind from. */
static size_t first_behind(const ExtentMap *map, uint64_t from)
{
        size_t i = 0, n = map->n_extents;

        while (i < n) {
                const size_t middle = i + (n - i) / 2;

                if (map->extents[middle].logical + map->extents[middle].length <= from)
                        i = middle + 1;
                else
                        n = middle;
        }
        return i;
}

bool stretch_next(const ExtentMap *map, uint64_t from, uint64_t end, Stretch *ret)
{
        size_t i = first_behind(map, from);
        uint64_t to;

        if (i == map->n_extents || u64_max(from, map->extents[i].logical) >= end)
                return false;
        ret->offset = u64_max(from, map->extents[i].logical);
        ret->physical = map->extents[i].physical + (ret->offset - map->extents[i].logical);
        to = map->extents[i].logical + map->extents[i].length;
        for (i++; to < end && i < map->n_extents && map->extents[i].logical == to; i++)
                to += map->extents[i].length;
        ret->n_bytes = u64_min(to, end) - ret->offset;
        return true;
}

uint64_t stretch_runs(const ExtentMap *map, const Stretch *stretch)
{
        const uint64_t end = stretch->offset + stretch->n_bytes;
        uint64_t n_runs = 0, expected = 0;

        for (size_t i = first_behind(map, stretch->offset);
             i < map->n_extents && map->extents[i].logical < end; i++) {
                n_runs += n_runs == 0 || map->extents[i].physical != expected;
                expected = map->extents[i].physical + map->extents[i].length;
        }
        return n_runs;
}

uint64_t stretch_first_run_bytes(const ExtentMap *map, const Stretch *stretch)
{
        const uint64_t end = stretch->offset + stretch->n_bytes;
        uint64_t to = stretch->offset;

        for (size_t i = first_behind(map, stretch->offset); i < map->n_extents && to < end; i++) {
                const Extent *extent = &map->extents[i];

                if (extent->physical + (to - extent->logical) != stretch->physical + (to - stretch->offset))
                        break;
                to = extent->logical + extent->length;
        }
        return u64_min(to, end) - stretch->offset;
}

uint64_t stretches_bytes(const ExtentMap *map, uint64_t from, uint64_t end)
{
        uint64_t n_bytes = 0;
        Stretch stretch;

        for (uint64_t at = from; stretch_next(map, at, end, &stretch); at = stretch.offset + stretch.n_bytes)
                n_bytes += stretch.n_bytes;
        return n_bytes;
}

/* --- samples --- */

/* The audit compares pieces of the region with what they were before: the first, one from the middle on, the last. */
int progress_note_samples(const EngineJob *job, Progress *progress)
{
        _cleanup_(private_memory_done) PrivateMemory buffer = {0};
        const uint64_t begin = job->region.offset, end = begin + job->region.length;
        const uint64_t places[PROGRESS_SAMPLES_MAX] = {
                begin,
                begin + u64_align_down(job->region.length / 2, PROGRESS_PIECE_BYTES),
                end - u64_min(PROGRESS_SAMPLE_BYTES, job->region.length),
        };
        uint64_t at = begin;
        int r;

        r = private_memory_take(&buffer, PROGRESS_SAMPLE_BYTES);
        if (r < 0)
                return r;
        for (size_t i = 0; i < PROGRESS_SAMPLES_MAX; i++) {
                Stretch stretch;
                ssize_t n;

                if (!stretch_next(&job->map, u64_max(at, places[i]), end, &stretch))
                        break;
                n = page_cache_read_past(job->target_fd, buffer.at,
                                         u64_min(PROGRESS_SAMPLE_BYTES, stretch.n_bytes), stretch.offset);
                if (n <= 0)
                        return (int)n;
                progress->samples[progress->n_samples++] = (ProgressSample){
                        .offset = stretch.offset,
                        .n_bytes = (uint64_t)n,
                        .checksum = checksum_of(buffer.at, (size_t)n),
                };
                at = stretch.offset + PROGRESS_SAMPLE_BYTES;
        }
        return 0;
}

int progress_recheck(const EngineJob *job, int fd)
{
        _cleanup_(private_memory_done) PrivateMemory buffer = {0};
        const Progress progress = progress_load(job);
        int r;

        r = private_memory_take(&buffer, PROGRESS_SAMPLE_BYTES);
        if (r < 0)
                return r;
        for (uint64_t i = 0; i < progress.n_samples; i++) {
                const ProgressSample *sample = &progress.samples[i];
                const ssize_t n = page_cache_read_past(
                        fd, buffer.at, u64_align_up(sample->n_bytes, job->volume->facts.block_bytes),
                        sample->offset);

                if (n < 0)
                        return (int)n;
                if ((uint64_t)n < sample->n_bytes ||
                    checksum_of(buffer.at, sample->n_bytes) != sample->checksum)
                        return COPY_WRONG;
        }
        return 0;
}
