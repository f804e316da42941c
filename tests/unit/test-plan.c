/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* plan.c by example. What holds for every map is in test-plan-properties.c.
 *
 * Small maps are drawn, a character a block:
 *         map      letter: allocated; equal letters lie one behind the other on the disk, small ones are
 *                  unwritten; '.': hole; '?': without an address
 *         shared   's': this block also belongs to another file; 'p': part of an
 *                  extent with others in the file; 't': that, and tied to the next; 'w': only tied
 *         plan     digit: belongs to that region; ' ': stays */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/number.h"
#include "decide/plan.h"

#define BLOCK          UINT64_C(4096)
#define DRAWING_BLOCKS 64

/* A run of 8 blocks is good, and no limit is in the way. */
static const PlanLimits drawn = {
        .block_bytes = BLOCK,
        .unit_bytes = BLOCK,
        .max_region_bytes = 64 * BLOCK,
        .max_region_runs = 32,
        .bytes_per_run = 8 * BLOCK,
};

static PlanLimits limits_of(bool rotational)
{
        return (PlanLimits){
                .block_bytes = BLOCK,
                .unit_bytes = BLOCK,
                .max_region_bytes = PLAN_REGION_BYTES,
                .max_region_runs = PLAN_REGION_RUNS,
                .bytes_per_run = plan_bytes_per_run(rotational),
        };
}

static ExtentMap map_of_drawing(const char *map, const char *shared, Extent *extents)
{
        uint64_t next[26] = {0};
        size_t n = 0;

        assert_true(strlen(map) <= DRAWING_BLOCKS && strlen(shared) <= strlen(map));
        for (size_t i = 0; map[i]; i++) {
                bool unwritten = map[i] >= 'a' && map[i] <= 'z';
                size_t letter = (size_t)(map[i] - (unwritten ? 'a' : 'A'));

                if (map[i] == '.')
                        continue;
                extents[n] = (Extent){
                        .logical = i * BLOCK,
                        .length = BLOCK,
                        .unwritten = unwritten,
                        .shared = i < strlen(shared) && shared[i] == 's',
                        .unplaced = map[i] == '?',
                        .partial = i < strlen(shared) && (shared[i] == 'p' || shared[i] == 't'),
                        .tied = i < strlen(shared) && (shared[i] == 't' || shared[i] == 'w'),
                };
                if (map[i] != '?')
                        extents[n].physical = ((25 - letter) * 1000 + 7 + next[letter]++) * BLOCK;
                n++;
        }
        return (ExtentMap){.extents = extents, .n_extents = n, .complete = true};
}

static void assert_planned(const PlanLimits *limits, uint64_t size_bytes, const char *map,
                           const char *shared, const char *expected)
{
        Extent extents[DRAWING_BLOCKS];
        ExtentMap drawing = map_of_drawing(map, shared, extents);
        char got[DRAWING_BLOCKS + 1] = {0};
        size_t n = strlen(expected);
        Plan plan;

        assert_int_equal(plan_make(&drawing, size_bytes, limits, &plan), 0);
        memset(got, ' ', n);
        for (size_t i = 0; i < plan.n_regions; i++)
                for (uint64_t at = 0; at < plan.regions[i].length; at += BLOCK) {
                        assert_true((plan.regions[i].offset + at) / BLOCK < n);
                        got[(plan.regions[i].offset + at) / BLOCK] = (char)('1' + i);
                }
        assert_string_equal(got, expected);
        plan_done(&plan);
}

static void assert_drawn(const char *map, const char *shared, const char *expected)
{
        assert_planned(&drawn, strlen(map) * BLOCK, map, shared, expected);
}

/* n_extents pieces of piece_bytes each, one behind the other in the file, apart from each other on the
 * disk. */
static ExtentMap map_of_pieces(uint64_t first_bytes, uint64_t piece_bytes, size_t n_pieces)
{
        Extent *extents = calloc(n_pieces + 1, sizeof(*extents));
        uint64_t logical = 0;
        size_t n = 0;

        assert_non_null(extents);
        if (first_bytes > 0) {
                extents[n++] = (Extent){.physical = GIB * GIB / 2, .length = first_bytes};
                logical = first_bytes;
        }
        for (size_t i = 0; i < n_pieces; i++, logical += piece_bytes)
                extents[n++] = (Extent){.logical = logical,
                                        .physical = GIB + 2 * piece_bytes * (i ^ 1),
                                        .length = piece_bytes};
        return (ExtentMap){.extents = extents, .n_extents = n, .complete = true};
}

