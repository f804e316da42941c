/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* MUTANTS: LEASE */
/* ALONE: yes */

/* Leases switched off.
 *
 * Without fs.leases-enable nobody can know that a file is quiet, so nothing is moved: not on a volume that was never probed,
 * not on one whose probe was long ago, not when it happens between sample and SWAPEXT's second lease. The switch is the
 * whole machine's; it is off for some milliseconds at a time, and on again however this program ends. */

#include "fs/engine.h"
#include "lib-hazard.h"

#define N_PIECES    16
#define PIECE_BYTES (64 * (size_t)KIB)
#define SWITCH      "/proc/sys/fs/leases-enable"

static void switch_on(const char *path, const char *text)
{
        (void)write_text(path, text);
}

/* Returns false, and there is nothing more to be shown, when it was moved. */
static bool unmoved(Arena *arena, const Subject *subject, const char *what)
{
        (void)subject_check(arena, subject, what);
        if (subject_runs(subject) == N_PIECES)
                return true;
        hazard_lost(arena, "%s: moved without a lease", what);
        return false;
}

static void scenario(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        const Engine *engine = arena->volume.engine;
        static bool registered;
        Move move;
        bool off;

        if (!registered)
                hazard_undo(switch_on, SWITCH, "1");
        registered = true;
        pause_usec(2 * arena->volume.guard_nsec / NSEC_PER_USEC);

        move_begin(arena, subject, &move);
        arena->volume.engine = NULL;
        off = write_text(SWITCH, "0");
        if (off)
                (void)move_until(&move, NULL);
        must(write_text(SWITCH, "1") || !off);
        if (!off) {
                arena->volume.engine = engine;
                move_end(&move);
                hazard_skip(arena, "%s cannot be written here", SWITCH);
                return;
        }
        (void)move_expect(arena, &move, "never probed", "skipped:no-leases");
        (void)unmoved(arena, subject, "never probed");

        arena->volume.engine = engine;
        move_begin(arena, subject, &move);
        move_reach(&move, "open");
        must(write_text(SWITCH, "0"));
        (void)move_until(&move, NULL);
        must(write_text(SWITCH, "1"));
        (void)move_refused(arena, &move, "switched off after the look", "skipped:no-leases");
        if (!unmoved(arena, subject, "switched off after the look"))
                return;

        move_begin(arena, subject, &move);
        move_reach(&move, "sample");
        must(write_text(SWITCH, "0"));
        (void)move_until(&move, NULL);
        must(write_text(SWITCH, "1"));
        (void)move_expect(arena, &move, "switched off before the sample", "skipped:no-leases");
        if (!unmoved(arena, subject, "switched off before the sample"))
                return;

        /* The exchange engine needs no second lease, and is done. */
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        must(write_text(SWITCH, "0"));
        (void)move_until(&move, NULL);
        must(write_text(SWITCH, "1"));
        if (engine == &engine_xfs_exchange) {
                (void)move_expect(arena, &move, "switched off before the commit", "moved");
                (void)subject_check(arena, subject, "switched off before the commit");
        } else {
                (void)move_expect(arena, &move, "switched off before the commit", "skipped:no-leases");
                (void)unmoved(arena, subject, "switched off before the commit");
                (void)move_whole(arena, subject, "switched on again", "moved");
                (void)subject_check(arena, subject, "switched on again");
        }
        subject_free(subject);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
