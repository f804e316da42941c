/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How the copier's requests reach the kernel. Private to fs/copy*.c. */

#include <stddef.h>
#include <stdint.h>

typedef enum CopyKind { COPY_READ, COPY_WRITE, COPY_FLUSH } CopyKind;

/* One request: the whole of a buffer slot's piece, read or written at one offset; or the file's data
 * brought to stable storage (fdatasync(2)), which needs no slot. */
typedef struct CopyRequest {
        CopyKind kind;
        int fd;
        unsigned slot; /* which buffer */
        void *buffer;
        uint32_t bytes;
        uint64_t offset;
        int result; /* bytes or -errno, once it is done */
} CopyRequest;

typedef struct CopyRing CopyRing;

/* A ring for n_slots requests and a flush, with the slots' buffers registered. Returns 0; a positive errno when the kernel does not let us
 * (io_uring switched off, no locked memory): then use pread and pwrite; -ENOMEM. *ret may be a ring even where the kernel does not let us: of no
 * use, but not closed before the thread has no more to do, for some milliseconds after that it is interrupted (fs/ring.h). */
int copy_ring_new(unsigned n_slots, void *const *buffers, size_t buffer_bytes, CopyRing **ret);
CopyRing *copy_ring_free(CopyRing *ring);

/* Queues a request; it stays the caller's and must not move until it comes back. Returns 0 or -errno; after an
 * error the request is not in flight, but would be submitted along with the next one: wait for what is, then free the ring. */
int copy_ring_submit(CopyRing *ring, CopyRequest *request);

/* Waits for one that is done. Returns 0 or -errno (then nothing is known about what is in flight: free the ring). */
int copy_ring_wait(CopyRing *ring, CopyRequest **ret);

/* When none is in flight: returns when none keeps its file open any more (fs/ring.h). Returns 0 or -errno: free the ring. */
int copy_ring_let_go(CopyRing *ring);
