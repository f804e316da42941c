/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Exclude= patterns against paths: by table, against a slow and simple matcher, and against the clock. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/number.h"
#include "facts/config.h"
#include "facts/config_match.h"

static bool covers(const char *pattern, const char *path)
{
        char *patterns[] = {(char *)(uintptr_t)pattern};
        VolumeConfig config = {.excludes = patterns, .n_excludes = 1};

        return config_excludes(&config, path);
}

typedef struct MatchCase {
        const char *pattern, *path;
        bool covered;
} MatchCase;

static void assert_matches(const MatchCase *cases, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (covers(cases[i].pattern, cases[i].path) != cases[i].covered)
                        fail_msg("'%s' %s '%s'", cases[i].pattern,
                                 cases[i].covered ? "does not cover" : "covers", cases[i].path);
}

static void a_double_star_covers_everything_below_at_any_depth(void **state)
{
        static const MatchCase cases[] = {
                {"/boot/**", "/boot/vmlinuz", true},
                {"/boot/**", "/boot/efi/EFI/debian/grub.cfg", true},
                {"/boot/**", "/boot", true}, /* the directory itself */
                {"/boot/**", "/boots", false},
                {"/boot/**", "/boots/x", false},
                {"/boot/**", "/boo", false},
                {"/boot/**", "/srv/boot/x", false},
                {"/boot/**", "/", false},
                {"/srv/*/**", "/srv/a", true},
                {"/srv/*/**", "/srv/a/b", true},
                {"/srv/*/**", "/srv", false},
                {"/**", "/", true},
                {"/**", "/a/b", true},
                {"**", "/a/b", true},
                {"**/*.iso", "/debian.iso", true},
                {"**/*.iso", "/srv/images/debian.iso", true},
                {"**/*.iso", "/srv/images/debian.iso.part", false},
                {"/srv/a**", "/srv/abc/d", true},
                {"/srv/a**", "/srv/b/a", false},
                {"/srv/***", "/srv/abc/d", true},
        };

        (void)state;
        assert_matches(cases, ELEMENTS(cases));
}

static void a_double_star_between_slashes_also_stands_for_no_component(void **state)
{
        static const MatchCase cases[] = {
                {"/a/**/b", "/a/b", true},     {"/a/**/b", "/a/x/b", true},
                {"/a/**/b", "/a/x/y/b", true}, {"/a/**/b", "/a/xb", false},
                {"/a/**/b", "/ab", false},     {"/a/**/b", "/a/b/c", false},
                {"/a/**/b/**", "/a/b", true},  {"/a/**/b/**", "/a/x/b/c/d", true},
                {"/a/**/**/b", "/a/b", true},  {"/a**/b", "/a/b", true},
                {"/a**/b", "/ax/y/b", true},
        };

        (void)state;
        assert_matches(cases, ELEMENTS(cases));
}

static void a_star_and_a_question_mark_stay_within_a_component(void **state)
{
        static const MatchCase cases[] = {
                {"/srv/*", "/srv/a", true},
                {"/srv/*", "/srv/", true},
                {"/srv/*", "/srv/.hidden", true},
                {"/srv/*", "/srv/a/b", false},
                {"/srv/*/c", "/srv/a/c", true},
                {"/srv/*/c", "/srv/a/b/c", false},
                {"/srv/*.db", "/srv/a.db.db", true},
                {"/srv/a*b*c", "/srv/axbybzc", true},
                {"/srv/a*b*c", "/srv/axc", false},
                {"/a?c", "/abc", true},
                {"/a?c", "/a/c", false},
                {"/a?c", "/ac", false},
                {"/a?c", "/a\u00e4c", true}, /* a character, not a byte */
                {"/a??c", "/a\u00e4c", false},
                {"/a?c",
                 "/a\xff"
                 "c",
                 true},
                {"/a?", "/a\xc3", true},
                {"/plain", "/plain", true},
                {"/plain", "/plainer", false},
                {"/plain", "/plai", false},
                {"/plain", "/PLAIN", false},
                {"", "", true},
                {"", "/", false},
        };

        (void)state;
        assert_matches(cases, ELEMENTS(cases));
}