static Plan plan_of_pieces(const PlanLimits *limits, uint64_t first_bytes, uint64_t piece_bytes,
                           size_t n_pieces)
{
        ExtentMap map = map_of_pieces(first_bytes, piece_bytes, n_pieces);
        Plan plan;

        assert_int_equal(plan_make(&map, first_bytes + piece_bytes * n_pieces, limits, &plan), 0);
        free(map.extents);
        return plan;
}

static void files_of_one_run_or_none_are_optimal(void **state)
{
        (void)state;
        assert_drawn("....", "", "    ");
        assert_drawn("A", "", " ");
        assert_drawn("..AAAA..", "", "        ");
}

static void bad_runs_become_one_region(void **state)
{
        (void)state;
        assert_drawn("AB", "", "11");
        assert_drawn("AABBCCDD", "", "11111111");
        assert_drawn("BA", "", "11");
}

static void holes_stay_holes_and_edges_are_allocated(void **state)
{
        (void)state;
        assert_drawn(".A..B..C.", "", " 1111111 ");
}

static void a_run_goes_on_behind_a_hole(void **state)
{
        (void)state;
        assert_drawn("AA..AA", "", "      ");
        assert_drawn("A..AB..B", "", "11111111");
        assert_drawn("AAAA..AAAABC", "", "          11");
}

static void written_and_unwritten_parts_of_one_run_are_not_fragmentation(void **state)
{
        (void)state;
        assert_drawn("aaaaAAAAaaaa", "", "            ");
        assert_drawn("aAaAaAaA", "", "        ");
        assert_drawn("aAbB", "", "1111");
}

static void good_runs_stay_and_part_the_bad(void **state)
{
        (void)state;
        assert_drawn("ABCCCCCCCCDE", "", "11        22");
        assert_drawn("ABCCCCCCCDE", "", "11111111111");
        assert_drawn("AAAAAAAABBBBBBBB", "", "                ");
        assert_drawn("ABBBBBBBBC", "", "          ");
}

static void nothing_is_moved_for_less_than_it_costs(void **state)
{
        (void)state;
        assert_drawn("AAAABBBB", "", "11111111");               /* 8 blocks for one run: just worth it */
        assert_drawn("AAAABBBBB", "", "         ");             /* 9 for one */
        assert_drawn("AAAAAABBBBBB", "", "            ");       /* 12 for one */
        assert_drawn("AAAAABBBBBCCCCC", "", "111111111111111"); /* 15 for two */
}

static void shared_extents_are_walls(void **state)
{
        (void)state;
        assert_drawn("ABCDE", "  s", "11 22");
        assert_drawn("ABCDE", "s", " 1111");
        assert_drawn("ABCDE", "    s", "1111 ");
        assert_drawn("ABC", " s", "   ");
}

static void what_may_be_unshared_is_moved_and_counted(void **state)
{
        PlanLimits limits = drawn;
        Extent extents[DRAWING_BLOCKS];
        ExtentMap map = map_of_drawing("ABCDE", "  s s", extents);
        Plan plan;

        (void)state;
        limits.unshare = true;
        assert_planned(&limits, 5 * BLOCK, "ABCDE", "  s s", "11111");
        assert_int_equal(plan_make(&map, 5 * BLOCK, &limits, &plan), 0);
        assert_int_equal(plan.regions[0].shared_bytes, 2 * BLOCK);
        assert_int_equal(plan.shared_bytes, 2 * BLOCK);
        assert_false(plan.blocked_by_sharing);
        plan_done(&plan);
}

static void a_run_that_is_partly_shared_is_not_cut(void **state)
{
        (void)state;
        assert_drawn("ABCCDE", "   s", "11  22");
        assert_drawn("AABBBCC", "   s", "       ");
}

