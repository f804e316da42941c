/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* writer buffered|direct|uring|mmap FILE [--seed=N] [--block=SIZE] [--pause=USEC] [--reopen] [--inflight=N]
 *        [--sync]
 *
 * A program whose data must not get lost: overwrites random blocks of FILE until SIGTERM, keeps the truth about every
 * block in its own memory, reads all of it back with O_DIRECT at the end. Prints "ready" once it writes and the number
 * of writes at the end; exit status 1 when a block is not what was written last.
 *
 * With --sync each write (uring: batch) is followed by an fsync: what it counts is acknowledged to be safe.
 * --pause is the longest pause between two writes (uring: two batches). With --reopen the file is closed during
 * the pause, after 1 to 16 writes: then it is quiet for a moment, and another program may take it for that. */

#include <getopt.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

#include "tool.h"

#define INFLIGHT_MAX 64
#define READ_BYTES   (UINT64_C(1) << 20)

typedef enum Kind {
        KIND_BUFFERED,
        KIND_DIRECT,
        KIND_URING,
        KIND_MMAP,
} Kind;

static const char *const kind_names[] = {"buffered", "direct", "uring", "mmap"};

typedef struct Writer {
        Kind kind;
        const char *path;
        uint64_t seed, block_bytes, pause_usec, n_inflight;
        bool reopen, sync;

        int fd;
        unsigned char *mapping;
        uint64_t n_blocks;
        uint64_t *truth; /* hash of each block */
        uint64_t random;
        uint64_t n_writes;
        struct io_uring ring;
        unsigned char *buffers; /* n_inflight blocks */
} Writer;

static volatile sig_atomic_t stop;

static void on_stop(int signal_number)
{
        (void)signal_number;
        stop = 1;
}

/* Opens it in the way of this kind; O_DIRECT for reading back. An open() that waits for a lease can be interrupted. */
static int file_open(const Writer *writer, bool direct)
{
        int fd;

        do
                fd = open(writer->path, O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0));
        while (fd < 0 && errno == EINTR);
        if (fd < 0)
                die("%s", writer->path);
        return fd;
}

static void writer_open(Writer *writer)
{
        writer->fd = file_open(writer, writer->kind == KIND_DIRECT || writer->kind == KIND_URING);
        if (writer->kind == KIND_MMAP) {
                writer->mapping = mmap(NULL, writer->n_blocks * writer->block_bytes, PROT_READ | PROT_WRITE,
                                       MAP_SHARED, writer->fd, 0);
                if (writer->mapping == MAP_FAILED)
                        die("%s: mmap", writer->path);
        }
}

static void writer_close(Writer *writer)
{
        if (writer->kind == KIND_MMAP && munmap(writer->mapping, writer->n_blocks * writer->block_bytes) < 0)
                die("munmap");
        if (close(writer->fd) < 0)
                die("%s: close", writer->path);
}

/* Calls on_block(writer, index, hash) for all that lies on the disk. */
static void read_back(Writer *writer, void (*on_block)(Writer *writer, uint64_t index, uint64_t hash))
{
        unsigned char *buffer = aligned_buffer(READ_BYTES);
        uint64_t end = writer->n_blocks * writer->block_bytes;
        int fd = file_open(writer, true);

        if (fsync(fd) < 0)
                die("%s: fsync", writer->path);
        for (uint64_t at = 0; at < end;) {
                uint64_t n_bytes = end - at < READ_BYTES ? end - at : READ_BYTES;

                if (pread(fd, buffer, n_bytes, (off_t)at) != (ssize_t)n_bytes)
                        die("%s: read", writer->path);
                for (uint64_t i = 0; i < n_bytes; i += writer->block_bytes)
                        on_block(writer, (at + i) / writer->block_bytes,
                                 XXH3_64bits(buffer + i, writer->block_bytes));
                at += n_bytes;
        }
        (void)close(fd);
        free(buffer);
}

static void on_first_look(Writer *writer, uint64_t index, uint64_t hash)
{
        writer->truth[index] = hash;
}

static uint64_t n_lost;

static void on_last_look(Writer *writer, uint64_t index, uint64_t hash)
{
        if (writer->truth[index] == hash)
                return;
        if (n_lost++ < 10)
                printf("lost: %s at %llu\n", writer->path,
                       (unsigned long long)(index * writer->block_bytes));
}

static uint64_t pick_block(Writer *writer)
{
        return random_next(&writer->random) % writer->n_blocks;
}

static void stamp(Writer *writer, unsigned char *buffer, uint64_t index)
{
        uint64_t head[3] = {writer->seed, ++writer->n_writes, index * writer->block_bytes};

        random_fill(buffer, writer->block_bytes, writer->seed << 32 ^ writer->n_writes);
        memcpy(buffer, head, sizeof(head));
        writer->truth[index] = XXH3_64bits(buffer, writer->block_bytes);
}

static void write_one(Writer *writer)
{
        uint64_t index = pick_block(writer), offset = index * writer->block_bytes;

        stamp(writer, writer->buffers, index);
        if (writer->kind == KIND_MMAP)
                memcpy(writer->mapping + offset, writer->buffers, writer->block_bytes);
        else if (pwrite(writer->fd, writer->buffers, writer->block_bytes, (off_t)offset) !=
                 (ssize_t)writer->block_bytes)
                die("%s: write", writer->path);
}

