/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hours=: what is accepted means, minute by minute, what another reading of the same text says, and can be written and read
 * once more. */

#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/schedule.h"
#include "fuzz.h"

#define DAY_MINUTES (24 * 60)

static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static int day_of(const char *word)
{
        for (int day = 0; day < 7; day++)
                if (strncasecmp(word, names[day], 3) == 0)
                        return day;
        require(false);
        return -1;
}

/* Is day among "Sat,Sun" or "Fri-Mon,Wed"? */
static bool has_day(const char *days, int day)
{
        _cleanup_free_ char *copy = strdup(days);
        char *rest = copy;

        require(copy);
        for (char *item; (item = strsep(&rest, ","));) {
                char *dash = strchr(item, '-');
                int first = day_of(item), last = dash ? day_of(dash + 1) : first;

                if (first <= last ? day >= first && day <= last : day >= first || day <= last)
                        return true;
        }
        return false;
}

/* The meaning of an accepted text, word by word, minute of the week by minute of the week. */
static void expand(const char *text, bool open[static SCHEDULE_MINUTES])
{
        _cleanup_free_ char *copy = strdup(text);
        char *place = NULL;
        const char *days = NULL;

        require(copy);
        for (char *word = strtok_r(copy, " \t\n\v\f\r", &place); word;
             word = strtok_r(NULL, " \t\n\v\f\r", &place)) {
                int from_hour, from_minute, to_hour, to_minute, from, to;

                if (isalpha((unsigned char)*word)) {
                        days = word;
                        continue;
                }
                require(sscanf(word, "%d:%d-%d:%d", &from_hour, &from_minute, &to_hour, &to_minute) == 4);
                from = from_hour * 60 + from_minute;
                to = to_hour * 60 + to_minute;
                require(from >= 0 && from < DAY_MINUTES && to >= 0 && to <= DAY_MINUTES);
                require(from_minute < 60 && to_minute < 60);
                for (int minute = 0; minute < SCHEDULE_MINUTES; minute++) {
                        int day = minute / DAY_MINUTES, of_day = minute % DAY_MINUTES;
                        bool wraps = to <= from;

                        if (of_day >= from && (wraps || of_day < to) && (!days || has_day(days, day)))
                                open[minute] = true;
                        if (wraps && of_day < to && (!days || has_day(days, (day + 6) % 7)))
                                open[minute] = true;
                }
                days = NULL;
        }
        require(!days);
}

/* Range by range within each day. */
static char *written(const Schedule *schedule)
{
        char *text;
        size_t n_bytes;
        FILE *out = open_memstream(&text, &n_bytes);

        require(out);
        for (unsigned day = 0; day < 7; day++)
                for (unsigned from = 0, to; from < DAY_MINUTES; from = to) {
                        const bool is_open = schedule_is_open(schedule, day * DAY_MINUTES + from);

                        for (to = from; to < DAY_MINUTES; to++)
                                if (schedule_is_open(schedule, day * DAY_MINUTES + to) != is_open)
                                        break;
                        if (is_open)
                                fprintf(out, "%s %02u:%02u-%02u:%02u ", names[day], from / 60, from % 60,
                                        to / 60, to % 60);
                }
        require(fclose(out) == 0);
        return text;
}

static unsigned minutes_until_open(const bool open[static SCHEDULE_MINUTES], unsigned minute)
{
        unsigned n = 0;

        while (n < SCHEDULE_MINUTES && !open[(minute + n) % SCHEDULE_MINUTES])
                n++;
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        _cleanup_free_ char *text = fuzz_text(data, n_bytes), *again_text = NULL;
        Schedule schedule, untouched, again;
        bool open[SCHEDULE_MINUTES] = {false};
        const char *word = text + strspn(text, " \t\n\v\f\r");

        memset(&untouched, 0x5a, sizeof(untouched));
        schedule = untouched;
        if (schedule_parse(text, &schedule) < 0) {
                require(memcmp(&schedule, &untouched, sizeof(schedule)) == 0);
                require(schedule_parse(text, &schedule) == -EINVAL);
                return 0;
        }
        if (*word == '\0' || strncasecmp(word, "always", 6) == 0)
                memset(open, true, sizeof(open));
        else
                expand(text, open);
        for (unsigned minute = 0; minute < SCHEDULE_MINUTES; minute++)
                require(schedule_is_open(&schedule, minute) == open[minute]);
        for (unsigned minute = (unsigned)n_bytes % 97; minute < SCHEDULE_MINUTES; minute += 1009)
                require(schedule_minutes_until_open(&schedule, minute) == minutes_until_open(open, minute));

        again_text = written(&schedule);
        require(schedule_parse(again_text, &again) == 0);
        require(memcmp(&again, &schedule, sizeof(again)) == 0);
        return 0;
}
