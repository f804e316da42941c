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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/page_cache.h"
#include "fs/copy.h"
#include "fs/driver.h"
#include "fs/ext4_extents.h"
#include "fs/lease.h"
#include "fs/target.h"

/* How long the file is kept from others at once, and what the length of the slices is adapted to: half of what is promised. */
#define HOLD_USEC (50 * UINT64_C(1000))

/* The first slice, the shortest and the longest. 256 KiB take a disk that seeks about as long as the commit that follows. Longer
 * than 16 MiB gains nothing: the commits are a hundredth of the time then. */
#define SLICE_FIRST_BYTES (2 * MIB)
#define SLICE_MIN_BYTES   (256 * KIB)
#define SLICE_MAX_BYTES   (16 * MIB)

/* What is known to be in the page cache or not before a slice is read. */
#define PIECE_BYTES (64 * KIB)
#define PIECES_MAX  (SLICE_MAX_BYTES / PIECE_BYTES)

/* A page that is pinned or under write-back may be free a moment later. */
#define BUSY_TRIES 3

/* Pieces of the region that the audit compares, one in each third. */
#define SAMPLES_MAX  3
#define SAMPLE_BYTES (512 * KIB)

#define BUFFER_BYTES (512 * KIB)

typedef struct Sample {
        uint64_t offset;
        uint64_t n_bytes;
        uint64_t checksum;
} Sample;

/* What a job remembers from slice to slice. */
typedef struct Progress {
        uint64_t at;          /* all in front of it is done */
        uint64_t slice_bytes; /* of the next one; 0: nothing was done yet */
        uint64_t n_samples;
        Sample samples[SAMPLES_MAX];
} Progress;
_Static_assert(sizeof(Progress) <= sizeof(EngineCookie), "the cookie has room");

/* A part of the region that begins and ends with something allocated. */
typedef struct Slice {
        uint64_t offset;
        uint64_t n_bytes; /* holes included */
        bool was_cached[PIECES_MAX];
} Slice;

/* What is allocated between two holes. */
typedef struct Stretch {
        uint64_t offset;
        uint64_t n_bytes;
        uint64_t physical; /* of its first block, before */
} Stretch;

static Progress progress_load(const EngineJob *job)
{
        Progress progress;

        memcpy(&progress, &job->cookie, sizeof(progress));
        return progress;
}

static void progress_store(EngineJob *job, const Progress *progress)
{
        memcpy(&job->cookie, progress, sizeof(*progress));
}

/* --- open, sample, reserve --- */

/* What the file system looks like now: somebody may have mounted it anew with other options. */
static int check_volume(EngineJob *job)
{
        FsVolume now = *job->volume;
        Reason why;
        int r;

        r = file_system_ext4.read(job->root_fd, &now.facts);
        if (r < 0)
                return r;
        why = fs_driver_ext4.refusal(&now);
        return why == REASON_NONE ? ENGINE_DONE : target_verdict(job, ENGINE_SKIP, why);
}

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

        r = check_volume(job);
        if (r != ENGINE_DONE)
                return r;
        return target_open(job, 0);
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

static int move_sample(EngineJob *job)
{
        int r;

        r = lease_take_write(job->target_fd);
        if (r != 0 && PROTECTED_BY(LEASE))
                return target_verdict_of_lease(job, r);
        r = sample_quiet(job);
        (void)lease_release(job->target_fd);
        if (r != ENGINE_DONE)
                return r;
        job->was_quiet = true;
        job->clock_offset_nsec = clock_offset_nsec();

        /* Dirty pages would be in the way of the move. */
        r = target_map_read(job, true, &job->map);
        if (r < 0)
                return r;
        if (job->sampled.size_bytes != job->looked->size_bytes || !target_is_as_planned(job))
                return target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        if (page_cache_resident(job->target_fd, job->region.offset, job->region.length, &job->cached_bytes) <
            0)
                job->cached_bytes = 0;
        return ENGINE_DONE;
}

static int move_reserve(EngineJob *job)
{
        /* Both files' blocks have to lie at the same places within a page. */
        const uint64_t page_bytes = u64_max((uint64_t)sysconf(_SC_PAGESIZE), job->volume->facts.block_bytes);

        return target_reserve(job, u64_align_down(job->region.offset, page_bytes));
}

