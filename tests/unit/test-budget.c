/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What DailyWrites= leaves, by tables and with a clock that is set back. */

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
#include "decide/budget.h"

static void the_limit_is_what_is_set_or_a_share_by_kind_of_disk(void **state)
{
        static const Amount five_percent = {.is_permille = true, .value = 50}, gib = {.value = GIB};

        (void)state;
        assert_true(budget_daily_bytes(false, gib, false, 1000 * GIB) == 20 * GIB);
        assert_true(budget_daily_bytes(false, gib, true, 1000 * GIB) == 100 * GIB);
        assert_true(budget_daily_bytes(true, gib, true, 1000 * GIB) == GIB);
        assert_true(budget_daily_bytes(true, five_percent, false, 1000 * GIB) == 50 * GIB);
}

static void what_is_left_depends_on_the_day(void **state)
{
        static const struct {
                int64_t day, charged_day;
                uint64_t charged, limit, left;
        } cases[] = {
                {10, 10, 0, 100, 100},   {10, 10, 30, 100, 70},
                {10, 10, 100, 100, 0},   {10, 10, 150, 100, 0},
                {11, 10, 100, 100, 100}, /* a new day */
                {9, 10, 30, 100, 70},    /* the clock was set back */
                {-1, 0, 30, 100, 70},    {10, 10, UINT64_MAX, BYTES_INFINITY, BYTES_INFINITY},
                {10, 10, 0, 0, 0},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                DailyBudget budget = {.day = cases[i].charged_day, .charged_bytes = cases[i].charged};

                assert_true(budget_left(&budget, cases[i].day, cases[i].limit) == cases[i].left);
        }
}

static void a_charge_of_a_new_day_begins_at_nothing_and_an_older_one_adds(void **state)
{
        DailyBudget budget = {.day = 10, .charged_bytes = 50};

        (void)state;
        budget_charge(&budget, 9, 5);
        assert_int_equal(budget.day, 10);
        assert_int_equal(budget.charged_bytes, 55);
        budget_charge(&budget, 11, 7);
        assert_int_equal(budget.day, 11);
        assert_int_equal(budget.charged_bytes, 7);
        budget_charge(&budget, 11, UINT64_MAX);
        assert_true(budget.charged_bytes == UINT64_MAX);
}

static void a_refund_is_for_the_same_day_and_no_more_than_was_charged(void **state)
{
        DailyBudget budget = {.day = 10, .charged_bytes = 50};

        (void)state;
        budget_refund(&budget, 9, 20);
        budget_refund(&budget, 11, 20);
        assert_int_equal(budget.charged_bytes, 50);
        budget_refund(&budget, 10, 20);
        assert_int_equal(budget.charged_bytes, 30);
        budget_refund(&budget, 10, 31);
        assert_int_equal(budget.charged_bytes, 0);
}

static void a_charge_that_a_wrong_clock_made_counts_for_today(void **state)
{
        DailyBudget budget = {0};

        (void)state;
        budget_charge(&budget, 20000, 5);
        budget_redate(&budget, 20000);
        assert_int_equal(budget.day, 20000);
        /* At midnight or over a change of the zone the clock may be a day behind. */
        budget_redate(&budget, 19999);
        assert_int_equal(budget.day, 20000);
        budget_redate(&budget, 19998);
        assert_int_equal(budget.day, 19998);
        assert_int_equal(budget_left(&budget, 19998, 12), 7);
        assert_int_equal(budget_left(&budget, 19999, 12), 12);
}

static void a_lump_is_what_is_needed_or_more_but_never_more_than_is_left(void **state)
{
        (void)state;
        assert_int_equal(budget_lump(1, 100 * GIB, 100 * GIB), 256 * MIB);
        assert_int_equal(budget_lump(GIB, 100 * GIB, 100 * GIB), GIB);
        assert_int_equal(budget_lump(1, 800, 800), 100);
        assert_int_equal(budget_lump(500, 70, 800), 70);
        assert_int_equal(budget_lump(1, BYTES_INFINITY, BYTES_INFINITY), 256 * MIB);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_limit_is_what_is_set_or_a_share_by_kind_of_disk),
                cmocka_unit_test(what_is_left_depends_on_the_day),
                cmocka_unit_test(a_charge_of_a_new_day_begins_at_nothing_and_an_older_one_adds),
                cmocka_unit_test(a_charge_that_a_wrong_clock_made_counts_for_today),
                cmocka_unit_test(a_lump_is_what_is_needed_or_more_but_never_more_than_is_left),
                cmocka_unit_test(a_refund_is_for_the_same_day_and_no_more_than_was_charged),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
