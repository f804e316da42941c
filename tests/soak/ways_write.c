/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The writers: each is counted, and each may meet the engine. */

#include "ways.h"

/* A few, each somewhere else; within the file alone where it may not grow. */
static int write_some(ModelFile *file, const Operation *operation, WriteKind kind, size_t room)
{
        uint64_t place = operation->place;
        size_t n = smaller(length_of(operation), room), n_pieces = 1 + operation->flavour % 16;

        (void)content_of(file, operation, n);
        model_say(file, "%zu bytes at %zu, %zu times", n, (size_t)(place % (room - n + 1)), n_pieces);
        for (size_t i = 0; i < n_pieces; i++) {
                size_t offset = place % (room - n + 1);

                /* All are different. */
                memcpy(file->buffer, &place, smaller(n, sizeof(place)));
                if (kind == WRITE_MMAP)
                        memcpy(file->mapping + offset, file->buffer, n);
                else if (pwrite(file->fd, file->buffer, n, (off_t)offset) != (ssize_t)n)
                        die("write");
                model_wrote(file, kind, offset, file->buffer, n);
                (void)random_next(&place);
                place ^= place >> 29;
        }
        return MODEL_SAME;
}

int run_write(ModelFile *file, const Operation *operation)
{
        return write_some(file, operation, WRITE_BUFFERED, file->room_bytes);
}

int run_direct(ModelFile *file, const Operation *operation)
{
        size_t unit = operation->flavour % 4 == 0 ? file->align_bytes : BLOCK_BYTES;
        size_t offset = down(operation->place % file->room_bytes, unit);
        size_t n = smaller(up(length_of(operation), unit), file->room_bytes - offset);

        model_say(file, "%zu bytes at %zu", n, offset);
        model_before_direct(file);
        if (pwrite(file->direct_fd, content_of(file, operation, n), n, (off_t)offset) != (ssize_t)n)
                die("direct write");
        model_wrote(file, WRITE_DIRECT, offset, file->buffer, n);
        return MODEL_SAME;
}

/* Blocks of the file, all different. */
static void pick_blocks(const ModelFile *file, uint64_t key, size_t *offsets, size_t n)
{
        size_t n_picked = 0;

        while (n_picked < n) {
                size_t offset = random_next(&key) % (file->room_bytes / BLOCK_BYTES) * BLOCK_BYTES;
                bool seen = false;

                for (size_t i = 0; i < n_picked; i++)
                        seen = seen || offsets[i] == offset;
                if (!seen)
                        offsets[n_picked++] = offset;
        }
}

static void uring_submit(ModelFile *file, const size_t *offsets, size_t n, unsigned char *bytes)
{
        int r;

        for (size_t i = 0; i < n; i++)
                io_uring_prep_write(io_uring_get_sqe(&file->ring), file->direct_fd, bytes + i * BLOCK_BYTES,
                                    BLOCK_BYTES, offsets[i]);
        do
                r = io_uring_submit(&file->ring);
        while (r == -EINTR);
        if (r != (int)n)
                die_plainly("io_uring: %s", strerror(-r));
}

static void uring_reap(ModelFile *file, size_t n, size_t n_bytes)
{
        struct io_uring_cqe *done;
        int r;

        for (size_t i = 0; i < n; i++) {
                do
                        r = io_uring_wait_cqe(&file->ring, &done);
                while (r == -EINTR);
                if (r < 0 || done->res != (int)n_bytes)
                        die_plainly("io_uring: %d, %d", r, r < 0 ? 0 : done->res);
                io_uring_cqe_seen(&file->ring, done);
        }
}

static void aio_submit(ModelFile *file, const size_t *offsets, size_t n, const unsigned char *bytes,
                       struct iocb *requests)
{
        struct iocb *pointers[FLIGHT_MAX];

        for (size_t i = 0; i < n; i++) {
                requests[i] = (struct iocb){.aio_lio_opcode = IOCB_CMD_PWRITE,
                                            .aio_fildes = (uint32_t)file->direct_fd,
                                            .aio_buf = (uintptr_t)(bytes + i * BLOCK_BYTES),
                                            .aio_nbytes = BLOCK_BYTES,
                                            .aio_offset = (int64_t)offsets[i]};
                pointers[i] = &requests[i];
        }
        if (syscall(SYS_io_submit, file->aio, (long)n, pointers) != (long)n)
                die("io_submit");
}