/* --- one slice --- */

/* The first stretch at or behind from, cut at end. Returns false when there is none. */
static bool stretch_next(const ExtentMap *map, uint64_t from, uint64_t end, Stretch *ret)
{
        size_t i = 0;
        uint64_t to;

        while (i < map->n_extents && map->extents[i].logical + map->extents[i].length <= from)
                i++;
        if (i == map->n_extents || u64_max(from, map->extents[i].logical) >= end)
                return false;
        ret->offset = u64_max(from, map->extents[i].logical);
        ret->physical = map->extents[i].physical + (ret->offset - map->extents[i].logical);
        to = map->extents[i].logical + map->extents[i].length;
        for (i++; i < map->n_extents && map->extents[i].logical == to; i++)
                to += map->extents[i].length;
        ret->n_bytes = u64_min(to, end) - ret->offset;
        return true;
}

/* Returns false at the end of the region. */
static bool slice_next(const EngineJob *job, const Progress *progress, Slice *ret)
{
        Stretch stretch;
        uint64_t end, last;

        if (!stretch_next(&job->map, progress->at, UINT64_MAX, &stretch))
                return false;
        *ret = (Slice){.offset = stretch.offset};
        /* It ends with a piece, hence with a page. */
        last = end = u64_align_down(stretch.offset + progress->slice_bytes, PIECE_BYTES);
        for (uint64_t at = stretch.offset; stretch_next(&job->map, at, end, &stretch);)
                last = at = stretch.offset + stretch.n_bytes;
        ret->n_bytes = last - ret->offset;
        return true;
}

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
        for (uint64_t at = 0; at < n_bytes; at += PIECE_BYTES) {
                const struct iovec one = {.iov_base = &byte, .iov_len = 1};

                if (preadv2(fd, &one, 1, (off_t)(offset + at), RWF_NOWAIT) == 1)
                        return true;
        }
        return false;
}

static void slice_look_at_cache(const EngineJob *job, Slice *slice)
{
        uint64_t resident;

        if (!any_cached(job->target_fd, slice->offset, slice->n_bytes, &resident))
                return;
        for (uint64_t i = 0; i * PIECE_BYTES < slice->n_bytes; i++)
                slice->was_cached[i] =
                        resident == slice->n_bytes ||
                        any_cached(job->target_fd, slice->offset + i * PIECE_BYTES,
                                   u64_min(PIECE_BYTES, slice->n_bytes - i * PIECE_BYTES), &(uint64_t){0});
}

/* What was not there before is not there afterwards. */
static void slice_leave_cache(const EngineJob *job, const Slice *slice)
{
        uint64_t from = 0;

        if (!PROTECTED_BY(CACHE_REFILL))
                return;
        for (uint64_t i = 0, at; at = i * PIECE_BYTES, at < slice->n_bytes; i++) {
                const bool last = at + PIECE_BYTES >= slice->n_bytes;
                const uint64_t to = u64_min(at + PIECE_BYTES, slice->n_bytes);

                if (slice->was_cached[i]) {
                        from = to;
                } else if (last || slice->was_cached[i + 1]) {
                        (void)posix_fadvise(job->target_fd, (off_t)(slice->offset + from),
                                            (off_t)(to - from), POSIX_FADV_DONTNEED);
                        from = to;
                }
        }
}

/* Kept out of core dumps: it holds other people's data. */
static void *buffer_new(void)
{
        void *buffer = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (buffer == MAP_FAILED)
                return NULL;
        (void)madvise(buffer, BUFFER_BYTES, MADV_DONTDUMP);
        return buffer;
}

static void buffer_free(void **buffer)
{
        if (*buffer)
                (void)munmap(*buffer, BUFFER_BYTES);
}

/* Notes the checksum of what is a sample. Returns 0 or -errno. */
static int stretch_read(const EngineJob *job, const Stretch *stretch, void *buffer, Progress *progress)
{
        const uint64_t end = stretch->offset + stretch->n_bytes, third = job->region.length / SAMPLES_MAX;

        for (uint64_t at = stretch->offset; at < end;) {
                const uint64_t wanted = u64_min(BUFFER_BYTES, end - at);
                const ssize_t n = pread(job->target_fd, buffer, wanted, (off_t)at);

                if (n < 0)
                        return -errno;
                if (progress->n_samples < SAMPLES_MAX && n > 0 &&
                    at >= job->region.offset + progress->n_samples * third)
                        progress->samples[progress->n_samples++] = (Sample){
                                .offset = at,
                                .n_bytes = (uint64_t)n,
                                .checksum = checksum_of(buffer, (size_t)n),
                        };
                /* At EOF the last block has no more. */
                if ((uint64_t)n < wanted)
                        return 0;
                at += wanted;
        }
        return 0;
}

