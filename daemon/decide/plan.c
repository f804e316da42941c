/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a plan is made, in time proportional to the number of extents.
 *
 * The extents become runs. A run that touches a wall (a shared extent that must stay so, one that could not be encoded as it is, one
 * without an address, one that is not aligned to blocks) is fixed as a whole: moving its other part would only cut it in two, so
 * nothing can be gained there. A good run is fixed because it is not worth moving. What is left between
 * two fixed runs is a group of bad runs, all shorter than bytes_per_run, and holes. Runs that can only move
 * together count as one piece of so many runs: fixed if one of them touches a wall, bad if they are so on the average.
 *
 * A region of n runs makes n - 1 runs vanish. Weighed in bytes it is worth
 *         (n - 1) * bytes_per_run - bytes  =  sum over its runs of (bytes_per_run - run)  -  bytes_per_run.
 * Each summand is positive, so inside a group a longer region is always worth more than a part of it:
 * there is nothing to be trimmed from the ends of a group, and if the whole of it is not worth moving no
 * part is. Only the limits make more than one region out of a group.
 *
 * What a region becomes must not be taken up again the next time, or a file would be moved for ever. How
 * that is kept is told at plan_good_bytes() and stretch_cut(). */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/protection.h"
#include "decide/plan.h"

/* One run; or several neighbours, where parts of one extent or the unit of movement allow no cut between them. */
typedef struct Piece {
        uint64_t start, end; /* logical, holes within included */
        uint64_t bytes;
        uint64_t written_bytes;
        uint64_t shared_bytes;
        uint64_t n_runs;
        bool fixed; /* stays where it is */
        bool partial; /* holds a part of an extent on the disk of which other parts lie elsewhere in the file */
        bool tied;    /* such parts lie on both sides of its end */
        bool wall_before; /* something without an address lies between the piece before and this one */
} Piece;

/* Consecutive pieces that move together if they move. */
typedef struct Window {
        size_t from, to; /* indices, to is excluded */
        uint64_t bytes;
        uint64_t written_bytes;
        uint64_t shared_bytes;
        uint64_t n_runs;
} Window;

typedef struct Planner {
        const PlanLimits *limits;
        uint64_t eof;        /* rounded up to a block */
        uint64_t unit_bytes; /* regions begin and end on it */
        uint64_t good_bytes;
        Plan plan;
        size_t room; /* of plan.regions */
} Planner;

/* Which extents are walls that would not have to be. */
typedef struct Walls {
        bool shared;
        bool encoded; /* those that could not be encoded as they are */
} Walls;

static bool is_wall(Walls walls, const Extent *extent)
{
        return (extent->shared && walls.shared) || (extent->stays && walls.encoded);
}

/* Extents may come from several calls between which the file changed, so they may overlap or be out of order. Such a one is cut to what
 * lies behind its predecessors and fixes its run. Writes at most map->n_extents pieces. */
static size_t runs_read(const Planner *planner, const ExtentMap *map, Walls walls, Piece *pieces)
{
        uint64_t block = planner->limits->block_bytes, next = 0, expected = 0;
        bool wall = false;
        size_t n = 0;

        for (size_t i = 0; i < map->n_extents; i++) {
                const Extent *extent = &map->extents[i];
                uint64_t from = u64_max(extent->logical, next);
                uint64_t to = u64_min(u64_add_saturate(extent->logical, extent->length), planner->eof);
                uint64_t physical = extent->physical + (from - extent->logical);
                Piece *piece;

                if (from >= to)
                        continue;
                next = to;
                if (extent->unplaced) {
                        wall = true;
                        continue;
                }

                if (n == 0 || physical != expected)
                        pieces[n++] = (Piece){.start = from, .n_runs = 1, .wall_before = wall};
                else if (wall)
                        pieces[n - 1].fixed = true; /* goes on behind the wall */
                wall = false;
                expected = extent->encoding ? extent_physical_end(extent) : physical + (to - from);

                piece = &pieces[n - 1];
                piece->end = to;
                piece->partial |= extent->partial;
                piece->tied = extent->tied;
                piece->bytes += to - from;
                if (!extent->unwritten)
                        piece->written_bytes += to - from;
                if (extent->shared)
                        piece->shared_bytes += to - from;
                if (is_wall(walls, extent) || from % block != 0 || to % block != 0 ||
                    from != extent->logical)
                        piece->fixed = true;
        }
        /* The last run may go on where the map does not, and would be cut. */
        if (n > 0 && !map->complete)
                pieces[n - 1].fixed = true;
        return n;
}

