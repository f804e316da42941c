/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The btrfs engine: BTRFS_IOC_DEFRAG_RANGE has the kernel read a range and mark it dirty under its own locks; write-back then puts it
 * somewhere else, and the file's extents are changed when the data are on the disk.
 *
 * Every Linux. A read-only descriptor suffices, nobody is locked out, and no time stamp moves (measured on Linux 6.18). Dying anywhere
 * in here leaves a file whose content is as it was; after a crash each extent is the old one or the new one.
 *
 * What the kernel does not look after is space and form. It gives shared extents copies of their own, it compresses or does not as the
 * mount says now, and it moves parts of extents, which frees nothing. And it only marks: a call for a gigabyte returns with a gigabyte to be
 * written, at nobody's pace. So regions are taken in slices, each looked at right before and written before the next. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/btrfs.h"
#include "facts/btrfs_extents.h"
#include "facts/btrfs_space.h"
#include "facts/page_cache.h"
#include "facts/swap_signature.h"
#include "fs/btrfs_defrag.h"
#include "fs/btrfs_slice.h"
#include "fs/cache_note.h"
#include "fs/copy.h"
#include "fs/donor.h"
#include "fs/lease.h"
#include "fs/target.h"

/* Changes that old are committed, and seen by whoever looks into the tree of extents: twice the interval of 30 s at which btrfs commits. */
#define SETTLED_NSEC (60 * NSEC_PER_SEC)

/* A signal that is pending ends the call. */
#define SIGNAL_TRIES 3

/* Pieces of the region whose content is remembered for the audit: at its beginning, in the middle, at its end. */
#define N_PIECES    3
#define PIECE_BYTES (16 * KIB)

/* What is remembered from the sample to the end; lives in job->cookie. */
typedef struct State {
        uint64_t next;  /* offset where the next slice begins */
        uint64_t asked; /* up to here the region was read, or will be */
        CacheNote cached;
        bool has_parts; /* the region is moved to its end, or what has moved gives no space back */
        uint64_t offsets[N_PIECES];
        uint64_t checksums[N_PIECES];
} State;
_Static_assert(sizeof(State) <= sizeof(EngineCookie), "the cookie has room");

static State state_get(const EngineJob *job)
{
        State state;

        memcpy(&state, job->cookie.words, sizeof(state));
        return state;
}

static void state_put(EngineJob *job, const State *state)
{
        memcpy(job->cookie.words, state, sizeof(*state));
}