static void aio_reap(ModelFile *file, size_t n)
{
        struct io_event events[FLIGHT_MAX];
        long r;

        for (size_t n_done = 0; n_done < n; n_done += (size_t)r) {
                r = syscall(SYS_io_getevents, file->aio, 1L, (long)(n - n_done), events, NULL);
                if (r < 0 && errno == EINTR)
                        r = 0;
                if (r < 0)
                        die("io_getevents");
                for (long i = 0; i < r; i++)
                        if (events[i].res != (int64_t)BLOCK_BYTES)
                                die_plainly("io_submit: %lld", (long long)events[i].res);
        }
}

/* Blocks that are in flight at the same time: n_uring, then n_aio, then one that is written while the others
 * are. */
static int fly(ModelFile *file, const Operation *operation, size_t n_uring, size_t n_aio, bool one_more)
{
        size_t offsets[2 * FLIGHT_MAX + 1], n;
        unsigned char *bytes = file->buffer;
        struct iocb requests[FLIGHT_MAX];

        if (!file->has_ring)
                n_uring = 0;
        n = n_uring + n_aio + one_more;
        pick_blocks(file, operation->place, offsets, n);
        (void)content_of(file, operation, n * BLOCK_BYTES);
        model_say(file, "%zu blocks, the first at %zu", n, n > 0 ? offsets[0] : 0);
        model_before_direct(file);
        if (n_uring > 0)
                uring_submit(file, offsets, n_uring, bytes);
        if (n_aio > 0)
                aio_submit(file, offsets + n_uring, n_aio, bytes + n_uring * BLOCK_BYTES, requests);
        if (one_more && pwrite(file->direct_fd, bytes + (n - 1) * BLOCK_BYTES, BLOCK_BYTES,
                               (off_t)offsets[n - 1]) != (ssize_t)BLOCK_BYTES)
                die("direct write");
        /* What is in flight goes on without a descriptor. */
        if (operation->flavour % 4 == 0)
                model_close(file, true);
        uring_reap(file, n_uring, BLOCK_BYTES);
        aio_reap(file, n_aio);
        for (size_t i = 0; i < n; i++)
                model_wrote(file,
                            i < n_uring           ? WRITE_URING
                            : i < n_uring + n_aio ? WRITE_AIO
                                                  : WRITE_DIRECT,
                            offsets[i], bytes + i * BLOCK_BYTES, BLOCK_BYTES);
        return MODEL_SAME;
}

int run_uring(ModelFile *file, const Operation *operation)
{
        return fly(file, operation, 1 + operation->amount % FLIGHT_MAX, 0, false);
}

int run_aio(ModelFile *file, const Operation *operation)
{
        return fly(file, operation, 0, 1 + operation->amount % FLIGHT_MAX, false);
}

int run_flight(ModelFile *file, const Operation *operation)
{
        return fly(file, operation, 1 + operation->amount % FLIGHT_MAX,
                   1 + (operation->amount >> 8) % FLIGHT_MAX, true);
}

/* Where the page is dirty from an earlier store already, nobody is told of this one. */
int run_store(ModelFile *file, const Operation *operation)
{
        if (file->n_bytes == 0)
                return MODEL_SAME;
        model_map(file);
        return write_some(file, operation, WRITE_MMAP, file->n_bytes);
}

/* The device writes into pages of the mapping, which the kernel holds meanwhile. */
int run_pinned(ModelFile *file, const Operation *operation)
{
        size_t n_pages = file->n_bytes / BLOCK_BYTES, page, n;

        if (n_pages == 0)
                return MODEL_SAME;
        model_map(file);
        page = operation->place % n_pages;
        n = smaller(1 + operation->amount % (SOURCE_BYTES / BLOCK_BYTES), n_pages - page) * BLOCK_BYTES;
        model_say(file, "%zu bytes at %zu", n, page * BLOCK_BYTES);
        if (file->has_ring && operation->flavour % 2 == 0) {
                io_uring_prep_read(io_uring_get_sqe(&file->ring), file->source_fd,
                                   file->mapping + page * BLOCK_BYTES, (unsigned)n, 0);
                if (io_uring_submit(&file->ring) != 1)
                        die_plainly("io_uring");
                uring_reap(file, 1, n);
        } else if (pread(file->source_fd, file->mapping + page * BLOCK_BYTES, n, 0) != (ssize_t)n) {
                die("direct read");
        }
        model_wrote(file, WRITE_PINNED, page * BLOCK_BYTES, file->source, n);
        return MODEL_SAME;
}
