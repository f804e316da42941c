/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What has the kernel left of a slice where it was? Maps are written as strings, a letter a block, each its place on the disk; '.' is a hole,
 * '_' a preallocated block. */

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/number.h"
#include "fs/btrfs_slice.h"

#define BLOCK  ((uint64_t)4096)
#define BLOCKS 24

static const struct {
        const char *before, *after;
        unsigned offset, end; /* of the slice, blocks */
        bool singles;
        unsigned rest; /* blocks; end: nothing */
} cases[] = {
        /* All of it, and nothing. */
        {"acegik", "stuvwx", 0, 6, false, 6},
        {"acegik", "stuvwx", 0, 6, true, 6},
        {"acegik", "acegik", 0, 6, false, 0},
        {"acegik", "acegik", 0, 6, true, 0},
        /* Stopped in the middle. */
        {"acegik", "stugik", 0, 6, false, 3},
        {"acegik", "stugik", 0, 6, true, 3},
        /* The last one alone is what kernels leave that do not move single extents. */
        {"acegik", "stuvwk", 0, 6, false, 6},
        {"acegik", "stuvwk", 0, 6, true, 5},
        {"ac.g.k", "st.g.k", 0, 6, false, 6},
        {"ac.g.k", "st.g.k", 0, 6, true, 3},
        /* What was left further to the front was left on purpose: behind it the kernel went on. */
        {"acegik", "acuvwx", 0, 6, true, 6},
        /* Preallocated blocks stay. */
        {"ac_e__", "st_u__", 0, 6, true, 6},
        {"ac_eg_", "st_eg_", 0, 6, false, 3},
        /* Only the slice counts. */
        {"acegik", "acstik", 2, 4, true, 4},
        {"acegik", "acegik", 2, 4, true, 2},
        /* What was written, cut or taken out meanwhile is not in its old place. */
        {"acegik", "stu.z.", 0, 6, true, 6},
        {"acegik", "stu", 0, 6, true, 6},
        {"acegik", "", 0, 6, true, 6},
};

/* Extents of one block; where_runs_join: neighbours on the disk become one. */
static void map_make(const char *text, bool where_runs_join, Extent *extents, ExtentMap *ret)
{
        *ret = (ExtentMap){.extents = extents, .complete = true};
        for (size_t i = 0; text[i] != '\0'; i++) {
                const Extent extent = {
                        .logical = i * BLOCK,
                        .physical = (uint64_t)(1 + text[i] - 'a') * BLOCK,
                        .length = BLOCK,
                        .unwritten = text[i] == '_',
                };
                Extent *last = ret->n_extents > 0 ? &extents[ret->n_extents - 1] : NULL;

                if (text[i] == '.')
                        continue;
                assert_true(islower(text[i]) || text[i] == '_');
                if (where_runs_join && last && !last->unwritten && !extent.unwritten &&
                    last->logical + last->length == extent.logical &&
                    last->physical + last->length == extent.physical)
                        last->length += BLOCK;
                else
                        extents[ret->n_extents++] = extent;
        }
}

static void what_was_left_is_known(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Extent before_extents[BLOCKS], after_extents[BLOCKS];
                ExtentMap before, after;
                BtrfsSlice slice;
                uint64_t rest;

                map_make(cases[i].before, false, before_extents, &before);
                map_make(cases[i].after, true, after_extents, &after);
                btrfs_slice_count(&before, cases[i].offset * BLOCK, cases[i].end * BLOCK, &slice);
                rest = btrfs_slice_rest(&before, &after, &slice, cases[i].singles);
                if (rest != cases[i].rest * BLOCK)
                        fail_msg("%s, then %s: block %llu, not %u", cases[i].before, cases[i].after,
                                 (unsigned long long)(rest / BLOCK), cases[i].rest);
        }
}

/* A region is gone through slice by slice: each begins where the one before ended, none is missed, and all but the last are so long. */
static void slices_follow_each_other(uint64_t extent_bytes, uint64_t least_bytes, uint64_t slice_bytes)
{
        enum { N = 400 };
        Extent extents[N];
        const ExtentMap map = {.extents = extents, .n_extents = N, .complete = true};
        uint64_t written = 0, at = 0;
        BtrfsSlice slice;

        for (uint64_t i = 0; i < N; i++)
                extents[i] = (Extent){.logical = i * 2 * extent_bytes,
                                      .physical = (N - i) * 4 * extent_bytes,
                                      .length = extent_bytes};
        for (; btrfs_slice_next(&map, at, least_bytes, &slice); at = slice.end) {
                assert_true(slice.offset == at && slice.end > at);
                assert_int_equal(slice.n_runs, slice.written_bytes / extent_bytes);
                written += slice.written_bytes;
                assert_true(slice.written_bytes == slice_bytes || written == N * extent_bytes);
        }
        assert_int_equal(written, N * extent_bytes);
}

static void small_extents_and_large_ones(void **state)
{
        (void)state;
        slices_follow_each_other(64 * KIB, BTRFS_SLICE_BYTES, BTRFS_SLICE_BYTES);
        slices_follow_each_other(64 * KIB, BTRFS_SLICE_MAX_BYTES, BTRFS_SLICE_MAX_BYTES);
        slices_follow_each_other(BTRFS_SLICE_BYTES / BTRFS_SLICE_EXTENTS, BTRFS_SLICE_BYTES,
                                 BTRFS_SLICE_BYTES);
        slices_follow_each_other(MIB, BTRFS_SLICE_BYTES, BTRFS_SLICE_MAX_BYTES);
        /* Two of these would be the least that can be made one. */
        slices_follow_each_other(BTRFS_SLICE_BYTES, BTRFS_SLICE_BYTES, BTRFS_SLICE_MAX_BYTES);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_left_is_known),
                cmocka_unit_test(small_extents_and_large_ones),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
