/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 btrfs btrfs-zstd */
/* WHOLE_FILE_SYSTEMS: btrfs-raid1 */
/* MUTANTS: ONE_COOKIE */

/* Writers that race with the whole of a region: buffered, direct, io_uring and mapped, for a few seconds each.
 *
 * When a file has been sampled, the writer is let loose on it and begins at a random moment of the rest of the region. Most moves are
 * refused, some are not; every block that was acknowledged has to be there either way. With the cookie taken again before
 * the commit both engines lose whatever comes between read and commit. */

#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_FILES     12
#define N_PIECES    16
#define PIECE_BYTES (64 * (size_t)KIB)
#define FILE_BYTES  (N_PIECES * PIECE_BYTES)
#define BLOCK_BYTES ((size_t)4096)
#define N_BLOCKS    (FILE_BYTES / BLOCK_BYTES)
#define KIND_USEC   (1400 * UINT64_C(1000))

typedef enum Kind { KIND_BUFFERED, KIND_DIRECT, KIND_URING, KIND_MAPPED, KIND_MAX_ } Kind;
static const char *const kind_names[] = {"buffered", "direct", "io_uring", "mapped"};

/* What a block holds follows from how often it was written, so that a counter is all that has to be shared. */
typedef struct Board {
        uint32_t writes[N_FILES][N_BLOCKS]; /* acknowledged */
        unsigned file;                      /* that is to be written now */
        char paths[N_FILES][320];
} Board;

typedef struct Writer {
        Kind kind;
        Board *board;
        uint64_t seed;
        struct io_uring ring;
        uint8_t *buffer;
} Writer;

static void block_fill(uint8_t *block, unsigned file, size_t index, uint32_t n_write)
{
        for (size_t i = 0; i < BLOCK_BYTES; i += 16)
                snprintf((char *)block + i, 16, "%2u %4zu %7u", file % 100, index % 10000,
                         n_write % 10000000);
}

static uint32_t pick(Writer *writer, uint32_t below)
{
        writer->seed = writer->seed * 6364136223846793005U + 1442695040888963407U;
        return (uint32_t)(writer->seed >> 33) % below;
}

static void uring_write(Writer *writer, int fd, size_t offset)
{
        struct io_uring_sqe *entry = io_uring_get_sqe(&writer->ring);
        struct io_uring_cqe *done;

        io_uring_prep_write(entry, fd, writer->buffer, BLOCK_BYTES, offset);
        must(io_uring_submit(&writer->ring) == 1 && io_uring_wait_cqe(&writer->ring, &done) == 0 &&
             done->res == (int)BLOCK_BYTES);
        io_uring_cqe_seen(&writer->ring, done);
}

static void burst(Writer *writer)
{
        Board *board = writer->board;
        unsigned file = board->file, n_writes = 1 + pick(writer, 6);
        bool direct = writer->kind == KIND_DIRECT || writer->kind == KIND_URING;
        uint8_t *memory = NULL;
        int fd;

        pause_usec(pick(writer, 14000));
        fd = open(board->paths[file], O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0));
        must(fd >= 0);
        if (writer->kind == KIND_MAPPED) {
                memory = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                must(memory != MAP_FAILED);
        }
        for (unsigned i = 0; i < n_writes; i++) {
                size_t index = pick(writer, N_BLOCKS), offset = index * BLOCK_BYTES;

                block_fill(writer->buffer, file, index, board->writes[file][index] + 1);
                if (writer->kind == KIND_MAPPED)
                        memcpy(memory + offset, writer->buffer, BLOCK_BYTES);
                else if (writer->kind == KIND_URING)
                        uring_write(writer, fd, offset);
                else
                        must(pwrite(fd, writer->buffer, BLOCK_BYTES, (off_t)offset) == (ssize_t)BLOCK_BYTES);
                board->writes[file][index]++;
        }
        if (memory)
                must(munmap(memory, FILE_BYTES) == 0);
        (void)close(fd);
}