static int defrag_open(EngineJob *job)
{
        int fd, r;

        r = target_check_volume(job, &fs_driver_btrfs);
        if (r != ENGINE_DONE)
                return r;

        /* Users who find a file by its list of blocks are not noticed by opening it so: they are looked for in the sample. */
        fd = fs_volume_inode_open(job->volume, job->root_fd, job->target, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return target_verdict_of_error(job, fd);
        job->target_fd = fd;
        return ENGINE_DONE;
}

static int check_exclusive(EngineJob *job)
{
        const int r = fs_volume_is_exclusive(job->volume);

        return r > 0 ? target_verdict(job, ENGINE_BUSY, BUSY_EXCLUSIVE) : r;
}

/* Swap space need not be active to be looked for by its blocks: a suspended system lies in it. It is never copied on write. */
static int check_swap(EngineJob *job)
{
        unsigned flags = 0;
        bool swap = false;
        int r;

        if (ioctl(job->target_fd, FS_IOC_GETFLAGS, &flags) < 0)
                return -errno;
        if (!(flags & FS_NOCOW_FL))
                return ENGINE_DONE;
        r = swap_signature_read(job->target_fd, job->sampled.size_bytes, false, &swap);
        if (r < 0)
                return r;
        (void)posix_fadvise(job->target_fd, 0, 0, POSIX_FADV_NORMAL);
        return swap && PROTECTED_BY(SWAP_SIGNATURE) ? target_verdict(job, ENGINE_SKIP, SKIP_SWAPFILE)
                                                    : ENGINE_DONE;
}

/* Only what is not compressed is moved (compressed extents have no length on the disk that a plan could use), so it must not be
 * compressed on the way. */
static int check_compression(EngineJob *job)
{
        const int r = btrfs_would_compress(job->target_fd);

        if (r > 0 && PROTECTED_BY(COMPRESSION))
                return target_verdict(job, ENGINE_SKIP, SKIP_COMPRESSED);
        return r < 0 ? r : ENGINE_DONE;
}

static int64_t age_nsec(const FileFacts *facts)
{
        return (int64_t)clock_realtime_nsec() -
               (facts->ctime.sec * (int64_t)NSEC_PER_SEC + facts->ctime.nsec);
}

/* The map of the region, and whether to move it takes more space than it gives back. */
static int read_layout(EngineJob *job, State *state)
{
        const bool is_young = age_nsec(&job->sampled) < (int64_t)SETTLED_NSEC;
        BtrfsRegion region;
        int r;

        /* What is dirty gets its place first, which is not what it had when it was planned. */
        r = btrfs_range_settle(job->target_fd, job->region.offset, job->region.length);
        if (r < 0)
                return r;
        r = btrfs_region_read(job->target_fd, job->target, job->region.offset, job->region.length,
                              job->region.length <= BTRFS_SLICE_BYTES, is_young, &region, &job->map);
        if (r == -EAGAIN)
                return target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        if (r == -EFBIG)
                return target_verdict(job, ENGINE_NO_GAIN, SKIP_WOULD_GROW);
        if (r < 0)
                return r;
        if (job->region.shared_bytes > 0) {
                /* What was said to cost so much must not cost more, and all of it is looked at. */
                extent_map_done(&job->map);
                r = target_map_read(job, true, &job->map);
                if (r < 0)
                        return r;
        }
        if (region.compressed_bytes > 0 && PROTECTED_BY(COMPRESSION))
                return target_verdict(job, ENGINE_SKIP, SKIP_COMPRESSED);
        if (job->sampled.size_bytes != job->looked->size_bytes || !target_is_as_planned(job))
                return target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        state->has_parts = region.has_parts;
        if (job->volume->moves_singles)
                region.freed_bytes += region.held_bytes;
        if (region.moved_bytes > region.freed_bytes + job->region.shared_bytes &&
            PROTECTED_BY(WHOLE_EXTENTS))
                return target_verdict(job, ENGINE_NO_GAIN, SKIP_WOULD_GROW);
        return ENGINE_DONE;
}

/* Memory for people's data, kept out of core dumps. NULL: there is none. */
static void *piece_room(void)
{
        void *room = mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (room == MAP_FAILED)
                return NULL;
        (void)madvise(room, PIECE_BYTES, MADV_DONTDUMP);
        return room;
}

/* From the disk (direct reads are answered out of the page cache: measured on Linux 6.18); then the page cache is what it was. */
static ssize_t piece_read(int fd, void *room, uint64_t offset, bool is_hot)
{
        uint64_t cached_bytes;
        ssize_t n;

        if (page_cache_resident(fd, offset, PIECE_BYTES, &cached_bytes) < 0)
                cached_bytes = is_hot;
        (void)posix_fadvise(fd, (off_t)offset, PIECE_BYTES, POSIX_FADV_DONTNEED);
        n = page_cache_read_past(fd, room, PIECE_BYTES, offset);
        if (cached_bytes > 0)
                page_cache_refill(fd, offset, PIECE_BYTES);
        else
                (void)posix_fadvise(fd, (off_t)offset, PIECE_BYTES, POSIX_FADV_DONTNEED);
        return n;
}

/* Checksums of the pieces as they are now. */
static int pieces_read(const EngineJob *job, int fd, const State *state, uint64_t ret[static N_PIECES])
{
        void *room = piece_room();
        int r = 0;

        if (!room)
                return -ENOMEM;
        for (unsigned i = 0; i < N_PIECES && r == 0; i++) {
                const ssize_t n = piece_read(fd, room, state->offsets[i], job->cached_bytes > 0);

                if (n < 0)
                        r = (int)n;
                else
                        ret[i] = checksum_of(room, (size_t)n) + (uint64_t)n;
        }
        (void)munmap(room, PIECE_BYTES);
        return r;
}

/* Did nobody have it open for writing when it was sampled, and was the last change so long ago that the next one gets another stamp? Only
 * then can stamps tell later whether content that differs is our doing. */
static int sample_facts(EngineJob *job)
{
        const bool has_lease = lease_take_read(job->target_fd) == 0;
        bool was_kept = true;
        int64_t age;
        int r;

        r = file_facts_read(job->target_fd, &job->sampled);
        if (has_lease)
                was_kept = lease_release(job->target_fd) == 0;
        if (r < 0)
                return r;
        if (!has_lease && !job->policy->busy_files)
                return target_verdict(job, ENGINE_BUSY, BUSY_OPEN);
        age = age_nsec(&job->sampled);
        job->was_quiet = has_lease && was_kept && age >= (int64_t)job->volume->guard_nsec;
        job->clock_offset_nsec = clock_offset_nsec();
        return 0;
}

static int pieces_take(EngineJob *job, State *state)
{
        const uint64_t span = job->region.length - u64_min(job->region.length, PIECE_BYTES);

        if (!job->was_quiet)
                return 0;
        for (unsigned i = 0; i < N_PIECES; i++)
                state->offsets[i] = job->region.offset + u64_align_down(span / (N_PIECES - 1) * i,
                                                                        job->volume->facts.block_bytes);
        return pieces_read(job, job->target_fd, state, state->checksums);
}

/* Is more of it shared than the plan knew, or cannot be told? Snapshots and clones move no stamp of the file. Returns 1, 0 or -errno. */
static int slice_is_shared(const EngineJob *job, const BtrfsSlice *slice)
{
        BtrfsSlice now;
        int r;

        r = btrfs_slice_read(job->target_fd, slice->offset, slice->end, false, &now, NULL);
        if (r < 0)
                return r == -EAGAIN ? 1 : r;
        return now.shared_bytes > slice->shared_bytes;
}

/* All that is written is asked for at once: the kernel would wait for 256 KiB at a time. What lies in front of asked was asked for before. */
static void slice_ask(const EngineJob *job, const BtrfsSlice *slice, uint64_t asked)
{
        uint64_t from = u64_max(slice->offset, asked), to = from;

        for (size_t i = 0; i < job->map.n_extents; i++) {
                const Extent *extent = &job->map.extents[i];

                if (extent->logical < from || extent->logical >= slice->end || extent->unwritten)
                        continue;
                if (extent->logical != to) {
                        page_cache_refill(job->target_fd, from, to - from);
                        from = extent->logical;
                }
                to = extent->logical + extent->length;
        }
        page_cache_refill(job->target_fd, from, to - from);
}

static int defrag_sample(EngineJob *job)
{
        State state = {.next = job->region.offset};
        BtrfsSlice slice;
        Reason why;
        int r;

        r = check_exclusive(job);
        if (r != ENGINE_DONE)
                return r;
        r = sample_facts(job);
        if (r != ENGINE_DONE)
                return r;
        why = policy_judge(job->policy, &job->sampled);
        if (why != REASON_NONE)
                return target_verdict(job, ENGINE_SKIP, why);
        /* Before anything of it is read. */
        cache_note_take(job, &state.cached);
        r = check_swap(job);
        if (r != ENGINE_DONE)
                return r;
        r = check_compression(job);
        if (r != ENGINE_DONE)
                return r;
        r = pieces_take(job, &state);
        if (r < 0)
                return r;
        /* The first slice is read while the rest is looked at. */
        state.asked = job->region.offset + u64_min(job->region.length, BTRFS_SLICE_BYTES);
        page_cache_refill(job->target_fd, job->region.offset, state.asked - job->region.offset);
        state_put(job, &state);
        r = read_layout(job, &state);
        if (r != ENGINE_DONE)
                return r;
        /* The others are looked at when it is their turn. */
        if (btrfs_slice_next(&job->map, job->region.offset, &slice)) {
                r = slice_is_shared(job, &slice);
                if (r != 0)
                        return r < 0 ? r : target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        }
        state_put(job, &state);
        return ENGINE_DONE;
}

/* The same on a file system that does not tell: an unnamed file of that size is allocated, and given back. Regions that follow each other
 * then come to lie apart, because what was given back is free only after a commit. */
static int free_runs_probe(EngineJob *job, uint64_t *ret)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        _cleanup_close_ int fd = donor_create(job->volume, job->root_fd, job->parents, job->n_parents);
        int r;

        if (fd < 0)
                return fd;
        if (fallocate(fd, 0, 0, (off_t)u64_max(job->region.written_bytes, 1)) < 0)
                return -errno;
        r = extent_map_read(fd, 0, UINT64_MAX, false, EXTENT_MAP_MAX, &map);
        if (r < 0)
                return r;
        *ret = extent_map_runs(&map);
        return 0;
}

