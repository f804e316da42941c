/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bounded list: what it keeps, what it lets go, in which order it ends up. Leaks are the sanitizer's
 * to find. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "work/candidate.h"

static void add(CandidateList *list, uint64_t inode, uint64_t n_extents, uint64_t size_bytes,
                const char *path)
{
        Candidate item = {
                .id = {.inode = inode, .generation = 1},
                .size_bytes = size_bytes,
                .n_extents = n_extents,
                .path = path ? strdup(path) : NULL,
        };

        assert_int_equal(candidate_list_add(list, &item), 0);
}

static uint64_t fewest_extents(const CandidateList *list)
{
        uint64_t fewest = UINT64_MAX;

        for (size_t i = 0; i < list->n_items; i++)
                fewest = u64_min(fewest, list->items[i].n_extents);
        return fewest;
}

/* A permutation of 0 ... n - 1 for n = 2^17: an odd factor is invertible. */
static uint64_t shuffled(uint64_t i)
{
        return (i * 70657 + 12345) % (2 * CANDIDATES_MAX);
}

static void an_empty_list_can_be_sorted_and_released(void **state)
{
        CandidateList list = {0};

        (void)state;
        candidate_list_sort(&list);
        candidate_list_done(&list);
        candidate_list_done(&list);
        assert_null(list.items);
}

static void a_list_keeps_everything_while_it_has_room(void **state)
{
        CandidateList list = {0};

        (void)state;
        for (uint64_t i = 0; i < CANDIDATES_MAX; i++)
                add(&list, i + 1, i, MIB, i % 1000 == 0 ? "/srv/file" : NULL);
        assert_int_equal(list.n_items, CANDIDATES_MAX);
        assert_int_equal(list.n_dropped, 0);
        for (uint64_t i = 0; i < CANDIDATES_MAX; i++)
                assert_int_equal(list.items[i].id.inode, i + 1);
        candidate_list_done(&list);
        assert_int_equal(list.n_items, 0);
}

static void a_full_list_keeps_the_files_with_more_extents(void **state)
{
        CandidateList list = {0};

        (void)state;
        for (uint64_t i = 0; i < 2 * CANDIDATES_MAX; i++)
                add(&list, i + 1, shuffled(i), MIB, "/srv/file");
        assert_int_equal(list.n_items, CANDIDATES_MAX);
        assert_int_equal(list.n_dropped, CANDIDATES_MAX);
        assert_int_equal(fewest_extents(&list), CANDIDATES_MAX);
        candidate_list_sort(&list);
        for (size_t i = 0; i < list.n_items; i++) {
                assert_int_equal(list.items[i].n_extents, 2 * CANDIDATES_MAX - 1 - i);
                assert_string_equal(list.items[i].path, "/srv/file");
        }
        candidate_list_done(&list);
}

static void a_full_list_that_was_sorted_still_lets_the_least_go(void **state)
{
        CandidateList list = {0};

        (void)state;
        for (uint64_t i = 0; i < CANDIDATES_MAX + 100; i++)
                add(&list, i + 1, shuffled(i), (1 + shuffled(i) % 7) * MIB, NULL);
        candidate_list_sort(&list);
        for (uint64_t i = CANDIDATES_MAX + 100; i < 2 * CANDIDATES_MAX; i++) {
                add(&list, i + 1, shuffled(i), MIB, NULL);
                if (i % 10000 == 0)
                        candidate_list_sort(&list);
        }
        assert_int_equal(list.n_items, CANDIDATES_MAX);
        assert_int_equal(list.n_dropped, CANDIDATES_MAX);
        assert_int_equal(fewest_extents(&list), CANDIDATES_MAX);
        candidate_list_done(&list);
}

static void a_newcomer_with_no_more_extents_than_the_least_is_dropped(void **state)
{
        CandidateList list = {0};

        (void)state;
        for (uint64_t i = 0; i < CANDIDATES_MAX; i++)
                add(&list, i + 1, 5, MIB, NULL);
        add(&list, 1000000, 5, MIB, "/dropped");
        assert_int_equal(list.n_dropped, 1);
        for (size_t i = 0; i < list.n_items; i++)
                assert_int_not_equal(list.items[i].id.inode, 1000000);
        candidate_list_done(&list);
}

