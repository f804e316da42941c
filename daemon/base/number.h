/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Arithmetic on byte offsets that the language leaves out. All of it is pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB             UINT64_C(1024)
#define MIB             (1024 * KIB)
#define GIB             (1024 * MIB)
#define USEC_PER_SEC    UINT64_C(1000000)
#define NSEC_PER_USEC   UINT64_C(1000)
#define NSEC_PER_MSEC   UINT64_C(1000000)
#define NSEC_PER_SEC    UINT64_C(1000000000)
#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
        return a > b ? a : b;
}

/* unit is any positive number, not only a power of two (extent size hints are not). */
static inline uint64_t u64_align_down(uint64_t value, uint64_t unit)
{
        return value - value % unit;
}

/* Saturates at the largest multiple of unit below 2^64. */
static inline uint64_t u64_align_up(uint64_t value, uint64_t unit)
{
        uint64_t over = value % unit;

        if (over == 0)
                return value;
        return value > UINT64_MAX - (unit - over) ? value - over : value + (unit - over);
}

static inline uint64_t u64_add_saturate(uint64_t a, uint64_t b)
{
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}