static void a_set_stands_for_one_of_its_characters(void **state)
{
        static const MatchCase cases[] = {
                {"/[abc]", "/b", true},
                {"/[abc]", "/d", false},
                {"/[abc]", "/[abc]", false},
                {"/[a-c]x", "/bx", true},
                {"/[c-a]x", "/bx", false},
                {"/[!a-c]", "/d", true},
                {"/[!a-c]", "/b", false},
                {"/[^a-c]", "/d", true},
                {"/[!a]b", "//b", false}, /* never a slash */
                {"/a[.-0]b", "/a/b", false},
                {"/[]]", "/]", true},
                {"/[!]]", "/]", false},
                {"/[]-]", "/-", true},
                {"/[a-]", "/-", true},
                {"/[-a]", "/-", true},
                {"/[*?]", "/*", true},
                {"/[*?]", "/x", false},
                {"/[[]", "/[", true},
                {"/[\\]]x", "/]x", true},
                {"/[\u00e0-\u00ff]", "/\u00e4", true},
                {"/[\u00e4\u00f6]", "/\u00fc", false},
                {"/[!a]", "/\u00e4", true},
                {"/a[", "/a[", true}, /* never closed */
        };

        (void)state;
        assert_matches(cases, ELEMENTS(cases));
}

static void a_backslash_takes_the_next_character_as_it_is(void **state)
{
        static const MatchCase cases[] = {
                {"/a\\*b", "/a*b", true},     {"/a\\*b", "/axb", false}, {"/a\\?", "/a?", true},
                {"/a\\?", "/ab", false},      {"/\\[a]", "/[a]", true},  {"/\\[a]", "/a", false},
                {"/a\\\\b", "/a\\b", true},   {"/a\\", "/a\\", true},    {"/\\*\\*/x", "/**/x", true},
                {"/\\*\\*/x", "/a/x", false}, {"/\\**", "/*abc", true},
        };

        (void)state;
        assert_matches(cases, ELEMENTS(cases));
}

static void any_one_of_the_patterns_is_enough(void **state)
{
        char first[] = "/a/*", second[] = "/b/**";
        char *patterns[] = {first, second};
        VolumeConfig config = {.excludes = patterns, .n_excludes = 2};

        (void)state;
        assert_true(config_excludes(&config, "/a/x"));
        assert_true(config_excludes(&config, "/b/x/y"));
        assert_false(config_excludes(&config, "/a/x/y"));
        config.n_excludes = 0;
        assert_false(config_excludes(&config, "/a/x"));
}

static void a_set_that_is_never_closed_is_found(void **state)
{
        static const char *const closed[] = {"",      "/a",   "/[a]", "/[]]",   "/[!]]",
                                             "/\\[a", "/[[]", "/a]",  "/[a][b]"};
        static const char *const open[] = {"/[", "/[a", "/[]", "/[!]", "/[a][", "/[a\\]", "/[a-"};

        (void)state;
        for (size_t i = 0; i < ELEMENTS(closed); i++)
                assert_true(config_pattern_is_closed(closed[i]));
        for (size_t i = 0; i < ELEMENTS(open); i++)
                assert_false(config_pattern_is_closed(open[i]));
}

/* What the header says, tried in every way. Knows letters, "/", "?", stars. */
static bool slowly_covers(const char *first, const char *pattern, const char *path)
{
        if (*path == '\0' && strcmp(pattern, "/**") == 0)
                return true;
        if (pattern[0] == '*' && pattern[1] == '*') {
                const char *behind = pattern + strspn(pattern, "*");
                bool by_component = *behind == '/' && (pattern == first || pattern[-1] == '/');

                if (by_component) {
                        for (;;) {
                                if (slowly_covers(first, behind + 1, path))
                                        return true;
                                path = strchr(path, '/');
                                if (!path)
                                        return false;
                                path++;
                        }
                }
                do
                        if (slowly_covers(first, behind, path))
                                return true;
                while (*path++ != '\0');
                return false;
        }
        if (*pattern == '*') {
                for (;; path++) {
                        if (slowly_covers(first, pattern + 1, path))
                                return true;
                        if (*path == '\0' || *path == '/')
                                return false;
                }
        }
        if (*pattern == '\0' || *path == '\0')
                return *pattern == *path;
        if (*pattern == '?' ? *path == '/' : *pattern != *path)
                return false;
        return slowly_covers(first, pattern + 1, path + 1);
}

