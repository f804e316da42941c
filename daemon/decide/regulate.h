/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* May anything be moved on a volume at this moment, and if not, when is it worth asking again? Pure.
 *
 * Here is the place of whatever will look at how busy the disk is; until then the limits that people set decide alone. */

#include <stdbool.h>
#include <stdint.h>

#include "base/schedule.h"

/* In the order in which they are asked: the first one that holds is the one that is told. */
typedef enum Hold {
        HOLD_NONE,
        HOLD_PAUSED,  /* an administrator said so */
        HOLD_LIMITS,  /* a mistake in the configuration, where it limits us */
        HOLD_HOURS,   /* outside Hours= */
        HOLD_BATTERY, /* OnBattery=no */
        HOLD_SPACE,   /* the volume was full a while ago */
        HOLD_BUDGET,  /* DailyWrites= is used up */
        HOLD_LEDGER,  /* what is to be charged to the budget cannot be stored */
        HOLD_MAX_
} Hold;

typedef struct RegulateFacts {
        uint64_t now_usec; /* any clock that only goes forward; *_usec below are of the same clock */
        bool paused;
        bool limits_broken;
        const Schedule *hours;
        unsigned week_minute;        /* local time: minutes since Sunday 0:00 */
        uint64_t minute_left_usec;   /* until the next one begins */
        uint64_t midnight_left_usec; /* until the next day begins */
        bool on_battery;
        bool may_on_battery;
        uint64_t space_until_usec; /* 0: there was no trouble with space */
        uint64_t budget_bytes;     /* what may still be written today, prepaid included */
        bool ledger_failed;        /* the last charge could not be stored */
        bool moves_nothing; /* only looks: space, budget, ledger and configured limits on writing do not matter */
} RegulateFacts;

typedef struct Regulation {
        Hold hold;
        uint64_t until_usec; /* when to ask again; UINT64_MAX: not before something is said or read anew */
} Regulation;

Regulation regulate(const RegulateFacts *facts);

/* Whether a sweep, which only reads, may go on under it. */
bool hold_lets_sweep(Hold hold);

/* For STATUS and journal: "outside Hours=". HOLD_NONE is "". Never NULL. */
const char *hold_text(Hold hold);
