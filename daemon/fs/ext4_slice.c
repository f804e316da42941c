/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* EXT4_IOC_MOVE_EXT by calls, and back by calls. */

#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/protection.h"
#include "fs/copy.h"
#include "fs/ext4_extents.h"
#include "fs/ext4_read.h"
#include "fs/ext4_slice.h"

/* A slice is moved by calls, after each of which it begins to be written. */
#define CALL_MIN_BYTES (256 * KIB)
/* What their length is adapted to: half of what one call may take. */
#define CALL_USEC      (50 * UINT64_C(1000))

/* A page that is pinned or under write-back may be free a moment later. */
#define BUSY_TRIES 3

/* Does the first block still lie where it did? Returns 1, 0 or -errno. */
static int is_unmoved(const EngineJob *job, uint64_t offset, uint64_t physical)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        int r = extent_map_read(job->target_fd, offset, job->volume->facts.block_bytes, false, 1, &map);

        return r < 0 ? r : map.n_extents == 1 && map.extents[0].physical == physical;
}

/* Writes what is dirty of it and waits. An error is told once, so it is kept for the verdict, whatever comes of the slice. */
static int write_out(const EngineJob *job, Progress *progress, uint64_t offset, uint64_t n_bytes)
{
        const int r = ext4_extents_write(job->target_fd, offset, n_bytes);

        if (r < 0 && progress->write_error == 0)
                progress->write_error = (uint64_t)-r;
        return r;
}

/* What has moved begins to be written, and twice as much of the next slice, which may be that much longer, to be read. */
static void moved_on(const EngineJob *job, Progress *progress, uint64_t offset, uint64_t n_bytes)
{
        aside_write(copier_aside(job->copier), job->target_fd, offset, n_bytes);
        ext4_ask_ahead(job, progress, n_bytes * 2);
}

static void call_adapt(Progress *progress, uint64_t n_bytes, uint64_t usec)
{
        const uint64_t fits = n_bytes * CALL_USEC / u64_max(usec, 1);

        progress->call_bytes = u64_max(
                CALL_MIN_BYTES, u64_min(u64_min(fits, progress->call_bytes * 2), EXT4_SLICE_MAX_BYTES));
}

/* What the next call moves of the rest of a stretch: it ends with a piece, hence with a page. A run that is longer goes in one call, if
 * it fits: two runs would come of it if that call were the last one that goes well. */
static uint64_t call_length(const EngineJob *job, const Progress *progress, const Stretch *rest)
{
        const uint64_t wanted = u64_max(EXT4_CALL_BYTES, stretch_first_run_bytes(&job->map, rest));
        const uint64_t n_bytes = u64_min(progress->call_bytes, wanted);

        return u64_min(u64_align_up(rest->offset + n_bytes, PROGRESS_PIECE_BYTES) - rest->offset,
                       rest->n_bytes);
}

/* However many calls it takes, there or back. *ret_end: how far it certainly came. Returns 0 or -errno. */
static int stretch_move(EngineJob *job, Progress *progress, const Stretch *stretch, bool back,
                        uint64_t *ret_end)
{
        const uint64_t end = stretch->offset + stretch->n_bytes;
        unsigned n_busy = 0;
        Stretch rest;

        for (uint64_t at = stretch->offset; stretch_next(&job->map, at, end, &rest);) {
                const uint64_t n_bytes = call_length(job, progress, &rest);
                const uint64_t begun_usec = clock_monotonic_usec();
                uint64_t moved;
                int r = ext4_extents_move(job->target_fd, job->donor_fd, at, at - job->donor_shift, n_bytes,
                                          job->volume->facts.block_bytes, &moved);

                at += moved;
                *ret_end = at;
                job->bytes_moved += moved;
                if (r == 0) {
                        call_adapt(progress, n_bytes, clock_monotonic_usec() - begun_usec);
                        if (!back)
                                moved_on(job, progress, rest.offset, n_bytes);
                        continue;
                }
                if (r != -EBUSY || ++n_busy == BUSY_TRIES)
                        return r;
                /* A kernel that does not say how much it did must not be asked to do it again: that would undo it. */
                if (moved == 0 && is_unmoved(job, at, rest.physical) != (back ? 0 : 1))
                        return r;
                r = write_out(job, progress, at, end - at);
                /* That it cannot be written where it is may be why it goes back. */
                if (r < 0 && !back)
                        return r;
        }
        return 0;
}

