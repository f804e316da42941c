/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 btrfs */
/* MUTANTS: LEASE COMMIT_LEASE */

/* Pinned pages.
 *
 * A process has the file mapped, shared, and a direct-I/O read from elsewhere into that mapping in flight. The device will put the
 * bytes into a page of the page cache that is pinned for it. Whatever drops the file's page cache meanwhile orphans that
 * page: the read is acknowledged, and its bytes are in no file.
 *
 * Pinned before the sample: only the lease sees it. Without it the exchange engine loses (the fault that pinned the page is
 * older than the cookie); SWAPEXT is saved by its second lease, which the mapping refuses. Where the bytes have landed
 * after the copy, and the mapping is gone before the commit, that lease is granted, and both lose: a page that a device has put
 * bytes into is dirty, but no stamp moves.
 *
 * Pinned after the sample: the fault moves ctime, so neither kernel call will accept, but SWAPEXT drops the page cache
 * before it looks at the cookie, and loses though it refuses. Our own look at the stamps just before cannot help when the
 * page is pinned while SWAPEXT waits for the file's lock, here behind a cached read on a slow device. So SWAPEXT loses
 * without its second lease. COMMIT_RANGE is seen to look first and touch the page cache later. */

#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_PIECES    32
#define PIECE_BYTES (64 * (size_t)KIB)
#define PIN_AT      (7 * PIECE_BYTES)
#define PIN_BYTES   ((size_t)(16 * KIB))
/* Of the file that is only read slowly. */
#define READ_AT     (20 * PIECE_BYTES)

typedef struct Mapper {
        const Throttle *throttle;
        const char *path;
        const char *source_path; /* PIN_BYTES are read from its start */
} Mapper;

/* 'm': open and map; 'p': let the device begin to read into the mapping; 'w': wait until that is acknowledged. */
static void mapper_run(int socket, void *context)
{
        const Mapper *mapper = context;
        struct io_uring ring;
        struct io_uring_sqe *entry;
        struct io_uring_cqe *done;
        volatile const uint8_t *touched;
        uint8_t *memory;
        int fd, source_fd;

        must(io_uring_queue_init(4, &ring, 0) == 0);
        must(foreign_hear(socket) == 'm');
        fd = open(mapper->path, O_RDWR | O_CLOEXEC);
        source_fd = open(mapper->source_path, O_RDONLY | O_DIRECT | O_CLOEXEC);
        must(fd >= 0 && source_fd >= 0);
        memory = mmap(NULL, PIN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)PIN_AT);
        must(memory != MAP_FAILED && madvise(memory, PIN_BYTES, MADV_RANDOM) == 0);
        /* In the page cache, so that pinning will need no I/O; read only, so that ctime does not move yet. */
        touched = memory;
        for (size_t i = 0; i < PIN_BYTES; i += 4096)
                (void)touched[i];
        foreign_say(socket, 'm');

        must(foreign_hear(socket) == 'p');
        throttle_join(mapper->throttle);
        entry = io_uring_get_sqe(&ring);
        io_uring_prep_read(entry, source_fd, memory, PIN_BYTES, 0);
        must(io_uring_submit(&ring) == 1);
        pause_usec(50000);
        must(io_uring_peek_cqe(&ring, &done) < 0);
        foreign_say(socket, 'p');

        must(foreign_hear(socket) == 'w');
        must(io_uring_wait_cqe(&ring, &done) == 0 && done->res == (int)PIN_BYTES);
        io_uring_cqe_seen(&ring, done);
        must(munmap(memory, PIN_BYTES) == 0);
        (void)close(fd);
        io_uring_queue_exit(&ring);
        foreign_say(socket, 'w');
        (void)foreign_hear(socket);
}

/* 'r': reads a piece of the file by way of the page cache from a slow device; answers before, and again at the end. */
static void reader_run(int socket, void *context)
{
        const Mapper *reader = context;
        uint8_t bytes[4096];
        int fd;

        throttle_join(reader->throttle);
        must(foreign_hear(socket) == 'r');
        fd = open(reader->path, O_RDONLY | O_CLOEXEC);
        must(fd >= 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) == 0);
        /* On btrfs the file is being read already. */
        must(fdatasync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
        foreign_say(socket, 'r');
        must(pread(fd, bytes, sizeof(bytes), (off_t)READ_AT) == (ssize_t)sizeof(bytes));
        (void)close(fd);
        foreign_say(socket, 'd');
        (void)foreign_hear(socket);
}

static void *commit_run(void *context)
{
        (void)move_until(context, NULL);
        return NULL;
}