static void what_has_no_address_is_a_wall(void **state)
{
        (void)state;
        assert_drawn("AB?CD", "", "11 22");
        assert_drawn("A?B", "", "   ");
        assert_drawn("?AB?", "", " 11 ");
        assert_drawn("AB?BC", "", "     "); /* B goes on behind it */
}

static void what_lies_behind_eof_is_not_planned(void **state)
{
        (void)state;
        assert_planned(&drawn, 2 * BLOCK, "ABCD", "", "11  ");
        assert_planned(&drawn, 2 * BLOCK, "ABCD", "  s", "11  ");
        assert_planned(&drawn, BLOCK + 1, "ABCD", "", "11  ");
        assert_planned(&drawn, BLOCK, "ABCD", "", "    ");
        assert_planned(&drawn, 0, "ABCD", "", "    ");
        assert_planned(&drawn, 3 * BLOCK, "ABBB", "", "111 ");
}

static void the_last_run_of_an_incomplete_map_stays(void **state)
{
        Extent extents[DRAWING_BLOCKS];
        ExtentMap map = map_of_drawing("ABC", "", extents);
        Plan plan;

        (void)state;
        map.complete = false;
        assert_int_equal(plan_make(&map, 100 * BLOCK, &drawn, &plan), 0);
        assert_int_equal(plan.n_regions, 1);
        assert_int_equal(plan.regions[0].length, 2 * BLOCK);
        plan_done(&plan);
}

static void limits_cut_a_group_and_leave_no_small_rest(void **state)
{
        PlanLimits limits = drawn;

        (void)state;
        limits.max_region_runs = 8;
        assert_planned(&limits, 20 * BLOCK, "ABCDEFGHIJKLMNOPQRST", "", "11111111222222333333");
        limits.max_region_runs = 32;
        limits.max_region_bytes = 12 * BLOCK;
        assert_planned(&limits, 16 * BLOCK, "ABCDEFGHIJKLMNOP", "", "1111111122222222");
        assert_planned(&limits, 13 * BLOCK, "ABCDEFGHIJKLM", "", "111111111111 ");
        /* E stays: from there 20 blocks are not worth it. The two beside it are not balanced across it. */
        limits.max_region_bytes = 20 * BLOCK;
        limits.bytes_per_run = 10 * BLOCK;
        assert_planned(&limits, 45 * BLOCK, "AAAAAABBBBBBCCCCCCDEEEEEEEEEFFFFFFGGGGGGHHHHH", "",
                       "1111111111111111111         22222222222222222");
}

static void regions_begin_and_end_on_the_unit(void **state)
{
        PlanLimits limits = drawn;

        (void)state;
        limits.unit_bytes = 4 * BLOCK;
        assert_planned(&limits, 12 * BLOCK, "AABBCCDDEEFF", "", "111111111111");
        assert_planned(&limits, 11 * BLOCK, "AABBCCDDEEF", "", "11111111111");
        assert_planned(&limits, 12 * BLOCK, ".AABCCDDEEF.", "", "    1111    ");
        assert_planned(&limits, 12 * BLOCK, "..ABBBCC.DD.", "", "            ");
        assert_planned(&limits, 16 * BLOCK, "ABCDDDDDDDDDDEFG", "", "                ");
        limits.unit_bytes = 3 * BLOCK; /* hints are no powers of two */
        assert_planned(&limits, 9 * BLOCK, "ABCDEFGHI", "", "111111111");
        assert_planned(&limits, 9 * BLOCK, "..ABCDEFG", "", "   111111");
}

static void pieces_that_only_move_together_count_together_against_the_limits(void **state)
{
        PlanLimits limits = drawn;

        (void)state;
        limits.unit_bytes = 4 * BLOCK;
        limits.max_region_runs = 8;
        assert_planned(&limits, 12 * BLOCK, "ABCDEFGHIJKL", "", "111111112222");
        limits.max_region_runs = 3;
        assert_planned(&limits, 12 * BLOCK, "ABCDEFGHIJKL", "", "            ");
}

