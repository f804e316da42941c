/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What every plan must keep to, over random files.
 *
 * A file is modelled as an array of blocks, the map that plan_make() sees is made from it, and the plan
 * is carried out on the array: all that is asserted is counted there, block by block, by code that shares
 * nothing with plan.c. The seed is printed; DEFRAGD_SEED=... repeats a run, DEFRAGD_ROUNDS=... makes it
 * longer or shorter. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/number.h"
#include "decide/plan.h"

/* Small files find the mistakes: 300,000 take about 2 s, several times that under a sanitizer. */
#define ROUNDS       300000
#define SMALL_BLOCKS 96
#define LARGE_BLOCKS 400000 /* up to 200,000 extents */

typedef enum BlockState { HOLE, WRITTEN, UNWRITTEN, UNPLACED } BlockState;

typedef struct Block {
        uint64_t physical; /* in blocks */
        BlockState state;
        bool shared;
        bool stays;       /* could not be encoded as it is */
        unsigned part_of; /* number of an extent on the disk, of which there are parts elsewhere; 0: none */
        bool seam;        /* the map begins a new extent here though the disk goes on */
} Block;

typedef struct Model {
        Block *blocks;
        size_t n_blocks; /* what is allocated behind EOF included */
        size_t eof;      /* in blocks */
        uint64_t size_bytes;
        bool any_parts;
        size_t parts_from[4], parts_to[4]; /* by Block.part_of */
        uint64_t next_physical;            /* where nothing lies yet */
        bool complete;
} Model;

static uint64_t seed, rounds;
static uint64_t random_state;
static uint64_t current_round;

