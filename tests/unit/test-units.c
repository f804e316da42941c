/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sizes, spans, rates and booleans as systemd spells them, and what is not one. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/number.h"
#include "base/units.h"

#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

typedef struct NumberCase {
        const char *text;
        int result;
        uint64_t value;
} NumberCase;

static void assert_parsed(int (*parse)(const char *, uint64_t *), const NumberCase *cases, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                uint64_t value = UNTOUCHED;
                int r = parse(cases[i].text, &value);

                if (r != cases[i].result || value != (r == 0 ? cases[i].value : UNTOUCHED))
                        fail_msg("'%s' gave %d and %llu", cases[i].text, r, (unsigned long long)value);
        }
}

static void sizes_are_powers_of_1024(void **state)
{
        static const NumberCase cases[] = {
                {"0", 0, 0},
                {"4096", 0, 4096},
                {"4096B", 0, 4096},
                {"256K", 0, 256 * KIB},
                {"1M", 0, MIB},
                {" 1 M ", 0, MIB},
                {"1.5G", 0, GIB + GIB / 2},
                {"1.25G", 0, GIB + GIB / 4},
                {"0.0009765625M", 0, KIB},
                {"2T", 0, 2048 * GIB},
                {"1P", 0, 1024 * 1024 * GIB},
                {"15E", 0, UINT64_C(15) << 60},
                {"1.9", 0, 1},
                {"0.99999999999999999999999999999999E", 0, (UINT64_C(1) << 60) - 1},
                {"18446744073709551614", 0, UINT64_MAX - 1},
                {"infinity", 0, BYTES_INFINITY},
                {" infinity\n", 0, BYTES_INFINITY},
        };

        (void)state;
        assert_parsed(parse_bytes, cases, ELEMENTS(cases));
}

static void what_is_no_size_is_refused(void **state)
{
        static const NumberCase cases[] = {
                {"", -EINVAL, 0},
                {" ", -EINVAL, 0},
                {"K", -EINVAL, 0},
                {"-1", -EINVAL, 0},
                {"+1", -EINVAL, 0},
                {"1k", -EINVAL, 0},
                {"1KB", -EINVAL, 0},
                {"1KiB", -EINVAL, 0},
                {"1 K 1", -EINVAL, 0},
                {"0x10", -EINVAL, 0},
                {"1e3", -EINVAL, 0},
                {"1,5M", -EINVAL, 0},
                {"1.M", -EINVAL, 0},
                {".5M", -EINVAL, 0},
                {"1.2.3M", -EINVAL, 0},
                {"5%", -EINVAL, 0},
                {"Infinity", -EINVAL, 0},
                {"infinityK", -EINVAL, 0},
                {"infinit", -EINVAL, 0},
                {"nan", -EINVAL, 0},
                {"16E", -ERANGE, 0},
                {"18446744073709551615", -ERANGE, 0}, /* would be infinity */
                {"18446744073709551616", -ERANGE, 0},
                {"99999999999999999999999999", -ERANGE, 0},
        };

        (void)state;
        assert_parsed(parse_bytes, cases, ELEMENTS(cases));
}

static void spans_are_sums_of_units(void **state)
{
        static const NumberCase cases[] = {
                {"0", 0, 0},
                {"30", 0, 30 * USEC_PER_SEC},
                {"1.5", 0, 1500000},
                {"10min", 0, 600 * USEC_PER_SEC},
                {"1h 30min", 0, 5400 * USEC_PER_SEC},
                {"1h30min", 0, 5400 * USEC_PER_SEC},
                {" 1 h 30 min ", 0, 5400 * USEC_PER_SEC},
                {"0.5h", 0, 1800 * USEC_PER_SEC},
                {"1w", 0, 604800 * USEC_PER_SEC},
                {"1d", 0, 86400 * USEC_PER_SEC},
                {"500ms", 0, 500000},
                {"7us", 0, 7},
                {"7\u00b5s", 0, 7},
                {"7\u03bcs", 0, 7},
                {"1m", 0, 60 * USEC_PER_SEC},
                {"1M", 0, UINT64_C(2629800) * USEC_PER_SEC},
                {"1y", 0, UINT64_C(31557600) * USEC_PER_SEC},
                {"2 weeks 1 day", 0, 15 * UINT64_C(86400) * USEC_PER_SEC},
                {"infinity", 0, USEC_INFINITY},
        };

        (void)state;
        assert_parsed(parse_usec, cases, ELEMENTS(cases));
}

