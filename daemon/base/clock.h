/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The two clocks. Monotonic time measures spans; real time is only compared with time stamps of files. */

#include <stdint.h>

/* Local time in the forms that limits are written in. */
typedef struct LocalTime {
        int64_t day;               /* since 1970-01-01 */
        unsigned week_minute;      /* since Sunday 0:00 */
        uint64_t minute_left_usec; /* until the next minute begins */
        uint64_t midnight_left_usec;
} LocalTime;

LocalTime clock_local(void);

uint64_t clock_monotonic_usec(void);
uint64_t clock_realtime_nsec(void);

/* Real time minus monotonic time in nanoseconds: constant but for slewing and for steps of the wall clock, so two
 * readings that differ by more than a slew could explain mean that somebody set the clock. */
int64_t clock_offset_nsec(void);