/* What cannot be parted from a wall is no better off than the wall. */
static void piece_join(Piece *piece, const Piece *next)
{
        piece->end = next->end;
        piece->bytes += next->bytes;
        piece->written_bytes += next->written_bytes;
        piece->shared_bytes += next->shared_bytes;
        piece->n_runs += next->n_runs;
        piece->fixed |= next->fixed || next->wall_before;
        piece->partial |= next->partial;
        piece->tied = next->tied;
}

static int planner_add(Planner *planner, const Region *region)
{
        Plan *plan = &planner->plan;

        if (plan->n_regions == planner->room) {
                size_t room = planner->room ? planner->room * 2 : 16;
                Region *grown = reallocarray(plan->regions, room, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                plan->regions = grown;
                planner->room = room;
        }
        plan->regions[plan->n_regions++] = *region;
        plan->runs_after -= region->gain;
        plan->bytes += region->bytes;
        plan->shared_bytes += region->shared_bytes;
        return 0;
}

static int planner_add_window(Planner *planner, const Piece *pieces, const Window *window)
{
        uint64_t start = pieces[window->from].start;

        return planner_add(planner, &(Region){
                                            .offset = start,
                                            .length = pieces[window->to - 1].end - start,
                                            .bytes = window->bytes,
                                            .written_bytes = window->written_bytes,
                                            .shared_bytes = window->shared_bytes,
                                            .n_runs = (uint32_t)window->n_runs,
                                            .gain = (uint32_t)window->n_runs - 1,
                                    });
}

static bool window_has_room(const Planner *planner, const Window *window, const Piece *piece)
{
        return piece->n_runs <= planner->limits->max_region_runs - window->n_runs &&
               piece->bytes <= planner->limits->max_region_bytes - window->bytes;
}

static bool window_is_worth(const Planner *planner, const Window *window)
{
        return window->n_runs > 1 && plan_is_worth(planner->limits, window->n_runs - 1, window->bytes);
}

static void window_take(Window *window, const Piece *piece)
{
        window->bytes += piece->bytes;
        window->written_bytes += piece->written_bytes;
        window->shared_bytes += piece->shared_bytes;
        window->n_runs += piece->n_runs;
}

static void window_give(Window *window, const Piece *piece)
{
        window->bytes -= piece->bytes;
        window->written_bytes -= piece->written_bytes;
        window->shared_bytes -= piece->shared_bytes;
        window->n_runs -= piece->n_runs;
}

/* left was ended by a limit, right by the end of the stretch: instead of a full region and a small rest, two of about the same size, for the
 * same gain and the same number of bytes. left stays the longer one, and worth it. */
static void windows_balance(const Planner *planner, const Piece *pieces, Window *left, Window *right)
{
        while (left->to - left->from > 1 && window_has_room(planner, right, &pieces[left->to - 1])) {
                const Piece *last = &pieces[left->to - 1];
                Window less = *left, more = *right;

                window_give(&less, last);
                less.to--;
                window_take(&more, last);
                more.from--;
                if (less.bytes < more.bytes || !window_is_worth(planner, &less))
                        return;
                *left = less;
                *right = more;
        }
}

/* Cuts a stretch of small pieces into regions: the longest window from the first piece, if it is worth
 * it; else the first piece stays, and the same again from the next.
 *
 * Why the next plan has nothing to add. A window is ended by the limit of bytes: then what it becomes has
 * no room for its neighbour either. Or by the limit of runs: then it holds more than half as many as
 * allowed, for no piece holds more than half (piece_is_large()), and becomes a good run. (Of two balanced
 * windows the longer one does.) Or by the end of the stretch. And from a piece that stays not even the
 * longest window is worth it, so none is; were there suddenly room for all of the window behind it, now a
 * single run, then only because the runs were too many for both, and that window has become a good run. */
static int stretch_cut(Planner *planner, const Piece *pieces, size_t n_pieces)
{
        Window window = {0}, held = {0};
        int r;

        while (window.from < n_pieces) {
                while (window.to < n_pieces && window_has_room(planner, &window, &pieces[window.to]))
                        window_take(&window, &pieces[window.to++]);
                if (!window_is_worth(planner, &window)) {
                        window_give(&window, &pieces[window.from++]);
                        continue;
                }
                if (held.to > held.from) {
                        if (window.to == n_pieces && held.to == window.from)
                                windows_balance(planner, pieces, &held, &window);
                        r = planner_add_window(planner, pieces, &held);
                        if (r < 0)
                                return r;
                }
                held = window;
                window = (Window){.from = held.to, .to = held.to};
        }
        return held.to > held.from ? planner_add_window(planner, pieces, &held) : 0;
}

static bool starts_on_unit(const Planner *planner, const Piece *piece)
{
        return piece->start % planner->unit_bytes == 0;
}

static bool ends_on_unit(const Planner *planner, const Piece *piece)
{
        return piece->end % planner->unit_bytes == 0 || piece->end == planner->eof;
}

/* Makes one piece of all that may not be parted, in place; what cannot belong to any region is left out
 * at both ends. Returns how many pieces are left from *pieces on. */
static size_t group_align(const Planner *planner, Piece **pieces, size_t n_pieces)
{
        Piece *piece = *pieces;
        size_t n = 0;

        while (n_pieces > 0 && !starts_on_unit(planner, piece)) {
                piece++;
                n_pieces--;
        }
        while (n_pieces > 0 && !ends_on_unit(planner, &piece[n_pieces - 1]))
                n_pieces--;

        *pieces = piece;
        for (size_t i = 0; i < n_pieces; i++) {
                if (n == 0 || (ends_on_unit(planner, &piece[n - 1]) && starts_on_unit(planner, &piece[i])))
                        piece[n++] = piece[i];
                else
                        piece_join(&piece[n - 1], &piece[i]);
        }
        return n;
}

/* Parts the group, moved or not: once moved it is a good run, and if not it is as large as before. */
static bool piece_is_large(const Planner *planner, const Piece *piece)
{
        return piece->n_runs > planner->limits->max_region_runs / 2 ||
               piece->bytes > planner->limits->max_region_bytes;
}

/* By itself, if it may be and is worth it. */
static int add_large(Planner *planner, const Piece *pieces, size_t i)
{
        const PlanLimits *limits = planner->limits;
        Window window = {.from = i, .to = i};

        if (pieces[i].n_runs > limits->max_region_runs ||
            pieces[i].bytes > u64_max(limits->max_region_bytes, limits->max_tied_bytes))
                return 0;
        window_take(&window, &pieces[window.to++]);
        return window_is_worth(planner, &window) ? planner_add_window(planner, pieces, &window) : 0;
}

static int group_cut(Planner *planner, Piece *pieces, size_t n_pieces)
{
        size_t start = 0;
        int r;

        n_pieces = group_align(planner, &pieces, n_pieces);
        for (size_t i = 0; i <= n_pieces; i++) {
                if (i < n_pieces && !piece_is_large(planner, &pieces[i]))
                        continue;
                r = stretch_cut(planner, pieces + start, i - start);
                if (r < 0)
                        return r;
                if (i < n_pieces) {
                        r = add_large(planner, pieces, i);
                        if (r < 0)
                                return r;
                }
                start = i + 1;
        }
        return 0;
}

/* On the average, where it is more than one run. */
static bool piece_is_good(const Planner *planner, const Piece *piece)
{
        return piece->bytes / piece->n_runs >= planner->good_bytes;
}

static int plan_groups(Planner *planner, Piece *pieces, size_t n_pieces)
{
        for (size_t i = 0; i < n_pieces;) {
                size_t start = i;
                int r;

                if (pieces[i].fixed || piece_is_good(planner, &pieces[i])) {
                        i++;
                        continue;
                }
                do
                        i++;
                while (i < n_pieces && !pieces[i].fixed && !pieces[i].wall_before &&
                       !piece_is_good(planner, &pieces[i]));
                r = group_cut(planner, pieces + start, i - start);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A chain is what lies from the first to the last part of an extent on the disk; or of several, where these overlap. Its parts can only be
 * moved together, and with them all that lies between. What is no part may move alone. Which of the two, if any, is worth more? *ret is
 * the chain as one piece, with as many runs as it has; false: its parts stay. */
static int chain_judge(const Planner *planner, Piece *pieces, size_t n_pieces, Piece *ret_whole, bool *ret)
{
        const PlanLimits *limits = planner->limits;
        Planner alone = *planner;
        Piece whole = pieces[0], *copy;
        int r;

        for (size_t i = 1; i < n_pieces; i++)
                piece_join(&whole, &pieces[i]);
        *ret_whole = whole;
        *ret = !whole.fixed && whole.n_runs <= limits->max_region_runs &&
               whole.bytes <= u64_max(limits->max_region_bytes, limits->max_tied_bytes) &&
               plan_is_worth(limits, whole.n_runs - 1, whole.bytes);
        if (!*ret)
                return 0;

        copy = reallocarray(NULL, n_pieces, sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        alone.plan = (Plan){.runs_after = n_pieces};
        alone.room = 0;
        memcpy(copy, pieces, n_pieces * sizeof(*copy));
        for (size_t i = 0; i < n_pieces; i++)
                copy[i].fixed |= copy[i].partial;
        r = plan_groups(&alone, copy, n_pieces);
        free(copy);
        /* What the rest of the gain costs. */
        if (alone.plan.n_regions > 0)
                *ret = plan_is_worth(limits, whole.n_runs - 1 - (n_pieces - alone.plan.runs_after),
                                     whole.bytes - alone.plan.bytes);
        plan_done(&alone.plan);
        return r;
}

/* Makes one piece of each chain that moves as a whole, and fixes the parts of the others, in place. */
static int chains_judge(const Planner *planner, Piece *pieces, size_t *n_pieces)
{
        size_t n = 0;

        for (size_t i = 0, end; i < *n_pieces; i = end) {
                Piece whole;
                bool moves;
                int r;

                for (end = i + 1; end < *n_pieces && pieces[end - 1].tied;)
                        end++;
                if (end - i == 1) {
                        pieces[n++] = pieces[i];
                        continue;
                }
                r = chain_judge(planner, pieces + i, end - i, &whole, &moves);
                if (r < 0)
                        return r;
                if (moves)
                        pieces[n++] = whole;
                /* With too many runs for a region now, but not any more when some of them have moved, it would be taken up again. */
                for (size_t at = i; at < end && !moves; at++) {
                        pieces[n] = pieces[at];
                        pieces[n++].fixed |=
                                pieces[at].partial || whole.n_runs > planner->limits->max_region_runs;
                }
        }
        *n_pieces = n;
        return 0;
}

static int plan_regions(Planner *planner, Piece *pieces, size_t n_pieces)
{
        const int r = chains_judge(planner, pieces, &n_pieces);

        return r < 0 ? r : plan_groups(planner, pieces, n_pieces);
}

/* The whole map has to be known, or its last run would be fixed. An engine that swaps whole forks takes
 * what lies behind EOF along, so walls count there, too. */
static bool whole_file_may_move(const ExtentMap *map, Walls walls, const Piece *pieces, size_t n_pieces)
{
        for (size_t i = 0; i < map->n_extents; i++)
                if (map->extents[i].unplaced || is_wall(walls, &map->extents[i]))
                        return false;
        for (size_t i = 0; i < n_pieces; i++)
                if (pieces[i].fixed)
                        return false;
        return true;
}

/* Good runs have to be carried along; they make the bytes that the gain must be worth. */
static int plan_whole_file(Planner *planner, const Piece *pieces, size_t n_pieces)
{
        Region region = {.length = planner->eof};

        for (size_t i = 0; i < n_pieces; i++) {
                region.bytes += pieces[i].bytes;
                region.written_bytes += pieces[i].written_bytes;
                region.shared_bytes += pieces[i].shared_bytes;
        }
        region.n_runs = (uint32_t)u64_min(n_pieces, UINT32_MAX);
        region.gain = region.n_runs - 1;
        if (!plan_is_worth(planner->limits, region.gain, region.bytes))
                return 0;
        return planner_add(planner, &region);
}

static int plan_with_walls(const ExtentMap *map, uint64_t size_bytes, const PlanLimits *limits, Walls walls,
                           Plan *ret)
{
        Planner planner = {
                .limits = limits,
                .eof = u64_align_up(size_bytes, limits->block_bytes),
                .unit_bytes = u64_max(limits->unit_bytes, limits->block_bytes),
                .good_bytes = plan_good_bytes(limits),
        };
        Piece *pieces;
        size_t n = 0;
        int r = 0;

        /* One more than needed: malloc(0) may return NULL. */
        pieces = reallocarray(NULL, map->n_extents + 1, sizeof(*pieces));
        if (!pieces)
                return -ENOMEM;

        n = runs_read(&planner, map, walls, pieces);
        planner.plan.runs_before = planner.plan.runs_after = n;
        if (n >= 2 && n >= limits->min_runs) {
                if (!limits->whole_file)
                        r = plan_regions(&planner, pieces, n);
                else if (whole_file_may_move(map, walls, pieces, n))
                        r = plan_whole_file(&planner, pieces, n);
        }
        free(pieces);
        if (r < 0) {
                plan_done(&planner.plan);
                return r;
        }
        *ret = planner.plan;
        return 0;
}

/* Would there be a plan with these walls only? Returns 1, 0 or -ENOMEM. */
static int is_plannable(const ExtentMap *map, uint64_t size_bytes, const PlanLimits *limits, Walls walls)
{
        Plan plan;
        int r = plan_with_walls(map, size_bytes, limits, walls, &plan);

        if (r < 0)
                return r;
        r = plan.n_regions > 0;
        plan_done(&plan);
        return r;
}

/* Set only in an empty plan, and only if there were one without the walls of that kind (for the second kind: nor of the first). The exact answer. */
static int plan_blame(const ExtentMap *map, uint64_t size_bytes, const PlanLimits *limits, Walls walls,
                      Plan *plan)
{
        bool any_shared = false, any_stays = false;
        int r = 0;

        for (size_t i = 0; i < map->n_extents; i++) {
                any_shared |= map->extents[i].shared;
                any_stays |= map->extents[i].stays;
        }
        if (any_shared && !limits->unshare) {
                walls.shared = false;
                r = is_plannable(map, size_bytes, limits, walls);
                plan->blocked_by_sharing = r > 0;
        }
        if (any_stays && r == 0) {
                walls.encoded = false;
                r = is_plannable(map, size_bytes, limits, walls);
                plan->blocked_by_encoding = r > 0;
        }
        return r < 0 ? r : 0;
}

int plan_make(const ExtentMap *map, uint64_t size_bytes, const PlanLimits *limits, Plan *ret)
{
        const Walls walls = {.shared = !limits->unshare && PROTECTED_BY(SHARED_WALLS), .encoded = true};
        Plan plan;
        int r;

        assert(limits->block_bytes > 0);

        r = plan_with_walls(map, size_bytes, limits, walls, &plan);
        if (r == 0 && plan.n_regions == 0)
                r = plan_blame(map, size_bytes, limits, walls, &plan);
        if (r < 0)
                return r;
        *ret = plan;
        return 0;
}

void plan_done(Plan *plan)
{
        free(plan->regions);
        *plan = (Plan){0};
}