/* Would what is written come to lie in more runs than free space has to be worth it? */
static int check_free_runs(EngineJob *job, uint32_t fewest)
{
        uint64_t n_runs;
        int r;

        r = btrfs_space_runs(job->root_fd, job->region.written_bytes, &n_runs);
        if (r == -ENOENT) {
                r = free_runs_probe(job, &n_runs);
                if (r == -ENOSPC || r == -EDQUOT)
                        return target_verdict(job, ENGINE_NO_SPACE, NO_SPACE_FULL);
        }
        if (r < 0)
                return r;
        n_runs = u64_add_saturate(n_runs, fewest - u64_min(fewest, 1));
        if (PROTECTED_BY(GAIN) &&
            (n_runs >= job->region.n_runs ||
             !plan_is_worth(job->limits, job->region.n_runs - n_runs, job->region.bytes)))
                return target_verdict(job, ENGINE_NO_GAIN, NO_SPACE_FRAGMENTED);
        return ENGINE_DONE;
}

/* Nothing can be reserved: the kernel takes space when it writes. What can be known before is whether there is enough. */
static int defrag_reserve(EngineJob *job)
{
        const uint32_t fewest = btrfs_fewest_runs(&job->map, BTRFS_SLICE_BYTES, job->volume->moves_singles);
        uint64_t free_bytes;
        int r;

        r = fs_volume_free_bytes(job->volume, job->root_fd, &free_bytes);
        if (r < 0)
                return r;
        /* Until the transaction commits the old places are taken, too. */
        if (free_bytes < u64_add_saturate(job->region.bytes, PROTECTED_BY(RESERVE) ? job->reserve_bytes : 0))
                return target_verdict(job, ENGINE_NO_SPACE, NO_SPACE_RESERVE);
        if (PROTECTED_BY(GAIN) &&
            (fewest >= job->region.n_runs ||
             !plan_is_worth(job->limits, job->region.n_runs - fewest, job->region.bytes)))
                return target_verdict(job, ENGINE_NO_GAIN, REASON_NONE);
        job->runs_after = fewest;
        return check_free_runs(job, fewest);
}

