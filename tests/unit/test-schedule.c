/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hours=: what is understood, what is refused, and that each minute of the week is open exactly when it should be. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/number.h"
#include "base/schedule.h"

#define DAY 1440

enum { SUN, MON, TUE, WED, THU, FRI, SAT };

/* Minute of the week. */
#define AT(day, hour, minute) ((unsigned)((day)*DAY + (hour)*60 + (minute)))

static Schedule parsed(const char *text)
{
        Schedule schedule;

        if (schedule_parse(text, &schedule) != 0)
                fail_msg("refused: %s", text);
        return schedule;
}

static unsigned n_open(const Schedule *schedule)
{
        unsigned n = 0;

        for (unsigned minute = 0; minute < SCHEDULE_MINUTES; minute++)
                n += schedule_is_open(schedule, minute);
        return n;
}

static void a_text_opens_its_ranges_and_nothing_else(void **state)
{
        static const struct {
                const char *text;
                unsigned n_minutes;   /* open in the whole week */
                unsigned first, last; /* open, while the minutes before and behind are closed */
        } table[] = {
                {"22:00-06:00", 7 * 480, AT(MON, 22, 0), AT(TUE, 5, 59)},
                {"Sat 22:00-06:00", 480, AT(SAT, 22, 0), AT(SUN, 5, 59)},
                {"Sun 22:00-06:00", 480, AT(SUN, 22, 0), AT(MON, 5, 59)},
                {"Mon-Fri 20:00-24:00", 5 * 240, AT(FRI, 20, 0), AT(FRI, 23, 59)},
                {"Fri-Mon 1:00-2:00", 4 * 60, AT(SAT, 1, 0), AT(SAT, 1, 59)},
                {"Fri-Mon 00:00-24:00", 4 * DAY, AT(FRI, 0, 0), AT(MON, 23, 59)},
                {"Sat,Sun 00:00-24:00", 2 * DAY, AT(SAT, 0, 0), AT(SUN, 23, 59)},
                {"wednesday,FRI 12:00-12:01", 2, AT(WED, 12, 0), AT(WED, 12, 0)},
                {"Tue-Tue 08:00-09:30", 90, AT(TUE, 8, 0), AT(TUE, 9, 29)},
                {"Tue 08:00-08:00", DAY, AT(TUE, 8, 0), AT(WED, 7, 59)},
                {"Fri-Sun,Wed 03:00-04:00", 4 * 60, AT(WED, 3, 0), AT(WED, 3, 59)},
                {" Mon 01:00-02:00\t03:00-04:00 ", 60 + 7 * 60, AT(MON, 1, 0), AT(MON, 1, 59)},
                {"Thu 10:00-12:00 Thu 11:00-13:00", 180, AT(THU, 10, 0), AT(THU, 12, 59)},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(table); i++) {
                Schedule schedule = parsed(table[i].text);

                if (n_open(&schedule) != table[i].n_minutes)
                        fail_msg("%s: %u minutes", table[i].text, n_open(&schedule));
                if (!schedule_is_open(&schedule, table[i].first) ||
                    schedule_is_open(&schedule, table[i].first + SCHEDULE_MINUTES - 1) ||
                    !schedule_is_open(&schedule, table[i].last) ||
                    schedule_is_open(&schedule, table[i].last + 1))
                        fail_msg("%s: wrong borders", table[i].text);
        }
}

static void always_and_nothing_are_the_whole_week(void **state)
{
        static const char *const texts[] = {"",         " ",           "always",     "Always",
                                            " always ", "00:00-24:00", "00:00-00:00"};

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                Schedule schedule = parsed(texts[i]);

                assert_int_equal(n_open(&schedule), SCHEDULE_MINUTES);
        }
}

static void a_mistake_is_refused_and_changes_nothing(void **state)
{
        static const char *const texts[] = {
                "never",
                "alwaysx",
                "always 22:00-06:00",
                "22:00",
                "22:00-",
                "-06:00",
                "22-06",
                "22:0-06:00",
                "25:00-26:00",
                "24:00-06:00",
                "22:60-23:00",
                "22:00-24:01",
                "022:00-23:00",
                "22:00 - 23:00",
                "22:00-06:00,",
                "22:00-06:0012:00-13:00",
                "22:00-06:00Sat",
                "Sat",
                "Sat Sun 00:00-24:00",
                "Sat,",
                "Sat, Sun 00:00-24:00",
                ",Sat 00:00-24:00",
                "Sat- 00:00-24:00",
                "Sa 00:00-24:00",
                "Satu 00:00-24:00",
                "Saturdays 00:00-24:00",
                "Sat00:00-24:00",
                "Sat-Foo 00:00-24:00",
                "Mon-Wed-Fri 00:00-24:00",
                "Sat 22:00-06:00 Sun",
                "+1:00-02:00",
                "22:00:00-23:00:00",
                "22:00-06:00 # night",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                Schedule schedule, before;

                memset(&schedule, 0x5a, sizeof(schedule));
                before = schedule;
                if (schedule_parse(texts[i], &schedule) != -EINVAL)
                        fail_msg("taken: %s", texts[i]);
                assert_memory_equal(&schedule, &before, sizeof(schedule));
        }
}

