/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 btrfs btrfs-zstd */
/* MUTANTS: CACHE_REFILL SETTLED:ext4 */

/* The page cache of a file that is in use between two moments of quiet.
 *
 * An exchange of blocks drops what the cache had of them. What was there is read again, or a program that starts in a second pays for
 * it; and what was not there does not push other people's pages out. */

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "facts/page_cache.h"
#include "lib-hazard.h"

#define N_PIECES      64
#define PIECE_BYTES   (64 * (size_t)KIB)
/* Where the kernel does not let go of some at once (btrfs). */
#define FEW_BYTES     (64 * (uint64_t)KIB)
/* Read-ahead goes on after it was asked for. */
#define PATIENCE_USEC (10 * USEC_PER_SEC)

static uint64_t resident(const Subject *subject)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_CLOEXEC);
        uint64_t bytes = 0;

        must(fd >= 0 && page_cache_resident(fd, 0, subject->bytes, &bytes) == 0);
        return bytes;
}

static void drop(const Subject *subject)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_CLOEXEC);

        must(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
}

static void read_whole(const Subject *subject)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        _cleanup_free_ uint8_t *room = malloc(subject->bytes);

        must(fd >= 0 && room && pread(fd, room, subject->bytes, 0) == (ssize_t)subject->bytes);
}

static void one(Arena *arena, bool hot)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        uint64_t start_usec, after;

        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        drop(subject);
        if (hot)
                read_whole(subject);
        (void)move_whole(arena, subject, hot ? "a hot file" : "a cold file", "moved");
        start_usec = clock_monotonic_usec();
        while ((after = resident(subject)) < subject->bytes && hot &&
               clock_monotonic_usec() - start_usec < PATIENCE_USEC)
                pause_usec(10000);
        hazard_note(arena, "%s file: %llu of %zu KiB are in the page cache afterwards", hot ? "hot" : "cold",
                    (unsigned long long)(after / KIB), subject->bytes / KIB);
        if (hot && after < subject->bytes)
                hazard_lost(arena, "what was in the page cache is not there again");
        if (!hot && after > (arena_is(arena, "btrfs") ? FEW_BYTES : 0))
                hazard_lost(arena, "a cold file is in the page cache");
        (void)subject_check(arena, subject, "after all");
        subject_free(subject);
}

/* After the first slice, when the next one may be on its way. touched: the file's stamps are others by then, so that what has moved is looked at
 * through another descriptor. */
static void given_up(Arena *arena, bool touched)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        atomic_bool cancel = false;
        uint64_t wait_usec, before, after;
        Move move;

        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        drop(subject);
        arena->options.cancel = &cancel;
        move_begin(arena, subject, &move);
        must(move_until(&move, "commit") &&
             relocation_step(move.relocation, &wait_usec) == RELOCATION_AGAIN);
        before = resident(subject);
        must(!touched || utimensat(AT_FDCWD, subject->path, NULL, 0) == 0);
        atomic_store(&cancel, true);
        (void)move_expect(arena, &move, "given up after a slice", "cancelled");
        arena->options.cancel = NULL;
        after = resident(subject);
        hazard_note(arena, "given up: %llu of %zu KiB are in the page cache before, %llu afterwards",
                    (unsigned long long)(before / KIB), subject->bytes / KIB,
                    (unsigned long long)(after / KIB));
        if (after > 0)
                hazard_lost(arena, "what would have been next is in the page cache");
        if (!touched)
                (void)subject_check(arena, subject, "given up");
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        Subject *subject = subject_new(arena, "probe", 2, PIECE_BYTES, 0);
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_CLOEXEC);
        uint64_t bytes;
        int r = page_cache_resident(fd, 0, subject->bytes, &bytes);

        subject_free(subject);
        if (r < 0) {
                hazard_skip(arena, "this kernel has no cachestat");
                return;
        }
        one(arena, true);
        one(arena, false);
        if (arena_is(arena, "ext4"))
                for (unsigned touched = 0; touched < 2; touched++)
                        given_up(arena, touched > 0);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