/* Moves it and waits until it is on the disk; meanwhile the next one is on its way from there. */
static int slice_move(EngineJob *job, State *state, const BtrfsSlice *slice)
{
        BtrfsSlice next;
        int r;

        slice_ask(job, slice, state->asked);
        for (unsigned n = 1;; n++) {
                r = btrfs_range_move(job->target_fd, slice->offset, slice->end, job->volume->moves_singles);
                /* Also while the subvolume is sent somewhere. */
                if ((r != -EAGAIN && r != -EINTR) || n == SIGNAL_TRIES)
                        break;
        }
        state->asked = u64_max(state->asked, slice->end);
        if (r == 0 && btrfs_slice_next(&job->map, slice->end, &next)) {
                slice_ask(job, &next, state->asked);
                state->asked = next.end;
        }
        if (r == 0)
                r = btrfs_range_wait(job->target_fd, slice->offset, slice->end);
        switch (-r) {
        case 0:
                break;
        case EINVAL: /* lies behind EOF now */
        case EAGAIN:
        case EINTR:
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        default:
                return target_verdict_of_error(job, r);
        }
        /* The kernel works in the page cache, where this has pushed out something else. */
        if (PROTECTED_BY(NOT_CACHED))
                cache_note_leave(job, &state->cached, slice->offset, slice->end - slice->offset);
        return ENGINE_DONE;
}

