/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The clocks that the rest of the program reads; no other file calls clock_gettime(). */

#include <time.h>

#include "base/clock.h"
#include "base/number.h"

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

int64_t clock_offset_nsec(void)
{
        /* The coarse error of two readings is well under a microsecond; callers compare against milliseconds. */
        return (int64_t)(clock_nsec(CLOCK_REALTIME) - clock_nsec(CLOCK_MONOTONIC));
}
