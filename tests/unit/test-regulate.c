/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which hold is told, and when it is asked again. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/number.h"
#include "decide/regulate.h"

#define NOW    UINT64_C(1000000000)
#define MINUTE (60 * USEC_PER_SEC)

static Schedule hours;

/* Everything that can hold, holds; each is then taken away in the order in which they are told. */
static void the_first_hold_is_told(void **state)
{
        RegulateFacts facts = {
                .now_usec = NOW,
                .paused = true,
                .limits_broken = true,
                .hours = &hours,
                .week_minute = 9 * 60 + 58,
                .minute_left_usec = 7,
                .midnight_left_usec = 99,
                .on_battery = true,
                .space_until_usec = NOW + 5,
                .ledger_failed = true,
        };
        const Regulation expected[] = {
                {HOLD_PAUSED, UINT64_MAX},    {HOLD_LIMITS, UINT64_MAX}, {HOLD_HOURS, NOW + 7 + MINUTE},
                {HOLD_BATTERY, NOW + MINUTE}, {HOLD_SPACE, NOW + 5},     {HOLD_BUDGET, NOW + 99},
                {HOLD_LEDGER, NOW + MINUTE},  {HOLD_NONE, NOW},
        };

        (void)state;
        assert_int_equal(schedule_parse("10:00-11:00", &hours), 0);
        for (size_t i = 0; i < ELEMENTS(expected); i++) {
                const Regulation told = regulate(&facts);
                RegulateFacts looks = facts;

                assert_int_equal(told.hold, expected[i].hold);
                assert_true(told.until_usec == expected[i].until_usec);
                /* Who only looks is held by what limits reading alone. */
                looks.moves_nothing = true;
                looks.limits_broken = false;
                if (told.hold >= HOLD_SPACE)
                        assert_int_equal(regulate(&looks).hold, HOLD_NONE);
                else if (told.hold != HOLD_LIMITS)
                        assert_int_equal(regulate(&looks).hold, told.hold);
                switch (told.hold) {
                case HOLD_PAUSED:
                        facts.paused = false;
                        break;
                case HOLD_LIMITS:
                        facts.limits_broken = false;
                        break;
                case HOLD_HOURS:
                        facts.week_minute = 10 * 60;
                        break;
                case HOLD_BATTERY:
                        facts.may_on_battery = true;
                        break;
                case HOLD_SPACE:
                        facts.space_until_usec = NOW;
                        break;
                case HOLD_BUDGET:
                        facts.budget_bytes = 1;
                        break;
                case HOLD_LEDGER:
                        facts.ledger_failed = false;
                        break;
                case HOLD_NONE:
                case HOLD_MAX_:
                        break;
                }
        }
        assert_int_equal(regulate(&(RegulateFacts){.hours = &(Schedule){{0}}}).hold, HOLD_HOURS);
        assert_true(regulate(&(RegulateFacts){.hours = &(Schedule){{0}}}).until_usec == UINT64_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_hold_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