/* 'b': a burst on board->file. */
static void writer_run(int socket, void *context)
{
        Writer *writer = context;

        must(posix_memalign((void **)&writer->buffer, BLOCK_BYTES, BLOCK_BYTES) == 0);
        if (writer->kind == KIND_URING)
                must(io_uring_queue_init(4, &writer->ring, 0) == 0);
        while (foreign_hear(socket) == 'b') {
                burst(writer);
                foreign_say(socket, 'b');
        }
}

static void check(Arena *arena, Subject *subject, const Board *board, unsigned file, Kind kind)
{
        char what[64];

        for (size_t i = 0; i < N_BLOCKS; i++)
                if (board->writes[file][i] > 0)
                        block_fill(subject->content + i * BLOCK_BYTES, file, i, board->writes[file][i]);
        snprintf(what, sizeof(what), "file %u under a %s writer", file, kind_names[kind]);
        (void)subject_check(arena, subject, what);
}

static Subject *file_new(const Arena *arena, Board *board, unsigned file)
{
        char name[32];
        Subject *subject;

        snprintf(name, sizeof(name), "file-%u", file);
        subject = subject_new(arena, name, N_PIECES, PIECE_BYTES, 0);
        memset(board->writes[file], 0, sizeof(board->writes[file]));
        snprintf(board->paths[file], sizeof(board->paths[file]), "%s", subject->path);
        return subject;
}

/* One kind of writer; counts what came of the moves. */
static void kind_run(Arena *arena, Kind kind, unsigned n_outcomes[static OUTCOME_MAX_])
{
        Subject *subjects[N_FILES];
        Writer context = {
                .kind = kind, .board = shared_memory(sizeof(Board)), .seed = 4711 + (uint64_t)kind};
        uint64_t end_usec;
        Foreign writer;

        foreign_start(&writer, writer_run, &context);
        for (unsigned i = 0; i < N_FILES; i++)
                subjects[i] = file_new(arena, context.board, i);
        end_usec = clock_monotonic_usec() + KIND_USEC;
        for (unsigned i = 0; clock_monotonic_usec() < end_usec && arena->n_lost == 0;
             i = (i + 1) % N_FILES) {
                Outcome outcome;
                Move move;
                bool sampled;

                move_begin(arena, subjects[i], &move);
                sampled = move_until(&move, "reserve");
                context.board->file = i;
                foreign_say(writer.socket, 'b');
                (void)move_until(&move, NULL);
                must(foreign_answer(&writer) == 'b');
                outcome = relocation_result(move.relocation)->outcome;
                n_outcomes[outcome] += sampled;
                (void)move_expect(arena, &move, kind_names[kind],
                                  arena_outcomes(arena, "moved changed:written busy:open"));
                if (outcome == OUTCOME_MOVED) {
                        check(arena, subjects[i], context.board, i, kind);
                        subject_free(subjects[i]);
                        subjects[i] = file_new(arena, context.board, i);
                }
        }
        (void)foreign_end(&writer);
        for (unsigned i = 0; i < N_FILES; i++) {
                check(arena, subjects[i], context.board, i, kind);
                subject_free(subjects[i]);
        }
        must(munmap(context.board, sizeof(Board)) == 0);
}

static void scenario(Arena *arena)
{
        unsigned n_outcomes[OUTCOME_MAX_] = {0};

        for (Kind kind = KIND_BUFFERED; kind < KIND_MAX_; kind++) {
                if (kind == KIND_URING && !uring_allowed()) {
                        hazard_note(arena, "io_uring is switched off here");
                        continue;
                }
                kind_run(arena, kind, n_outcomes);
        }
        hazard_note(arena, "%u moved, %u changed, %u busy", n_outcomes[OUTCOME_MOVED],
                    n_outcomes[OUTCOME_CHANGED], n_outcomes[OUTCOME_BUSY]);
        /* btrfs refuses none. */
        if (arena_is(arena, "btrfs"))
                return;
        if (arena->n_lost == 0 && n_outcomes[OUTCOME_CHANGED] + n_outcomes[OUTCOME_BUSY] == 0)
                hazard_wrong(arena, "no writer ever met a move");
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
