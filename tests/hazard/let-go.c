/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 btrfs btrfs-zstd */
/* MUTANTS: LET_GO:ext4 */
/* ALONE: yes */

/* When a move is over, nobody has its file any more, nor what was made beside it: not by a descriptor, and not by a request of a ring, which keeps the
 * file until the kernel has put it away.
 *
 * What is kept cannot be unmounted, nor leased by others, nor does its space come back when it is deleted. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/aside.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_FILES     100
#define N_PIECES    8
#define PIECE_BYTES (64 * (size_t)KIB)

/* Of these more than twenty would be kept, on a busy machine, too. */
#define N_REQUESTS 60000

/* A lease is given only to who is the only one that has the file. */
static bool somebody_has(const Subject *subject)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_CLOEXEC);

        must(fd >= 0);
        if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
                return true;
        must(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
        return false;
}

/* A volume becomes read-only only if no file of it is open for writing, and none that was deleted is open. */
static bool somebody_writes(const Arena *arena)
{
        if (mount(NULL, arena->volume.mount_path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0) {
                must(errno == EBUSY);
                return true;
        }
        must(mount(NULL, arena->volume.mount_path, NULL, MS_REMOUNT, NULL) == 0);
        return false;
}

/* What is not in the page cache is not there afterwards, which a ring is asked for. */
static void drop(const Subject *subject)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_CLOEXEC);

        must(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
}

static void moves(Arena *arena)
{
        Subject *subjects[N_FILES];
        unsigned n_kept = 0, n_writing = 0;

        for (unsigned i = 0; i < N_FILES; i++) {
                char name[32];

                snprintf(name, sizeof(name), "file-%u", i);
                subjects[i] = subject_new(arena, name, N_PIECES, PIECE_BYTES, 0);
                drop(subjects[i]);
        }
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        for (unsigned i = 0; i < N_FILES; i++) {
                (void)move_whole(arena, subjects[i], "let go", "moved");
                n_kept += somebody_has(subjects[i]);
                n_writing += somebody_writes(arena);
        }
        if (n_kept + n_writing > 0)
                hazard_lost(arena, "of %d files %u are still held, and %u times one that was written",
                            N_FILES, n_kept, n_writing);
        for (unsigned i = 0; i < N_FILES; i++) {
                (void)subject_check(arena, subjects[i], "let go");
                subject_free(subjects[i]);
        }
}

/* One request after the other, each heard of as soon as it is over: the kernel's thread is not through with it then. Returns the first that was kept, or
 * how many there were. */
static unsigned requests_in_a_row(const Arena *arena, const Subject *subject)
{
        const struct sched_param urgent = {.sched_priority = 1};
        Aside *aside;

        /* The kernel's thread, which is made here, too: then each has a CPU when it wants one. */
        if (sched_setscheduler(0, SCHED_FIFO, &urgent) < 0)
                hazard_note(arena, "no real-time priority here: less is found");
        must(aside_new(false, &aside) == 0);
        for (unsigned i = 0; i < N_REQUESTS; i++) {
                int fd = open(subject->path, O_RDONLY | O_CLOEXEC);

                must(fd >= 0);
                aside_drop(aside, fd, 0, subject->bytes);
                aside_let_go(aside);
                (void)close(fd);
                if (somebody_has(subject))
                        return i;
        }
        aside_free(aside);
        return N_REQUESTS;
}

static void requests(Arena *arena)
{
        Subject *subject = subject_new(arena, "asked", N_PIECES, PIECE_BYTES, 0);
        unsigned *first = shared_memory(sizeof(*first));
        int status;
        pid_t pid;

        must((pid = fork()) >= 0);
        if (pid == 0) {
                hazard_undo_forget();
                *first = requests_in_a_row(arena, subject);
                _exit(0);
        }
        must(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (*first < N_REQUESTS)
                hazard_lost(arena, "request %u still holds its file", *first);
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        moves(arena);
        /* The same kernel code on all of them. */
        if (arena_is(arena, "ext4"))
                requests(arena);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