static void what_is_taken_out_leaves_the_order_and_room_for_others(void **state)
{
        _cleanup_free_ bool *marked = calloc(CANDIDATES_MAX, sizeof(*marked));
        CandidateList list = {0};

        (void)state;
        assert_non_null(marked);
        for (uint64_t i = 0; i < CANDIDATES_MAX + 10; i++)
                add(&list, i + 1, 10 + i, MIB, "/srv/file");
        candidate_list_sort(&list);
        for (size_t i = 0; i < CANDIDATES_MAX; i++)
                marked[i] = i % 1024 != 0;
        candidate_list_remove(&list, marked);
        assert_int_equal(list.n_items, CANDIDATES_MAX / 1024);
        for (size_t i = 0; i < list.n_items; i++)
                assert_int_equal(list.items[i].id.inode, CANDIDATES_MAX + 10 - 1024 * i);

        for (uint64_t i = 0; i < CANDIDATES_MAX; i++)
                add(&list, 1000000 + i, 1 + i % 3, MIB, "/srv/newcomer");
        assert_int_equal(list.n_items, CANDIDATES_MAX);
        assert_int_equal(list.n_dropped, 10 + CANDIDATES_MAX / 1024);

        memset(marked, true, CANDIDATES_MAX);
        candidate_list_remove(&list, marked);
        assert_int_equal(list.n_items, 0);
        add(&list, 1, 2, MIB, "/srv/file");
        assert_int_equal(list.n_items, 1);
        candidate_list_done(&list);
}

static void most_extents_for_the_least_bytes_come_first(void **state)
{
        static const uint64_t expected[] = {4, 2, 5, 6, 1, 3, 7, 8};
        CandidateList list = {0};

        (void)state;
        add(&list, 1, 1000, 100 * MIB, NULL); /* 10 per MiB */
        add(&list, 8, 400, 0, NULL);          /* nothing to move: last */
        add(&list, 3, 9, MIB, "/nine");
        add(&list, 6, 20, MIB, NULL); /* 20 per MiB, as the next: by inode */
        add(&list, 5, 40, 2 * MIB, NULL);
        add(&list, 2, 21, MIB, NULL);
        add(&list, 7, 0, MIB, NULL); /* unknown */
        add(&list, 4, 22, MIB, NULL);
        candidate_list_sort(&list);
        for (size_t i = 0; i < ELEMENTS(expected); i++)
                assert_int_equal(list.items[i].id.inode, expected[i]);
        assert_string_equal(list.items[5].path, "/nine");
        candidate_list_done(&list);
}

static void the_order_holds_where_64_bits_would_overflow(void **state)
{
        CandidateList list = {0};

        (void)state;
        add(&list, 1, UINT64_MAX - 1, UINT64_MAX, NULL);
        add(&list, 2, UINT64_MAX, UINT64_MAX, NULL);
        add(&list, 3, UINT64_MAX, UINT64_MAX - 1, NULL);
        candidate_list_sort(&list);
        assert_int_equal(list.items[0].id.inode, 3);
        assert_int_equal(list.items[1].id.inode, 2);
        assert_int_equal(list.items[2].id.inode, 1);
        candidate_list_done(&list);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_empty_list_can_be_sorted_and_released),
                cmocka_unit_test(a_list_keeps_everything_while_it_has_room),
                cmocka_unit_test(a_full_list_keeps_the_files_with_more_extents),
                cmocka_unit_test(a_full_list_that_was_sorted_still_lets_the_least_go),
                cmocka_unit_test(a_newcomer_with_no_more_extents_than_the_least_is_dropped),
                cmocka_unit_test(what_is_taken_out_leaves_the_order_and_room_for_others),
                cmocka_unit_test(most_extents_for_the_least_bytes_come_first),
                cmocka_unit_test(the_order_holds_where_64_bits_would_overflow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
