/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The engine of ext4: a donor with a better layout, and EXT4_IOC_MOVE_EXT by slices of a region.
 *
 * The kernel copies, under the locks that keep writers out, so no freshness is at stake: a plan that has become stale costs
 * wasted work and nothing else. What a lease is needed for is the time between a move and the commit of its transaction
 * (ext4_extents.h): it is taken for each slice anew, and held until the slice is on stable storage. Who waits to open the file
 * waits for one slice, whose length is adapted to that.
 *
 * If we die, the slices so far are in their new places and the others in their old ones; the donor, which has no name, is freed with the
 * blocks that it holds then. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/protection.h"
#include "fs/copy.h"
#include "fs/donor.h"
#include "fs/driver.h"
#include "fs/ext4_extents.h"
#include "fs/ext4_progress.h"
#include "fs/ext4_read.h"
#include "fs/ext4_slice.h"
#include "fs/lease.h"
#include "fs/target.h"

/* What the length of the slices is adapted to: all of the time that the file is kept from others, the commit included, which may wait
 * for the device. */
#define HOLD_USEC (500 * UINT64_C(1000))

/* The first slice, and what they are not made shorter than because of commits, which take their time however little there is to commit; where it
 * is the moves that take long they are. Longer than EXT4_SLICE_MAX_BYTES gains nothing (64 MiB took the same time), and three of them may be
 * in the page cache at a time. */
#define SLICE_FIRST_BYTES (2 * MIB)
#define SLICE_HELD_BYTES  (4 * MIB)
#define SLICE_MIN_BYTES   (256 * KIB)

/* So long what was seen of the length of slices holds for other regions and files. */
#define NOTE_USEC (30 * USEC_PER_SEC)

/* --- open, sample, reserve --- */

static int check_flags(EngineJob *job)
{
        Reason why;
        int r = fs_driver_ext4.file_refusal(job->target_fd, &why);

        if (r < 0)
                return r;
        return why == REASON_NONE ? ENGINE_DONE : target_verdict(job, ENGINE_SKIP, why);
}

static int move_open(EngineJob *job)
{
        int r;

        r = target_check_volume(job, &fs_driver_ext4);
        if (r != ENGINE_DONE)
                return r;
        r = target_open(job, 0);
        /* What is read ahead by itself, behind a slice, would look as if somebody had read it. */
        if (r == ENGINE_DONE)
                (void)posix_fadvise(job->target_fd, 0, 0, POSIX_FADV_RANDOM);
        return r;
}

/* The caller holds the lease. */
static int sample_quiet(EngineJob *job)
{
        Reason why;
        int r;

        r = file_facts_read(job->target_fd, &job->sampled);
        if (r < 0)
                return r;
        r = target_age_check(job);
        if (r != ENGINE_DONE)
                return r;
        why = policy_judge(job->policy, &job->sampled);
        if (why != REASON_NONE)
                return target_verdict(job, ENGINE_SKIP, why);
        return check_flags(job);
}

/* As long as the last one here may have been, if that was lately. */
static uint64_t first_slice_bytes(const EngineJob *job)
{
        const FsVolumeNotes *notes = job->volume->notes;

        return notes->slice_usec > 0 && clock_monotonic_usec() - notes->slice_usec <= NOTE_USEC
                       ? notes->slice_bytes
                       : SLICE_FIRST_BYTES;
}

static int move_sample(EngineJob *job)
{
        Progress progress = {.at = job->region.offset,
                             .slice_bytes = first_slice_bytes(job),
                             .call_bytes = EXT4_CALL_BYTES};
        int r;

        r = lease_take_write(job->target_fd);
        if (r != 0 && PROTECTED_BY(LEASE))
                return target_verdict_of_lease(job, r);
        r = sample_quiet(job);
        /* From a process that stands still the kernel takes it: then stamps tell nothing of who writes. */
        job->was_quiet = lease_release(job->target_fd) == 0;
        if (r != ENGINE_DONE)
                return r;
        job->clock_offset_nsec = clock_offset_nsec();

        /* Dirty pages would be in the way of the move. */
        r = target_map_read(job, true, &job->map);
        if (r < 0)
                return r;
        if (job->sampled.size_bytes != job->looked->size_bytes || !target_is_as_planned(job))
                return target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        cache_note_take(job, &progress.cache);
        r = progress_note_samples(job, &progress);
        progress_store(job, &progress);
        return r < 0 ? target_verdict_of_read(job, r) : r;
}

