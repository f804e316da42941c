/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* MUTANTS: ONE_COOKIE */

/* A cookie taken again after the copy.
 *
 * The cookie says: what was read since is what is there. Taken again before the commit, "to be sure", it says so of a
 * moment in which the file already holds what was never read: the commit accepts, and the foreign write is gone. Both
 * engines lose then. */

#include <fcntl.h>

#include "lib-hazard.h"

#define N_PIECES    32
#define PIECE_BYTES (64 * (size_t)KIB)

static void scenario(Arena *arena)
{
        static const char *const stages[] = {"verify", "commit"};
        static const int flags[] = {0, O_SYNC, O_DIRECT};

        for (size_t i = 0; i < ELEMENTS(stages) * ELEMENTS(flags); i++) {
                Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
                Move move;

                move_begin(arena, subject, &move);
                move_reach(&move, stages[i % 2]);
                subject_write(subject, 3 * PIECE_BYTES, 8192, flags[i / 2]);
                (void)move_expect(arena, &move, "a write after the copy", "changed:written");
                (void)subject_check(arena, subject, "a write after the copy");
                subject_free(subject);
        }
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