static void parts_of_one_extent_move_together_or_not_at_all(void **state)
{
        PlanLimits limits = drawn;

        (void)state;
        /* The good run goes along where that is worth it, and keeps the bad ones back where it is not. */
        assert_drawn("AAAAAAAABAAAAAAA", "                ", "        11111111");
        assert_drawn("AAAAAAAABAAAAAAA", "ttttttttwttttttp", "1111111111111111");
        assert_drawn("AAAAAAAABAAAAAAAA", "ttttttttwtttttttp", "                 ");
        /* What is whole moves alone where there is no more in it. */
        assert_drawn("AAAAAAAABCDAAAAAAAAAAAAAAAA", "ttttttttwwwtttttttttttttttp",
                     "        111                ");
        assert_drawn("AAAAAAAABCDAAA", "ttttttttwwwttp", "11111111111111");
        /* With its neighbours only if it is worth it by itself. */
        assert_drawn("CDAAAAAAAAABAAAAAAAAA", "  tttttttttwttttttttp", "11                   ");
        assert_drawn("CDABAB", "  twtp", "111111");
        /* What cannot be parted from a wall stays. */
        assert_drawn("CDABABA", "  twtws", "11     ");
        assert_drawn("CDABABCA", "  twtwsp", "11      ");
        assert_drawn("CDAB?AB", "  tw tp", "11     ");
        /* One chain may be longer than a region. */
        limits.max_region_bytes = 4 * BLOCK;
        assert_planned(&limits, 6 * BLOCK, "ABABAB", "tttttp", "      ");
        limits.max_tied_bytes = 6 * BLOCK;
        assert_planned(&limits, 6 * BLOCK, "ABABAB", "tttttp", "111111");
}

/* The second drawing is what becomes of the first: C to H must not be worth more now that A is one run. */
static void what_was_moved_is_not_taken_up_again(void **state)
{
        PlanLimits limits = drawn;

        (void)state;
        limits.unit_bytes = 18 * BLOCK;
        limits.max_region_runs = 8;
        limits.bytes_per_run = 7 * BLOCK / 2;
        assert_planned(&limits, 36 * BLOCK, "A.......X........BCCCDDDEEEFFFGGGHHH", "",
                       "111111111111111111                  ");
        assert_planned(&limits, 36 * BLOCK, "A.......A........ACCCDDDEEEFFFGGGHHH", "",
                       "                                    ");
}

static void a_file_with_fewer_runs_than_wanted_is_left_alone(void **state)
{
        PlanLimits limits = drawn;

        (void)state;
        limits.min_runs = 5;
        assert_planned(&limits, 4 * BLOCK, "ABCD", "", "    ");
        assert_planned(&limits, 5 * BLOCK, "ABCDE", "", "11111");
        assert_planned(&limits, 4 * BLOCK, "ABCDE", "", "     ");
}

static bool is_blocked(const PlanLimits *limits, const char *map, const char *shared)
{
        Extent extents[DRAWING_BLOCKS];
        ExtentMap drawing = map_of_drawing(map, shared, extents);
        bool blocked;
        Plan plan;

        assert_int_equal(plan_make(&drawing, strlen(map) * BLOCK, limits, &plan), 0);
        blocked = plan.blocked_by_sharing;
        if (blocked)
                assert_int_equal(plan.n_regions, 0);
        plan_done(&plan);
        return blocked;
}

static void sharing_is_blamed_only_where_it_is_the_reason(void **state)
{
        PlanLimits few = drawn;

        (void)state;
        assert_true(is_blocked(&drawn, "ABC", "sss"));
        assert_true(is_blocked(&drawn, "ABC", " s "));
        assert_false(is_blocked(&drawn, "ABCD", "s   "));                         /* something is planned */
        assert_false(is_blocked(&drawn, "AAA", "sss"));                           /* one run */
        assert_false(is_blocked(&drawn, "AAAAAAAABBBBBBBB", "ssssssssssssssss")); /* good runs */
        assert_false(is_blocked(&drawn, "ABC", ""));
        assert_false(is_blocked(&drawn, "A?B", "")); /* another wall */
        assert_false(is_blocked(&drawn, "A?B", "s  "));
        few.min_runs = 9;
        assert_false(is_blocked(&few, "ABC", "sss"));
}