/* As few runs as groups of blocks, which the allocator does not cross in one step. */
static bool is_well_placed(const EngineJob *job)
{
        const uint64_t block_bytes = job->volume->facts.block_bytes;

        return job->runs_after <= job->region.bytes / (8 * block_bytes * block_bytes) + 2;
}

static int move_reserve(EngineJob *job)
{
        /* Both files' blocks have to lie at the same places within a page. */
        const uint64_t page_bytes = u64_max((uint64_t)sysconf(_SC_PAGESIZE), job->volume->facts.block_bytes);
        const uint64_t shift = u64_align_down(job->region.offset, page_bytes);
        uint32_t runs;
        Reason reason;
        int donor_fd, first, second;

        first = target_reserve(job, shift);
        if ((first != ENGINE_DONE || is_well_placed(job)) &&
            !(first == ENGINE_NO_SPACE && job->reason == NO_SPACE_FRAGMENTED))
                return first;
        /* Soon after a mount the allocator passes over groups whose bitmaps were not read yet, and reads them for the next time (of
         * 87,000 extents 7,000 found no better place so). What the first donor has stays taken meanwhile. */
        donor_fd = TAKE_FD(job->donor_fd);
        runs = job->runs_after;
        reason = job->reason;
        second = target_reserve(job, shift);
        if (second == ENGINE_DONE && (first != ENGINE_DONE || job->runs_after < runs)) {
                (void)fd_close(donor_fd);
                return second;
        }
        (void)fd_close(job->donor_fd);
        job->donor_fd = donor_fd;
        job->runs_after = runs;
        job->reason = reason;
        /* A device that fails is no matter of room. */
        return second < 0 ? second : first;
}

/* --- one slice --- */

/* Returns false at the end of the region. */
static bool slice_next(const EngineJob *job, const Progress *progress, Slice *ret)
{
        Stretch stretch;
        uint64_t end, last;

        if (!stretch_next(&job->map, progress->at, UINT64_MAX, &stretch))
                return false;
        *ret = (Slice){.offset = stretch.offset};
        /* It ends with a piece, hence with a page. */
        last = end = u64_align_down(stretch.offset + progress->slice_bytes, PROGRESS_PIECE_BYTES);
        for (uint64_t at = stretch.offset; stretch_next(&job->map, at, end, &stretch);)
                last = at = stretch.offset + stretch.n_bytes;
        ret->n_bytes = last - ret->offset;
        return true;
}

/* While this slice moves, and is on its way to the device, the next one is on its way from there. */
static void ask_ahead_begin(const EngineJob *job, const Slice *slice, Progress *progress)
{
        Progress next = *progress;
        Slice behind;
        uint64_t end;

        progress->ahead = 0;
        if (!progress->reads_fast && PROTECTED_BY(ASK_FAST))
                return;
        next.at = slice->offset + slice->n_bytes;
        /* It may be twice as long. */
        next.slice_bytes = u64_min(next.slice_bytes * 2, EXT4_SLICE_MAX_BYTES);
        if (!slice_next(job, &next, &behind))
                return;
        end = behind.offset + behind.n_bytes;
        behind.offset = u64_max(behind.offset, progress->asked);
        if (behind.offset >= end || !ext4_slice_is_cold(job, behind.offset, end - behind.offset))
                return;
        progress->asked = behind.offset;
        progress->ahead = end;
        ext4_ask_ahead(job, progress, EXT4_CALL_BYTES * 2);
}

