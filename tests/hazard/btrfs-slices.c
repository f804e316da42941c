/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: btrfs btrfs-zstd */
/* MUTANTS: CLONED_MEANWHILE:btrfs NOT_CACHED:btrfs WHOLE_SLICES:btrfs SETTLED:btrfs */

/* A region that is handed to the kernel slice by slice.
 *
 * The kernel would take all of it at once and write it when it likes, with no more regard for others than for any dirty page; it would
 * give what was cloned a moment ago a copy of its own; and it leaves everything in the page cache. So no more than a slice is under way between
 * two steps, what is shared by then stays so, and of a cold file nothing is cached.
 *
 * And it stops in the middle when a signal is pending, without a word. Then it is told to go on. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/extent_map.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

/* 32 slices. */
#define N_PIECES     512
#define PIECE_BYTES  (64 * (size_t)KIB)
#define N_SLICES     32
#define SLICE_PAGES  (N_PIECES * PIECE_BYTES / N_SLICES / 4096)
/* What is under way, and what the kernel reads ahead of it. */
#define CACHED_PAGES (8 * MIB / 4096)
/* Where the kernel does not let go of some at once. */
#define FEW_PAGES    16

/* While it is moved. */
#define N_SIGNALS   40
#define SIGNAL_USEC 1000

typedef struct Cache {
        uint64_t cached, dirty, written_back; /* pages */
} Cache;

static Cache cache_read(const Subject *subject)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        struct {
                uint64_t offset, length;
        } range = {0, subject->bytes};
        struct {
                uint64_t cached, dirty, writeback, evicted, recently_evicted;
        } counts;

        must(fd >= 0 && syscall(451, fd, &range, &counts, 0) == 0); /* cachestat */
        return (Cache){counts.cached, counts.dirty, counts.writeback};
}

static void drop(const Subject *subject)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);

        must(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
}

static void one_after_the_other(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        unsigned n_slices = 0;
        uint64_t wait_usec;
        Cache cache;
        Move move;

        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        drop(subject);
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        while (strcmp(relocation_stage(move.relocation), "commit") == 0) {
                (void)relocation_step(move.relocation, &wait_usec);
                n_slices++;
                cache = cache_read(subject);
                if (cache.dirty + cache.written_back > SLICE_PAGES || cache.cached > CACHED_PAGES)
                        hazard_lost(arena, "%llu pages are dirty and %llu under way after a slice, of %llu",
                                    (unsigned long long)cache.dirty, (unsigned long long)cache.written_back,
                                    (unsigned long long)cache.cached);
        }
        (void)move_expect(arena, &move, "a cold file", "moved");
        cache = cache_read(subject);
        hazard_note(arena, "%u slices; %llu pages are cached afterwards", n_slices,
                    (unsigned long long)cache.cached);
        if (n_slices < N_SLICES)
                hazard_wrong(arena, "only %u slices", n_slices);
        if (cache.cached > FEW_PAGES)
                hazard_lost(arena, "a cold file is in the page cache: %llu pages",
                            (unsigned long long)cache.cached);
        (void)subject_check(arena, subject, "slice by slice");
        subject_free(subject);
}

/* After n slices somebody clones the file: what is shared then is not touched any more, and what was asked for does not stay in the page
 * cache. */
static void cloned_after(Arena *arena, unsigned n_slices, bool can_count)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        _cleanup_close_ int fd = -EBADF, clone_fd = -EBADF;
        char path[sizeof(subject->path) + 8], what[64];
        uint64_t wait_usec;
        Move move;

        (void)snprintf(path, sizeof(path), "%s.clone", subject->path);
        (void)snprintf(what, sizeof(what), "cloned after %u slices", n_slices);
        drop(subject);
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        for (unsigned i = 0; i < n_slices; i++)
                (void)relocation_step(move.relocation, &wait_usec);
        fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        clone_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        must(fd >= 0 && clone_fd >= 0 && ioctl(clone_fd, FICLONE, fd) == 0);
        (void)move_expect(arena, &move, what, "changed:written moved");
        if (subject_shared_bytes(subject) != subject->bytes)
                hazard_lost(arena, "%s: %llu of %zu bytes are still shared", what,
                            (unsigned long long)subject_shared_bytes(subject), subject->bytes);
        if (can_count && cache_read(subject).cached > FEW_PAGES)
                hazard_lost(arena, "%s: %llu pages are cached", what,
                            (unsigned long long)cache_read(subject).cached);
        (void)subject_check(arena, subject, what);
        must(unlink(path) == 0);
        subject_free(subject);
}

