/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* MUTANTS: FLUSH */

/* Data that was dirty at the sample.
 *
 * A program wrote and closed; its data wait in the page cache, nobody has the file open, and the stamps are old enough. What is
 * dirty over written blocks reaches the device before a direct read gets there. What is dirty over preallocated blocks does
 * not: the map still calls them unwritten, so they are not read at all, and the commit puts the donor's empty blocks into
 * their place. Without the flush between the sample and the map both engines lose. */

#include "lib-hazard.h"

#define PIECE_BYTES (64 * (size_t)KIB)
#define LAYOUT      "wwuuwuwuuuwwwwuuuuwuwuwuwuwuwuww"

static void scenario(Arena *arena)
{
        Subject *subject = subject_new_laid_out(arena, "file", LAYOUT, PIECE_BYTES,
                                                (sizeof(LAYOUT) - 1) * PIECE_BYTES, 0);
        Move move;

        move_begin(arena, subject, &move);
        move_reach(&move, "open");
        /* Into preallocated and into written blocks, some across their border. */
        subject_write(subject, 2 * PIECE_BYTES, 4096, 0);
        subject_write(subject, 5 * PIECE_BYTES + 100, 5000, 0);
        subject_write(subject, 8 * PIECE_BYTES, PIECE_BYTES, 0);
        subject_write(subject, 13 * PIECE_BYTES + 60000, 20000, 0);
        subject_write(subject, 30 * PIECE_BYTES, 100, 0);
        (void)move_expect(arena, &move, "dirty data of a closed file", "moved");
        (void)subject_check(arena, subject, "dirty data of a closed file");
        subject_free(subject);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
