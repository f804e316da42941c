/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What of a file name reaches a person, and what is written as \xNN instead. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/number.h"

static void assert_escaped(const char *text, const char *expected)
{
        _cleanup_free_ char *escaped = escape_text(text);

        assert_non_null(escaped);
        assert_string_equal(escaped, expected);
}

static void printable_text_passes_unchanged(void **state)
{
        static const char *const texts[] = {
                "",
                "/srv/db/events 2.log",
                " !\"#$%&'()*+,-./0:;<=>?@A[]^_`a{|}~",
                "/home/j\u00f6rg/\u0444\u0430\u0439\u043b/\u6587\u4ef6/\U0001f600",
                "\u00a0\u00ae\ufffd\U0010fffd",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++)
                assert_escaped(texts[i], texts[i]);
}

static void a_missing_text_is_said_to_be_unknown(void **state)
{
        (void)state;
        assert_escaped(NULL, "(unknown)");
}

static void controls_and_backslashes_are_written_in_hexadecimal(void **state)
{
        (void)state;
        assert_escaped("x\nSTOPPING=1", "x\\x0aSTOPPING=1");
        assert_escaped("\x1b[2J\a\t\r\x7f", "\\x1b[2J\\x07\\x09\\x0d\\x7f");
        assert_escaped("a\\x0ab", "a\\x5cx0ab");
        assert_escaped("\xc2\x80\xc2\x85\xc2\x9b", "\\xc2\\x80\\xc2\\x85\\xc2\\x9b");
        for (char c = 1; c < ' '; c++) {
                char text[] = {c, '\0'}, expected[8];

                snprintf(expected, sizeof(expected), "\\x%02x", (unsigned)c);
                assert_escaped(text, expected);
        }
}

static void what_turns_or_hides_text_is_written_in_hexadecimal(void **state)
{
        static const struct {
                uint32_t first, last;
        } ranges[] = {
                {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},   {0xfeff, 0xfeff},
                {0xad, 0xad},     {0x61c, 0x61c},     {0xfff9, 0xfffb},   {0xfdd0, 0xfdef},
                {0xfffe, 0xffff}, {0x1fffe, 0x1ffff}, {0xe0001, 0xe007f}, {0x10fffe, 0x10ffff},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(ranges); i++)
                for (uint32_t c = ranges[i].first; c <= ranges[i].last; c++) {
                        unsigned char text[5] = "";
                        char expected[20] = "";
                        size_t n = c < 0x800 ? 2 : (c < 0x10000 ? 3 : 4);

                        text[0] = (unsigned char)((0xf00U >> n & 0xffU) | c >> (6 * (n - 1)));
                        for (size_t k = 1; k < n; k++)
                                text[k] = (unsigned char)(0x80 | (c >> (6 * (n - 1 - k)) & 0x3f));
                        for (size_t k = 0; k < n; k++)
                                snprintf(expected + 4 * k, 5, "\\x%02x", text[k]);
                        assert_escaped((const char *)text, expected);
                }
        assert_escaped("\u200a\u2010\u2027\u202f\u205f\u2070", "\u200a\u2010\u2027\u202f\u205f\u2070");
}

static void bytes_that_are_not_utf8_are_written_in_hexadecimal(void **state)
{
        static const struct {
                const char *text, *expected;
        } cases[] = {
                {"\xff\xfe", "\\xff\\xfe"},
                {"a\x80z", "a\\x80z"},
                {"\xc3(", "\\xc3("},
                {"\xc3", "\\xc3"},
                {"\xe2\x82", "\\xe2\\x82"},
                {"\xe2\x82\n", "\\xe2\\x82\\x0a"},
                {"\xf0\x9f\x98z", "\\xf0\\x9f\\x98z"},
                {"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong slash */
                {"\xc1\xbf", "\\xc1\\xbf"},                   /* overlong DEL */
                {"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},          /* overlong U+07FF */
                {"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"}, /* overlong U+FFFF */
                {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* first surrogate */
                {"\xed\xbf\xbf", "\\xed\\xbf\\xbf"},          /* last surrogate */
                {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
                {"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"},
                {"\xc3\xc3\xa4", "\\xc3\u00e4"}, /* goes on with the next good one */
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_escaped(cases[i].text, cases[i].expected);
}

static void text_at_the_limit_is_not_cut(void **state)
{
        char text[ESCAPE_MAX_BYTES + 2];
        _cleanup_free_ char *exact = NULL, *over = NULL;

        (void)state;
        memset(text, 'a', sizeof(text));
        text[ESCAPE_MAX_BYTES] = '\0';
        exact = escape_text(text);
        assert_string_equal(exact, text);
        text[ESCAPE_MAX_BYTES] = 'a';
        text[ESCAPE_MAX_BYTES + 1] = '\0';
        over = escape_text(text);
        assert_non_null(over);
        assert_int_equal(strlen(over), ESCAPE_MAX_BYTES);
        assert_non_null(strstr(over, "..."));
}

static void a_cut_keeps_both_ends(void **state)
{
        _cleanup_free_ char *escaped = escape_text_max("/srv/a/very/long/path/to/events.log", 20);

        (void)state;
        assert_string_equal(escaped, "/srv/a/v...vents.log");
}

/* Is text whole characters and whole escapes? */
static bool is_whole(const char *text)
{
        while (*text) {
                unsigned char c = (unsigned char)*text;
                size_t n = c < 0x80 ? 1 : (c < 0xe0 ? 2 : (c < 0xf0 ? 3 : 4));

                if (c == '\\') {
                        if (text[1] != 'x' || strspn(text + 2, "0123456789abcdef") < 2)
                                return false;
                        n = 4;
                } else if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc2)) {
                        return false;
                }
                for (size_t i = 1; i < n && c >= 0x80; i++)
                        if (((unsigned char)text[i] & 0xc0) != 0x80)
                                return false;
                text += n;
        }
        return true;
}

static void a_cut_never_splits_a_character_or_an_escape(void **state)
{
        static const char *const pieces[] = {"a",  "\u00e4", "\u6587", "\U0001f600",
                                             "\n", "\xff",   "\\",     "\u202e"};
        const unsigned seed = 1;

        (void)state;
        print_message("seed %u\n", seed);
        srandom(seed);
        for (unsigned round = 0; round < 20000; round++) {
                size_t limit = 16 + (size_t)random() % 50, n_pieces = (size_t)random() % 60;
                _cleanup_free_ char *escaped = NULL;
                char text[300] = "";

                for (size_t i = 0; i < n_pieces; i++)
                        strncat(text, pieces[(size_t)random() % ELEMENTS(pieces)], 5);
                escaped = escape_text_max(text, limit);
                assert_non_null(escaped);
                assert_true(strlen(escaped) <= limit);
                assert_true(is_whole(escaped));
                /* Not more is lost than one character and one escape of four. */
                if (strstr(escaped, "..."))
                        assert_true(strlen(escaped) + 16 >= limit);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(printable_text_passes_unchanged),
                cmocka_unit_test(a_missing_text_is_said_to_be_unknown),
                cmocka_unit_test(controls_and_backslashes_are_written_in_hexadecimal),
                cmocka_unit_test(what_turns_or_hides_text_is_written_in_hexadecimal),
                cmocka_unit_test(bytes_that_are_not_utf8_are_written_in_hexadecimal),
                cmocka_unit_test(text_at_the_limit_is_not_cut),
                cmocka_unit_test(a_cut_keeps_both_ends),
                cmocka_unit_test(a_cut_never_splits_a_character_or_an_escape),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
