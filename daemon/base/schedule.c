/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A week in bits: ranges that wrap around midnight or around Saturday need no special case when they are asked for. */

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/schedule.h"

#define DAY_MINUTES (24 * 60)
#define ALL_DAYS    0x7fu

static const char *const day_names[] = {
        "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
};

static void open_minute(Schedule *schedule, unsigned minute)
{
        minute %= SCHEDULE_MINUTES;
        schedule->minutes[minute / 8] |= (uint8_t)(1u << minute % 8);
}

/* A letter that begins a word of n letters: which day is it? Returns -EINVAL for none. */
static int parse_day(const char *word, size_t n)
{
        for (int day = 0; day < 7; day++)
                if ((n == 3 || n == strlen(day_names[day])) && strncasecmp(word, day_names[day], n) == 0)
                        return day;
        return -EINVAL;
}

static size_t word_length(const char *text)
{
        size_t n = 0;

        while (isalpha((unsigned char)text[n]))
                n++;
        return n;
}

/* "Sat,Sun", "Mon-Fri", "Fri-Mon,Wed": a bit for each day. Moves *text behind it. Returns 0 or -EINVAL. */
static int parse_days(const char **text, unsigned *ret_days)
{
        unsigned days = 0;

        for (;;) {
                size_t n = word_length(*text);
                int first = parse_day(*text, n), last = first;

                if (first < 0)
                        return first;
                *text += n;
                if (**text == '-') {
                        (*text)++;
                        n = word_length(*text);
                        last = parse_day(*text, n);
                        if (last < 0)
                                return last;
                        *text += n;
                }
                for (int day = first;; day = (day + 1) % 7) {
                        days |= 1u << day;
                        if (day == last)
                                break;
                }
                if (**text != ',')
                        break;
                (*text)++;
        }
        *ret_days = days;
        return 0;
}

/* One or two digits. */
static int parse_two_digits(const char **text, unsigned max, unsigned *ret)
{
        unsigned value = 0, n = 0;

        for (; n < 2 && isdigit((unsigned char)**text); n++, (*text)++)
                value = 10 * value + (unsigned)(**text - '0');
        if (n == 0 || value > max)
                return -EINVAL;
        *ret = value;
        return 0;
}

/* "6:00", "24:00": minutes since midnight. */
static int parse_clock(const char **text, unsigned *ret)
{
        unsigned hours, minutes;

        if (parse_two_digits(text, 24, &hours) < 0 || **text != ':')
                return -EINVAL;
        (*text)++;
        if (!isdigit((unsigned char)(*text)[0]) || !isdigit((unsigned char)(*text)[1]) ||
            parse_two_digits(text, 59, &minutes) < 0 || hours * 60 + minutes > DAY_MINUTES)
                return -EINVAL;
        *ret = hours * 60 + minutes;
        return 0;
}

/* "22:00-06:00" on each of the days. */
static int parse_range(const char **text, unsigned days, Schedule *schedule)
{
        unsigned begin, end;

        if (parse_clock(text, &begin) < 0 || **text != '-')
                return -EINVAL;
        (*text)++;
        if (parse_clock(text, &end) < 0 || begin == DAY_MINUTES)
                return -EINVAL;
        if (end <= begin)
                end += DAY_MINUTES;
        for (unsigned day = 0; day < 7; day++)
                for (unsigned minute = begin; (days & 1u << day) && minute < end; minute++)
                        open_minute(schedule, day * DAY_MINUTES + minute);
        return 0;
}

static void skip_blanks(const char **text)
{
        while (isspace((unsigned char)**text))
                (*text)++;
}

int schedule_parse(const char *text, Schedule *ret)
{
        Schedule schedule = {0};

        skip_blanks(&text);
        if (strncasecmp(text, "always", strlen("always")) == 0) {
                text += strlen("always");
                skip_blanks(&text);
                if (*text != '\0')
                        return -EINVAL;
        }
        if (*text == '\0') {
                memset(ret->minutes, 0xff, sizeof(ret->minutes));
                return 0;
        }
        while (*text != '\0') {
                unsigned days = ALL_DAYS;

                if (isalpha((unsigned char)*text)) {
                        if (parse_days(&text, &days) < 0 || !isspace((unsigned char)*text))
                                return -EINVAL;
                        skip_blanks(&text);
                }
                if (parse_range(&text, days, &schedule) < 0 ||
                    (*text != '\0' && !isspace((unsigned char)*text)))
                        return -EINVAL;
                skip_blanks(&text);
        }
        *ret = schedule;
        return 0;
}

bool schedule_is_open(const Schedule *schedule, unsigned minute)
{
        minute %= SCHEDULE_MINUTES;
        return schedule->minutes[minute / 8] & 1u << minute % 8;
}

unsigned schedule_minutes_until_open(const Schedule *schedule, unsigned minute)
{
        for (unsigned i = 0; i < SCHEDULE_MINUTES; i++)
                if (schedule_is_open(schedule, minute % SCHEDULE_MINUTES + i))
                        return i;
        return SCHEDULE_MINUTES;
}
