/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* ALONE: yes */

/* Programs that open or run the file while it is being moved.
 *
 * A lease keeps foreign opens waiting (with O_NONBLOCK they are turned away) for as long as it is held, and its break sends a
 * signal that ends a process by default. So it is held for moments only: between two steps every open succeeds at once,
 * over many moves none waits longer than half a second, and we live. A file that is open for writing cannot be executed
 * (ETXTBSY), and ours is while a region is in progress: executables are left alone unless told otherwise; then a running
 * one is busy, and one that was moved runs. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_PIECES     32
#define PIECE_BYTES  (64 * (size_t)KIB)
#define N_MOVES      25
#define PATIENCE     (500 * UINT64_C(1000)) /* microseconds */
#define PROGRAM      "/bin/sleep"
#define PROGRAM_ROOM (4 * (size_t)MIB)

/* Between the steps nothing is held that an open would notice. */
static void open_between_steps(Arena *arena)
{
        static const char *const stages[] = {"open", "sample", "reserve", "copy", "verify", "commit"};
        static const int flags[] = {O_RDWR | O_NONBLOCK, O_RDONLY | O_NONBLOCK};
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Move move;

        move_begin(arena, subject, &move);
        for (size_t i = 0; i < ELEMENTS(stages); i++) {
                move_reach(&move, stages[i]);
                for (size_t k = 0; k < ELEMENTS(flags); k++) {
                        int fd = open(subject->path, flags[k] | O_CLOEXEC);

                        if (fd < 0)
                                hazard_wrong(arena, "an open before %s: %s", stages[i], strerror(errno));
                        (void)fd_close(fd);
                }
        }
        (void)move_expect(arena, &move, "opened between the steps", "moved");
        (void)subject_check(arena, subject, "opened between the steps");
        subject_free(subject);
}

typedef struct Opener {
        const char *path;
        int flags;
        atomic_bool *stop;      /* shared, as is what follows */
        uint64_t *longest_usec; /* from the first try to success */
        uint64_t *n_refused;
} Opener;

static void opener_run(int socket, void *context)
{
        const Opener *opener = context;

        (void)foreign_hear(socket);
        while (!atomic_load(opener->stop)) {
                uint64_t start_usec = clock_monotonic_usec(), took_usec;
                int fd;

                do {
                        fd = open(opener->path, opener->flags | O_CLOEXEC);
                        must(fd >= 0 || errno == EWOULDBLOCK || errno == ENOENT);
                        if (fd < 0 && errno == EWOULDBLOCK)
                                (*opener->n_refused)++;
                } while (fd < 0 && !atomic_load(opener->stop));
                (void)fd_close(fd);
                took_usec = clock_monotonic_usec() - start_usec;
                if (took_usec > *opener->longest_usec)
                        *opener->longest_usec = took_usec;
                pause_usec(300);
        }
        foreign_say(socket, 'e');
}

/* Three who open and close all the time, while the file is moved again and again. */
static void open_all_the_time(Arena *arena)
{
        static const int flags[] = {O_RDWR | O_NONBLOCK, O_RDONLY | O_NONBLOCK, O_RDWR};
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Foreign foreigns[ELEMENTS(flags)];
        Opener openers[ELEMENTS(flags)];
        atomic_bool *stop = shared_memory(4096);
        uint64_t *numbers = shared_memory(4096);
        unsigned n_moved = 0;

        for (size_t i = 0; i < ELEMENTS(flags); i++) {
                openers[i] = (Opener){.path = subject->path,
                                      .flags = flags[i],
                                      .stop = stop,
                                      .longest_usec = &numbers[2 * i],
                                      .n_refused = &numbers[2 * i + 1]};
                foreign_start(&foreigns[i], opener_run, &openers[i]);
        }
        for (size_t i = 0; i < ELEMENTS(flags); i++)
                foreign_say(foreigns[i].socket, 'g');
        for (unsigned i = 0; i < N_MOVES; i++) {
                (void)move_whole(arena, subject, "opened all the time", "moved busy:open");
                if (subject_runs(subject) == N_PIECES)
                        continue;
                n_moved++;
                (void)subject_check(arena, subject, "opened all the time");
                subject_free(subject);
                subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
                pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        }
        atomic_store(stop, true);
        for (size_t i = 0; i < ELEMENTS(flags); i++) {
                must(foreign_answer(&foreigns[i]) == 'e');
                (void)foreign_end(&foreigns[i]);
                if (numbers[2 * i] > PATIENCE)
                        hazard_wrong(arena, "an open took %llu us", (unsigned long long)numbers[2 * i]);
        }
        hazard_note(arena, "%u of %u moved; longest open %llu, %llu, %llu us; %llu turned away", n_moved,
                    N_MOVES, (unsigned long long)numbers[0], (unsigned long long)numbers[2],
                    (unsigned long long)numbers[4], (unsigned long long)(numbers[1] + numbers[3]));
        subject_free(subject);
}

