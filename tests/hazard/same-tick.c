/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* MUTANTS: SAME_TICK */

/* The write within one clock tick.
 *
 * ctime is as coarse as the kernel's clock tick unless somebody asked for it since the last change. Write, sample, copy,
 * write again, all in one tick: the second write leaves the stamps as they are, and a commit that trusts them throws it
 * away.
 *
 * Without the protection SWAPEXT loses on every kernel. The exchange engine cannot on kernels with distinct stamps (Linux 6.13),
 * because START_COMMIT asks for the stamps itself; there it is only seen to keep everything. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-hazard.h"

/* Half a minute of nothing but waiting for the age guard would prove no more than these. */
#define N_RACES      300
#define N_WAITS      12
/* Of two seconds each, where the kernel has no distinct stamps. */
#define N_LONG_WAITS 3

/* The longest tick of any kernel configuration. */
#define TICK_NSEC (10 * NSEC_PER_MSEC)

/* Small, so that all of it fits in one tick of four milliseconds. */
#define N_PIECES    4
#define PIECE_BYTES ((size_t)16384)

static uint64_t clock_nsec(clockid_t id)
{
        struct timespec now;

        must(clock_gettime(id, &now) == 0);
        return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* Returns at the first moment of a tick: the most time for everything that has to happen in it. */
static void wait_for_tick(void)
{
        uint64_t first = clock_nsec(CLOCK_REALTIME_COARSE);

        while (clock_nsec(CLOCK_REALTIME_COARSE) == first)
                ;
}

/* The owner's second write: a thread, because it has to fall between the read of the copy and the commit. */
typedef struct Owner {
        Subject *subject;
        uint64_t when_nsec; /* by the monotonic clock */
        atomic_bool go;
} Owner;

static void *owner_run(void *context)
{
        Owner *owner = context;
        const uint8_t *from = subject_plan_write(owner->subject, 0, 16);
        int fd;

        while (!atomic_load(&owner->go))
                ;
        while (clock_nsec(CLOCK_MONOTONIC) < owner->when_nsec)
                ;
        /* A lease may be held for a moment: a blocking open waits for it like any program. */
        fd = open(owner->subject->path, O_WRONLY | O_CLOEXEC);
        must(fd >= 0 && pwrite(fd, from, 16, 0) == 16);
        (void)close(fd);
        return NULL;
}

/* Look, then write, then everything else at once, and the second write after_usec later. Whether the commit accepted is of no interest:
 * only what is in the file afterwards. */
static bool race(Arena *arena, Subject *subject, uint64_t after_usec)
{
        Owner owner = {.subject = subject};
        pthread_t thread;
        Move move;

        must(pthread_create(&thread, NULL, owner_run, &owner) == 0);
        move_begin(arena, subject, &move);
        (void)move_until(&move, "open");
        wait_for_tick();
        owner.when_nsec = clock_nsec(CLOCK_MONOTONIC) + after_usec * NSEC_PER_USEC;
        subject_write(subject, PIECE_BYTES, 16, 0);
        atomic_store(&owner.go, true);
        (void)move_until_wait(&move, NULL);
        must(pthread_join(thread, NULL) == 0);
        move_end(&move);
        return subject_check(arena, subject, "second write in the tick of the first");
}

/* The owner writes again as soon as the copy is made, however long that takes: now the guard has to have waited. */
static void wait_for_sample(Arena *arena, Subject *subject)
{
        uint64_t written_nsec;
        Move move;

        move_begin(arena, subject, &move);
        (void)move_until(&move, "open");
        subject_write(subject, PIECE_BYTES, 16, 0);
        written_nsec = clock_nsec(CLOCK_MONOTONIC);
        if (move_until(&move, "reserve")) {
                /* The stamp is as old as the tick was when the write began. */
                if (clock_nsec(CLOCK_MONOTONIC) - written_nsec < arena->volume.guard_nsec - TICK_NSEC)
                        hazard_wrong(arena, "a file was sampled right after a write");
                (void)move_until(&move, "commit");
                subject_write(subject, 0, 16, 0);
        }
        (void)move_expect(arena, &move, "write after the sample", "changed:written");
        (void)subject_check(arena, subject, "write after the sample");
}

static void scenario(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        const unsigned n_waits = arena->volume.has_distinct_stamps ? N_WAITS : N_LONG_WAITS;
        unsigned n_moved = 0;

        for (unsigned i = 0; i < N_RACES; i++) {
                if (!race(arena, subject, 300 + i % 36 * 100)) {
                        hazard_note(arena, "lost in try %u", i + 1);
                        break;
                }
                if (subject_runs(subject) < N_PIECES / 2) {
                        n_moved++;
                        subject_free(subject);
                        subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
                }
        }
        if (n_moved > 0)
                hazard_note(arena, "%u races ended with a commit", n_moved);
        for (unsigned i = 0; i < n_waits && arena->n_lost == 0; i++)
                wait_for_sample(arena, subject);
        subject_free(subject);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