static void the_wait_goes_on_over_the_end_of_the_week(void **state)
{
        Schedule schedule = parsed("Sun 01:00-02:00"), never = {0};

        (void)state;
        assert_int_equal(schedule_minutes_until_open(&schedule, AT(SUN, 1, 0)), 0);
        assert_int_equal(schedule_minutes_until_open(&schedule, AT(SUN, 1, 59)), 0);
        assert_int_equal(schedule_minutes_until_open(&schedule, AT(SUN, 2, 0)), SCHEDULE_MINUTES - 60);
        assert_int_equal(schedule_minutes_until_open(&schedule, AT(SAT, 23, 59)), 61);
        assert_int_equal(schedule_minutes_until_open(&schedule, AT(SAT, 23, 59) + SCHEDULE_MINUTES), 61);
        assert_int_equal(schedule_minutes_until_open(&never, 0), SCHEDULE_MINUTES);
        assert_int_equal(schedule_minutes_until_open(&never, 12345), SCHEDULE_MINUTES);
}

typedef struct Range {
        unsigned first_day, last_day, begin, end;
} Range;

/* Asked by day and minute of the day, today and yesterday, without a week in bits. */
static bool range_holds(const Range *range, unsigned minute)
{
        unsigned today = minute / DAY, yesterday = (today + 6) % 7, clock = minute % DAY;
        unsigned n_days = (range->last_day + 7 - range->first_day) % 7;
        bool is_today = (today + 7 - range->first_day) % 7 <= n_days;
        bool was_yesterday = (yesterday + 7 - range->first_day) % 7 <= n_days;

        if (range->begin < range->end)
                return is_today && clock >= range->begin && clock < range->end;
        return (is_today && clock >= range->begin) || (was_yesterday && clock < range->end);
}

static void every_minute_is_as_a_naive_reading_says(void **state)
{
        static const char names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        unsigned seed = (unsigned)time(NULL);

        (void)state;
        print_message("seed %u\n", seed);
        srandom(seed);
        for (unsigned round = 0; round < 300; round++) {
                Range ranges[3];
                unsigned n = 1 + (unsigned)random() % 3, until_open = SCHEDULE_MINUTES;
                char text[160];
                size_t used = 0;
                Schedule schedule;

                for (unsigned i = 0; i < n; i++) {
                        Range *range = &ranges[i];

                        *range = (Range){
                                .first_day = (unsigned)random() % 7,
                                .last_day = (unsigned)random() % 7,
                                .begin = (unsigned)random() % DAY,
                                .end = (unsigned)random() % (DAY + 1),
                        };
                        used += (size_t)snprintf(
                                text + used, sizeof(text) - used, "%s%s-%s %02u:%02u-%02u:%02u",
                                i > 0 ? " " : "", names[range->first_day], names[range->last_day],
                                range->begin / 60, range->begin % 60, range->end / 60, range->end % 60);
                }
                schedule = parsed(text);
                /* Twice backwards: the first time learns what is open behind the end of the week. */
                for (unsigned i = 2 * SCHEDULE_MINUTES; i-- > 0;) {
                        unsigned minute = i % SCHEDULE_MINUTES;
                        bool open = false;

                        for (unsigned k = 0; k < n; k++)
                                open |= range_holds(&ranges[k], minute);
                        until_open = open ? 0 : until_open + (until_open < SCHEDULE_MINUTES);
                        if (schedule_is_open(&schedule, i) != open)
                                fail_msg("%s: minute %u, seed %u", text, minute, seed);
                        /* The search itself costs a week where little is open: some minutes are enough. */
                        if (i < SCHEDULE_MINUTES && i % 97 == 0 &&
                            schedule_minutes_until_open(&schedule, minute) != until_open)
                                fail_msg("%s: wait from minute %u, seed %u", text, minute, seed);
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_text_opens_its_ranges_and_nothing_else),
                cmocka_unit_test(always_and_nothing_are_the_whole_week),
                cmocka_unit_test(a_mistake_is_refused_and_changes_nothing),
                cmocka_unit_test(the_wait_goes_on_over_the_end_of_the_week),
                cmocka_unit_test(every_minute_is_as_a_naive_reading_says),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
