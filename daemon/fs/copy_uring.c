/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The copier's requests through io_uring with registered buffers: no page is pinned and no buffer mapped per request. */

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/protection.h"
#include "fs/copy_backend.h"
#include "fs/ring.h"

struct CopyRing {
        Ring ring;
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
        r = io_uring_register_buffers(&ring->ring.uring, vectors, n_slots);
        if (r < 0 && !PROTECTED_BY(UNDISTURBED)) {
                ring_close(&ring->ring);
                return -r;
        }
        *ret = TAKE_PTR(ring);
        return -r;
}

CopyRing *copy_ring_free(CopyRing *ring)
{
        if (ring) {
                ring_close(&ring->ring);
                free(ring);
        }
        return NULL;
}

int copy_ring_submit(CopyRing *ring, CopyRequest *request)
{
        struct io_uring_sqe *entry = ring_request(&ring->ring);
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
        r = ring_submit(&ring->ring);
        if (r == 0)
                return -EAGAIN; /* not taken, for no reason that is given */
        return r < 0 ? r : 0;
}

int copy_ring_wait(CopyRing *ring, CopyRequest **ret)
{
        void *data;
        int r, result;

        r = ring_wait(&ring->ring, &data, &result);
        if (r < 0)
                return r;
        *ret = data;
        (*ret)->result = result;
        return 0;
}

int copy_ring_let_go(CopyRing *ring)
{
        return ring_let_go(&ring->ring);
}