static void a_whole_file_is_moved_if_all_of_it_is_worth_it(void **state)
{
        PlanLimits limits = drawn;

        (void)state;
        limits.whole_file = true;
        limits.max_region_bytes = BLOCK;
        limits.max_region_runs = 1;
        assert_planned(&limits, 4 * BLOCK, "A.BC", "", "1111");
        assert_planned(&limits, 6 * BLOCK, ".A.BC.", "", "111111");
        assert_planned(&limits, 3 * BLOCK, "ABCD", "", "111 ");
        assert_planned(&limits, 12 * BLOCK, "ABCDDDDDDDDD", "", "111111111111");
        assert_planned(&limits, 9 * BLOCK, "ABBBBBBBB", "", "         ");
        assert_planned(&limits, 8 * BLOCK, "ABBBBBBB", "", "11111111");
        assert_planned(&limits, 4 * BLOCK, "AAAA", "", "    ");
}

static void a_whole_file_with_any_wall_stays(void **state)
{
        PlanLimits limits = drawn;

        (void)state;
        limits.whole_file = true;
        assert_planned(&limits, 4 * BLOCK, "ABCD", "   s", "    ");
        assert_planned(&limits, 4 * BLOCK, "ABC?", "", "    ");
        assert_planned(&limits, 2 * BLOCK, "ABC", "  s",
                       "   "); /* behind EOF, too: it would be swapped along */
        assert_planned(&limits, 2 * BLOCK, "AB?", "", "   ");
        assert_true(is_blocked(&limits, "ABCD", "   s"));
        assert_false(is_blocked(&limits, "ABC?", "s   "));
        assert_false(is_blocked(&limits, "AAAA", "s   "));
}

static void the_numbers_of_a_plan_say_what_it_does(void **state)
{
        static const Region expected[] = {
                {0, 5 * BLOCK, 4 * BLOCK, 3 * BLOCK, 0, 3, 2},
                {13 * BLOCK, 2 * BLOCK, 2 * BLOCK, BLOCK, 0, 2, 1},
        };
        Extent extents[DRAWING_BLOCKS];
        ExtentMap map = map_of_drawing("AbB.CDDDDDDDDEf", "", extents);
        Plan plan;

        (void)state;
        assert_int_equal(plan_make(&map, 15 * BLOCK - 17, &drawn, &plan), 0);
        assert_int_equal(plan.n_regions, ELEMENTS(expected));
        assert_int_equal(plan.runs_before, 6);
        assert_int_equal(plan.runs_after, 3);
        assert_int_equal(plan.bytes, 6 * BLOCK);
        for (size_t i = 0; i < ELEMENTS(expected); i++)
                assert_memory_equal(&plan.regions[i], &expected[i], sizeof(Region)); /* no padding */
        plan_done(&plan);
        assert_null(plan.regions);
        plan_done(&plan);
}

static void assert_pieces(const PlanLimits *limits, uint64_t first_bytes, uint64_t piece_bytes,
                          size_t n_pieces, size_t n_regions, uint64_t bytes, uint64_t runs_after)
{
        Plan plan = plan_of_pieces(limits, first_bytes, piece_bytes, n_pieces);

        assert_int_equal(plan.runs_before, n_pieces + (first_bytes > 0));
        assert_int_equal(plan.n_regions, n_regions);
        assert_int_equal(plan.bytes, bytes);
        assert_int_equal(plan.runs_after, runs_after);
        for (size_t i = 0; i < n_regions; i++)
                assert_int_equal(plan.regions[i].bytes, bytes / n_regions);
        plan_done(&plan);
}

static void sixteen_mebibytes_in_small_pieces_become_one_run_on_any_disk(void **state)
{
        static const size_t n_pieces[] = {200, 256, 1999, 2000};

        (void)state;
        for (int rotational = 0; rotational < 2; rotational++)
                for (size_t i = 0; i < ELEMENTS(n_pieces); i++) {
                        PlanLimits limits = limits_of(rotational);
                        uint64_t piece = u64_align_down(16 * MIB / n_pieces[i], BLOCK);

                        assert_pieces(&limits, 0, piece, n_pieces[i], 1, n_pieces[i] * piece, 1);
                        assert_pieces(&limits, 0, 4 * MIB, 4, 0, 0, 4); /* good */
                }
}

