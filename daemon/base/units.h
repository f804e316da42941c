/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sizes, time spans and rates as systemd spells them (systemd.syntax(7), systemd.time(7)), both ways.
 *
 * All parsers return 0, -EINVAL for text that is not of the form, -ERANGE for a number that does not fit; *ret is
 * written only on 0. They are pure and take the whole string: trailing text is an error, surrounding white space not. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BYTES_INFINITY UINT64_MAX
#define USEC_INFINITY  UINT64_MAX

/* "4096", "256K", "1M", "1.5G", "2T": powers of 1024; "infinity" is BYTES_INFINITY. */
int parse_bytes(const char *text, uint64_t *ret_bytes);

/* "10min", "1h 30min", "1w", "500ms", a bare number in seconds, "infinity". */
int parse_usec(const char *text, uint64_t *ret_usec);

/* "1", "yes", "y", "true", "t", "on" and their opposites, in any case. */
int parse_bool(const char *text, bool *ret);

/* An amount that is either bytes or a share of a volume. */
typedef struct Amount {
        bool is_permille;
        uint64_t value; /* bytes, or thousandths of the volume's size (0 to 1000) */
} Amount;

/* A size as above, or "5%", "2.5%" (one decimal place). */
int parse_amount(const char *text, Amount *ret);
uint64_t amount_of(Amount amount, uint64_t volume_bytes);

/* "512 B", "64.0 KiB", "1.5 GiB"; fits in BYTES_TEXT. Returns text. */
#define BYTES_TEXT 48
char *format_bytes(uint64_t bytes, char text[static BYTES_TEXT]);

/* "350 us", "12 ms", "3.4 s", "2 min 5 s"; fits in USEC_TEXT. Returns text. */
#define USEC_TEXT 32
char *format_usec(uint64_t usec, char text[static USEC_TEXT]);