/* The region is over: what has become of it? */
static int region_judge(EngineJob *job, const CacheNote *cached)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        uint64_t n_runs;
        int r;

        r = target_map_read(job, true, &map);
        if (r < 0)
                return r;
        /* Once more: until now the kernel may have held on to pages that it had just written (seen on Linux 6.12). */
        if (PROTECTED_BY(NOT_CACHED))
                cache_note_leave(job, cached, job->region.offset, job->region.length);
        n_runs = extent_map_runs(&map);
        if (!map.complete)
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        if (n_runs >= job->region.n_runs)
                return target_verdict(job, ENGINE_NO_SPACE, NO_SPACE_FRAGMENTED);
        job->runs_after = (uint32_t)n_runs;
        return ENGINE_DONE;
}

/* The kernel stops early (a signal, no room or no memory for a moment) without a word if it has moved anything: *slice becomes what it moved.
 * What it has left is the next slice, and if it leaves that, too, it says why or means it. *ret_worse: it has come to lie in no fewer runs. */
static int slice_look(EngineJob *job, BtrfsSlice *slice, bool *ret_worse)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        BtrfsSlice now;
        uint64_t rest;
        int r;

        *ret_worse = false;
        r = btrfs_slice_read(job->target_fd, slice->offset, slice->end, true, &now, &map);
        if (r < 0)
                return r == -EAGAIN ? target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN) : r;
        rest = PROTECTED_BY(WHOLE_SLICES)
                       ? btrfs_slice_rest(&job->map, &map, slice, job->volume->moves_singles)
                       : slice->end;
        if (rest == slice->offset)
                return ENGINE_DONE;
        btrfs_slice_count(&job->map, slice->offset, rest, slice);
        btrfs_slice_count(&map, slice->offset, rest, &now);
        job->bytes_moved += slice->written_bytes;
        *ret_worse = slice->n_runs > 1 && now.n_runs >= slice->n_runs;
        return ENGINE_DONE;
}

/* One slice a call. */
static int defrag_commit(EngineJob *job)
{
        State state = state_get(job);
        BtrfsSlice slice;
        bool is_worse;
        int r;

        if (!btrfs_slice_next(&job->map, state.next, &slice))
                return region_judge(job, &state.cached);
        r = check_exclusive(job);
        if (r != ENGINE_DONE)
                return r;
        r = slice_is_shared(job, &slice);
        if (r < 0)
                return r;
        if (r > 0 && PROTECTED_BY(CLONED_MEANWHILE))
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        r = slice_move(job, &state, &slice);
        state_put(job, &state);
        if (r != ENGINE_DONE)
                return r;
        r = slice_look(job, &slice, &is_worse);
        if (r != ENGINE_DONE)
                return r;
        /* Free space is in pieces after all: more of it would make the file worse. */
        state.next = is_worse && !state.has_parts && PROTECTED_BY(GAIN) ? UINT64_MAX : slice.end;
        state_put(job, &state);
        return ENGINE_MORE;
}

static int defrag_recheck(const EngineJob *job, int fd)
{
        const State state = state_get(job);
        uint64_t now[N_PIECES];
        int r;

        r = pieces_read(job, fd, &state, now);
        if (r < 0)
                return r;
        return memcmp(now, state.checksums, sizeof(now)) == 0 ? 0 : COPY_WRONG;
}

static void defrag_close(EngineJob *job)
{
        const State state = state_get(job);

        if (PROTECTED_BY(NOT_CACHED))
                cache_note_withdraw(job, &state.cached, state.next,
                                    state.asked - u64_min(state.asked, state.next));
        job->target_fd = PROTECTED_BY(NOTHING_HELD) ? fd_close(job->target_fd) : -EBADF;
        extent_map_done(&job->map);
}

const Engine engine_btrfs_defrag = {
        .name = "btrfs-defrag-range",
        .by_slices = true,
        .keeps_privileges = true,
        .kernel_copies = true,
        .open = defrag_open,
        .sample = defrag_sample,
        .reserve = defrag_reserve,
        .commit = defrag_commit,
        .recheck = defrag_recheck,
        .close = defrag_close,
};
