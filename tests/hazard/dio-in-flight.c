/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* WHOLE_FILE_SYSTEMS: btrfs btrfs-zstd btrfs-raid1 */
/* MUTANTS: LEASE */

/* Direct I/O in flight.
 *
 * ctime moves when a direct write is submitted; the data land when the device comes round to it. Sampled, copied and committed
 * in between, the commit sees no change: the writer is told that its bytes were written, into blocks that no longer belong
 * to the file. Only the lease knows that somebody still has the file in hand, also when its descriptor is closed long since.
 *
 * The slow device is a control group whose writes crawl. Without the lease both engines lose; SWAPEXT's second lease comes too
 * late, because by then the request has landed. */

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <linux/aio_abi.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_PIECES    32
#define PIECE_BYTES (64 * (size_t)KIB)
#define WRITE_AT    (5 * PIECE_BYTES)
#define WRITE_BYTES PIECE_BYTES

/* How a program has a write in flight. */
typedef enum How {
        HOW_RING,        /* io_uring */
        HOW_RING_CLOSED, /* its descriptor is closed meanwhile */
        HOW_RING_FIXED,  /* it never has one, but a file that the ring knows */
        HOW_AIO,         /* io_submit(2), what libaio calls; closed meanwhile */
} How;

typedef struct Writer {
        const Throttle *throttle;
        const char *path;
        uint8_t *bytes; /* shared; what it writes */
        How how;
} Writer;

/* 's': submit; 'w': wait until it is acknowledged. */
static void aio_run(int socket, const Writer *writer)
{
        aio_context_t queue = 0;
        struct iocb request = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                               .aio_buf = (uintptr_t)writer->bytes,
                               .aio_nbytes = WRITE_BYTES,
                               .aio_offset = (int64_t)WRITE_AT},
                    *requests[] = {&request};
        struct io_event done;
        int fd;

        must(syscall(SYS_io_setup, 4, &queue) == 0);
        must(foreign_hear(socket) == 's');
        fd = open(writer->path, O_WRONLY | O_DIRECT | O_CLOEXEC);
        must(fd >= 0);
        request.aio_fildes = (uint32_t)fd;
        must(syscall(SYS_io_submit, queue, 1, requests) == 1);
        (void)close(fd);
        foreign_say(socket, 's');
        must(foreign_hear(socket) == 'w');
        must(syscall(SYS_io_getevents, queue, 1, 1, &done, NULL) == 1 && done.res == (int64_t)WRITE_BYTES);
        must(syscall(SYS_io_destroy, queue) == 0);
        foreign_say(socket, 'w');
        (void)foreign_hear(socket);
}

static void writer_run(int socket, void *context)
{
        const Writer *writer = context;
        struct io_uring ring;
        struct io_uring_sqe *entry;
        struct io_uring_cqe *done;
        int fd;

        throttle_join(writer->throttle);
        if (writer->how == HOW_AIO) {
                aio_run(socket, writer);
                return;
        }
        must(io_uring_queue_init(4, &ring, 0) == 0);
        must(foreign_hear(socket) == 's');
        fd = open(writer->path, O_WRONLY | O_DIRECT | O_CLOEXEC);
        must(fd >= 0);
        if (writer->how == HOW_RING_FIXED) {
                must(io_uring_register_files(&ring, &fd, 1) == 0);
                (void)close(fd);
                fd = 0; /* in the ring's table */
        }
        entry = io_uring_get_sqe(&ring);
        io_uring_prep_write(entry, fd, writer->bytes, WRITE_BYTES, WRITE_AT);
        if (writer->how == HOW_RING_FIXED)
                entry->flags |= IOSQE_FIXED_FILE;
        must(io_uring_submit(&ring) == 1);
        if (writer->how == HOW_RING_CLOSED)
                (void)close(fd);
        foreign_say(socket, 's');
        must(foreign_hear(socket) == 'w');
        must(io_uring_wait_cqe(&ring, &done) == 0 && done->res == (int)WRITE_BYTES);
        if (writer->how == HOW_RING)
                (void)close(fd);
        /* The ring keeps the file for as long as it remembers the request. */
        io_uring_cqe_seen(&ring, done);
        io_uring_queue_exit(&ring);
        foreign_say(socket, 'w');
        (void)foreign_hear(socket);
}

static struct statx_timestamp ctime_of(const char *path)
{
        struct statx status;

        must(statx(AT_FDCWD, path, 0, STATX_CTIME, &status) == 0);
        return status.stx_ctime;
}

/* The request has reached the file system when ctime has moved: some of it may be done by a thread of the kernel's. */
static void submit(const Foreign *writer, const Subject *subject)
{
        struct statx_timestamp before = ctime_of(subject->path), now;

        must(foreign_ask(writer, 's') == 's');
        do {
                pause_usec(1000);
                now = ctime_of(subject->path);
        } while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec);
        pause_usec(20000);
}

/* A ring that is gone lets go of its files from a thread of the kernel's, after its process has been waited for. */
static void wait_until_let_go(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        unsigned n = 0;

        must(fd >= 0);
        while (fcntl(fd, F_SETLEASE, F_RDLCK) != 0) {
                must(errno == EAGAIN && n++ < 10000);
                pause_usec(1000);
        }
        must(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
}

/* The write begins when the step named by stage is next, and lands before the commit, if it comes to one. */
static void case_run(Arena *arena, const Throttle *throttle, const char *stage, How how)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Writer context = {.throttle = throttle,
                          .path = subject->path,
                          .bytes = shared_memory(WRITE_BYTES),
                          .how = how};
        Foreign writer;
        Move move;

        memcpy(context.bytes, subject_plan_write(subject, WRITE_AT, WRITE_BYTES), WRITE_BYTES);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        foreign_start(&writer, writer_run, &context);
        move_begin(arena, subject, &move);
        move_reach(&move, stage);
        submit(&writer, subject);
        (void)move_until(&move, "commit");
        throttle_lift(throttle);
        must(foreign_ask(&writer, 'w') == 'w');
        throttle_set(throttle);
        (void)move_expect(arena, &move, "a direct write in flight", arena_outcomes(arena, "busy:open"));
        (void)foreign_end(&writer);
        (void)subject_check(arena, subject, "an acknowledged direct write");

        /* Once it has landed there is nothing in the way. */
        wait_until_let_go(subject->path);
        (void)move_whole(arena, subject, "after the direct write", arena_outcomes(arena, "moved"));
        (void)subject_check(arena, subject, "after the direct write");
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        Throttle throttle;
        const char *why = uring_allowed() ? throttle_new(arena_disk(arena), true, &throttle)
                                          : "io_uring is switched off here";

        if (why) {
                hazard_skip(arena, "%s", why);
                return;
        }
        case_run(arena, &throttle, "open", HOW_RING);
        case_run(arena, &throttle, "open", HOW_RING_CLOSED);
        case_run(arena, &throttle, "sample", HOW_RING_CLOSED);
        case_run(arena, &throttle, "open", HOW_RING_FIXED);
        case_run(arena, &throttle, "sample", HOW_AIO);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