/* How many extents of before lie where they lay? */
static unsigned n_unmoved(const Subject *subject, const ExtentMap *before)
{
        _cleanup_(extent_map_done) ExtentMap now = {0};
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        unsigned n = 0;

        must(fd >= 0 && extent_map_read(fd, 0, subject->bytes, true, EXTENT_MAP_MAX, &now) == 0);
        for (size_t i = 0; i < before->n_extents; i++)
                for (size_t j = 0; j < now.n_extents; j++)
                        n += now.extents[j].logical == before->extents[i].logical &&
                             now.extents[j].physical == before->extents[i].physical;
        return n;
}

/* In the middle of it somebody cancels: what was begun ends before it is looked at and counted, and of the file nothing is cached. touched: its stamps
 * are others by then, so that it is looked at in another way. */
static void cancelled_after(Arena *arena, unsigned n_slices, bool touched, bool can_count)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        _cleanup_(extent_map_done) ExtentMap before = {0};
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        const RelocationResult *result;
        atomic_bool cancel = false;
        uint64_t wait_usec, moved;
        Cache cache;
        Move move;

        must(fd >= 0 && extent_map_read(fd, 0, subject->bytes, true, EXTENT_MAP_MAX, &before) == 0);
        fd = fd_close(fd);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        drop(subject);
        arena->options.cancel = &cancel;
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        for (unsigned i = 0; i < n_slices; i++)
                (void)relocation_step(move.relocation, &wait_usec);
        must(!touched || utimensat(AT_FDCWD, subject->path, NULL, 0) == 0);
        atomic_store(&cancel, true);
        (void)move_until(&move, NULL);
        if (can_count) {
                cache = cache_read(subject);
                if (cache.dirty > 0 || cache.written_back > 0 || cache.cached > FEW_PAGES)
                        hazard_lost(
                                arena,
                                "cancelled after %u slices: %llu pages are dirty, %llu under way, of %llu",
                                n_slices, (unsigned long long)cache.dirty,
                                (unsigned long long)cache.written_back, (unsigned long long)cache.cached);
        }
        moved = (before.n_extents - n_unmoved(subject, &before)) * PIECE_BYTES;
        result = relocation_result(move.relocation);
        if (result->outcome != OUTCOME_CANCELLED || moved == 0 || result->bytes_moved != moved ||
            result->runs_after != subject_runs(subject))
                hazard_wrong(arena,
                             "cancelled after %u slices: %s, %llu bytes and %llu runs, and they are %llu "
                             "and %llu",
                             n_slices, outcome_name(result->outcome),
                             (unsigned long long)result->bytes_moved, (unsigned long long)result->runs_after,
                             (unsigned long long)moved, (unsigned long long)subject_runs(subject));
        move_end(&move);
        arena->options.cancel = NULL;
        if (!touched)
                (void)subject_check(arena, subject, "cancelled");
        subject_free(subject);
}

static void on_signal(int number)
{
        (void)number;
}

/* As often as a signal comes that somebody handles. */
static void signal_run(int socket, void *context)
{
        const pid_t *mover = context;

        must(foreign_hear(socket) == 's');
        foreign_say(socket, 's');
        for (unsigned i = 0; i < N_SIGNALS; i++) {
                (void)kill(*mover, SIGUSR1);
                pause_usec(SIGNAL_USEC);
        }
        (void)foreign_hear(socket);
}

static void stopped_by_signals(Arena *arena)
{
        const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        _cleanup_(extent_map_done) ExtentMap before = {0};
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        pid_t mover = getpid();
        Foreign somebody;
        Move move;

        must(fd >= 0 && extent_map_read(fd, 0, subject->bytes, true, EXTENT_MAP_MAX, &before) == 0);
        fd = fd_close(fd);

        must(sigaction(SIGUSR1, &action, NULL) == 0);
        foreign_start(&somebody, signal_run, &mover);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        drop(subject);
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        must(foreign_ask(&somebody, 's') == 's');
        if (move_expect(arena, &move, "while signals come", "moved") && n_unmoved(subject, &before) > 0)
                hazard_lost(arena, "called moved, and %u extents of it were not",
                            n_unmoved(subject, &before));
        (void)foreign_end(&somebody);
        (void)subject_check(arena, subject, "while signals come");
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        struct {
                uint64_t offset, length;
        } range = {0, 1};
        uint64_t counts[5];
        const bool can_count = syscall(451, STDIN_FILENO, &range, counts, 0) == 0 || errno != ENOSYS;

        if (can_count)
                one_after_the_other(arena);
        else
                hazard_skip(arena, "this kernel has no cachestat");
        cloned_after(arena, 0, can_count);
        cloned_after(arena, 2, can_count);
        cancelled_after(arena, 1, false, can_count);
        cancelled_after(arena, 5, false, can_count);
        cancelled_after(arena, 5, true, can_count);
        stopped_by_signals(arena);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