static void a_large_file_is_moved_by_regions_and_only_where_it_is_bad(void **state)
{
        (void)state;
        for (int rotational = 0; rotational < 2; rotational++) {
                PlanLimits limits = limits_of(rotational);

                assert_pieces(&limits, 0, 64 * KIB, 16384, 16, GIB, 16);
                assert_pieces(&limits, 240 * MIB, 64 * KIB, 256, 1, 16 * MIB, 2);
        }
}

static void a_large_file_with_few_bad_pieces_is_not_worth_moving_whole(void **state)
{
        PlanLimits limits = limits_of(true);

        (void)state;
        limits.whole_file = true;
        assert_pieces(&limits, 240 * MIB, 64 * KIB, 256, 1, 256 * MIB, 1);
        assert_pieces(&limits, 240 * MIB, 64 * KIB, 32, 0, 0, 33);
}

static void the_benefit_test_does_not_overflow(void **state)
{
        PlanLimits limits = {.bytes_per_run = UINT64_MAX / 2};

        (void)state;
        assert_false(plan_is_worth(&limits, 0, 0));
        assert_false(plan_is_worth(&limits, 0, 1));
        assert_true(plan_is_worth(&limits, 1, UINT64_MAX / 2));
        assert_false(plan_is_worth(&limits, 1, UINT64_MAX / 2 + 1));
        assert_true(plan_is_worth(&limits, 2, UINT64_MAX - 1));
        assert_false(plan_is_worth(&limits, 2, UINT64_MAX));
        assert_true(plan_is_worth(&limits, UINT64_MAX, UINT64_MAX));
        limits.bytes_per_run = 10;
        assert_true(plan_is_worth(&limits, 3, 30));
        assert_false(plan_is_worth(&limits, 3, 31));
}

static Plan plan_of_extents(Extent *extents, size_t n_extents)
{
        ExtentMap map = {.extents = extents, .n_extents = n_extents, .complete = true};
        Plan plan;

        assert_int_equal(plan_make(&map, GIB, &drawn, &plan), 0);
        return plan;
}

static void extents_that_overlap_or_go_back_are_never_moved(void **state)
{
        Extent back[] = {
                {.logical = 0, .physical = 100 * BLOCK, .length = 2 * BLOCK},
                {.logical = 2 * BLOCK, .physical = 10 * BLOCK, .length = BLOCK},
                {.logical = 3 * BLOCK, .physical = 200 * BLOCK, .length = BLOCK},
                {.logical = 2 * BLOCK, .physical = 50 * BLOCK, .length = 4 * BLOCK},
                {.logical = 0, .physical = 90 * BLOCK, .length = BLOCK},
        };
        Extent twice[] = {
                {.logical = 0, .physical = 100 * BLOCK, .length = 2 * BLOCK},
                {.logical = BLOCK, .physical = 101 * BLOCK, .length = 2 * BLOCK},
        };
        Plan plan;

        (void)state;
        plan = plan_of_extents(back, ELEMENTS(back));
        assert_int_equal(plan.n_regions, 1);
        assert_int_equal(plan.bytes, 4 * BLOCK);
        plan_done(&plan);
        plan = plan_of_extents(twice, ELEMENTS(twice));
        assert_int_equal(plan.runs_before, 1);
        plan_done(&plan);
}

/* A compressed extent ends on the disk long before the next one would begin if it were not. */
static void compressed_extents_go_on_where_they_end_on_the_disk(void **state)
{
        static const struct {
                unsigned logical, physical, encoded_blocks;
        } two_blocks_each[] = {{0, 100, 1}, {2, 101, 1}, {4, 112, 1}, {6, 90, 1}, {8, 91, 0}};
        Extent extents[ELEMENTS(two_blocks_each)];
        Plan plan;

        for (size_t i = 0; i < ELEMENTS(extents); i++)
                extents[i] = (Extent){
                        .logical = two_blocks_each[i].logical * BLOCK,
                        .physical = two_blocks_each[i].physical * BLOCK,
                        .length = 2 * BLOCK,
                        .encoding = two_blocks_each[i].encoded_blocks > 0,
                        .encoded_bytes = (uint32_t)(two_blocks_each[i].encoded_blocks * BLOCK),
                };
        plan = plan_of_extents(extents, ELEMENTS(extents));

        (void)state;
        assert_int_equal(plan.runs_before, 3);
        assert_int_equal(plan.runs_after, 1);
        assert_int_equal(plan.bytes, 10 * BLOCK);
        plan_done(&plan);
        /* What could not be encoded as it is. */
        extents[2].stays = true;
        plan = plan_of_extents(extents, ELEMENTS(extents));
        assert_int_equal(plan.runs_before, 3);
        assert_int_equal(plan.n_regions, 0);
        plan_done(&plan);
}

