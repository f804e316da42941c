/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sizes, spans, amounts and truth values: what is accepted is held against strtold(3) where that can read it, survives being
 * written and read once more, and does not depend on the space around it. What is refused writes nothing. */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/units.h"
#include "fuzz.h"

#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

static void check_result(int r)
{
        require(r == 0 || r == -EINVAL || r == -ERANGE);
}

/* " TEXT\t" */
static char *with_space(const char *text)
{
        char *spaced;

        require(asprintf(&spaced, " \t%s\n ", text) >= 0);
        return spaced;
}

/* Something that no value ends with. */
static char *with_rubbish(const char *text)
{
        char *longer;

        require(asprintf(&longer, "%sx!", text) >= 0);
        return longer;
}

/* A number as C reads it, times unit: as near as 64 bits of mantissa come. */
static void check_near(const char *number, long double unit, uint64_t value)
{
        long double expected = strtold(number, NULL) * unit;

        require(fabsl(expected - (long double)value) <= 2 + expected * 1e-18L);
}

static void check_bytes(const char *text)
{
        static const char letters[] = "BKMGTPE";
        _cleanup_free_ char *spaced = with_space(text), *longer = with_rubbish(text);
        uint64_t bytes = UNTOUCHED, again = UNTOUCHED;
        char shown[BYTES_TEXT], number[24];
        int r = parse_bytes(text, &bytes);

        check_result(r);
        require(parse_bytes(spaced, &again) == r);
        require(again == bytes);
        require(parse_bytes(longer, &again) < 0);
        if (r < 0) {
                require(bytes == UNTOUCHED);
                return;
        }
        if (bytes == BYTES_INFINITY) {
                require(strstr(text, "infinity"));
        } else {
                const char *digits = text + strspn(text, " \t\n\v\f\r"),
                           *unit = digits + strspn(digits, "0123456789.");
                const char *letter;

                unit += strspn(unit, " \t\n\v\f\r");
                letter = *unit ? strchr(letters, *unit) : letters;
                require(isdigit((unsigned char)*digits) && letter);
                check_near(digits, ldexpl(1, (int)(10 * (letter - letters))), bytes);
                snprintf(number, sizeof(number), "%" PRIu64, bytes);
                require(parse_bytes(number, &again) == 0 && again == bytes);
        }
        require(strlen(format_bytes(bytes, shown)) < 24);
        /* "1.5 GiB" rounds down to a tenth; without "iB" it can be read. */
        if (strstr(shown, "iB")) {
                *strstr(shown, "iB") = '\0';
                require(parse_bytes(shown, &again) == 0);
                require(again <= bytes && (long double)(bytes - again) <= 0.11L * (long double)bytes);
        }
}

static void check_usec(const char *text)
{
        _cleanup_free_ char *spaced = with_space(text), *longer = with_rubbish(text), *twice = NULL;
        uint64_t usec = UNTOUCHED, again = UNTOUCHED, sum = UNTOUCHED;
        char shown[USEC_TEXT], number[40];
        int r = parse_usec(text, &usec);

        check_result(r);
        require(parse_usec(spaced, &again) == r);
        require(again == usec);
        require(parse_usec(longer, &again) < 0);
        if (r < 0) {
                require(usec == UNTOUCHED);
                return;
        }
        require(strlen(format_usec(usec, shown)) < USEC_TEXT - 1);
        if (usec == USEC_INFINITY) {
                require(strstr(text, "infinity"));
                return;
        }
        snprintf(number, sizeof(number), "%" PRIu64 "us", usec);
        require(parse_usec(number, &again) == 0 && again == usec);
        /* "2 min 5 s" can be read, too, and is rounded down by less than a part of its smallest unit. */
        require(parse_usec(shown, &again) == 0);
        require(again <= usec &&
                usec - again < (usec < 3600 * USEC_PER_SEC ? USEC_PER_SEC : 60 * USEC_PER_SEC));
        /* Parts add up, in seconds by themselves. */
        require(asprintf(&twice, "%s %" PRIu64 "us", text, usec) >= 0);
        r = parse_usec(twice, &sum);
        if (usec <= (UINT64_MAX - 1) / 2 && !isdigit((unsigned char)text[strlen(text) - 1]))
                require(r == 0 && sum == 2 * usec);
        else
                require(r == -ERANGE || sum >= usec);
        if (text[strspn(text, "0123456789")] == '\0')
                check_near(text, 1e6L, usec);
}

static void check_amount(const char *text)
{
        _cleanup_free_ char *spaced = with_space(text);
        Amount amount = {.value = UNTOUCHED}, again = {.value = UNTOUCHED};
        uint64_t bytes = UNTOUCHED;
        char number[40];
        int r = parse_amount(text, &amount);

        check_result(r);
        require(parse_amount(spaced, &again) == r);
        require(again.value == amount.value && again.is_permille == amount.is_permille);
        if (r < 0) {
                require(amount.value == UNTOUCHED && !amount.is_permille);
                return;
        }
        require(amount.is_permille == !!strchr(text, '%'));
        if (!amount.is_permille) {
                require(parse_bytes(text, &bytes) == 0 && bytes == amount.value);
                require(amount_of(amount, 12345) == bytes);
                return;
        }
        require(amount.value <= 1000);
        check_near(text, 10, amount.value);
        snprintf(number, sizeof(number), "%" PRIu64 ".%" PRIu64 "%%", amount.value / 10, amount.value % 10);
        require(parse_amount(number, &again) == 0 && again.is_permille && again.value == amount.value);
        require(amount_of(amount, UINT64_MAX) <= UINT64_MAX);
        require(amount_of(amount, 1000) == amount.value);
        require(amount_of(amount, 4096) <= 4096);
}

static void check_bool(const char *text)
{
        _cleanup_free_ char *spaced = with_space(text), *longer = with_rubbish(text);
        bool yes = false, no = true, again = false;
        int r = parse_bool(text, &yes);

        require(r == 0 || r == -EINVAL);
        require(parse_bool(text, &no) == r && parse_bool(spaced, &again) == r);
        require(r < 0 ? (!yes && no) : (yes == no && again == yes));
        require(parse_bool(longer, &again) == -EINVAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        _cleanup_free_ char *text = fuzz_text(data, n_bytes);

        check_bytes(text);
        check_usec(text);
        check_amount(text);
        check_bool(text);
        return 0;
}
