/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The two clocks. Monotonic time measures spans; real time is only compared with time stamps of files. */

#include <stdint.h>

uint64_t clock_monotonic_usec(void);
uint64_t clock_realtime_nsec(void);

/* Real time minus monotonic time in nanoseconds: constant but for slewing and for steps of the wall clock, so two
 * readings that differ by more than a slew could explain mean that somebody set the clock. */
int64_t clock_offset_nsec(void);