/* Into the page cache: the kernel would read page by page in the middle of the move (four times slower, and with the file
 * locked). Returns 0 or -errno. */
static int slice_read(const EngineJob *job, const Slice *slice, Progress *progress)
{
        _cleanup_(buffer_free) void *buffer = buffer_new();
        const uint64_t end = slice->offset + slice->n_bytes;
        Stretch stretch;
        int r = 0;

        if (!buffer)
                return -ENOMEM;
        /* All of it is asked for before any of it is waited for. */
        for (uint64_t at = slice->offset; stretch_next(&job->map, at, end, &stretch);
             at = stretch.offset + stretch.n_bytes)
                page_cache_refill(job->target_fd, stretch.offset, stretch.n_bytes);
        for (uint64_t at = slice->offset; r == 0 && stretch_next(&job->map, at, end, &stretch);
             at = stretch.offset + stretch.n_bytes)
                r = stretch_read(job, &stretch, buffer, progress);
        return r;
}

/* Does the first block still lie where it did? Returns 1, 0 or -errno. */
static int is_unmoved(const EngineJob *job, uint64_t offset, uint64_t physical)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        int r = extent_map_read(job->target_fd, offset, job->volume->facts.block_bytes, false, 1, &map);

        return r < 0 ? r : map.n_extents == 1 && map.extents[0].physical == physical;
}

/* However many calls it takes. Returns 0 or -errno. */
static int stretch_move(EngineJob *job, const Stretch *stretch)
{
        uint64_t done = 0;

        for (unsigned n_busy = 0; done < stretch->n_bytes;) {
                const uint64_t at = stretch->offset + done;
                uint64_t moved;
                int r = ext4_extents_move(job->target_fd, job->donor_fd, at, at - job->donor_shift,
                                          stretch->n_bytes - done, job->volume->facts.block_bytes, &moved);

                done += moved;
                job->bytes_moved += moved;
                if (r == 0)
                        continue;
                if (r != -EBUSY || ++n_busy == BUSY_TRIES)
                        return r;
                /* A kernel that does not say how much it did must not be asked to do it again: that would undo it. */
                if (moved == 0 && (done > 0 || is_unmoved(job, at, stretch->physical) != 1))
                        return r;
                (void)sync_file_range(job->target_fd, (off_t)at, (off_t)(stretch->n_bytes - done),
                                      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                              SYNC_FILE_RANGE_WAIT_AFTER);
        }
        return 0;
}

static int slice_move(EngineJob *job, const Slice *slice)
{
        const uint64_t end = slice->offset + slice->n_bytes;
        Stretch stretch;
        int r = 0;

        for (uint64_t at = slice->offset; r == 0 && stretch_next(&job->map, at, end, &stretch);
             at = stretch.offset + stretch.n_bytes)
                r = stretch_move(job, &stretch);
        return r;
}

/* Why did the kernel refuse? Often it is the first thing that it noticed of a change. */
static int move_refused(EngineJob *job, int error)
{
        FileFacts now = job->sampled;
        int r;

        if (error == -EBUSY)
                return target_verdict(job, ENGINE_BUSY, BUSY_OPEN);
        r = file_facts_refresh(job->target_fd, &now);
        if (r < 0)
                return r;
        if (!file_facts_same(&job->sampled, &now))
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        return target_verdict_of_error(job, error);
}

/* The caller holds the lease. Returns 0 with the slice on stable storage, a verdict, -errno. */
static int slice_commit(EngineJob *job, const Slice *slice)
{
        FileFacts now = job->sampled;
        int moved, durable, r;

        /* Somebody was here since the sample and may come again: he has precedence, and the plan is old. */
        r = file_facts_refresh(job->target_fd, &now);
        if (r < 0)
                return r;
        if (!file_facts_same(&job->sampled, &now))
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        moved = slice_move(job, slice);
        /* Also what was moved before an error. */
        durable = ext4_extents_commit(job->donor_fd);
        if (durable < 0)
                return durable;
        return moved < 0 ? move_refused(job, moved) : ENGINE_DONE;
}

