/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Requests that io_uring never does in the thread that submits them, because they may block. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/number.h"
#include "fs/aside.h"
#include "fs/ring.h"

/* As long as the kernel's window for read-ahead is by default: of more it leaves out the end. */
#define READ_AHEAD_BYTES (128 * KIB)

/* A request holds 32 bits of its length. */
#define REQUEST_MAX_BYTES GIB

/* 64 MiB of read-ahead: who asks for more waits for some of it. */
#define REQUESTS_MAX 512

typedef enum AsideKind { ASIDE_READ_AHEAD, ASIDE_DROP, ASIDE_WRITE } AsideKind;

typedef struct AsideRequest AsideRequest;
struct AsideRequest {
        AsideKind kind;
        int fd;
        uint64_t offset, n_bytes;
        bool is_begun;
        AsideRequest *next_free;
};

struct Aside {
        bool wants_ring; /* from the first request on, and anew after it was given up */
        bool has_ring;
        Ring ring;
        unsigned n_begun;  /* not over yet */
        unsigned n_queued; /* of these, not submitted */
        AsideRequest requests[REQUESTS_MAX];
        AsideRequest *free;
};

static void request_do(const AsideRequest *request)
{
        const off_t offset = (off_t)request->offset, n_bytes = (off_t)request->n_bytes;

        switch (request->kind) {
        case ASIDE_READ_AHEAD:
                (void)posix_fadvise(request->fd, offset, n_bytes, POSIX_FADV_WILLNEED);
                break;
        case ASIDE_DROP:
                (void)posix_fadvise(request->fd, offset, n_bytes, POSIX_FADV_DONTNEED);
                break;
        case ASIDE_WRITE:
                (void)sync_file_range(request->fd, offset, n_bytes, SYNC_FILE_RANGE_WRITE);
        }
}

static void request_prepare(struct io_uring_sqe *entry, const AsideRequest *request)
{
        const unsigned n_bytes = (unsigned)request->n_bytes;

        switch (request->kind) {
        case ASIDE_READ_AHEAD:
                io_uring_prep_fadvise(entry, request->fd, request->offset, n_bytes, POSIX_FADV_WILLNEED);
                break;
        case ASIDE_DROP:
                io_uring_prep_fadvise(entry, request->fd, request->offset, n_bytes, POSIX_FADV_DONTNEED);
                break;
        case ASIDE_WRITE:
                io_uring_prep_sync_file_range(entry, request->fd, n_bytes, request->offset,
                                              SYNC_FILE_RANGE_WRITE);
        }
}

static void ring_make(Aside *aside)
{
        aside->free = NULL;
        for (unsigned i = 0; i < REQUESTS_MAX; i++) {
                aside->requests[i] = (AsideRequest){.next_free = aside->free};
                aside->free = &aside->requests[i];
        }
        aside->wants_ring = false;
        aside->has_ring = ring_new(REQUESTS_MAX, &aside->ring) == 0;
}

/* Waits for one of them. Returns false where the ring does not answer. */
static bool ring_reap(Aside *aside)
{
        AsideRequest *request;
        void *data;
        int result;

        if (ring_wait(&aside->ring, &data, &result) < 0)
                return false;
        request = data;
        /* The kernel may have had no thread for it. */
        if (result < 0)
                request_do(request);
        *request = (AsideRequest){.next_free = aside->free};
        aside->free = request;
        aside->n_begun--;
        return true;
}

/* What it has begun ends first, if it tells. Whatever is not known to be over then is done once more, which harms nothing. */
static void ring_give_up(Aside *aside)
{
        while (aside->n_begun > aside->n_queued && ring_reap(aside))
                ;
        ring_close(&aside->ring);
        for (unsigned i = 0; i < REQUESTS_MAX; i++)
                if (aside->requests[i].is_begun)
                        request_do(&aside->requests[i]);
        aside->n_begun = aside->n_queued = 0;
        aside->has_ring = false;
        aside->wants_ring = true;
}

static void queue_submit(Aside *aside)
{
        while (aside->n_queued > 0) {
                const int r = ring_submit(&aside->ring);

                if (r > 0)
                        aside->n_queued -= (unsigned)r;
                else
                        ring_give_up(aside);
        }
}

int aside_new(bool by_hand, Aside **ret)
{
        Aside *aside = calloc(1, sizeof(*aside));

        if (!aside)
                return -ENOMEM;
        aside->wants_ring = !by_hand;
        *ret = aside;
        return 0;
}

Aside *aside_free(Aside *aside)
{
        if (aside) {
                aside_wait(aside);
                if (aside->has_ring)
                        ring_close(&aside->ring);
                free(aside);
        }
        return NULL;
}

static void request_queue(Aside *aside, AsideRequest wanted)
{
        struct io_uring_sqe *entry;
        AsideRequest *request;

        if (aside->wants_ring)
                ring_make(aside);
        if (aside->has_ring && !aside->free) {
                queue_submit(aside);
                if (aside->has_ring && !ring_reap(aside))
                        ring_give_up(aside);
        }
        if (!aside->has_ring) {
                request_do(&wanted);
                return;
        }
        entry = ring_request(&aside->ring);
        assert(entry); /* there are as many as requests */
        request = aside->free;
        aside->free = request->next_free;
        *request = wanted;
        request->is_begun = true;
        request_prepare(entry, request);
        io_uring_sqe_set_data(entry, request);
        aside->n_begun++;
        aside->n_queued++;
}

/* In parts of max_bytes. Not linked: of a chain each begins when this thread has heard that the one before is over. */
static void range_begin(Aside *aside, AsideKind kind, int fd, uint64_t offset, uint64_t n_bytes,
                        uint64_t max_bytes)
{
        AsideRequest request = {.kind = kind, .fd = fd, .offset = offset};

        for (; n_bytes > 0; n_bytes -= request.n_bytes, request.offset += request.n_bytes) {
                request.n_bytes = u64_min(n_bytes, max_bytes);
                request_queue(aside, request);
        }
        queue_submit(aside);
}

void aside_read_ahead(Aside *aside, int fd, uint64_t offset, uint64_t n_bytes)
{
        range_begin(aside, ASIDE_READ_AHEAD, fd, offset, n_bytes, READ_AHEAD_BYTES);
}

void aside_drop(Aside *aside, int fd, uint64_t offset, uint64_t n_bytes)
{
        range_begin(aside, ASIDE_DROP, fd, offset, n_bytes, REQUEST_MAX_BYTES);
}

void aside_write(Aside *aside, int fd, uint64_t offset, uint64_t n_bytes)
{
        range_begin(aside, ASIDE_WRITE, fd, offset, n_bytes, REQUEST_MAX_BYTES);
}

void aside_wait(Aside *aside)
{
        queue_submit(aside);
        while (aside->n_begun > 0)
                if (!ring_reap(aside))
                        ring_give_up(aside);
}

void aside_let_go(Aside *aside)
{
        aside_wait(aside);
        if (aside->has_ring && ring_let_go(&aside->ring) < 0)
                ring_give_up(aside);
}
