/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs btrfs */
/* WHOLE_FILE_SYSTEMS: btrfs-zstd */
/* MUTANTS: CLONED_MEANWHILE */

/* A clone of the file is made while it is copied.
 *
 * That changes nothing in the file and moves none of its stamps, so the kernel's check accepts; but the exchange would give the
 * file a copy of its own, and what others share with it is stored twice from then on. What is shared is not moved; where
 * SharedExtents=yes allows it, no more than was said before. */

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/extent_map.h"
#include "lib-hazard.h"

#define N_PIECES    32
#define PIECE_BYTES (64 * (size_t)KIB)

static void clone_of(const Subject *subject, const char *path)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        _cleanup_close_ int clone_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        must(fd >= 0 && clone_fd >= 0 && ioctl(clone_fd, FICLONE, fd) == 0);
}

/* Between the look and the sample: it is planned anew, and what it costs now is said before anything is moved. */
static void before_the_sample(Arena *arena, const char *stage, bool unshare)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        char path[sizeof(subject->path) + 8], what[64];
        bool said = true;
        Move move;

        arena->options.limits.unshare = unshare;
        (void)snprintf(path, sizeof(path), "%s.clone", subject->path);
        (void)snprintf(what, sizeof(what), "cloned before %s%s", stage,
                       unshare ? ", SharedExtents=yes" : "");
        move_begin(arena, subject, &move);
        move_reach(&move, stage);
        clone_of(subject, path);
        if (unshare) {
                move_reach(&move, "commit");
                said = relocation_result(move.relocation)->bytes_shared == subject->bytes;
        }
        (void)move_expect(arena, &move, what, unshare ? "moved" : "skipped:shared");
        if (!said)
                hazard_wrong(arena, "%s: what it costs was not said", what);
        if (!unshare && subject_shared_bytes(subject) != subject->bytes)
                hazard_lost(arena, "%s: what was shared is not any more", what);
        (void)subject_check(arena, subject, what);
        must(unlink(path) == 0);
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        static const char *const stages[] = {"reserve", "copy", "verify", "commit"};

        for (size_t i = 0; i < 2 * ELEMENTS(stages); i++) {
                const char *stage = stages[i % ELEMENTS(stages)];
                Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
                char path[sizeof(subject->path) + 8], what[64];
                Move move;

                arena->options.limits.unshare = i >= ELEMENTS(stages);
                (void)snprintf(path, sizeof(path), "%s.clone", subject->path);
                (void)snprintf(what, sizeof(what), "cloned before %s%s", stage,
                               arena->options.limits.unshare ? ", SharedExtents=yes" : "");
                move_begin(arena, subject, &move);
                move_reach(&move, stage);
                must(relocation_result(move.relocation)->bytes_shared == 0);
                clone_of(subject, path);
                if (move_expect(arena, &move, what, "changed:written moved"))
                        (void)subject_check(arena, subject, what);
                if (subject_shared_bytes(subject) != subject->bytes)
                        hazard_lost(arena, "%s: %zu of %zu bytes are still shared", what,
                                    (size_t)subject_shared_bytes(subject), subject->bytes);
                must(unlink(path) == 0);
                subject_free(subject);
        }
        for (size_t i = 0; i < 4; i++)
                before_the_sample(arena, i % 2 == 0 ? "open" : "sample", i >= 2);
        arena->options.limits.unshare = false;
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
