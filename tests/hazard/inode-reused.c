/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* MUTANTS: GENERATION */

/* The inode number of a file that is gone, given to another one.
 *
 * A file waits for its turn, for hours perhaps, by its number; it is deleted, and the next file that somebody makes gets the number.
 * Nobody asked whether that one may be moved: Exclude= was held against names of the first. So the generation belongs to the
 * identity, and a file of another one does not exist for us. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-hazard.h"

#define N_PIECES    16
#define PIECE_BYTES (64 * (size_t)KIB)
#define TRIES       2000
#define N_OTHERS    10

/* Those that got another number keep it until one has this. */
static Subject *make_with_number(Arena *arena, const char *stage, uint64_t inode)
{
        Subject *others[N_OTHERS], *found = NULL;
        size_t n_others = 0;

        while (!found && n_others < N_OTHERS) {
                char name[64];
                Subject *subject;

                must(snprintf(name, sizeof(name), "%s-again-%zu", stage, n_others) < (int)sizeof(name));
                subject = subject_new(arena, name, N_PIECES, PIECE_BYTES, 0);
                if (subject->id.inode == inode)
                        found = subject;
                else
                        others[n_others++] = subject;
        }
        while (n_others > 0)
                (void)subject_free(others[--n_others]);
        return found;
}

/* Returns NULL when nobody gets the number. */
static Subject *take_number(Arena *arena, const char *stage, uint64_t inode)
{
        char path[400];

        for (unsigned i = 0; i < TRIES; i++) {
                struct stat status;
                int fd;

                must(snprintf(path, sizeof(path), "%s/%s-%u", arena->path, stage, i) < (int)sizeof(path));
                fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                must(fd >= 0 && fstat(fd, &status) == 0);
                (void)close(fd);
                if (status.st_ino != inode)
                        continue;
                /* Free for a moment only, and the next file gets it. */
                must(unlink(path) == 0);
                return make_with_number(arena, stage, inode);
        }
        return NULL;
}

static void one(Arena *arena, const char *stage)
{
        Subject *first = subject_new(arena, stage, N_PIECES, PIECE_BYTES, 0), *second;
        uint64_t inode = first->id.inode;
        char what[64];
        Move move;

        snprintf(what, sizeof(what), "another file with the number before %s", stage);
        move_begin(arena, first, &move);
        move_reach(&move, stage);
        subject_free(first);
        second = take_number(arena, stage, inode);
        if (!second) {
                hazard_skip(arena, "no other file gets the number of one that is gone");
                move_end(&move);
                return;
        }
        must(second->id.generation != move.candidate.id.generation);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        (void)move_refused(arena, &move, what, "skipped:vanished");
        (void)subject_check(arena, second, what);
        if (subject_runs(second) != N_PIECES)
                hazard_lost(arena, "%s: it was moved", what);
        subject_free(second);
}

static void scenario(Arena *arena)
{
        one(arena, "look");
        one(arena, "open");
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
