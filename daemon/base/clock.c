/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The clocks that the rest of the program reads; no other file calls clock_gettime(). */

#include <time.h>

#include "base/clock.h"
#include "base/number.h"

#define SECONDS_PER_DAY 86400

static uint64_t clock_nsec(clockid_t id)
{
        struct timespec now = {0};

        /* Cannot fail for the two ids that are used here (clock_gettime(2)). */
        (void)clock_gettime(id, &now);
        return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_usec(void)
{
        return clock_nsec(CLOCK_MONOTONIC) / NSEC_PER_USEC;
}

uint64_t clock_realtime_nsec(void)
{
        return clock_nsec(CLOCK_REALTIME);
}

LocalTime clock_local(void)
{
        const uint64_t now_nsec = clock_realtime_nsec();
        const time_t seconds = (time_t)(now_nsec / NSEC_PER_SEC);
        const uint64_t part_usec = now_nsec % NSEC_PER_SEC / NSEC_PER_USEC;
        uint64_t second_of_day;
        struct tm local;

        /* Fails only for years that do not fit into an int. */
        if (!localtime_r(&seconds, &local))
                local = (struct tm){.tm_mday = 1};
        second_of_day = (uint64_t)local.tm_hour * 3600 + (uint64_t)local.tm_min * 60 +
                        u64_min((uint64_t)local.tm_sec, 59);
        return (LocalTime){
                /* As if it were universal time: a number that grows by one at each local midnight. */
                .day = timegm(&local) / SECONDS_PER_DAY,
                .week_minute = (unsigned)local.tm_wday * 24 * 60 + (unsigned)(second_of_day / 60),
                .minute_left_usec = (60 - second_of_day % 60) * USEC_PER_SEC - part_usec,
                .midnight_left_usec = (SECONDS_PER_DAY - second_of_day) * USEC_PER_SEC - part_usec,
        };
}

int64_t clock_offset_nsec(void)
{
        /* The coarse error of two readings is well under a microsecond; callers compare against milliseconds. */
        return (int64_t)(clock_nsec(CLOCK_REALTIME) - clock_nsec(CLOCK_MONOTONIC));
}
