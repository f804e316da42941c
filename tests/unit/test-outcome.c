/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The words of outcome.c: each there, each of its own, each safe in a journal field, a bus string and
 * JSON. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/number.h"
#include "decide/outcome.h"

static void assert_is_word(const char *name)
{
        assert_non_null(name);
        assert_string_not_equal(name, "");
        assert_string_not_equal(name, "unknown");
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name));
        assert_int_not_equal(name[0], '-');
        assert_int_not_equal(name[strlen(name) - 1], '-');
}

static void every_outcome_has_a_word_of_its_own(void **state)
{
        (void)state;
        for (int i = 0; i < OUTCOME_MAX_; i++) {
                assert_is_word(outcome_name((Outcome)i));
                for (int j = 0; j < i; j++)
                        assert_string_not_equal(outcome_name((Outcome)i), outcome_name((Outcome)j));
        }
}

static void every_reason_has_a_word_of_its_own(void **state)
{
        (void)state;
        assert_string_equal(reason_name(REASON_NONE), "");
        for (int i = REASON_NONE + 1; i < REASON_MAX_; i++) {
                assert_is_word(reason_name((Reason)i));
                for (int j = 0; j < i; j++)
                        assert_string_not_equal(reason_name((Reason)i), reason_name((Reason)j));
        }
}

static void words_that_programs_match_on_stay_as_they_are(void **state)
{
        (void)state;
        assert_string_equal(outcome_name(OUTCOME_MOVED), "moved");
        assert_string_equal(outcome_name(OUTCOME_OPTIMAL), "optimal");
        assert_string_equal(outcome_name(OUTCOME_SKIPPED), "skipped");
        assert_string_equal(outcome_name(OUTCOME_CHANGED), "changed");
        assert_string_equal(outcome_name(OUTCOME_BUSY), "busy");
        assert_string_equal(outcome_name(OUTCOME_NO_SPACE), "no-space");
        assert_string_equal(outcome_name(OUTCOME_CANCELLED), "cancelled");
        assert_string_equal(outcome_name(OUTCOME_FAILED), "failed");
        assert_string_equal(reason_name(SKIP_SHARED), "shared");
        assert_string_equal(reason_name(SKIP_SWAPFILE), "swapfile");
        assert_string_equal(reason_name(SKIP_UNSUPPORTED_FILESYSTEM), "unsupported-filesystem");
        assert_string_equal(reason_name(NO_SPACE_FRAGMENTED), "fragmented");
}

static void what_a_person_should_know_first_is_graver(void **state)
{
        static const Outcome ascending[] = {OUTCOME_MOVED,     OUTCOME_OPTIMAL, OUTCOME_SKIPPED,
                                            OUTCOME_CHANGED,   OUTCOME_BUSY,    OUTCOME_NO_SPACE,
                                            OUTCOME_CANCELLED, OUTCOME_FAILED};

        (void)state;
        for (size_t i = 0; i < ELEMENTS(ascending); i++)
                for (size_t j = 0; j < ELEMENTS(ascending); j++)
                        assert_int_equal(outcome_is_graver(ascending[i], ascending[j]), i > j);
}

static void a_number_that_is_no_outcome_still_gives_a_text(void **state)
{
        (void)state;
        assert_string_equal(outcome_name(OUTCOME_MAX_), "unknown");
        assert_string_equal(reason_name(REASON_MAX_), "unknown");
        assert_string_equal(outcome_name((Outcome)12345), "unknown");
        assert_string_equal(reason_name((Reason)12345), "unknown");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_outcome_has_a_word_of_its_own),
                cmocka_unit_test(every_reason_has_a_word_of_its_own),
                cmocka_unit_test(words_that_programs_match_on_stay_as_they_are),
                cmocka_unit_test(what_a_person_should_know_first_is_graver),
                cmocka_unit_test(a_number_that_is_no_outcome_still_gives_a_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
