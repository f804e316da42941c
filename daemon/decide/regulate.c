/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One question after the other; no state of its own. */

#include "base/number.h"
#include "decide/regulate.h"

/* Nobody tells us when the plug is put in or a ledger can be written again. A minute late does not matter, and a look at sysfs
 * a minute is nothing next to the work that waits. */
#define ASK_AGAIN_USEC (60 * USEC_PER_SEC)

Regulation regulate(const RegulateFacts *facts)
{
        const unsigned minutes = schedule_minutes_until_open(facts->hours, facts->week_minute);
        const uint64_t soon = u64_add_saturate(facts->now_usec, ASK_AGAIN_USEC);

        if (facts->paused)
                return (Regulation){HOLD_PAUSED, UINT64_MAX};
        if (facts->limits_broken && !facts->moves_nothing)
                return (Regulation){HOLD_LIMITS, UINT64_MAX};
        if (minutes >= SCHEDULE_MINUTES)
                return (Regulation){HOLD_HOURS, UINT64_MAX};
        if (minutes > 0)
                return (Regulation){HOLD_HOURS, u64_add_saturate(facts->now_usec,
                                                                 facts->minute_left_usec +
                                                                         (minutes - 1) * 60 * USEC_PER_SEC)};
        if (facts->on_battery && !facts->may_on_battery)
                return (Regulation){HOLD_BATTERY, soon};
        if (facts->moves_nothing)
                return (Regulation){HOLD_NONE, facts->now_usec};
        if (facts->space_until_usec > facts->now_usec)
                return (Regulation){HOLD_SPACE, facts->space_until_usec};
        if (facts->budget_bytes == 0)
                return (Regulation){HOLD_BUDGET,
                                    u64_add_saturate(facts->now_usec, facts->midnight_left_usec)};
        if (facts->ledger_failed)
                return (Regulation){HOLD_LEDGER, soon};
        return (Regulation){HOLD_NONE, facts->now_usec};
}

bool hold_lets_sweep(Hold hold)
{
        switch (hold) {
        case HOLD_PAUSED:
        case HOLD_HOURS:
        case HOLD_BATTERY:
                return false;
        case HOLD_NONE:
        case HOLD_LIMITS:
        case HOLD_SPACE:
        case HOLD_BUDGET:
        case HOLD_LEDGER:
        case HOLD_MAX_:
                break;
        }
        return true;
}

const char *hold_text(Hold hold)
{
        static const char *const texts[] = {
                [HOLD_NONE] = "",
                [HOLD_PAUSED] = "paused",
                [HOLD_LIMITS] = "the configuration has mistakes",
                [HOLD_HOURS] = "outside Hours=",
                [HOLD_BATTERY] = "on battery",
                [HOLD_SPACE] = "full",
                [HOLD_BUDGET] = "DailyWrites= is used up",
                [HOLD_LEDGER] = "the ledger cannot be stored",
        };
        _Static_assert(ELEMENTS(texts) == HOLD_MAX_, "every hold has a text");

        return texts[hold];
}