/* Runs the file as a program. Returns its process, or -errno. */
static pid_t program_start(const Subject *subject, const char *seconds)
{
        int error = 0, report[2];
        pid_t pid;

        must(pipe2(report, O_CLOEXEC) == 0);
        pid = fork();
        must(pid >= 0);
        if (pid == 0) {
                execl(subject->path, "sleep", seconds, (char *)NULL);
                error = errno;
                must(write(report[1], &error, sizeof(error)) == (ssize_t)sizeof(error));
                _exit(HAZARD_WRONG);
        }
        (void)close(report[1]);
        /* The pipe closes when the new program has begun. */
        if (read(report[0], &error, sizeof(error)) != (ssize_t)sizeof(error))
                error = 0;
        (void)close(report[0]);
        if (error == 0)
                return pid;
        must(waitpid(pid, NULL, 0) == pid);
        return -error;
}

static bool program_works(const Subject *subject)
{
        pid_t pid = program_start(subject, "0");
        int status;

        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static Subject *program_new(Arena *arena)
{
        Subject *subject = subject_new(arena, "program", PROGRAM_ROOM / PIECE_BYTES, PIECE_BYTES, 0);
        _cleanup_close_ int from_fd = open(PROGRAM, O_RDONLY | O_CLOEXEC), to_fd = -EBADF;
        ssize_t n_bytes;

        must(from_fd >= 0);
        n_bytes = pread(from_fd, subject->content, PROGRAM_ROOM, 0);
        to_fd = open(subject->path, O_WRONLY | O_CLOEXEC);
        must(n_bytes > 0 && to_fd >= 0 && pwrite(to_fd, subject->content, (size_t)n_bytes, 0) == n_bytes);
        must(fchmod(to_fd, 0755) == 0);
        return subject;
}

static void executables(Arena *arena)
{
        Subject *subject = program_new(arena);
        Move move;
        pid_t pid;

        if (!program_works(subject)) {
                hazard_note(arena, "nothing can be executed on this volume");
                subject_free(subject);
                return;
        }
        (void)move_whole(arena, subject, "an executable", "skipped:executable");

        arena->options.policy.executables = true;
        pid = program_start(subject, "60");
        must(pid > 0);
        (void)move_whole(arena, subject, "a running executable", "busy:open");
        must(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);

        /* Turned away, because our descriptor is open for writing; never killed or half started. */
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        pid = program_start(subject, "0");
        if (pid != -ETXTBSY)
                hazard_wrong(arena, "an exec in the middle of a region: %s",
                             pid < 0 ? strerror(-pid) : "succeeded");
        if (pid > 0)
                must(waitpid(pid, NULL, 0) == pid);
        (void)move_expect(arena, &move, "an exec meanwhile", "moved");
        (void)subject_check(arena, subject, "an exec meanwhile");
        if (!program_works(subject))
                hazard_wrong(arena, "a program does not run after it was moved");
        arena->options.policy.executables = false;
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        open_between_steps(arena);
        open_all_the_time(arena);
        executables(arena);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