/* All of it but the stretch that begins at except, as far as to *ret_end, which is the end of the slice on 0. On the way back one that stays where
 * it is keeps no other one from going. Returns 0 or the first -errno. */
static int slice_move(EngineJob *job, Progress *progress, const Slice *slice, uint64_t except, bool back,
                      uint64_t *ret_end)
{
        const uint64_t end = slice->offset + slice->n_bytes;
        Stretch stretch;
        int first = 0;

        *ret_end = slice->offset;
        for (uint64_t at = slice->offset; (first == 0 || back) && stretch_next(&job->map, at, end, &stretch);
             at = stretch.offset + stretch.n_bytes)
                if (stretch.offset != except) {
                        const int r = stretch_move(job, progress, &stretch, back, ret_end);

                        if (first == 0)
                                first = r;
                }
        return first;
}

/* What was moved of the slice goes back to where it was, which the donor has. Returns 0 or -errno. */
static int slice_take_back(EngineJob *job, Progress *progress, const Slice *slice, uint64_t except,
                           uint64_t end)
{
        const Slice moved = {.offset = slice->offset, .n_bytes = end - slice->offset};
        const uint64_t bytes_moved = job->bytes_moved;
        uint64_t unused;
        int r;

        if (moved.n_bytes == 0)
                return 0;
        /* What is on its way to the new place keeps pages busy. */
        aside_wait(copier_aside(job->copier));
        (void)write_out(job, progress, moved.offset, moved.n_bytes);
        r = slice_move(job, progress, &moved, except, true, &unused);
        /* What came back has not moved. */
        job->bytes_moved = bytes_moved - u64_min(bytes_moved, job->bytes_moved - bytes_moved);
        return r;
}

/* Of several stretches the one from which there is most to win. */
static Stretch best_stretch(const EngineJob *job, const Slice *slice)
{
        const uint64_t end = slice->offset + slice->n_bytes;
        Stretch stretch, best = {.offset = slice->offset};
        uint64_t most = 0;

        for (uint64_t at = slice->offset; stretch_next(&job->map, at, end, &stretch);
             at = stretch.offset + stretch.n_bytes) {
                const uint64_t n_runs = stretch_runs(&job->map, &stretch);

                if (n_runs > most) {
                        most = n_runs;
                        best = stretch;
                }
        }
        return best;
}

int ext4_slice_move(EngineJob *job, Progress *progress, const Slice *slice)
{
        const Stretch first = best_stretch(job, slice);
        uint64_t first_end = first.offset, end = slice->offset;
        int r;

        r = stretch_move(job, progress, &first, false, &first_end);
        if (r == 0)
                r = slice_move(job, progress, slice, first.offset, false, &end);
        if (r < 0 && PROTECTED_BY(WHOLE_SLICES)) {
                const Slice begun = {.offset = first.offset, .n_bytes = first_end - first.offset};

                if (slice_take_back(job, progress, slice, first.offset, end) == 0)
                        (void)slice_take_back(job, progress, &begun, UINT64_MAX, first_end);
        }
        return r;
}

int ext4_slice_write(EngineJob *job, Progress *progress, const Slice *slice, int moved)
{
        int r;

        if (!PROTECTED_BY(WRITTEN))
                return 0;
        r = write_out(job, progress, slice->offset, slice->n_bytes);
        if (r < 0 && moved == 0 &&
            slice_take_back(job, progress, slice, UINT64_MAX, slice->offset + slice->n_bytes) == 0)
                (void)write_out(job, progress, slice->offset, slice->n_bytes);
        return r;
}
