/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The btrfs engine: BTRFS_IOC_DEFRAG_RANGE has the kernel read a range and mark it dirty under its own locks; write-back then puts it
 * somewhere else, and the file's extents are changed when the data are on the disk.
 *
 * Every Linux. A read-only descriptor suffices, nobody is locked out, and no time stamp moves (measured on Linux 6.18). Dying anywhere
 * in here leaves a file whose content is as it was; after a crash each extent is the old one or the new one.
 *
 * What the kernel does not look after is space and form. It gives shared extents copies of their own, it compresses or does not as the
 * mount says now if it is not told, and it moves parts of extents, which frees nothing. And it only marks: a call for a gigabyte returns
 * with a gigabyte to be written, at nobody's pace. So regions are taken in slices, each looked
 * at right before, of which no more than two are under way (but for batches). */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/btrfs.h"
#include "facts/page_cache.h"
#include "fs/btrfs_defrag.h"
#include "fs/btrfs_encoded.h"
#include "fs/btrfs_pieces.h"
#include "fs/btrfs_room.h"
#include "fs/btrfs_sample.h"
#include "fs/btrfs_slice.h"
#include "fs/cache_note.h"
#include "fs/copy.h"
#include "fs/target.h"

/* Twice what btrfs reads ahead by default. */
#define READ_AHEAD_MAX_BYTES (8 * MIB)

/* A signal that is pending ends the call. */
#define SIGNAL_TRIES 3

