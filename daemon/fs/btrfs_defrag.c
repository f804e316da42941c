/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The btrfs engine: BTRFS_IOC_DEFRAG_RANGE has the kernel read a range and mark it dirty under its own locks; write-back then puts it
 * somewhere else, and the file's extents are changed when the data are on the disk.
 *
 * Every Linux. A read-only descriptor suffices, nobody is locked out, and no time stamp moves (measured on Linux 6.18). Dying anywhere
 * in here leaves a file whose content is as it was; after a crash each extent is the old one or the new one.
 *
 * What the kernel does not look after is space and form. It gives shared extents copies of their own, it compresses or does not as the
 * mount says now, and it moves parts of extents, which frees nothing. And it only marks: a call for a gigabyte returns with a gigabyte to be
 * written, at nobody's pace. So regions are taken in slices, each looked at right before, of which no more than two are under way. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/btrfs.h"
#include "facts/btrfs_extents.h"
#include "facts/page_cache.h"
#include "facts/swap_signature.h"
#include "fs/btrfs_defrag.h"
#include "fs/btrfs_pieces.h"
#include "fs/btrfs_room.h"
#include "fs/btrfs_slice.h"
#include "fs/cache_note.h"
#include "fs/copy.h"
#include "fs/lease.h"
#include "fs/target.h"

/* Changes that old are committed, and seen by whoever looks into the tree of extents: twice the interval of 30 s at which btrfs commits. */
#define SETTLED_NSEC (60 * NSEC_PER_SEC)

/* A signal that is pending ends the call. */
#define SIGNAL_TRIES 3

/* What is remembered from the sample to the end; lives in job->cookie. */
typedef struct State {
        uint64_t
                begun; /* offset of the slice that was handed to the kernel and not waited for; all in front of it is done */
        uint64_t next;  /* where that one ends and the next one begins */
        uint64_t asked; /* up to here the region was read, or will be */
        CacheNote cached;
        bool is_over;    /* there is no next one */
        bool in_batches; /* slices are marked, several of them, and then written */
        bool is_writing; /* they are marked */
        bool has_parts;  /* the region is moved to its end, or what has moved gives no space back */
        BtrfsPieces pieces;
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

static int verdict_of_move(EngineJob *job, int error)
{
        switch (-error) {
        case EINVAL: /* lies behind EOF now */
        case EAGAIN:
        case EINTR:
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        default:
                return target_verdict_of_error(job, error);
        }
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
        State state = {.begun = job->region.offset, .next = job->region.offset};
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
        /* They and the first slice are read while the rest is looked at. */
        btrfs_pieces_choose(job, &state.pieces);
        if (job->was_quiet)
                btrfs_pieces_ask(&state.pieces, job->target_fd);
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
        r = job->was_quiet
                    ? btrfs_pieces_read(&state.pieces, job, job->target_fd, &state.cached, state.asked)
                    : 0;
        state_put(job, &state);
        return r;
}

/* Single extents are moved by a call that begins to write at once (seen on Linux 6.18). */
static bool moves_singles(const EngineJob *job, const State *state)
{
        return job->volume->moves_singles && !state->in_batches;
}

/* Nothing can be reserved: the kernel takes space when it writes. What can be known before is whether there is enough. */
static int defrag_reserve(EngineJob *job)
{
        const uint32_t fewest = btrfs_fewest_runs(&job->map, job->volume->moves_singles);
        State state = state_get(job);
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
        r = btrfs_room_check(job, fewest);
        if (r != ENGINE_DONE)
                return r;
        r = btrfs_room_in_pieces(job, &state.in_batches);
        state_put(job, &state);
        return r;
}

/* Hands a slice to the kernel; meanwhile the next one is on its way from the disk. */
static int slice_begin(EngineJob *job, State *state, const BtrfsSlice *slice)
{
        BtrfsSlice next;
        int r;

        r = check_exclusive(job);
        if (r != ENGINE_DONE)
                return r;
        r = slice_is_shared(job, slice);
        if (r < 0)
                return r;
        if (r > 0 && PROTECTED_BY(CLONED_MEANWHILE))
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        slice_ask(job, slice, state->asked);
        state->asked = u64_max(state->asked, slice->end);
        for (unsigned n = 1;; n++) {
                r = btrfs_range_move(job->target_fd, slice->offset, slice->end, moves_singles(job, state),
                                     !state->in_batches);
                /* Also while the subvolume is sent somewhere. */
                if ((r != -EAGAIN && r != -EINTR) || n == SIGNAL_TRIES)
                        break;
        }
        if (r < 0)
                return verdict_of_move(job, r);
        job->bytes_moved += slice->written_bytes;
        if (btrfs_slice_next(&job->map, slice->end, &next)) {
                slice_ask(job, &next, state->asked);
                state->asked = u64_max(state->asked, next.end);
        }
        return ENGINE_DONE;
}

/* What has become of a slice that is on the disk? The kernel stops early (a signal, no room or no memory for a moment) without a word if it has
 * moved anything: *ret_rest is from where on it has left it. *ret_worse: what it has moved has come to lie in no fewer runs. sync: waits for all of the
 * file, the next slice included, where without the last of its extents may not be to be seen yet. */
static int slice_look(const EngineJob *job, const State *state, const BtrfsSlice *slice, bool sync,
                      uint64_t *ret_rest, bool *ret_worse)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        BtrfsSlice before, now;
        uint64_t rest;
        int r;

        r = btrfs_slice_read(job->target_fd, slice->offset, slice->end, sync, &now, &map);
        if (r < 0)
                return r;
        rest = PROTECTED_BY(WHOLE_SLICES)
                       ? btrfs_slice_rest(&job->map, &map, slice, moves_singles(job, state))
                       : slice->end;
        btrfs_slice_count(&job->map, slice->offset, rest, &before);
        btrfs_slice_count(&map, slice->offset, rest, &now);
        *ret_rest = rest;
        *ret_worse = before.n_runs > 1 && now.n_runs >= before.n_runs;
        return 0;
}

