/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* MUTANTS: READ_COLLISION */

/* Somebody makes holes in a file and stores into them through a mapping, while the file is read with direct I/O.
 *
 * The kernel writes back what is dirty, and then meets a page that was stored into since and has no place on the disk yet: the read fails
 * with EIO ("Direct I/O collision with buffered writes"). That is what a broken disk says, and for that nothing more would be moved on
 * the volume until somebody comes. */

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "facts/swap_signature.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

/* So small that reads often meet a store: 26 of 60 copies on XFS (Linux 6.18). */
#define N_PIECES    4
#define PIECE_BYTES (4 * (size_t)KIB)
#define N_TRIES     10
/* Of so many, some fail on either file system. */
#define N_READS     10000

typedef struct Storer {
        const char *path;
        atomic_bool stop;
        uint64_t last[N_PIECES]; /* what a piece begins with; 0: it is as it was */
} Storer;

/* 's': begins; and goes on until told to stop. */
static void storer_run(int socket, void *context)
{
        Storer *storer = context;
        volatile uint8_t *memory;
        uint64_t number = 0;
        int fd;

        must(foreign_hear(socket) == 's');
        memory = foreign_map(storer->path, N_PIECES * PIECE_BYTES, &fd);
        while (!atomic_load(&storer->stop)) {
                const size_t i = number % N_PIECES;

                must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(i * PIECE_BYTES),
                               (off_t)PIECE_BYTES) == 0);
                *(volatile uint64_t *)(volatile void *)(memory + i * PIECE_BYTES) = storer->last[i] =
                        ++number;
                if (number == N_PIECES)
                        foreign_say(socket, 's');
        }
        must(munmap((void *)memory, N_PIECES * PIECE_BYTES) == 0);
        (void)close(fd);
        (void)foreign_hear(socket);
}

static void try(Arena *arena, const char *stage, const char *outcomes)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Storer *context = shared_memory(sizeof(*context));
        Foreign storer;
        Move move;
        Trip trip;

        context->path = subject->path;
        foreign_start(&storer, storer_run, context);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        move_begin(arena, subject, &move);
        move_reach(&move, stage);
        must(foreign_ask(&storer, 's') == 's');
        (void)move_until(&move, NULL);
        trip = relocation_result(move.relocation)->trip;
        (void)move_expect(arena, &move, stage, outcomes);
        atomic_store(&context->stop, true);
        (void)foreign_end(&storer);
        if (trip.kind != TRIP_NONE)
                hazard_lost(arena, "stored into at the step %s: the volume stops, because %s", stage,
                            trip_text(trip.kind));

        for (size_t i = 0; i < N_PIECES; i++) {
                memset(subject->content + i * PIECE_BYTES, 0, PIECE_BYTES);
                memcpy(subject->content + i * PIECE_BYTES, &context->last[i], sizeof(context->last[i]));
        }
        (void)subject_check(arena, subject, stage);
        subject_free(subject);
}

/* Is it swap space? That is asked of every file that is worth moving, with nothing that keeps others away. */
static void signature_read(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Storer *context = shared_memory(sizeof(*context));
        Foreign storer;
        int fd;

        context->path = subject->path;
        foreign_start(&storer, storer_run, context);
        fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        must(fd >= 0 && foreign_ask(&storer, 's') == 's');
        for (unsigned i = 0; i < N_READS; i++) {
                bool swap;
                const int r = swap_signature_read(fd, subject->bytes, true, &swap);

                if (r < 0 || swap) {
                        hazard_lost(arena,
                                    "stored into: asked whether it is swap space for the %uth time: %s",
                                    i + 1, r < 0 ? strerrorname_np(-r) : "yes");
                        break;
                }
        }
        atomic_store(&context->stop, true);
        (void)close(fd);
        (void)foreign_end(&storer);
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        signature_read(arena);
        for (unsigned i = 0; i < N_TRIES; i++) {
                try(arena, "copy", "changed busy:open");
                try(arena, "audit", "moved changed");
        }
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
