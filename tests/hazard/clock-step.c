/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MUTANTS: CLOCK_STEP */
/* ALONE: yes */

/* The wall clock is set while a region is in progress.
 *
 * Stamps are compared with what the clock says, and a clock that went back can hand out a stamp for the second time. So a
 * region during which the clock was set is not committed. And a file whose change time lies in the future is not sampled:
 * nothing is known about its age.
 *
 * The machine's clock is set by a second, for a few milliseconds at a time, and set right by the monotonic clock, however this
 * program ends. */

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "lib-hazard.h"

#define N_PIECES    16
#define PIECE_BYTES (64 * (size_t)KIB)
#define STEP_NSEC   ((int64_t)NSEC_PER_SEC)

/* What real minus monotonic time was before we touched it. */
static int64_t right_offset_nsec;

static int clock_set(int64_t offset_nsec)
{
        struct timespec now;

        if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
                return -errno;
        offset_nsec += (int64_t)now.tv_sec * (int64_t)NSEC_PER_SEC + now.tv_nsec;
        now.tv_sec = offset_nsec / (int64_t)NSEC_PER_SEC;
        now.tv_nsec = offset_nsec % (int64_t)NSEC_PER_SEC;
        return clock_settime(CLOCK_REALTIME, &now) < 0 ? -errno : 0;
}

static void clock_set_right(const char *path, const char *text)
{
        (void)path, (void)text;
        if (llabs(clock_offset_nsec() - right_offset_nsec) > (int64_t)NSEC_PER_MSEC)
                (void)clock_set(right_offset_nsec);
}

static void step_once(Arena *arena, const char *stage, int64_t step_nsec, const char *what)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Move move;

        move_begin(arena, subject, &move);
        move_reach(&move, stage);
        right_offset_nsec = clock_offset_nsec();
        must(clock_set(right_offset_nsec + step_nsec) == 0);
        (void)move_until_wait(&move, NULL);
        must(clock_set(right_offset_nsec) == 0);
        (void)move_refused(arena, &move, what, "changed:clock");
        (void)subject_check(arena, subject, what);
        if (subject_runs(subject) != N_PIECES)
                hazard_wrong(arena, "%s: committed", what);

        (void)move_whole(arena, subject, "with the clock right again", "moved");
        (void)subject_check(arena, subject, "with the clock right again");
        subject_free(subject);
}

/* Written while the clock was ahead. */
static void future(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Move move;

        right_offset_nsec = clock_offset_nsec();
        must(clock_set(right_offset_nsec + 60 * STEP_NSEC) == 0);
        subject_write(subject, 0, 4096, 0);
        must(clock_set(right_offset_nsec) == 0);
        move_begin(arena, subject, &move);
        (void)move_expect(arena, &move, "a change time in the future", "changed:future");
        (void)subject_check(arena, subject, "a change time in the future");
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        static bool registered;
        int r;

        right_offset_nsec = clock_offset_nsec();
        r = clock_set(right_offset_nsec);
        if (r < 0) {
                hazard_skip(arena, "the clock cannot be set here");
                return;
        }
        if (!registered)
                hazard_undo(clock_set_right, "", "");
        registered = true;
        step_once(arena, "reserve", -STEP_NSEC, "clock set back after the sample");
        step_once(arena, "commit", -STEP_NSEC, "clock set back before the commit");
        step_once(arena, "commit", STEP_NSEC, "clock set forward before the commit");
        future(arena);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