/* Waits until a slice that was begun is on the disk. What the kernel has left of it is handed over again, and if it leaves that, too, it says why
 * or means it. */
static int slice_end(EngineJob *job, State *state, uint64_t offset, uint64_t end)
{
        BtrfsSlice slice;
        uint64_t rest = end;

        btrfs_slice_count(&job->map, offset, end, &slice);
        for (;;) {
                bool is_worse = false;
                int r;

                r = btrfs_range_wait(job->target_fd, slice.offset, end);
                if (r < 0)
                        return verdict_of_move(job, r);
                r = slice_look(job, state, &slice, false, &rest, &is_worse);
                if (r == 0 && (rest < end || is_worse))
                        r = slice_look(job, state, &slice, true, &rest, &is_worse);
                if (r < 0)
                        return r == -EAGAIN ? target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN) : r;
                /* Free space is in pieces after all: more of it would make the file worse. */
                state->is_over = state->is_over || (is_worse && !state->has_parts && PROTECTED_BY(GAIN));
                if (rest == end)
                        break;
                const bool is_stuck = rest == slice.offset;
                btrfs_slice_count(&job->map, rest, end, &slice);
                job->bytes_moved -= u64_min(job->bytes_moved, slice.written_bytes);
                if (is_stuck || state->is_over)
                        break;
                r = slice_begin(job, state, &slice);
                if (r != ENGINE_DONE)
                        return r;
        }
        /* The kernel works in the page cache, where this has pushed out something else. */
        if (PROTECTED_BY(NOT_CACHED))
                cache_note_leave(job, &state->cached, offset, end - offset);
        state->begun = end;
        return ENGINE_DONE;
}

/* The region is over: what has become of it? */
static int region_judge(EngineJob *job, State *state)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        uint64_t n_runs;
        int r;

        r = target_map_read(job, true, &map);
        if (r < 0)
                return r;
        /* Once more: until now the kernel may have held on to pages that it had just written (seen on Linux 6.12). */
        if (PROTECTED_BY(NOT_CACHED))
                cache_note_leave(job, &state->cached, job->region.offset, job->region.length);
        n_runs = extent_map_runs(&map);
        if (!map.complete)
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        if (n_runs >= job->region.n_runs)
                return target_verdict(job, ENGINE_NO_SPACE, NO_SPACE_FRAGMENTED);
        job->runs_after = (uint32_t)n_runs;
        return ENGINE_DONE;
}

/* Is it time to begin another slice? Else those that were begun end. */
static bool begins_next(State *state, bool is_more)
{
        if (!state->in_batches)
                return is_more;
        if (!is_more || state->next - state->begun >= BTRFS_BATCH_BYTES)
                state->is_writing = true;
        else if (state->next == state->begun)
                state->is_writing = false;
        return !state->is_writing;
}

/* One slice a call is begun, and one that was begun before ends: so the device writes while the next one is read and marked. */
static int defrag_commit(EngineJob *job)
{
        State state = state_get(job);
        const bool any_begun = state.begun < state.next;
        BtrfsSlice first, next;
        bool is_more;
        int r = ENGINE_DONE;

        is_more = !state.is_over && btrfs_slice_next(&job->map, state.next, &next);
        if (begins_next(&state, is_more)) {
                r = slice_begin(job, &state, &next);
                if (r == ENGINE_DONE)
                        state.next = next.end;
        }
        if (r == ENGINE_DONE && any_begun && (!state.in_batches || state.is_writing) &&
            btrfs_slice_next(&job->map, state.begun, &first))
                r = slice_end(job, &state, first.offset, first.end);
        is_more = is_more || state.begun < state.next;
        if (r == ENGINE_DONE && !is_more)
                r = region_judge(job, &state);
        state_put(job, &state);
        return r == ENGINE_DONE && is_more ? ENGINE_MORE : r;
}

static int defrag_recheck(const EngineJob *job, int fd)
{
        const State state = state_get(job);
        BtrfsPieces now = state.pieces;
        int r;

        btrfs_pieces_ask(&now, fd);
        r = btrfs_pieces_read(&now, job, fd, &state.cached, 0);
        if (r < 0)
                return r;
        return memcmp(now.checksums, state.pieces.checksums, sizeof(now.checksums)) == 0 ? 0 : COPY_WRONG;
}

static void defrag_close(EngineJob *job)
{
        const State state = state_get(job);
        const uint64_t end = job->region.offset + job->region.length;

        /* It ends early: nothing of it is left dirty. */
        if (state.begun < state.next)
                (void)btrfs_range_wait(job->target_fd, state.begun, state.next);
        /* The kernel reads ahead of what it is given, too. */
        if (PROTECTED_BY(NOT_CACHED) && state.begun < state.asked)
                cache_note_withdraw(job, &state.cached, state.begun, end - state.begun);
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