/* What is remembered from the sample to the end; lives in job->cookie. */
typedef struct State {
        uint64_t
                begun; /* offset of the first slice that was handed to the kernel and not waited for; all in front of it is done */
        uint64_t next;    /* where the last one of these ends and the next one begins */
        uint64_t written; /* of a batch: all in front of it is on the disk */
        uint64_t asked;   /* up to here the region was read, or will be */
        uint64_t slice_bytes;
        /* Of what is compressed and has moved: the runs that it lies in, where the last one ends, those that it lay in, and how many it is worth. */
        uint64_t n_runs, physical_end, n_runs_before, most_runs;
        CacheNote cached;
        BtrfsLayout layout;
        BtrfsEncoding would; /* what the file is written as now */
        bool is_over;        /* there is no next one */
        bool in_batches;     /* slices are marked, several of them, and then written */
        bool is_writing;     /* they are marked */
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

/* Single extents are moved by a call that begins to write at once (seen on Linux 6.18), and compressed ones are by every kernel. */
static bool moves_singles(const EngineJob *job, const State *state)
{
        return (job->volume->moves_singles || state->layout.is_encoded) && !state->in_batches;
}

static int check_exclusive(EngineJob *job)
{
        const int r = fs_volume_is_exclusive(job->volume);

        return r > 0 ? target_verdict(job, ENGINE_BUSY, BUSY_EXCLUSIVE) : r;
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

        r = btrfs_slice_read(job, slice->offset, slice->end, false, &now, NULL);
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

static void first_ask(EngineJob *job, State *state)
{
        if (job->was_quiet)
                btrfs_pieces_ask(&state->pieces, job, job->target_fd);
        state->asked = job->region.offset + u64_min(job->region.length, BTRFS_SLICE_BYTES);
        page_cache_refill(job->target_fd, job->region.offset, state->asked - job->region.offset);
        state_put(job, state);
}

static int defrag_sample(EngineJob *job)
{
        State state = {
                .begun = job->region.offset, .next = job->region.offset, .slice_bytes = BTRFS_SLICE_BYTES};
        BtrfsSlice slice;
        Reason why;
        int r;

        r = check_exclusive(job);
        if (r != ENGINE_DONE)
                return r;
        r = btrfs_sample_facts(job);
        if (r != ENGINE_DONE)
                return r;
        why = policy_judge(job->policy, &job->sampled);
        if (why != REASON_NONE)
                return target_verdict(job, ENGINE_SKIP, why);
        /* Before anything of it is read. */
        cache_note_take(job, &state.cached);
        r = btrfs_check_swap(job, false);
        if (r != ENGINE_DONE)
                return r;
        r = btrfs_encoding_read(job->target_fd, &state.would);
        if (r < 0)
                return r;
        /* They and the first slice are read while the rest is looked at; or when that is over, where it may well come to nothing. */
        btrfs_pieces_choose(job, &state.pieces);
        if (state.would.type == BTRFS_ENCODING_NONE)
                first_ask(job, &state);
        else
                r = btrfs_check_encoding(job, state.would);
        if (r != ENGINE_DONE)
                return r;
        r = btrfs_layout_read(job, state.would, &state.layout);
        if (r != ENGINE_DONE)
                return r;
        if (state.would.type != BTRFS_ENCODING_NONE)
                first_ask(job, &state);
        state.slice_bytes = state.layout.is_encoded ? BTRFS_ENCODED_SLICE_BYTES : state.layout.slice_bytes;
        r = btrfs_check_swap(job, true);
        if (r != ENGINE_DONE)
                return r;
        /* The others are looked at when it is their turn. */
        if (btrfs_slice_next(&job->map, job->region.offset, state.slice_bytes, moves_singles(job, &state),
                             &slice)) {
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

/* Nothing can be reserved: the kernel takes space when it writes. What can be known before is whether there is enough. */
static int defrag_reserve(EngineJob *job)
{
        State state = state_get(job);
        const uint32_t fewest = btrfs_fewest_runs(&job->map, state.slice_bytes, moves_singles(job, &state));
        uint64_t free_bytes;
        bool in_pieces;
        int r;

        r = fs_volume_free_bytes(job->volume, job->root_fd, &free_bytes);
        if (r < 0)
                return r;
        if (free_bytes < BTRFS_LEAST_FREE_BYTES && PROTECTED_BY(TREE_ROOM))
                return target_verdict(job, ENGINE_NO_SPACE, NO_SPACE_FULL);
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
        if (state.layout.is_encoded) {
                r = btrfs_encoded_check_room(job, &state.most_runs);
                state_put(job, &state);
                return r == ENGINE_DONE ? btrfs_encoded_try(job, state.would) : r;
        }
        r = btrfs_room_in_pieces(job, state.slice_bytes, &in_pieces);
        if (r != ENGINE_DONE || !in_pieces)
                return r;
        if (!(state.layout.has_held && PROTECTED_BY(WHOLE_EXTENTS)) &&
            btrfs_fewest_runs(&job->map, state.slice_bytes, false) <= fewest)
                state.in_batches = true;
        else
                state.slice_bytes = BTRFS_SLICE_MAX_BYTES;
        state_put(job, &state);
        return ENGINE_DONE;
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
                r = btrfs_range_move(job->target_fd, slice->offset, slice->end,
                                     (BtrfsMove){
                                             .singles = moves_singles(job, state),
                                             .start_io = !state->in_batches,
                                             .encoding = {slice->encoding, state->would.level},
                                     });
                /* Also while the subvolume is sent somewhere. */
                if ((r != -EAGAIN && r != -EINTR) || n == SIGNAL_TRIES)
                        break;
        }
        if (r < 0)
                return verdict_of_move(job, r);
        job->bytes_moved += slice->written_bytes;
        if (btrfs_slice_next(&job->map, slice->end, state->slice_bytes, moves_singles(job, state), &next)) {
                slice_ask(job, &next, state->asked);
                state->asked = u64_max(state->asked, next.end);
        }
        return ENGINE_DONE;
}

/* Free space is in pieces after all: more of it would make the file worse. Of what is compressed some slices may come to lie in small places, as long as
 * all that has moved does not. */
static bool is_worse(State *state, const BtrfsLook *look)
{
        if (!state->layout.is_encoded)
                return look->is_worse && !state->layout.has_parts;
        state->n_runs += look->n_runs - (look->n_runs > 0 && look->physical == state->physical_end);
        state->physical_end = look->physical_end;
        state->n_runs_before += look->n_runs_before;
        return state->n_runs > state->most_runs ||
               (state->n_runs_before > 1 && state->n_runs >= state->n_runs_before);
}

/* Waits until a slice that was begun is on the disk. What the kernel has left of it is handed over again, and if it leaves that, too, it says why
 * or means it. */
static int slice_end(EngineJob *job, State *state, uint64_t offset, uint64_t end)
{
        BtrfsLook look = {.rest = end};
        BtrfsSlice slice;

        btrfs_slice_count(&job->map, offset, end, &slice);
        for (;;) {
                int r;

                r = btrfs_range_wait(job->target_fd, slice.offset, end);
                if (r < 0)
                        return verdict_of_move(job, r);
                r = btrfs_slice_look(job, &slice, moves_singles(job, state), false, &look);
                if (r == -EAGAIN || (r == 0 && (look.rest < end || look.is_worse || look.has_grown)))
                        r = btrfs_slice_look(job, &slice, moves_singles(job, state), true, &look);
                if (r < 0)
                        return r == -EAGAIN ? target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN) : r;
                state->is_over = state->is_over || (is_worse(state, &look) && PROTECTED_BY(GAIN));
                if (look.rest == end)
                        break;
                const bool is_stuck = look.rest == slice.offset;
                btrfs_slice_count(&job->map, look.rest, end, &slice);
                job->bytes_moved -= u64_min(job->bytes_moved, slice.written_bytes);
                if (is_stuck || state->is_over || look.has_grown)
                        break;
                if (slice.encoding) {
                        /* The next one begins there, so that it is made of whole chunks. */
                        end = state->next = look.rest;
                        break;
                }
                r = slice_begin(job, state, &slice);
                if (r != ENGINE_DONE)
                        return r;
        }
        /* The kernel works in the page cache, where this has pushed out something else. No more than one slice waits for being dropped. */
        aside_wait(copier_aside(job->copier));
        if (PROTECTED_BY(NOT_CACHED))
                cache_note_leave_aside(job, &state->cached, offset, end - offset, copier_aside(job->copier),
                                       true);
        state->begun = end;
        return look.has_grown ? target_verdict(job, ENGINE_SKIP, SKIP_WOULD_GROW) : (int)ENGINE_DONE;
}

/* Drops what was asked for and came to nothing, and what the kernel has read ahead of it. */
static void ahead_withdraw(const EngineJob *job, const State *state)
{
        const uint64_t end =
                u64_min(state->asked + READ_AHEAD_MAX_BYTES, job->region.offset + job->region.length);

        if (state->begun < state->asked && state->begun < end)
                cache_note_withdraw(job, &state->cached, state->begun, end - state->begun);
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
        aside_wait(copier_aside(job->copier));
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

/* Of several slices the first that was begun: the end of them where the map has none. */
static BtrfsSlice slice_at(const EngineJob *job, const State *state, uint64_t offset)
{
        BtrfsSlice slice;

        if (!btrfs_slice_next(&job->map, offset, state->slice_bytes, moves_singles(job, state), &slice))
                slice = (BtrfsSlice){.offset = offset, .end = state->next};
        return slice;
}

/* The next slice of a batch is marked, or one that is marked is written, and when all of them are on the disk they end: the kernel shows nothing of what
 * got one place before all of that is written. */
static int batch_step(EngineJob *job, State *state, const BtrfsSlice *next)
{
        BtrfsSlice slice;
        int r = ENGINE_DONE;

        if (next && !state->is_writing) {
                r = slice_begin(job, state, next);
                if (r != ENGINE_DONE)
                        return r;
                state->next = next->end;
        }
        state->written = u64_max(state->written, state->begun);
        if (!state->is_writing) {
                state->is_writing = !next || state->next - state->begun >= BTRFS_BATCH_BYTES;
                return ENGINE_DONE;
        }
        if (state->written < state->next) {
                slice = slice_at(job, state, state->written);
                r = btrfs_range_wait(job->target_fd, slice.offset, slice.end);
                state->written = slice.end;
                return r < 0 ? verdict_of_move(job, r) : (int)ENGINE_DONE;
        }
        while (r == ENGINE_DONE && state->begun < state->next) {
                slice = slice_at(job, state, state->begun);
                r = slice_end(job, state, slice.offset, slice.end);
        }
        state->is_writing = false;
        return r;
}

/* What is compressed is written slice by slice, with nobody else at the file, and no more of it is worse off than one slice. */
static int encoded_step(EngineJob *job, State *state, const BtrfsSlice *slice)
{
        const uint64_t begun = state->begun;
        int r;

        slice_ask(job, slice, state->asked);
        state->asked = u64_max(state->asked, slice->end);
        r = btrfs_encoded_begin(job, slice);
        if (r != ENGINE_DONE)
                return r;
        r = slice_begin(job, state, slice);
        if (r == ENGINE_DONE) {
                state->next = slice->end;
                r = slice_end(job, state, begun, slice->end);
        }
        btrfs_encoded_end(job);
        return r;
}

/* A slice is begun, and the one before ends: so the device writes while the next one is read and marked. */
static int slices_step(EngineJob *job, State *state, const BtrfsSlice *next)
{
        const uint64_t begun = state->begun, end = state->next;
        int r = ENGINE_DONE;

        if (next && next->encoding)
                return encoded_step(job, state, next);
        if (next) {
                r = slice_begin(job, state, next);
                if (r != ENGINE_DONE)
                        return r;
                state->next = next->end;
        }
        return begun < end ? slice_end(job, state, begun, end) : r;
}

/* One slice a call. */
static int defrag_commit(EngineJob *job)
{
        State state = state_get(job);
        BtrfsSlice slice;
        bool is_more;
        int r;

        is_more = !state.is_over && btrfs_slice_next(&job->map, state.next, state.slice_bytes,
                                                     moves_singles(job, &state), &slice);
        r = (state.in_batches ? batch_step : slices_step)(job, &state, is_more ? &slice : NULL);
        is_more = is_more || state.begun < state.next;
        if (r == ENGINE_DONE && !is_more)
                r = region_judge(job, &state);
        state_put(job, &state);
        return r == ENGINE_DONE && is_more ? ENGINE_MORE : r;
}

static int defrag_settle(EngineJob *job)
{
        State state = state_get(job);
        int r = 0;

        /* What the kernel has left of it stays as it is. */
        state.is_over = true;
        while (r >= 0 && state.begun < state.next) {
                const BtrfsSlice slice = slice_at(job, &state, state.begun);

                r = slice_end(job, &state, slice.offset, slice.end);
                state.begun = slice.end;
        }
        aside_wait(copier_aside(job->copier));
        if (PROTECTED_BY(NOT_CACHED))
                ahead_withdraw(job, &state);
        state.asked = state.begun;
        state_put(job, &state);
        return r < 0 ? r : 0;
}

static int defrag_recheck(const EngineJob *job, int fd)
{
        const State state = state_get(job);
        BtrfsPieces now = state.pieces;
        int r;

        btrfs_pieces_ask(&now, job, fd);
        r = btrfs_pieces_read(&now, job, fd, &state.cached, 0);
        if (r < 0)
                return r;
        return memcmp(now.checksums, state.pieces.checksums, sizeof(now.checksums)) == 0 ? 0 : COPY_WRONG;
}

static void defrag_close(EngineJob *job)
{
        const State state = state_get(job);

        /* After an error. */
        if (state.begun < state.next)
                (void)btrfs_range_wait(job->target_fd, state.begun, state.next);
        /* A job that was never begun has none. */
        if (job->copier)
                copier_let_go(job->copier);
        if (PROTECTED_BY(NOT_CACHED))
                ahead_withdraw(job, &state);
        job->target_fd = PROTECTED_BY(NOTHING_HELD) ? fd_close(job->target_fd) : -EBADF;
        extent_map_done(&job->map);
}

const Engine engine_btrfs_defrag = {
        .name = "btrfs-defrag-range",
        .by_slices = true,
        .keeps_privileges = true,
        .kernel_copies = true,
        .finds_swap = true,
        .open = defrag_open,
        .sample = defrag_sample,
        .reserve = defrag_reserve,
        .commit = defrag_commit,
        .settle = defrag_settle,
        .recheck = defrag_recheck,
        .close = defrag_close,
};