static void what_is_no_span_is_refused(void **state)
{
        static const NumberCase cases[] = {
                {"", -EINVAL, 0},
                {"  ", -EINVAL, 0},
                {"min", -EINVAL, 0},
                {"-5s", -EINVAL, 0},
                {"5 parsecs", -EINVAL, 0},
                {"5S", -EINVAL, 0},
                {"5min,", -EINVAL, 0},
                {"5\xc2s", -EINVAL, 0},
                {"1h infinity", -EINVAL, 0},
                {"1.s", -EINVAL, 0},
                {"600000y", -ERANGE, 0},
                {"18446744073709551615us", -ERANGE, 0},
                {"18446744073709551614us 1us", -ERANGE, 0},
                {"18446744073709551616us", -ERANGE, 0},
        };

        (void)state;
        assert_parsed(parse_usec, cases, ELEMENTS(cases));
}

static void booleans_have_six_spellings_in_any_case(void **state)
{
        static const char *const yes[] = {"1", "yes", "y", "true", "t", "on", "YES", "On", " yes ", "tRuE"};
        static const char *const no[] = {"0",   "no", "n",   "false",  "f",
                                         "off", "NO", "Off", "\tno\n", "FALSE"};
        static const char *const neither[] = {"", " ", "2", "yess", "ye", "auto", "yes no", "falsefalse"};
        bool value;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(yes); i++) {
                value = false;
                assert_int_equal(parse_bool(yes[i], &value), 0);
                assert_true(value);
        }
        for (size_t i = 0; i < ELEMENTS(no); i++) {
                value = true;
                assert_int_equal(parse_bool(no[i], &value), 0);
                assert_false(value);
        }
        for (size_t i = 0; i < ELEMENTS(neither); i++) {
                value = true;
                assert_int_equal(parse_bool(neither[i], &value), -EINVAL);
                assert_true(value);
        }
}

static void an_amount_is_a_size_or_a_share(void **state)
{
        static const struct {
                const char *text;
                int result;
                bool is_permille;
                uint64_t value;
        } cases[] = {
                {"5%", 0, true, 50},
                {"2.5%", 0, true, 25},
                {"0%", 0, true, 0},
                {"100%", 0, true, 1000},
                {" 100.0% ", 0, true, 1000},
                {"10G", 0, false, 10 * GIB},
                {"0", 0, false, 0},
                {"infinity", 0, false, BYTES_INFINITY},
                {"100.1%", -ERANGE, false, 0},
                {"1000%", -ERANGE, false, 0},
                {"2.55%", -EINVAL, false, 0},
                {"2.50%", -EINVAL, false, 0},
                {"5 %", -EINVAL, false, 0},
                {"5%%", -EINVAL, false, 0},
                {"%", -EINVAL, false, 0},
                {"-5%", -EINVAL, false, 0},
                {"", -EINVAL, false, 0},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Amount amount = {.is_permille = false, .value = UNTOUCHED};
                int r = parse_amount(cases[i].text, &amount);

                if (r != cases[i].result || amount.is_permille != cases[i].is_permille ||
                    amount.value != (r == 0 ? cases[i].value : UNTOUCHED))
                        fail_msg("'%s' gave %d and %llu", cases[i].text, r,
                                 (unsigned long long)amount.value);
        }
}