/* splitmix64 (Vigna, public domain). */
static uint64_t random_u64(void)
{
        uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static uint64_t random_below(uint64_t n)
{
        return random_u64() % n;
}

static bool random_chance(unsigned percent)
{
        return random_below(100) < percent;
}

/* Each round has a seed of its own, so that one that fails can be repeated alone. */
static void round_begin(uint64_t n)
{
        current_round = n;
        random_state = seed + n * UINT64_C(0x2545f4914f6cdd1d);
}

#define PROPERTY(condition)                                                                                 \
        do {                                                                                                \
                if (!(condition))                                                                           \
                        fail_msg("round %llu of DEFRAGD_SEED=%llu: %s", (unsigned long long)current_round,  \
                                 (unsigned long long)seed, #condition);                                     \
        } while (0)

static bool is_placed(const Block *block)
{
        return block->state == WRITTEN || block->state == UNWRITTEN;
}

/* Lays out a file in runs of at most longest_run blocks. */
static void model_make(Model *model, size_t n_blocks, uint64_t block_bytes, unsigned longest_run)
{
        unsigned hole_percent = (unsigned)random_below(4) * 10,
                 unwritten_percent = (unsigned)random_below(4) * 15;
        unsigned shared_percent = random_chance(40) ? (unsigned)random_below(30) : 0;
        unsigned stays_percent = random_chance(25) ? (unsigned)random_below(20) : 0;
        unsigned unplaced_percent = random_chance(25) ? (unsigned)random_below(15) : 0;

        *model = (Model){.n_blocks = n_blocks, .next_physical = 1, .complete = random_chance(90)};
        model->blocks = calloc(n_blocks + 1, sizeof(*model->blocks));
        assert_non_null(model->blocks);

        for (size_t i = 0; i < n_blocks;) {
                uint64_t run = 1 + random_below(random_chance(70) ? 1 + longest_run / 4 : longest_run);

                model->next_physical += 1 + random_below(3);
                for (; run > 0 && i < n_blocks; run--, i++) {
                        Block *block = &model->blocks[i];

                        if (random_chance(unplaced_percent)) {
                                block->state = UNPLACED;
                                block->physical = random_u64();
                        } else if (!random_chance(hole_percent)) {
                                block->state = random_chance(unwritten_percent) ? UNWRITTEN : WRITTEN;
                                block->shared = random_chance(shared_percent);
                                block->stays = random_chance(stays_percent);
                                block->physical = model->next_physical++;
                                block->seam = random_chance(20);
                        }
                }
        }
        for (uint64_t n = random_chance(30) ? random_below(4) : 0; n > 0 && n_blocks > 1; n--) {
                size_t from = (size_t)random_below(n_blocks),
                       to = from + (size_t)random_below(1 + n_blocks / 4);
                unsigned percent = 10 + (unsigned)random_below(80);

                for (size_t i = from; i < to && i < n_blocks; i++)
                        if (is_placed(&model->blocks[i]) && random_chance(percent)) {
                                model->blocks[i].part_of = (unsigned)n;
                                model->any_parts = true;
                        }
        }
        /* Runs in logical order would hide mistakes that only show where the disk's order is another. */
        if (random_chance(50))
                for (size_t i = 0; i < n_blocks; i++)
                        if (is_placed(&model->blocks[i]))
                                model->blocks[i].physical ^=
                                        UINT64_C(1) << 20 | (model->blocks[i].physical & 1 << 5) << 16;
        model->next_physical = UINT64_C(1) << 40;

        model->eof = random_chance(70) ? n_blocks : (size_t)random_below(n_blocks + 1);
        model->size_bytes = model->eof * block_bytes;
        if (model->eof > 0 && random_chance(50))
                model->size_bytes -= random_below(block_bytes);
        if (random_chance(10) && model->eof == n_blocks) /* ends in a hole */
                model->size_bytes += random_below(1000 * block_bytes);
}

static ExtentMap model_map(const Model *model, uint64_t block_bytes)
{
        Extent *extents = calloc(model->n_blocks + 1, sizeof(*extents));
        const Block *before = NULL;
        size_t n = 0, reach = 0, last[4] = {0};

        assert_non_null(extents);
        for (size_t i = 0; i < model->n_blocks; i++)
                last[model->blocks[i].part_of] = i;
        last[0] = 0;
        for (size_t i = 0; i < model->n_blocks; before = &model->blocks[i++]) {
                const Block *block = &model->blocks[i];

                /* Are there parts of one extent both up to here and behind it? */
                reach = last[block->part_of] > reach ? last[block->part_of] : reach;
                if (block->state == HOLE)
                        continue;
                if (before && before->state == block->state && before->shared == block->shared &&
                    before->stays == block->stays && !block->seam &&
                    (block->state == UNPLACED || block->physical == before->physical + 1)) {
                        extents[n - 1].length += block_bytes;
                        extents[n - 1].partial |= block->part_of > 0;
                        extents[n - 1].tied = reach > i;
                        continue;
                }
                extents[n++] = (Extent){
                        .logical = i * block_bytes,
                        .physical = block->physical * block_bytes,
                        .length = block_bytes,
                        .unwritten = block->state == UNWRITTEN,
                        .shared = block->shared,
                        .stays = block->stays,
                        .unplaced = block->state == UNPLACED,
                        .partial = block->part_of > 0,
                        .tied = reach > i,
                };
        }
        return (ExtentMap){.extents = extents, .n_extents = n, .complete = model->complete};
}

static Plan model_plan(const Model *model, const PlanLimits *limits)
{
        ExtentMap map = model_map(model, limits->block_bytes);
        Plan plan;

        assert_int_equal(plan_make(&map, model->size_bytes, limits, &plan), 0);
        free(map.extents);
        return plan;
}

/* Run of each block, counted from 1; 0 where nothing lies. Returns how many. */
static uint32_t model_runs(const Model *model, uint32_t *run_of)
{
        const Block *last = NULL;
        uint32_t n = 0;

        memset(run_of, 0, model->n_blocks * sizeof(*run_of));
        for (size_t i = 0; i < model->eof; i++) {
                const Block *block = &model->blocks[i];

                if (!is_placed(block))
                        continue;
                if (!last || block->physical != last->physical + 1)
                        n++;
                run_of[i] = n;
                last = block;
        }
        return n;
}

static void model_carry_out(Model *model, const Plan *plan, uint64_t block_bytes)
{
        for (size_t i = 0; i < plan->n_regions; i++) {
                size_t from = plan->regions[i].offset / block_bytes;
                size_t to = from + plan->regions[i].length / block_bytes;

                for (size_t at = from; at < to && at < model->n_blocks; at++)
                        if (is_placed(&model->blocks[at])) {
                                model->blocks[at].physical = model->next_physical++;
                                model->blocks[at].shared = false;
                                model->blocks[at].part_of = 0;
                        }
                model->next_physical += 1 + random_below(3);
        }
}

/* Where the parts of each extent begin and end. What lies behind EOF cannot be moved. */
static void model_find_parts(Model *model)
{
        memset(model->parts_to, 0, sizeof(model->parts_to));
        for (size_t i = 0; i < model->eof; i++) {
                const unsigned n = model->blocks[i].part_of;

                if (model->parts_to[n] == 0)
                        model->parts_from[n] = i;
                model->parts_to[n] = i + 1;
        }
}

/* Does a region hold a part of an extent, and not the others? */
static bool parts_extent(const Model *model, size_t from, size_t to)
{
        for (size_t i = from; i < to; i++) {
                const unsigned n = model->blocks[i].part_of;

                if (n > 0 && (model->parts_from[n] < from || model->parts_to[n] > to))
                        return true;
        }
        return false;
}

/* One region by itself: its place, its edges, its numbers, its limits, and that it holds whole bad runs
 * alone. */
static void check_region(const Model *model, const PlanLimits *limits, const Region *region,
                         const uint32_t *run_of, const uint64_t *run_blocks)
{
        uint64_t block_bytes = limits->block_bytes;
        uint64_t eof_bytes = u64_align_up(model->size_bytes, block_bytes);
        uint64_t placed = 0, written = 0, shared = 0, within = 0;
        size_t from = region->offset / block_bytes, to = from + region->length / block_bytes;
        uint32_t first_run, last_run;

        PROPERTY(region->length > 0);
        PROPERTY(region->offset % block_bytes == 0 && region->length % block_bytes == 0);
        PROPERTY(region->offset + region->length <= eof_bytes);

        if (limits->whole_file) {
                PROPERTY(region->offset == 0);
                PROPERTY(region->length == eof_bytes);
                to = model->eof;
        } else {
                PROPERTY(to <= model->eof);
                PROPERTY(is_placed(&model->blocks[from]) && is_placed(&model->blocks[to - 1]));
                PROPERTY(region->bytes <= u64_max(limits->max_region_bytes, limits->max_tied_bytes));
                PROPERTY(model->any_parts || limits->unit_bytes > block_bytes ||
                         region->bytes <= limits->max_region_bytes);
                PROPERTY(!parts_extent(model, from, to));
                PROPERTY(region->n_runs <= limits->max_region_runs);
                PROPERTY(region->offset % limits->unit_bytes == 0);
                PROPERTY((region->offset + region->length) % limits->unit_bytes == 0 ||
                         region->offset + region->length == eof_bytes);
        }

        for (size_t i = from; i < to; i++) {
                PROPERTY(model->blocks[i].state != UNPLACED);
                PROPERTY(limits->unshare || !model->blocks[i].shared);
                PROPERTY(!model->blocks[i].stays);
                if (!is_placed(&model->blocks[i]))
                        continue;
                placed++;
                written += model->blocks[i].state == WRITTEN;
                shared += model->blocks[i].shared;
                if (!limits->whole_file && !model->any_parts)
                        PROPERTY(run_blocks[run_of[i]] * block_bytes < limits->bytes_per_run);
        }
        PROPERTY(region->bytes == placed * block_bytes);
        PROPERTY(region->written_bytes == written * block_bytes);
        PROPERTY(region->shared_bytes == shared * block_bytes);
        first_run = limits->whole_file ? 1 : run_of[from];
        last_run = limits->whole_file ? region->n_runs : run_of[to - 1];
        for (uint32_t run = first_run; run <= last_run; run++)
                within += run_blocks[run];
        PROPERTY(within == placed); /* no run sticks out */
        PROPERTY(region->n_runs == last_run - first_run + 1);
        PROPERTY(region->gain >= 1 && region->gain == region->n_runs - 1);
        PROPERTY(plan_is_worth(limits, region->gain, region->bytes));
}

/* Is there a region in the file that the plan should have found? By trying them all; only without a unit,
 * where any run may be an edge. Half a region counts as good, as plan.c says. */
static bool model_has_region(const Model *model, const PlanLimits *limits, const uint32_t *run_of,
                             const uint64_t *run_blocks, uint32_t n_runs)
{
        uint64_t block_bytes = limits->block_bytes;
        uint64_t good = u64_min(limits->bytes_per_run, limits->max_region_runs / 2 * block_bytes);
        bool fixed[SMALL_BLOCKS + 1] = {false}, parted[SMALL_BLOCKS + 2] = {false}, wall = false;
        uint32_t run = 0;

        assert_true(model->n_blocks <= SMALL_BLOCKS);
        for (size_t i = 0; i < model->eof; i++) {
                if (model->blocks[i].state == UNPLACED)
                        wall = true;
                if (run_of[i] == 0)
                        continue;
                if (wall && run_of[i] == run)
                        fixed[run] = true;
                else if (wall)
                        parted[run_of[i]] = true;
                wall = false;
                run = run_of[i];
                if ((model->blocks[i].shared && !limits->unshare) || model->blocks[i].stays ||
                    run_blocks[run] * block_bytes >= good)
                        fixed[run] = true;
        }
        if (!model->complete)
                fixed[run] = true;

        for (uint32_t first = 1; first <= n_runs; first++) {
                uint64_t blocks = 0;

                for (uint32_t last = first; last <= n_runs; last++) {
                        if (fixed[last] || (last > first && parted[last]))
                                break;
                        blocks += run_blocks[last];
                        if (last - first + 1 > limits->max_region_runs ||
                            blocks * block_bytes > limits->max_region_bytes)
                                break;
                        if (last > first && blocks * block_bytes <= (last - first) * limits->bytes_per_run)
                                return true;
                }
        }
        return false;
}

/* Sharing is to blame exactly if nothing is planned and the same file without any would be; and how it is encoded, if it is not sharing, and the same file
 * without either would be. */
static void check_blame(const Model *model, const PlanLimits *limits, const Plan *plan)
{
        Model unshared = *model;
        Plan without;

        unshared.blocks = calloc(model->n_blocks + 1, sizeof(*unshared.blocks));
        assert_non_null(unshared.blocks);
        for (size_t i = 0; i < model->n_blocks; i++) {
                unshared.blocks[i] = model->blocks[i];
                unshared.blocks[i].shared = false;
                /* The same extents: longer ones could be tied to others. */
                unshared.blocks[i].seam |=
                        i > 0 && (model->blocks[i].shared != model->blocks[i - 1].shared ||
                                  model->blocks[i].stays != model->blocks[i - 1].stays);
        }
        without = model_plan(&unshared, limits);
        PROPERTY(plan->blocked_by_sharing ==
                 (!limits->unshare && plan->n_regions == 0 && without.n_regions > 0));
        /* Where it does not count it changes nothing. */
        PROPERTY(!limits->unshare || (without.n_regions == plan->n_regions && without.bytes == plan->bytes));
        plan_done(&without);
        for (size_t i = 0; i < model->n_blocks; i++)
                unshared.blocks[i].stays = false;
        without = model_plan(&unshared, limits);
        PROPERTY(plan->blocked_by_encoding ==
                 (plan->n_regions == 0 && !plan->blocked_by_sharing && without.n_regions > 0));
        plan_done(&without);
        free(unshared.blocks);
}

/* Plans, carries out, plans again. Returns the number of regions, so that the caller can see that it
 * tested something. */
static size_t check_file(Model *model, const PlanLimits *limits)
{
        uint32_t *run_of = calloc(model->n_blocks + 1, sizeof(*run_of));
        uint64_t *run_blocks = calloc(model->n_blocks + 2, sizeof(*run_blocks));
        uint64_t end = 0, gain = 0, bytes = 0, shared = 0;
        uint32_t n_before, n_after;
        Plan plan, again;
        size_t n_regions;

        if (!run_of || !run_blocks)
                abort();
        n_before = model_runs(model, run_of);
        for (size_t i = 0; i < model->n_blocks; i++)
                run_blocks[run_of[i]]++;

        model_find_parts(model);
        plan = model_plan(model, limits);
        n_regions = plan.n_regions;
        PROPERTY(plan.runs_before == n_before);
        PROPERTY(n_regions == 0 || (n_before >= 2 && n_before >= limits->min_runs));
        for (size_t i = 0; i < n_regions; i++) {
                PROPERTY(plan.regions[i].offset >= end);
                end = plan.regions[i].offset + plan.regions[i].length;
                check_region(model, limits, &plan.regions[i], run_of, run_blocks);
                gain += plan.regions[i].gain;
                bytes += plan.regions[i].bytes;
                shared += plan.regions[i].shared_bytes;
        }
        PROPERTY(plan.shared_bytes == shared);
        PROPERTY(plan.runs_after == n_before - gain);
        PROPERTY(plan.bytes == bytes);
        if (!model->complete && n_regions > 0) {
                PROPERTY(!limits->whole_file);
                PROPERTY(run_of[end / limits->block_bytes - 1] < n_before);
        }
        check_blame(model, limits, &plan);

        model_carry_out(model, &plan, limits->block_bytes);
        n_after = model_runs(model, run_of);
        PROPERTY(n_after == plan.runs_after);
        PROPERTY(n_after <= n_before);

        again = model_plan(model, limits);
        PROPERTY(again.n_regions == 0);
        PROPERTY(again.runs_after == n_after);
        plan_done(&again);

        if (!limits->whole_file && !model->any_parts && limits->unit_bytes == limits->block_bytes &&
            model->n_blocks <= SMALL_BLOCKS && n_before >= limits->min_runs) {
                memset(run_blocks, 0, (model->n_blocks + 2) * sizeof(*run_blocks));
                for (size_t i = 0; i < model->n_blocks; i++)
                        run_blocks[run_of[i]]++;
                PROPERTY(!model_has_region(model, limits, run_of, run_blocks, n_after));
        }
        plan_done(&plan);
        free(run_of);
        free(run_blocks);
        return n_regions;
}

static void every_plan_for_a_small_file_keeps_its_promises(void **state)
{
        static const uint64_t block_sizes[] = {512, 1024, 4096, 65536};
        uint64_t n_planned = 0, n_cut = 0, n_whole = 0;

        (void)state;
        for (uint64_t n = 0; n < rounds; n++) {
                uint64_t block = (round_begin(n), block_sizes[random_below(ELEMENTS(block_sizes))]);
                PlanLimits limits = {
                        .block_bytes = block,
                        .unit_bytes = block * (random_chance(70) ? 1 : 1 + random_below(5)),
                        .max_region_bytes = block * (1 + random_below(SMALL_BLOCKS)) + random_below(block),
                        .max_tied_bytes = random_chance(50) ? block * random_below(SMALL_BLOCKS) : 0,
                        .max_region_runs = 1 + (uint32_t)random_below(random_chance(50) ? 8 : 64),
                        .bytes_per_run =
                                block * (1 + random_below(random_chance(50) ? 6 : 40)) + random_below(block),
                        .min_runs = random_chance(90) ? 0 : random_below(8),
                        .whole_file = random_chance(15),
                        .unshare = random_chance(30),
                };
                size_t n_regions;
                Model model;

                model_make(&model, (size_t)random_below(SMALL_BLOCKS + 1), block,
                           2 + (unsigned)random_below(16));
                n_regions = check_file(&model, &limits);
                free(model.blocks);
                n_planned += n_regions > 0;
                n_cut += n_regions > 2;
                n_whole += n_regions > 0 && limits.whole_file;
        }
        /* Enough of each kind, or the above tested nothing. */
        if (rounds >= 1000) {
                assert_in_range(n_planned, rounds / 4, rounds);
                assert_in_range(n_cut, rounds / 50, rounds);
                assert_in_range(n_whole, rounds / 200, rounds);
        }
}

/* The limits as they are, whole files now and then. */
static void check_shipped_limits(uint64_t n, size_t n_blocks, uint64_t block_bytes, unsigned longest_run)
{
        PlanLimits limits = {
                .block_bytes = block_bytes,
                .unit_bytes = block_bytes,
                .max_region_bytes = PLAN_REGION_BYTES,
                .max_region_runs = PLAN_REGION_RUNS,
                .bytes_per_run = plan_bytes_per_run(n % 2 == 0),
                .whole_file = n % 6 == 5,
        };
        Model model;

        model_make(&model, n_blocks, block_bytes, longest_run);
        check_file(&model, &limits);
        free(model.blocks);
}

static void every_plan_for_a_large_file_keeps_its_promises(void **state)
{
        (void)state;
        for (uint64_t n = 0; n < 12; n++) {
                round_begin(UINT64_C(1) << 40 | n);
                check_shipped_limits(n, LARGE_BLOCKS, 4096, n < 6 ? 12 : 2000);
        }
}

static void a_file_in_pieces_of_any_size_ends_well(void **state)
{
        static const uint64_t block_sizes[] = {1024, 4096, 65536};

        (void)state;
        for (uint64_t n = 0; n < 300; n++) {
                round_begin(UINT64_C(2) << 40 | n);
                check_shipped_limits(n, 1 + (size_t)random_below(8192),
                                     block_sizes[n % ELEMENTS(block_sizes)],
                                     1 + (unsigned)random_below(3000));
        }
}

static uint64_t hostile_u64(void)
{
        static const uint64_t edges[] = {0, 1, 511, 4096, 4097, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX};

        if (random_chance(25))
                return random_u64();
        if (random_chance(33))
                return random_below(64) * 4096;
        return edges[random_below(ELEMENTS(edges))] - random_below(3) * 4096 * random_below(2);
}

/* A damaged file system may answer anything; limits come from the same place (block size, hints). Nothing
 * is asserted that needs an honest map; the sanitizer does the rest. */
static void a_nonsensical_map_gives_a_plan_that_stays_inside_the_file(void **state)
{
        (void)state;
        for (uint64_t n = 0; n < rounds; n++) {
                Extent extents[12];
                ExtentMap map = {.extents = extents};
                PlanLimits limits;
                uint64_t size, eof, end = 0, bytes = 0;
                Plan plan;

                round_begin(UINT64_C(3) << 40 | n);
                map.n_extents = (size_t)random_below(ELEMENTS(extents) + 1);
                map.complete = random_chance(80);
                for (size_t i = 0; i < map.n_extents; i++)
                        extents[i] = (Extent){
                                .logical = random_chance(60) && i > 0
                                                   ? extents[i - 1].logical + extents[i - 1].length
                                                   : hostile_u64(),
                                .physical = hostile_u64(),
                                .length = hostile_u64(),
                                .unwritten = random_chance(20),
                                .shared = random_chance(10),
                                .unplaced = random_chance(10),
                        };
                limits = (PlanLimits){
                        .block_bytes = random_chance(70) ? 4096 : u64_max(1, hostile_u64()),
                        .unit_bytes = hostile_u64(),
                        .max_region_bytes = hostile_u64(),
                        .max_region_runs = (uint32_t)hostile_u64(),
                        .bytes_per_run = hostile_u64(),
                        .min_runs = random_chance(80) ? 0 : hostile_u64(),
                        .whole_file = random_chance(20),
                        .unshare = random_chance(30),
                };
                size = hostile_u64();
                eof = u64_align_up(size, limits.block_bytes);

                assert_int_equal(plan_make(&map, size, &limits, &plan), 0);
                PROPERTY(plan.runs_before <= map.n_extents);
                PROPERTY(plan.runs_after + plan.n_regions <= plan.runs_before);
                for (size_t i = 0; i < plan.n_regions; i++) {
                        const Region *region = &plan.regions[i];

                        PROPERTY(region->offset >= end && region->length > 0);
                        PROPERTY(region->length <= eof - region->offset);
                        PROPERTY(region->offset % limits.block_bytes == 0 &&
                                 region->length % limits.block_bytes == 0 &&
                                 (limits.whole_file || region->bytes % limits.block_bytes == 0));
                        PROPERTY(region->bytes <= region->length && region->written_bytes <= region->bytes);
                        PROPERTY(limits.whole_file || (region->bytes <= limits.max_region_bytes &&
                                                       region->n_runs <= limits.max_region_runs));
                        PROPERTY(plan_is_worth(&limits, region->gain, region->bytes));
                        end = region->offset + region->length;
                        bytes += region->bytes;
                }
                PROPERTY(plan.bytes == bytes);
                plan_done(&plan);
        }
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
        const char *text = getenv(name);

        return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_plan_for_a_small_file_keeps_its_promises),
                cmocka_unit_test(every_plan_for_a_large_file_keeps_its_promises),
                cmocka_unit_test(a_file_in_pieces_of_any_size_ends_well),
                cmocka_unit_test(a_nonsensical_map_gives_a_plan_that_stays_inside_the_file),
        };

        seed = number_from_environment("DEFRAGD_SEED", (uint64_t)time(NULL));
        rounds = number_from_environment("DEFRAGD_ROUNDS", ROUNDS);
        print_message("DEFRAGD_SEED=%llu DEFRAGD_ROUNDS=%llu\n", (unsigned long long)seed,
                      (unsigned long long)rounds);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