/* What is asked for is in front of the commit in the queue of the device, and the lease is held until that is done. So nothing is asked
 * for where the longest slice would take longer to read than a file may be held: a disk that has to seek for every piece. What comes
 * out of the page cache tells nothing of it. */
static bool is_read_fast(const EngineJob *job, const Slice *slice, uint64_t usec)
{
        const uint64_t n_bytes = stretches_bytes(&job->map, slice->offset, slice->offset + slice->n_bytes);

        return job->cached_bytes == 0 && usec * (EXT4_SLICE_MAX_BYTES / KIB) <= HOLD_USEC * (n_bytes / KIB);
}

/* Why did the kernel refuse? Often it is the first thing that it noticed of a change. */
static int move_refused(EngineJob *job, int error)
{
        int r;

        if (error == -EBUSY)
                return target_verdict(job, ENGINE_BUSY, BUSY_OPEN);
        r = target_check_unchanged(job);
        return r != ENGINE_DONE ? r : target_verdict_of_error(job, error);
}

/* Of a slice that has moved, with n_bytes in it, in moved_usec of hold_usec. */
static uint64_t slice_adapt(const Slice *slice, uint64_t slice_bytes, uint64_t n_bytes, uint64_t moved_usec,
                            uint64_t hold_usec)
{
        const uint64_t least = moved_usec > HOLD_USEC / 2 ? SLICE_MIN_BYTES : SLICE_HELD_BYTES;

        if (hold_usec > HOLD_USEC)
                return u64_min(slice_bytes, u64_max(slice->n_bytes / 2, least));
        /* What was shorter than a slice may be says nothing of longer ones. */
        return n_bytes < slice_bytes / 2 ? slice_bytes : u64_min(slice_bytes * 2, EXT4_SLICE_MAX_BYTES);
}

/* What this slice tells of the next ones, here and in the next file. */
static void slice_learn(const EngineJob *job, const Slice *slice, Progress *progress, uint64_t moved_usec,
                        uint64_t hold_usec)
{
        const uint64_t n_bytes = stretches_bytes(&job->map, slice->offset, slice->offset + slice->n_bytes);
        FsVolumeNotes *notes = job->volume->notes;

        log_debug("inode %llu: %llu bytes moved in %llu us, committed in %llu us",
                  (unsigned long long)job->target.inode, (unsigned long long)n_bytes,
                  (unsigned long long)moved_usec, (unsigned long long)(hold_usec - moved_usec));
        progress->reads_fast = progress->reads_fast && hold_usec <= HOLD_USEC;
        progress->slice_bytes = slice_adapt(slice, progress->slice_bytes, n_bytes, moved_usec, hold_usec);
        notes->slice_bytes = progress->slice_bytes;
        notes->slice_usec = clock_monotonic_usec();
}

/* The caller holds the lease. Returns 0 with the slice on stable storage, a verdict, -errno. */
static int slice_commit(EngineJob *job, const Slice *slice, Progress *progress)
{
        uint64_t begun_usec, moved_usec;
        int moved, written, durable, r;

        /* Somebody was here since the sample and may come again: he has precedence, and the plan is old. */
        r = target_check_unchanged(job);
        if (r != ENGINE_DONE)
                return r;
        progress->write_error = 0;
        begun_usec = clock_monotonic_usec();
        ask_ahead_begin(job, slice, progress);
        moved = ext4_slice_move(job, progress, slice);
        moved_usec = clock_monotonic_usec();
        /* The kernel keeps pages of the donor, of which nobody has a need. That takes about as long as what is on its way to the device. */
        (void)posix_fadvise(job->donor_fd, (off_t)(slice->offset - job->donor_shift), (off_t)slice->n_bytes,
                            POSIX_FADV_DONTNEED);
        /* Also what was moved before an error. */
        written = ext4_slice_write(job, progress, slice, moved);
        durable = PROTECTED_BY(DURABLE_MOVE) ? ext4_extents_commit(job->donor_fd) : 0;
        /* Nobody reads ahead when the lease has gone. */
        if (PROTECTED_BY(RING_IDLE))
                aside_wait(copier_aside(job->copier));
        if (written < 0)
                return written;
        if (durable < 0)
                return durable;
        if (progress->write_error > 0)
                return -(int)progress->write_error;
        if (moved < 0)
                return move_refused(job, moved);
        slice_learn(job, slice, progress, moved_usec - begun_usec, clock_monotonic_usec() - begun_usec);
        return ENGINE_DONE;
}