/* A batch of blocks, all different, in flight at the same time. */
static void write_batch(Writer *writer)
{
        uint64_t indices[INFLIGHT_MAX];
        struct io_uring_cqe *cqe;
        unsigned n = 0;
        int r;

        while (n < writer->n_inflight) {
                struct io_uring_sqe *sqe;
                bool seen = false;

                indices[n] = pick_block(writer);
                for (unsigned i = 0; i < n; i++)
                        seen = seen || indices[i] == indices[n];
                if (seen)
                        continue;
                sqe = io_uring_get_sqe(&writer->ring);
                if (!sqe)
                        die_plainly("ring");
                stamp(writer, writer->buffers + n * writer->block_bytes, indices[n]);
                io_uring_prep_write(sqe, writer->fd, writer->buffers + n * writer->block_bytes,
                                    (unsigned)writer->block_bytes, indices[n] * writer->block_bytes);
                n++;
        }
        do
                r = io_uring_submit(&writer->ring);
        while (r == -EINTR);
        if (r != (int)n)
                die_plainly("submit: %s", strerror(-r));
        while (n > 0) {
                do
                        r = io_uring_wait_cqe(&writer->ring, &cqe);
                while (r == -EINTR);
                if (r < 0 || cqe->res != (int)writer->block_bytes)
                        die_plainly("%s: io_uring write: %s", writer->path,
                                    strerror(r < 0 ? -r : -cqe->res));
                io_uring_cqe_seen(&writer->ring, cqe);
                n--;
        }
}

static void write_some(Writer *writer)
{
        if (writer->kind == KIND_URING)
                write_batch(writer);
        else
                write_one(writer);
        if (writer->sync && fsync(writer->fd) < 0)
                die("%s: fsync", writer->path);
}

static void pause_up_to(Writer *writer)
{
        uint64_t usec = writer->pause_usec ? random_next(&writer->random) % writer->pause_usec : 0;
        struct timespec span = {.tv_sec = (time_t)(usec / 1000000),
                                .tv_nsec = (long)(usec % 1000000 * 1000)};

        if (usec > 0)
                (void)ppoll(NULL, 0, &span, NULL);
}

static void run(Writer *writer)
{
        if (!writer->reopen)
                writer_open(writer);
        while (!stop) {
                uint64_t n = writer->reopen ? 1 + random_next(&writer->random) % 16 : 1;

                if (writer->reopen)
                        writer_open(writer);
                for (uint64_t i = 0; i < n; i++)
                        write_some(writer);
                if (writer->reopen)
                        writer_close(writer);
                pause_up_to(writer);
        }
        if (!writer->reopen)
                writer_close(writer);
}

static void parse_arguments(Writer *writer, int argc, char *argv[])
{
        static const struct option options[] = {
                {"seed", required_argument, NULL, 's'},
                {"block", required_argument, NULL, 'b'},
                {"pause", required_argument, NULL, 'p'},
                {"inflight", required_argument, NULL, 'i'},
                {"reopen", no_argument, NULL, 'r'},
                {"sync", no_argument, NULL, 'y'},
                {NULL, 0, NULL, 0},
        };
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case 's':
                        writer->seed = size_of_text(optarg);
                        break;
                case 'b':
                        writer->block_bytes = size_of_text(optarg);
                        break;
                case 'p':
                        writer->pause_usec = size_of_text(optarg);
                        break;
                case 'i':
                        writer->n_inflight = size_of_text(optarg);
                        break;
                case 'r':
                        writer->reopen = true;
                        break;
                case 'y':
                        writer->sync = true;
                        break;
                default:
                        exit(STATUS_ERROR);
                }
        if (optind + 2 != argc)
                die_plainly("usage: writer buffered|direct|uring|mmap FILE [OPTION...]");
        for (size_t i = 0;; i++) {
                if (i == sizeof(kind_names) / sizeof(kind_names[0]))
                        die_plainly("no such kind: %s", argv[optind]);
                if (strcmp(argv[optind], kind_names[i]) == 0) {
                        writer->kind = (Kind)i;
                        break;
                }
        }
        writer->path = argv[optind + 1];
        if (writer->n_inflight == 0 || writer->n_inflight > INFLIGHT_MAX || writer->block_bytes % 512 != 0 ||
            writer->block_bytes == 0 || READ_BYTES % writer->block_bytes != 0)
                die_plainly("numbers out of range");
}

int main(int argc, char *argv[])
{
        Writer writer = {.seed = 1, .block_bytes = 4096, .pause_usec = 200, .n_inflight = 8};
        const struct sigaction action = {.sa_handler = on_stop};
        struct stat status;

        parse_arguments(&writer, argc, argv);
        if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0)
                die("sigaction");
        if (stat(writer.path, &status) < 0)
                die("%s", writer.path);
        writer.random = writer.seed;
        writer.n_blocks = (uint64_t)status.st_size / writer.block_bytes;
        if (writer.n_blocks <= writer.n_inflight)
                die_plainly("%s: too small", writer.path);
        writer.truth = calloc(writer.n_blocks, sizeof(*writer.truth));
        if (!writer.truth)
                die("buffer");
        writer.buffers = aligned_buffer((writer.n_inflight * writer.block_bytes + 4095) / 4096 * 4096);
        if (writer.kind == KIND_URING && io_uring_queue_init(INFLIGHT_MAX, &writer.ring, 0) < 0)
                die_plainly("io_uring_queue_init");

        read_back(&writer, on_first_look);
        puts("ready");
        (void)fflush(stdout);
        run(&writer);
        read_back(&writer, on_last_look);
        printf("%llu writes, %llu blocks lost\n", (unsigned long long)writer.n_writes,
               (unsigned long long)n_lost);
        if (writer.kind == KIND_URING)
                io_uring_queue_exit(&writer.ring);
        free(writer.buffers);
        free(writer.truth);
        return fflush(stdout) != 0 ? STATUS_ERROR : n_lost > 0 ? STATUS_WRONG : 0;
}
