/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hours=: at which times of the local week something is allowed. Pure. */

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_MINUTES (7 * 24 * 60)

/* A bit for each minute of the week, which begins on Sunday at 0:00 as tm_wday does. All zero: never. */
typedef struct Schedule {
        uint8_t minutes[SCHEDULE_MINUTES / 8];
} Schedule;

/* "22:00-06:00", "Sat,Sun 00:00-24:00", "Mon-Fri 20:00-24:00", several of them in a row; weekdays are named in English by
 * three letters or in full, in any case, and belong to the one range behind them; a range without weekdays holds for all. A range
 * whose end is not later than its begin ends on the next day. "always" and "" are the whole week. Returns 0, -EINVAL;
 * *ret is written only on 0. */
int schedule_parse(const char *text, Schedule *ret);

/* minute: minutes since Sunday 0:00, taken modulo the week. */
bool schedule_is_open(const Schedule *schedule, unsigned minute);

/* Minutes from minute to the next one that is open: 0 when it is open itself, SCHEDULE_MINUTES when none ever is. */
unsigned schedule_minutes_until_open(const Schedule *schedule, unsigned minute);