static uint64_t slice_adapt(uint64_t slice_bytes, uint64_t n_bytes, uint64_t usec)
{
        const uint64_t fits = n_bytes * HOLD_USEC / u64_max(usec, 1);

        /* What was shorter than a slice may be says nothing of longer ones. */
        if (fits > slice_bytes && n_bytes < slice_bytes)
                return slice_bytes;
        return u64_max(SLICE_MIN_BYTES, u64_min(u64_min(fits, slice_bytes * 2), SLICE_MAX_BYTES));
}

static int move_commit(EngineJob *job)
{
        Progress progress = progress_load(job);
        uint64_t begun_usec, usec;
        Slice slice;
        int r;

        if (progress.slice_bytes == 0)
                progress.slice_bytes = SLICE_FIRST_BYTES;
        if (!slice_next(job, &progress, &slice))
                return ENGINE_DONE;
        slice_look_at_cache(job, &slice);
        r = slice_read(job, &slice, &progress);
        if (r == 0) {
                begun_usec = clock_monotonic_usec();
                r = lease_take_write(job->target_fd);
                if (r != 0 && PROTECTED_BY(LEASE)) {
                        r = target_verdict_of_lease(job, r);
                } else {
                        r = slice_commit(job, &slice);
                        (void)lease_release(job->target_fd);
                        usec = clock_monotonic_usec() - begun_usec;
                        log_debug("inode %llu: slice of %llu bytes held for %llu us",
                                  (unsigned long long)job->target.inode, (unsigned long long)slice.n_bytes,
                                  (unsigned long long)usec);
                        progress.slice_bytes = slice_adapt(progress.slice_bytes, slice.n_bytes, usec);
                }
        }
        slice_leave_cache(job, &slice);
        progress.at = slice.offset + slice.n_bytes;
        progress_store(job, &progress);
        return r != ENGINE_DONE ? r : (slice_next(job, &progress, &slice) ? ENGINE_MORE : ENGINE_DONE);
}

/* --- the audit --- */

static ssize_t read_anew(int fd, void *buffer, uint64_t n_bytes, uint64_t offset)
{
        const int flags = fcntl(fd, F_GETFL);
        ssize_t n = -1;

        /* From the device, not from the page that was copied. */
        if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0)
                n = pread(fd, buffer, n_bytes, (off_t)offset);
        if (flags >= 0)
                (void)fcntl(fd, F_SETFL, flags & ~O_DIRECT);
        if (n < 0 && errno == EINVAL)
                n = pread(fd, buffer, n_bytes, (off_t)offset);
        if (flags >= 0)
                (void)fcntl(fd, F_SETFL, flags);
        return n < 0 ? -errno : n;
}

static int move_recheck(const EngineJob *job, int fd)
{
        _cleanup_(buffer_free) void *buffer = buffer_new();
        const Progress progress = progress_load(job);

        if (!buffer)
                return -ENOMEM;
        for (uint64_t i = 0; i < progress.n_samples; i++) {
                const Sample *sample = &progress.samples[i];
                const ssize_t n =
                        read_anew(fd, buffer, u64_align_up(sample->n_bytes, job->volume->facts.block_bytes),
                                  sample->offset);

                if (n < 0)
                        return (int)n;
                if ((uint64_t)n < sample->n_bytes ||
                    checksum_of(buffer, sample->n_bytes) != sample->checksum)
                        return COPY_WRONG;
        }
        return 0;
}

static void move_close(EngineJob *job)
{
        job->target_fd = PROTECTED_BY(NOTHING_HELD) ? fd_close(job->target_fd) : -EBADF;
        job->donor_fd = fd_close(job->donor_fd);
        extent_map_done(&job->map);
}

const Engine engine_ext4_move = {
        .name = "ext4-move-extent",
        .kernel_copies = true,
        .keeps_privileges = true,
        .open = move_open,
        .sample = move_sample,
        .reserve = move_reserve,
        .commit = move_commit,
        .recheck = move_recheck,
        .close = move_close,
};