static void extents_that_are_not_aligned_to_blocks_are_never_moved(void **state)
{
        (void)state;
        for (uint64_t start = 0; start <= 512; start += 512)
                for (uint64_t end = 0; end <= 512; end += 512) {
                        Extent extents[] = {
                                {.logical = 0, .physical = 9 * MIB, .length = BLOCK},
                                {.logical = BLOCK, .physical = 8 * MIB, .length = BLOCK},
                                {.logical = 2 * BLOCK + start,
                                 .physical = 7 * MIB,
                                 .length = BLOCK - start - end},
                                {.logical = 3 * BLOCK, .physical = 6 * MIB, .length = BLOCK},
                        };
                        Plan plan = plan_of_extents(extents, ELEMENTS(extents));

                        assert_int_equal(plan.runs_before, 4);
                        assert_int_equal(plan.n_regions, 1);
                        assert_int_equal(plan.bytes, start || end ? 2 * BLOCK : 4 * BLOCK);
                        plan_done(&plan);
                }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(files_of_one_run_or_none_are_optimal),
                cmocka_unit_test(bad_runs_become_one_region),
                cmocka_unit_test(holes_stay_holes_and_edges_are_allocated),
                cmocka_unit_test(a_run_goes_on_behind_a_hole),
                cmocka_unit_test(written_and_unwritten_parts_of_one_run_are_not_fragmentation),
                cmocka_unit_test(good_runs_stay_and_part_the_bad),
                cmocka_unit_test(nothing_is_moved_for_less_than_it_costs),
                cmocka_unit_test(shared_extents_are_walls),
                cmocka_unit_test(what_may_be_unshared_is_moved_and_counted),
                cmocka_unit_test(a_run_that_is_partly_shared_is_not_cut),
                cmocka_unit_test(what_has_no_address_is_a_wall),
                cmocka_unit_test(what_lies_behind_eof_is_not_planned),
                cmocka_unit_test(the_last_run_of_an_incomplete_map_stays),
                cmocka_unit_test(limits_cut_a_group_and_leave_no_small_rest),
                cmocka_unit_test(regions_begin_and_end_on_the_unit),
                cmocka_unit_test(pieces_that_only_move_together_count_together_against_the_limits),
                cmocka_unit_test(parts_of_one_extent_move_together_or_not_at_all),
                cmocka_unit_test(what_was_moved_is_not_taken_up_again),
                cmocka_unit_test(a_file_with_fewer_runs_than_wanted_is_left_alone),
                cmocka_unit_test(sharing_is_blamed_only_where_it_is_the_reason),
                cmocka_unit_test(a_whole_file_is_moved_if_all_of_it_is_worth_it),
                cmocka_unit_test(a_whole_file_with_any_wall_stays),
                cmocka_unit_test(the_numbers_of_a_plan_say_what_it_does),
                cmocka_unit_test(sixteen_mebibytes_in_small_pieces_become_one_run_on_any_disk),
                cmocka_unit_test(a_large_file_is_moved_by_regions_and_only_where_it_is_bad),
                cmocka_unit_test(a_large_file_with_few_bad_pieces_is_not_worth_moving_whole),
                cmocka_unit_test(the_benefit_test_does_not_overflow),
                cmocka_unit_test(extents_that_overlap_or_go_back_are_never_moved),
                cmocka_unit_test(compressed_extents_go_on_where_they_end_on_the_disk),
                cmocka_unit_test(extents_that_are_not_aligned_to_blocks_are_never_moved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