static int slice_run(EngineJob *job, const Slice *slice, Progress *progress)
{
        const uint64_t begun_usec = clock_monotonic_usec();
        int r;

        r = ext4_slice_read(job, slice->offset, slice->n_bytes, progress->asked);
        if (r != ENGINE_DONE)
                return r;
        if (progress->asked <= slice->offset)
                progress->reads_fast = is_read_fast(job, slice, clock_monotonic_usec() - begun_usec);
        /* Others may go on reading meanwhile. */
        r = donor_wait_thawed(job->donor_fd);
        if (r < 0)
                return target_verdict_of_error(job, r);
        r = lease_take_write(job->target_fd);
        if (r < 0 || (r > 0 && PROTECTED_BY(LEASE)))
                return target_verdict_of_lease(job, r);
        r = slice_commit(job, slice, progress);
        (void)lease_release(job->target_fd);
        return r;
}

static int move_commit(EngineJob *job)
{
        Progress progress = progress_load(job);
        Slice slice;
        int r;

        if (!slice_next(job, &progress, &slice))
                return ENGINE_DONE;
        r = slice_run(job, &slice, &progress);
        if (r == ENGINE_DONE && PROTECTED_BY(CACHE_REFILL))
                cache_note_leave_aside(job, &progress.cache, slice.offset, slice.n_bytes,
                                       copier_aside(job->copier), false);
        /* What of a slice that was refused is in the page cache is dropped in the end. After an error that may be the only good copy. */
        if (r <= 0)
                progress.at = slice.offset + slice.n_bytes;
        progress.asked = u64_max(progress.asked, slice.offset + slice.n_bytes);
        progress_store(job, &progress);
        return r != ENGINE_DONE ? r : (slice_next(job, &progress, &slice) ? ENGINE_MORE : ENGINE_DONE);
}

/* What is dropped from the page cache is; what was asked for and came to nothing is dropped, too. */
static int move_settle(EngineJob *job)
{
        Progress progress = progress_load(job);

        aside_wait(copier_aside(job->copier));
        if (PROTECTED_BY(CACHE_REFILL))
                cache_note_withdraw(job, &progress.cache, progress.at,
                                    progress.asked - u64_min(progress.asked, progress.at));
        progress.asked = progress.at;
        progress_store(job, &progress);
        return 0;
}

static void move_close(EngineJob *job)
{
        /* A job that was never begun has none. */
        if (job->copier) {
                (void)move_settle(job);
                copier_let_go(job->copier);
        }
        /* The target first: with its last writer go the blocks that the kernel has preallocated for it, and where a call failed half way
         * kernels before 6.8 count some of these as both files' (CVE-2024-26704). */
        job->target_fd = PROTECTED_BY(NOTHING_HELD) ? fd_close(job->target_fd) : -EBADF;
        job->donor_fd = fd_close(job->donor_fd);
        extent_map_done(&job->map);
}

const Engine engine_ext4_move = {
        .name = "ext4-move-extent",
        .by_slices = true,
        .kernel_copies = true,
        .keeps_privileges = true,
        .open = move_open,
        .sample = move_sample,
        .reserve = move_reserve,
        .commit = move_commit,
        .settle = move_settle,
        .recheck = progress_recheck,
        .close = move_close,
};