static void a_share_of_the_largest_volume_does_not_overflow(void **state)
{
        (void)state;
        assert_int_equal(amount_of((Amount){.is_permille = true, .value = 50}, 1000), 50);
        assert_int_equal(amount_of((Amount){.is_permille = true, .value = 50}, 999), 49);
        assert_int_equal(amount_of((Amount){.is_permille = true, .value = 1000}, UINT64_MAX), UINT64_MAX);
        assert_int_equal(amount_of((Amount){.is_permille = true, .value = 1}, UINT64_MAX),
                         UINT64_MAX / 1000);
        assert_int_equal(amount_of((Amount){.value = 7}, 3), 7);
}

static void bytes_are_shown_with_one_decimal_rounded_down(void **state)
{
        static const struct {
                uint64_t bytes;
                const char *text;
        } cases[] = {
                {0, "0 B"},
                {512, "512 B"},
                {1023, "1023 B"},
                {KIB, "1.0 KiB"},
                {KIB + 512, "1.5 KiB"},
                {KIB + KIB / 2 - 1, "1.4 KiB"},
                {2 * KIB - 1, "1.9 KiB"},
                {64 * KIB, "64.0 KiB"},
                {MIB - 1, "1023.9 KiB"},
                {512 * MIB, "512.0 MiB"},
                {GIB + GIB / 2, "1.5 GiB"},
                {UINT64_C(1) << 60, "1.0 EiB"},
                {UINT64_MAX, "15.9 EiB"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[BYTES_TEXT];

                assert_string_equal(format_bytes(cases[i].bytes, text), cases[i].text);
        }
}

static void spans_are_shown_in_two_units_at_most(void **state)
{
        static const struct {
                uint64_t usec;
                const char *text;
        } cases[] = {
                {0, "0 us"},
                {350, "350 us"},
                {999, "999 us"},
                {12999, "12 ms"},
                {3400000, "3.4 s"},
                {59999999, "59.9 s"},
                {125 * USEC_PER_SEC, "2 min 5 s"},
                {3600 * USEC_PER_SEC, "1 h 0 min"},
                {UINT64_MAX - 1, "5124095576 h 1 min"},
                {USEC_INFINITY, "infinity"},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char text[USEC_TEXT];

                assert_string_equal(format_usec(cases[i].usec, text), cases[i].text);
        }
}

static void no_text_makes_a_parser_read_behind_its_end(void **state)
{
        static const char letters[] = "0123456789.% KMGTPEBinfytushdwmo-\t\xc2\xb5";
        const unsigned seed = 7;

        (void)state;
        print_message("seed %u\n", seed);
        srandom(seed);
        for (unsigned round = 0; round < 200000; round++) {
                size_t length = (size_t)random() % 24;
                char *text = malloc(length + 1); /* of its own, for the address sanitizer */
                uint64_t value;
                Amount amount;
                bool yes;

                assert_non_null(text);
                for (size_t i = 0; i < length; i++)
                        text[i] = letters[(size_t)random() % (sizeof(letters) - 1)];
                text[length] = '\0';
                (void)parse_bytes(text, &value);
                (void)parse_usec(text, &value);
                (void)parse_bool(text, &yes);
                if (parse_amount(text, &amount) == 0 && amount.is_permille)
                        assert_true(amount.value <= 1000);
                free(text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sizes_are_powers_of_1024),
                cmocka_unit_test(what_is_no_size_is_refused),
                cmocka_unit_test(spans_are_sums_of_units),
                cmocka_unit_test(what_is_no_span_is_refused),
                cmocka_unit_test(booleans_have_six_spellings_in_any_case),
                cmocka_unit_test(an_amount_is_a_size_or_a_share),
                cmocka_unit_test(a_share_of_the_largest_volume_does_not_overflow),
                cmocka_unit_test(bytes_are_shown_with_one_decimal_rounded_down),
                cmocka_unit_test(spans_are_shown_in_two_units_at_most),
                cmocka_unit_test(no_text_makes_a_parser_read_behind_its_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
