/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What has the kernel left of a slice where it was? Maps are written as strings, a letter a block, each its place on the disk; '.' is a hole,
 * '_' a preallocated block. */

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

/* The same of extents of four blocks: the kernel stops within one. */
static const struct {
        const char *before, *after;
        bool singles;
        unsigned rest;
} parts[] = {
        {"abcdijkl", "qrstuvwx", false, 8}, {"abcdijkl", "qrstuvwx", true, 8},
        {"abcdijkl", "abcdijkl", false, 0}, {"abcdijkl", "abcdijkl", true, 0},
        {"abcdijkl", "qrstijkl", false, 8}, {"abcdijkl", "qrstijkl", true, 4},
        {"abcdijkl", "qrcdijkl", false, 2}, {"abcdijkl", "qrcdijkl", true, 2},
        {"abcdijkl", "qrstuvkl", false, 6}, {"abcdijkl", "qrstuvkl", true, 6},
        {"abcdijkl", "qrcduvwx", true, 8},  {"abcdijkl", "qrst....", true, 8},
        {"abcdijkl", "qrstuv..", true, 8},
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

static void rest_compare(const char *before_text, const char *after_text, bool where_runs_join,
                         unsigned offset, unsigned end, bool singles, unsigned rest)
{
        Extent before_extents[BLOCKS], after_extents[BLOCKS];
        ExtentMap before, after;
        BtrfsSlice slice;
        uint64_t found;

        map_make(before_text, where_runs_join, before_extents, &before);
        map_make(after_text, true, after_extents, &after);
        btrfs_slice_count(&before, offset * BLOCK, end * BLOCK, &slice);
        found = btrfs_slice_rest(&before, &after, &slice, singles);
        if (found != rest * BLOCK)
                fail_msg("%s, then %s: block %llu, not %u", before_text, after_text,
                         (unsigned long long)(found / BLOCK), rest);
}

static void what_was_left_is_known(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                rest_compare(cases[i].before, cases[i].after, false, cases[i].offset, cases[i].end,
                             cases[i].singles, cases[i].rest);
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                rest_compare(parts[i].before, parts[i].after, true, 0, 8, parts[i].singles, parts[i].rest);
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
        for (; btrfs_slice_next(&map, at, least_bytes, true, &slice); at = slice.end) {
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

/* Lengths in KiB, one extent behind the other: a number alone is compressed, "p" in front of one means that it is not, "h" that it is a hole. */
static const struct {
        const char *extents;
        uint64_t least_kib;
        const char *slices;
} chunks[] = {
        /* Chunks of 128 KiB that begin and end with extents. */
        {"64 64 128 32 32 32 32", 1024, "384"},
        {"128 128 128 128 128 128 128 128 128", 1024, "1024 128"},
        {"16 16 16 16 16 16 16 16 16 16", 128, "128 32"},
        /* The first one only. */
        {"128 128 128", 128, "128 128 128"},
        /* The next one would be cut. */
        {"96 96 32 128", 1024, "96 256"},
        {"12 12 12 12 12 12 12 12 12 12 12 12", 1024, "120 24"},
        {"128 100 100 28", 1024, "228 128"},
        /* Behind a hole chunks begin anew. */
        {"96 h4 96 32 128", 1024, "96 4+256"},
        {"96 h4 128 h4 64 64 1", 1024, "96 4+128 4+129"},
        /* What is not compressed is a matter of its own. */
        {"64 p64 p64 64 64", 1024, "64 128 128"},
        {"p64 64 h4 p64", 1024, "64 64 4+64"},
        /* Of an algorithm to come. */
        {"64 256 64", 1024, "64"},
};

static size_t extents_parse(const char *text, Extent *extents)
{
        uint64_t at = 0, place = 1 << 30;
        size_t n = 0;

        while (*text != '\0') {
                const char kind = *text;
                char *end;

                if (kind == 'h' || kind == 'p')
                        text++;
                const uint64_t length = strtoull(text, &end, 10) * KIB;
                if (kind != 'h') {
                        assert_true(n < BLOCKS);
                        extents[n++] = (Extent){
                                .logical = at,
                                .physical = place,
                                .length = length,
                                .encoding = kind != 'p',
                                .encoded_bytes = kind == 'p' ? 0 : 4096,
                        };
                        place -= MIB;
                }
                at += length;
                text = end + (*end == ' ');
        }
        return n;
}

/* slices: their lengths, holes within with a plus. */
static void slices_compare(const ExtentMap *map, uint64_t least_bytes, bool singles, const char *extents,
                           const char *slices)
{
        BtrfsSlice slice;

        for (uint64_t at = 0; btrfs_slice_next(map, at, least_bytes, singles, &slice); at = slice.end) {
                uint64_t n_bytes = 0;
                char *end = NULL;

                for (; *slices != '\0' && *slices != ' '; slices = end + (*end == '+'))
                        n_bytes += strtoull(slices, &end, 10) * KIB;
                slices += *slices == ' ';
                if (slice.end - slice.offset != n_bytes)
                        fail_msg("%s: %llu KiB, not %llu", extents,
                                 (unsigned long long)((slice.end - slice.offset) / KIB),
                                 (unsigned long long)(n_bytes / KIB));
                assert_int_equal(slice.encoded_bytes, slice.encoding ? slice.written_bytes : 0);
                assert_int_equal(slice.disk_bytes,
                                 slice.encoding ? slice.n_runs * 4096 : slice.written_bytes);
        }
        if (*slices != '\0')
                fail_msg("%s: and then %s", extents, slices);
}

static void what_is_compressed_is_cut_by_whole_chunks(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(chunks); i++) {
                Extent extents[BLOCKS];
                const ExtentMap map = {.extents = extents,
                                       .n_extents = extents_parse(chunks[i].extents, extents)};

                slices_compare(&map, chunks[i].least_kib * KIB, true, chunks[i].extents, chunks[i].slices);
        }
}

/* The same of a kernel that moves no single extents: none is handed to it that it would move in part, or not at all. */
static void what_has_none_next_to_it_is_moved_whole_or_not(void **state)
{
        static const struct {
                const char *extents, *slices;
        } ends[] = {
                {"p64 p64 p64 p64", "256"},
                /* Ends with a cluster, begins with one, goes over its end. */
                {"p128 p128", "256"},
                {"p256 p128", "384"},
                {"p128 p132", "128"},
                {"p64 p64 p200", "128"},
                {"p64 p64 p200 p4", "332"},
                /* So does the last one in front of a hole. */
                {"p64 p64 p200 h4 p64 p64", "128 128"},
                /* Nothing next to it at all. */
                {"p64 h4 p64 h4 p64", ""},
                {"p64 h4 p64 p64", "128"},
                {"p64 p64 h4 p64", "128"},
                /* Clusters begin anew behind a hole, and so do slices. */
                {"p64 p64 h100 p252 p4 p12", "128 268"},
                {"p64 p64 h100 p252 p8", "128 252"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                Extent extents[BLOCKS];
                const ExtentMap map = {.extents = extents,
                                       .n_extents = extents_parse(ends[i].extents, extents)};

                slices_compare(&map, MIB, false, ends[i].extents, ends[i].slices);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_has_none_next_to_it_is_moved_whole_or_not),
                cmocka_unit_test(what_is_compressed_is_cut_by_whole_chunks),
                cmocka_unit_test(what_was_left_is_known),
                cmocka_unit_test(small_extents_and_large_ones),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
