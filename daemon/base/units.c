/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* systemd's spelling of sizes and spans. Numbers are read digit by digit: strtod() would take hexadecimal, exponents and
 * the locale's decimal point. */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/number.h"
#include "base/units.h"

static const char *skip_space(const char *text)
{
        while (isspace((unsigned char)*text))
                text++;
        return text;
}

static bool is_end(const char *text)
{
        return *skip_space(text) == '\0';
}

/* Digits behind the point that count; more of them are below one byte of the largest unit. 10^19 fits in 64 bits. */
#define FRACTION_DIGITS 19

/* Reads "12" or "1.25" times unit, rounded down. Returns 0 with *text behind the number, -EINVAL, -ERANGE. */
static int number_read(const char **text, uint64_t unit, uint64_t *ret)
{
        const char *at = *text;
        uint64_t value = 0, fraction = 0, scale = 1;

        if (!isdigit((unsigned char)*at))
                return -EINVAL;
        for (; isdigit((unsigned char)*at); at++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
                        return -ERANGE;
        if (__builtin_mul_overflow(value, unit, &value))
                return -ERANGE;
        if (*at == '.') {
                at++;
                if (!isdigit((unsigned char)*at))
                        return -EINVAL;
                for (unsigned n = 0; isdigit((unsigned char)*at); at++, n++)
                        if (n < FRACTION_DIGITS) {
                                fraction = fraction * 10 + (uint64_t)(*at - '0');
                                scale *= 10;
                        }
        }
        if (__builtin_add_overflow(value, (uint64_t)((unsigned __int128)unit * fraction / scale), &value))
                return -ERANGE;
        *ret = value;
        *text = at;
        return 0;
}

/* The number comes before its unit, so it is read twice: once to get behind it. */
static int number_skip(const char **text)
{
        uint64_t ignored;

        return number_read(text, 1, &ignored);
}

static bool word_is(const char *text, size_t length, const char *word)
{
        return strlen(word) == length && strncmp(text, word, length) == 0;
}

int parse_bytes(const char *text, uint64_t *ret_bytes)
{
        static const char letters[] = "BKMGTPE";
        const char *start = skip_space(text), *at = start, *letter;
        uint64_t unit = 1, bytes;
        int r;

        if (strncmp(at, "infinity", 8) == 0 && is_end(at + 8)) {
                *ret_bytes = BYTES_INFINITY;
                return 0;
        }
        r = number_skip(&at);
        if (r < 0)
                return r;
        at = skip_space(at);
        if (*at != '\0') {
                letter = strchr(letters, *at);
                if (!letter || !is_end(at + 1))
                        return -EINVAL;
                unit = UINT64_C(1) << (10 * (letter - letters));
        }
        r = number_read(&start, unit, &bytes);
        if (r < 0)
                return r;
        if (bytes == BYTES_INFINITY)
                return -ERANGE;
        *ret_bytes = bytes;
        return 0;
}

typedef struct SpanUnit {
        const char *name;
        uint64_t usec;
} SpanUnit;

/* systemd.time(7). A month is 30.44 days and a year 365.25 there. */
static const SpanUnit span_units[] = {
        {"usec", 1},
        {"us", 1},
        {"\xc2\xb5s", 1}, /* micro sign */
        {"\xce\xbcs", 1}, /* Greek mu */
        {"msec", 1000},
        {"ms", 1000},
        {"seconds", USEC_PER_SEC},
        {"second", USEC_PER_SEC},
        {"sec", USEC_PER_SEC},
        {"s", USEC_PER_SEC},
        {"minutes", 60 * USEC_PER_SEC},
        {"minute", 60 * USEC_PER_SEC},
        {"min", 60 * USEC_PER_SEC},
        {"m", 60 * USEC_PER_SEC},
        {"hours", 3600 * USEC_PER_SEC},
        {"hour", 3600 * USEC_PER_SEC},
        {"hr", 3600 * USEC_PER_SEC},
        {"h", 3600 * USEC_PER_SEC},
        {"days", 86400 * USEC_PER_SEC},
        {"day", 86400 * USEC_PER_SEC},
        {"d", 86400 * USEC_PER_SEC},
        {"weeks", 604800 * USEC_PER_SEC},
        {"week", 604800 * USEC_PER_SEC},
        {"w", 604800 * USEC_PER_SEC},
        {"months", 2629800 * USEC_PER_SEC},
        {"month", 2629800 * USEC_PER_SEC},
        {"M", 2629800 * USEC_PER_SEC},
        {"years", 31557600 * USEC_PER_SEC},
        {"year", 31557600 * USEC_PER_SEC},
        {"y", 31557600 * USEC_PER_SEC},
};

int parse_usec(const char *text, uint64_t *ret_usec)
{
        const char *at = skip_space(text);
        uint64_t total = 0;

        if (strncmp(at, "infinity", 8) == 0 && is_end(at + 8)) {
                *ret_usec = USEC_INFINITY;
                return 0;
        }
        if (*at == '\0')
                return -EINVAL;
        while (*at != '\0') {
                const char *number = at;
                uint64_t unit = 0, part;
                size_t length = 0;
                int r;

                r = number_skip(&at);
                if (r < 0)
                        return r;
                at = skip_space(at);
                while (isalpha((unsigned char)at[length]) || (unsigned char)at[length] >= 0x80)
                        length++;
                if (length == 0)
                        unit = USEC_PER_SEC;
                for (size_t i = 0; i < ELEMENTS(span_units) && unit == 0; i++)
                        if (word_is(at, length, span_units[i].name))
                                unit = span_units[i].usec;
                if (unit == 0)
                        return -EINVAL;
                r = number_read(&number, unit, &part);
                if (r < 0)
                        return r;
                if (__builtin_add_overflow(total, part, &total) || total == USEC_INFINITY)
                        return -ERANGE;
                at = skip_space(at + length);
        }
        *ret_usec = total;
        return 0;
}

int parse_bool(const char *text, bool *ret)
{
        static const char *const yes[] = {"1", "yes", "y", "true", "t", "on"};
        static const char *const no[] = {"0", "no", "n", "false", "f", "off"};
        const char *start = skip_space(text);
        char word[8] = "";
        size_t length = strlen(start);

        while (length > 0 && isspace((unsigned char)start[length - 1]))
                length--;
        if (length == 0 || length >= sizeof(word))
                return -EINVAL;
        memcpy(word, start, length);
        for (size_t i = 0; i < ELEMENTS(yes); i++) {
                if (strcasecmp(word, yes[i]) == 0) {
                        *ret = true;
                        return 0;
                }
                if (strcasecmp(word, no[i]) == 0) {
                        *ret = false;
                        return 0;
                }
        }
        return -EINVAL;
}

int parse_amount(const char *text, Amount *ret)
{
        const char *at = skip_space(text), *point;
        uint64_t value;
        int r;

        /* One decimal place is all that thousandths hold: a second one is refused, not lost. */
        at += strspn(at, "0123456789.");
        if (*at == '%') {
                if (!is_end(at + 1))
                        return -EINVAL;
                point = strchr(text, '.');
                if (point && at - point != 2)
                        return -EINVAL;
                at = skip_space(text);
                r = number_read(&at, 10, &value);
                if (r < 0)
                        return r;
                if (*at != '%')
                        return -EINVAL;
                if (value > 1000)
                        return -ERANGE;
                *ret = (Amount){.is_permille = true, .value = value};
                return 0;
        }
        r = parse_bytes(text, &value);
        if (r < 0)
                return r;
        *ret = (Amount){.value = value};
        return 0;
}

uint64_t amount_of(Amount amount, uint64_t volume_bytes)
{
        if (!amount.is_permille)
                return amount.value;
        return volume_bytes / 1000 * amount.value + volume_bytes % 1000 * amount.value / 1000;
}

char *format_bytes(uint64_t bytes, char text[static BYTES_TEXT])
{
        static const char *const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        uint64_t unit = KIB;
        size_t i = 0;

        if (bytes < KIB) {
                snprintf(text, BYTES_TEXT, "%" PRIu64 " B", bytes);
                return text;
        }
        while (i + 1 < ELEMENTS(names) && bytes / unit >= KIB) {
                unit *= KIB;
                i++;
        }
        snprintf(text, BYTES_TEXT, "%" PRIu64 ".%" PRIu64 " %s", bytes / unit, bytes % unit * 10 / unit,
                 names[i]);
        return text;
}

char *format_usec(uint64_t usec, char text[static USEC_TEXT])
{
        if (usec == USEC_INFINITY)
                snprintf(text, USEC_TEXT, "infinity");
        else if (usec < 1000)
                snprintf(text, USEC_TEXT, "%" PRIu64 " us", usec);
        else if (usec < USEC_PER_SEC)
                snprintf(text, USEC_TEXT, "%" PRIu64 " ms", usec / 1000);
        else if (usec < 60 * USEC_PER_SEC)
                snprintf(text, USEC_TEXT, "%" PRIu64 ".%" PRIu64 " s", usec / USEC_PER_SEC,
                         usec % USEC_PER_SEC / 100000);
        else if (usec < 3600 * USEC_PER_SEC)
                snprintf(text, USEC_TEXT, "%" PRIu64 " min %" PRIu64 " s", usec / (60 * USEC_PER_SEC),
                         usec / USEC_PER_SEC % 60);
        else
                snprintf(text, USEC_TEXT, "%" PRIu64 " h %" PRIu64 " min", usec / (3600 * USEC_PER_SEC),
                         usec / (60 * USEC_PER_SEC) % 60);
        return text;
}
