/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MUTANTS: LEASE_KEPT */
/* ALONE: yes */

/* The kernel takes a lease away.
 *
 * Whoever has a lease and does not answer a foreign open() within fs.lease-break-time loses it, and the open() goes on. We hold one
 * for microseconds; but a process that is stopped, or frozen with its control group, between taking the lease and the
 * sample sleeps for as long as somebody likes. Meanwhile a direct write is submitted, and its stamp grows older than the age
 * guard. What is sampled then looks quiet, and the write lands after the copy.
 *
 * So the lease must still be there when it is given back. Without that both engines lose.
 *
 * The moment is met by tracing ourselves: the other process stops us where F_SETLEASE returns. fs.lease-break-time is the
 * whole machine's; it is one second meanwhile, which nobody's lease here needs. */

#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_PIECES    16
#define PIECE_BYTES (64 * (size_t)KIB)
#define WRITE_AT    (5 * PIECE_BYTES)
#define BREAK_TIME  "/proc/sys/fs/lease-break-time"

typedef struct Stopper {
        const Throttle *throttle;
        const char *path;
        uint8_t *bytes; /* shared; what it writes */
        uint64_t guard_usec;
        pid_t mover;
} Stopper;

/* Where F_SETLEASE has granted a write lease. */
static bool is_lease(const struct __ptrace_syscall_info *call, void *context)
{
        bool *asked = context;

        if (call->op == PTRACE_SYSCALL_INFO_ENTRY)
                *asked = call->entry.nr == SYS_fcntl && call->entry.args[1] == F_SETLEASE &&
                         call->entry.args[2] == F_WRLCK;
        else if (call->op == PTRACE_SYSCALL_INFO_EXIT && *asked)
                must(call->exit.rval == 0);
        return call->op == PTRACE_SYSCALL_INFO_EXIT && *asked;
}

static struct statx_timestamp ctime_of(const char *path)
{
        struct statx status;

        must(statx(AT_FDCWD, path, 0, STATX_CTIME, &status) == 0);
        return status.stx_ctime;
}

/* 't': stops the mover when it has its lease, has that taken away, and lets it go on when a write is in flight and old enough.
 * Answers 't' when it has begun, 'n' when there is no tracing here. 'w': waits for the write. */
static void stopper_run(int socket, void *context)
{
        const Stopper *stopper = context;
        struct io_uring ring;
        struct io_uring_sqe *entry;
        struct io_uring_cqe *done;
        struct statx_timestamp before, now;
        bool asked = false;
        int fd;

        throttle_join(stopper->throttle);
        must(io_uring_queue_init(4, &ring, 0) == 0);
        if (!trace_when_told(socket, stopper->mover))
                return;
        trace_until(stopper->mover, is_lease, &asked);

        /* Waits for as long as the mover may think about it. */
        fd = open(stopper->path, O_WRONLY | O_DIRECT | O_CLOEXEC);
        must(fd >= 0);
        before = ctime_of(stopper->path);
        entry = io_uring_get_sqe(&ring);
        io_uring_prep_write(entry, fd, stopper->bytes, PIECE_BYTES, WRITE_AT);
        must(io_uring_submit(&ring) == 1);
        do {
                pause_usec(1000);
                now = ctime_of(stopper->path);
        } while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec);
        pause_usec(stopper->guard_usec * 2);
        trace_end(stopper->mover);

        must(foreign_hear(socket) == 'w');
        must(io_uring_wait_cqe(&ring, &done) == 0 && done->res == (int)PIECE_BYTES);
        (void)close(fd);
        io_uring_cqe_seen(&ring, done);
        io_uring_queue_exit(&ring);
        foreign_say(socket, 'w');
        (void)foreign_hear(socket);
}

static void break_time_back(const char *path, const char *text)
{
        (void)write_text(path, text);
}

static void scenario(Arena *arena)
{
        static char before[32];
        Subject *subject;
        Throttle throttle;
        Foreign foreign;
        Move move;
        Stopper context;
        const char *why = uring_allowed() ? throttle_new(arena_disk(arena), true, &throttle)
                                          : "io_uring is switched off here";

        if (why) {
                hazard_skip(arena, "%s", why);
                return;
        }
        if (!before[0]) {
                _cleanup_close_ int fd = open(BREAK_TIME, O_RDONLY | O_CLOEXEC);

                must(fd >= 0 && read(fd, before, sizeof(before) - 1) > 0);
                hazard_undo(break_time_back, BREAK_TIME, before);
        }
        if (!write_text(BREAK_TIME, "1")) {
                hazard_skip(arena, "%s cannot be written here", BREAK_TIME);
                return;
        }
        subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        context = (Stopper){.throttle = &throttle,
                            .path = subject->path,
                            .bytes = shared_memory(PIECE_BYTES),
                            .guard_usec = arena->volume.guard_nsec / NSEC_PER_USEC,
                            .mover = getpid()};
        memcpy(context.bytes, subject_plan_write(subject, WRITE_AT, PIECE_BYTES), PIECE_BYTES);
        pause_usec(2 * context.guard_usec);
        foreign_start(&foreign, stopper_run, &context);
        move_begin(arena, subject, &move);
        move_reach(&move, "sample");
        if (foreign_ask(&foreign, 't') != 't') {
                hazard_skip(arena, "nobody can be traced here");
                move_end(&move);
                (void)foreign_end(&foreign);
                subject_free(subject);
                return;
        }
        (void)move_until(&move, "commit");
        throttle_lift(&throttle);
        must(foreign_ask(&foreign, 'w') == 'w');
        (void)move_expect(arena, &move, "a lease that was taken away", "busy:open");
        (void)foreign_end(&foreign);
        (void)subject_check(arena, subject, "a direct write behind a lease that was taken away");
        subject_free(subject);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
