/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 btrfs */
/* WHOLE_FILE_SYSTEMS: btrfs-zstd */

/* Stores through a page that is mapped and already dirty.
 *
 * Such a store faults on nothing, so no stamp moves, until write-back takes the page's write permission away. A copy that
 * was made of what was written back earlier, under a cookie that was taken later, would miss it.
 *
 * The lease at the sample excludes mappings; this is only seen to keep everything. There is no mutant: taking out the
 * lease, or the flush, or both loses nothing here, because the cookie is taken first and the copy reads with direct I/O,
 * which writes back and write-protects every page before it is read. From then on a store faults and moves ctime. */

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_PIECES    32
#define PIECE_BYTES (64 * (size_t)KIB)
#define N_TRIES     12

typedef struct Storer {
        const char *path;
        atomic_bool *stop; /* shared */
        uint64_t *last;    /* shared: what the last store put into the first word of each piece */
} Storer;

/* 'm': map and dirty a page of each piece; 'g': store until told to stop; 'w': unmap. */
static void storer_run(int socket, void *context)
{
        const Storer *storer = context;
        volatile uint64_t *words[N_PIECES];
        uint8_t *memory;
        int fd;

        must(foreign_hear(socket) == 'm');
        memory = foreign_map(storer->path, N_PIECES * PIECE_BYTES, &fd);
        (void)close(fd); /* the mapping alone is enough */
        for (size_t i = 0; i < N_PIECES; i++) {
                words[i] = (volatile uint64_t *)(void *)(memory + i * PIECE_BYTES);
                *words[i] = storer->last[i] = i;
        }
        foreign_say(socket, 'm');
        must(foreign_hear(socket) == 'g');
        foreign_say(socket, 'g');
        while (!atomic_load(storer->stop))
                for (size_t i = 0; i < N_PIECES; i++)
                        *words[i] = ++storer->last[i];
        must(foreign_hear(socket) == 'w');
        must(munmap(memory, N_PIECES * PIECE_BYTES) == 0);
        foreign_say(socket, 'w');
}

static void try(Arena *arena, const char *stage)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Storer context = {.path = subject->path,
                          .stop = shared_memory(4096),
                          .last = shared_memory(N_PIECES * sizeof(uint64_t))};
        Foreign storer;
        Move move;

        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        foreign_start(&storer, storer_run, &context);
        must(foreign_ask(&storer, 'm') == 'm');
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        move_begin(arena, subject, &move);
        (void)move_until(&move, stage);
        must(foreign_ask(&storer, 'g') == 'g');
        (void)move_until(&move, NULL);
        atomic_store(context.stop, true);
        must(foreign_ask(&storer, 'w') == 'w');
        for (size_t i = 0; i < N_PIECES; i++)
                memcpy(subject->content + i * PIECE_BYTES, &context.last[i], sizeof(uint64_t));
        (void)move_expect(arena, &move, "a mapping that is stored to", arena_outcomes(arena, "busy:open"));
        (void)foreign_end(&storer);
        (void)subject_check(arena, subject, "stores through a dirty mapping");
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        static const char *const stages[] = {"open", "sample", "reserve", "copy", "verify", "commit"};

        for (size_t i = 0; i < N_TRIES; i++)
                try(arena, stages[i % ELEMENTS(stages)]);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