/* All that both cases need: the file, what will be read into it, and who does it. */
typedef struct Stage {
        Subject *subject, *source;
        Mapper mapper;
        Foreign foreign;
        Move move;
} Stage;

static void stage_set(Arena *arena, const Throttle *throttle, Stage *stage)
{
        stage->subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        stage->source = subject_new(arena, "source", 1, PIECE_BYTES, 0);
        stage->mapper = (Mapper){
                .throttle = throttle, .path = stage->subject->path, .source_path = stage->source->path};
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        foreign_start(&stage->foreign, mapper_run, &stage->mapper);
        move_begin(arena, stage->subject, &stage->move);
}

static void stage_clear(Arena *arena, Stage *stage, const char *what, const char *outcomes)
{
        memcpy(stage->subject->content + PIN_AT, stage->source->content, PIN_BYTES);
        (void)move_expect(arena, &stage->move, what, outcomes);
        (void)foreign_end(&stage->foreign);
        (void)subject_check(arena, stage->subject, what);
        subject_free(stage->subject);
        subject_free(stage->source);
}

/* Pinned before the sample, still in flight during the commit. */
static void pinned_before(Arena *arena, const Throttle *throttle)
{
        Stage stage;

        stage_set(arena, throttle, &stage);
        must(foreign_ask(&stage.foreign, 'm') == 'm' && foreign_ask(&stage.foreign, 'p') == 'p');
        (void)move_until(&stage.move, NULL);
        throttle_lift(throttle);
        must(foreign_ask(&stage.foreign, 'w') == 'w');
        throttle_set(throttle);
        stage_clear(arena, &stage, "a page pinned before the sample", arena_outcomes(arena, "busy:open"));
}

/* Pinned before the sample, landed and let go of after the copy. */
static void pinned_until_copied(Arena *arena, const Throttle *throttle)
{
        Stage stage;

        stage_set(arena, throttle, &stage);
        must(foreign_ask(&stage.foreign, 'm') == 'm' && foreign_ask(&stage.foreign, 'p') == 'p');
        (void)move_until(&stage.move, "commit");
        throttle_lift(throttle);
        must(foreign_ask(&stage.foreign, 'w') == 'w');
        throttle_set(throttle);
        stage_clear(arena, &stage, "a page pinned until after the copy", arena_outcomes(arena, "busy:open"));
}

/* Pinned between the last look at the stamps and the moment in which SWAPEXT gets the file's lock. */
static void pinned_meanwhile(Arena *arena, const Throttle *throttle)
{
        Throttle slow_read;
        Mapper reader_context;
        Foreign reader;
        pthread_t thread;
        Stage stage;

        must(!throttle_new(arena_disk(arena), false, &slow_read));
        stage_set(arena, throttle, &stage);
        move_end(&stage.move);
        reader_context = (Mapper){.throttle = &slow_read, .path = stage.subject->path};
        foreign_start(&reader, reader_run, &reader_context);
        move_begin(arena, stage.subject, &stage.move);

        must(move_until(&stage.move, "commit"));
        must(foreign_ask(&stage.foreign, 'm') == 'm');
        must(foreign_ask(&reader, 'r') == 'r');
        /* Now the reader waits for the device with the file's lock in hand, */
        must(foreign_is_stuck(&reader, 50));
        must(pthread_create(&thread, NULL, commit_run, &stage.move) == 0);
        /* and now the commit, if it got that far, for the lock. */
        must(foreign_is_stuck(&reader, 100));
        must(foreign_ask(&stage.foreign, 'p') == 'p');
        throttle_lift(&slow_read);
        must(foreign_answer(&reader) == 'd');
        must(pthread_join(thread, NULL) == 0);
        throttle_lift(throttle);
        must(foreign_ask(&stage.foreign, 'w') == 'w');
        throttle_set(throttle);
        (void)foreign_end(&reader);
        /* The exchange engine takes no second lease; it reports what the kernel saw. */
        stage_clear(arena, &stage, "a page pinned during the commit",
                    arena_outcomes(arena, "busy:open changed:written"));
}

static void scenario(Arena *arena)
{
        Throttle throttle;
        const char *why = uring_allowed() ? throttle_new(arena_disk(arena), false, &throttle)
                                          : "io_uring is switched off here";

        if (why) {
                hazard_skip(arena, "%s", why);
                return;
        }
        pinned_before(arena, &throttle);
        pinned_until_copied(arena, &throttle);
        pinned_meanwhile(arena, &throttle);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
