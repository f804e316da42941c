/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The copier's requests through io_uring with registered buffers: no page is pinned and no buffer mapped per request. */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/protection.h"
#include "fs/copy_backend.h"
#include "fs/ring.h"

struct CopyRing {
        struct io_uring ring;
        bool holds_files; /* requests of it may, that are over */
};

int copy_ring_new(unsigned n_slots, void *const *buffers, size_t buffer_bytes, CopyRing **ret)
{
        _cleanup_free_ struct iovec *vectors = NULL;
        _cleanup_free_ CopyRing *ring = NULL;
        int r;

        vectors = calloc(n_slots, sizeof(*vectors));
        ring = calloc(1, sizeof(*ring));
        if (!vectors || !ring)
                return -ENOMEM;
        r = ring_new(n_slots + 1, &ring->ring);
        if (r < 0)
                return -r;
        for (unsigned i = 0; i < n_slots; i++)
                vectors[i] = (struct iovec){.iov_base = buffers[i], .iov_len = buffer_bytes};
        r = io_uring_register_buffers(&ring->ring, vectors, n_slots);
        if (r < 0 && !PROTECTED_BY(UNDISTURBED)) {
                io_uring_queue_exit(&ring->ring);
                return -r;
        }
        *ret = TAKE_PTR(ring);
        return -r;
}

CopyRing *copy_ring_free(CopyRing *ring)
{
        if (ring) {
                io_uring_queue_exit(&ring->ring);
                free(ring);
        }
        return NULL;
}

int copy_ring_submit(CopyRing *ring, CopyRequest *request)
{
        struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
        int r;

        if (!entry)
                return -EBUSY; /* more requests than slots: a mistake of ours */
        switch (request->kind) {
        case COPY_READ:
                io_uring_prep_read_fixed(entry, request->fd, request->buffer, request->bytes,
                                         request->offset, (int)request->slot);
                break;
        case COPY_WRITE:
                io_uring_prep_write_fixed(entry, request->fd, request->buffer, request->bytes,
                                          request->offset, (int)request->slot);
                break;
        case COPY_FLUSH:
                io_uring_prep_fsync(entry, request->fd, IORING_FSYNC_DATASYNC);
                break;
        }
        io_uring_sqe_set_data(entry, request);
        ring->holds_files = true;
        do
                r = io_uring_submit(&ring->ring);
        while (r == -EINTR);
        if (r == 0)
                return -EAGAIN; /* not taken, for no reason that is given */
        return r < 0 ? r : 0;
}

int copy_ring_wait(CopyRing *ring, CopyRequest **ret)
{
        struct io_uring_cqe *entry;
        int r;

        /* A signal only means that somebody wants to stop: that is looked at when nothing is in flight. */
        do
                r = io_uring_wait_cqe(&ring->ring, &entry);
        while (r == -EINTR);
        if (r < 0)
                return r;
        *ret = io_uring_cqe_get_data(entry);
        (*ret)->result = entry->res;
        io_uring_cqe_seen(&ring->ring, entry);
        return 0;
}

int copy_ring_let_go(CopyRing *ring)
{
        int r = ring->holds_files ? ring_let_go(&ring->ring) : 0;

        ring->holds_files = false;
        return r;
}