static void the_result_is_that_of_trying_everything(void **state)
{
        static const char *const pieces[] = {"a", "a", "b", "/", "*", "**", "?", "/**", "**/"};
        const unsigned seed = 11;
        unsigned n_covered = 0;

        (void)state;
        print_message("seed %u\n", seed);
        srandom(seed);
        for (unsigned round = 0; round < 400000; round++) {
                size_t n_pieces = (size_t)random() % 8, n_path = (size_t)random() % 9;
                char pattern[32] = "", path[16] = "";
                bool expected;

                for (size_t i = 0; i < n_pieces; i++)
                        strncat(pattern, pieces[(size_t)random() % ELEMENTS(pieces)], 3);
                for (size_t i = 0; i < n_path; i++)
                        path[i] = "aab/"[random() % 4];
                expected = slowly_covers(pattern, pattern, path);
                if (covers(pattern, path) != expected)
                        fail_msg("'%s' %s '%s'", pattern, expected ? "does not cover" : "covers", path);
                n_covered += expected;
        }
        /* Both answers must have been tried often. */
        assert_true(n_covered > 20000 && n_covered < 380000);
}

static void no_pattern_reads_behind_the_end(void **state)
{
        static const char letters[] = "ab/*?[]!^-\\\xc3\xa4\xf0\xff";
        const unsigned seed = 5;

        (void)state;
        print_message("seed %u\n", seed);
        srandom(seed);
        for (unsigned round = 0; round < 200000; round++) {
                size_t n_pattern = (size_t)random() % 12, n_path = (size_t)random() % 12;
                char *pattern = calloc(1, n_pattern + 1), *path = calloc(1, n_path + 1);

                if (!pattern || !path)
                        abort();
                for (size_t i = 0; i < n_pattern; i++)
                        pattern[i] = letters[(size_t)random() % (sizeof(letters) - 1)];
                for (size_t i = 0; i < n_path; i++)
                        path[i] = letters[(size_t)random() % (sizeof(letters) - 1)];
                (void)covers(pattern, path);
                (void)config_pattern_is_closed(pattern);
                free(pattern);
                free(path);
        }
}

static void a_hostile_pattern_costs_no_more_than_a_moment(void **state)
{
        char pattern[401] = "", path[4096] = "";
        uint64_t start;

        (void)state;
        /* Sixteen components of 250 letters against stars whose last letter never comes: a matcher that goes back to
         * every star would need longer than anybody lives. */
        for (size_t i = 0; i + 251 < sizeof(path); i += 251) {
                path[i] = '/';
                memset(path + i + 1, 'a', 250);
        }
        for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
                memcpy(pattern + i, i % 20 == 0 ? "**" : (i % 4 == 0 ? "a*" : "*a"), 2);
        memcpy(pattern + 396, "*b", 3);
        start = clock_monotonic_usec();
        assert_false(covers(pattern, path));
        pattern[0] = '/';
        pattern[1] = 'a';
        assert_false(covers(pattern, path));
        print_message("%llu us\n", (unsigned long long)(clock_monotonic_usec() - start));
        /* Milliseconds; the rest is for sanitizers and busy machines. */
        assert_true(clock_monotonic_usec() - start < 20 * USEC_PER_SEC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_double_star_covers_everything_below_at_any_depth),
                cmocka_unit_test(a_double_star_between_slashes_also_stands_for_no_component),
                cmocka_unit_test(a_star_and_a_question_mark_stay_within_a_component),
                cmocka_unit_test(a_set_stands_for_one_of_its_characters),
                cmocka_unit_test(a_backslash_takes_the_next_character_as_it_is),
                cmocka_unit_test(any_one_of_the_patterns_is_enough),
                cmocka_unit_test(a_set_that_is_never_closed_is_found),
                cmocka_unit_test(the_result_is_that_of_trying_everything),
                cmocka_unit_test(no_pattern_reads_behind_the_end),
                cmocka_unit_test(a_hostile_pattern_costs_no_more_than_a_moment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
