/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "base/number.h"
#include "base/protection.h"
#include "fs/ring.h"

/* By its source the kernel's thread can sleep through a request that comes at the very moment when it goes to sleep, for up to 5 s: another one would be
 * made for that, but one is the limit (io_uring/io-wq.c: io_wq_enqueue(), io_wq_worker(); not seen in 3.3 million tries on Linux 6.18). After so long a
 * request for nothing wakes it. */
#define OVERSLEPT_NSEC (20 * NSEC_PER_MSEC)

/* Data of the requests for nothing. */
static char waking, letting_go;

static int limit_threads(struct io_uring *uring)
{
        unsigned n_most[] = {1, 1}; /* for files, for all else; what it was comes back */

        return io_uring_register_iowq_max_workers(uring, n_most);
}

int ring_new(unsigned n_entries, Ring *ret)
{
        Ring ring = {0};
        int r = -EINVAL;

        if (PROTECTED_BY(UNDISTURBED))
                r = io_uring_queue_init(n_entries, &ring.uring,
                                        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
        if (r == -EINVAL)
                r = io_uring_queue_init(n_entries, &ring.uring, 0);
        if (r < 0)
                return r;
        r = limit_threads(&ring.uring);
        if (r < 0) {
                ring_close(&ring);
                return r;
        }
        *ret = ring;
        return 0;
}

void ring_close(Ring *ring)
{
        io_uring_queue_exit(&ring->uring);
}

struct io_uring_sqe *ring_request(Ring *ring)
{
        struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);

        ring->holds_files = ring->holds_files || entry;
        return entry;
}

int ring_submit(Ring *ring)
{
        int r;

        do
                r = io_uring_submit(&ring->uring);
        while (r == -EINTR);
        return r;
}

/* By the kernel's thread. */
static int nothing_submit(Ring *ring, char *data)
{
        struct io_uring_sqe *entry;
        int r;

        /* What is prepared would go along. */
        if (io_uring_sq_ready(&ring->uring) > 0)
                return -EBUSY;
        entry = io_uring_get_sqe(&ring->uring);
        if (!entry)
                return -EBUSY;
        io_uring_prep_nop(entry);
        io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
        io_uring_sqe_set_data(entry, data);
        r = ring_submit(ring);
        if (r == 0)
                return -EAGAIN;
        return r < 0 ? r : 0;
}

/* A signal only means that somebody wants to stop: that is looked at when nothing is in flight. */
static int entry_wait(Ring *ring, struct io_uring_cqe **ret)
{
        struct __kernel_timespec patience = {.tv_nsec = OVERSLEPT_NSEC};
        /* Nothing is submitted here where something is prepared that the kernel has refused. */
        bool is_patient = ring->is_waking || io_uring_sq_ready(&ring->uring) > 0, is_ours = false;

        for (;;) {
                int r = is_patient ? io_uring_wait_cqe(&ring->uring, ret)
                                   : io_uring_wait_cqe_timeout(&ring->uring, ret, &patience);

                if (r == -EINTR)
                        continue;
                if (r == -ETIME) {
                        r = nothing_submit(ring, &waking);
                        if (r < 0)
                                return r;
                        ring->is_waking = is_patient = is_ours = true;
                        continue;
                }
                if (r < 0)
                        return r;
                if (io_uring_cqe_get_data(*ret) != &waking)
                        return 0;
                io_uring_cqe_seen(&ring->uring, *ret);
                ring->is_waking = false;
                /* That of an earlier wait wakes nobody any more. */
                is_patient = is_ours || io_uring_sq_ready(&ring->uring) > 0;
        }
}

int ring_wait(Ring *ring, void **ret_data, int *ret_result)
{
        struct io_uring_cqe *entry;
        int r = entry_wait(ring, &entry);

        if (r < 0)
                return r;
        *ret_data = io_uring_cqe_get_data(entry);
        *ret_result = entry->res;
        io_uring_cqe_seen(&ring->uring, entry);
        return 0;
}

int ring_let_go(Ring *ring)
{
        void *data;
        int r, result;

        if (!ring->holds_files || !PROTECTED_BY(LET_GO))
                return 0;
        /* Its turn comes when the thread is through with those before; and when it is waited for, what they have left is put away. */
        r = nothing_submit(ring, &letting_go);
        if (r == 0)
                r = ring_wait(ring, &data, &result);
        ring->holds_files = false;
        return r;
}
