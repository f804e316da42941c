/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "base/protection.h"
#include "fs/ring.h"

/* One thread of the kernel's, in which requests are done in their order: what ring_let_go() rests on. It is the limit of all rings of a
 * thread; on older kernels of each NUMA node. */
static int limit_threads(struct io_uring *ring)
{
        unsigned n_most[] = {1, 1}; /* for files, for all else; what it was comes back */

        return io_uring_register_iowq_max_workers(ring, n_most);
}

int ring_new(unsigned n_entries, struct io_uring *ret)
{
        int r = -EINVAL;

        if (PROTECTED_BY(UNDISTURBED))
                r = io_uring_queue_init(n_entries, ret,
                                        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
        if (r == -EINVAL)
                r = io_uring_queue_init(n_entries, ret, 0);
        if (r < 0)
                return r;
        r = limit_threads(ret);
        if (r < 0)
                io_uring_queue_exit(ret);
        return r;
}

int ring_let_go(struct io_uring *ring)
{
        struct io_uring_sqe *entry = PROTECTED_BY(LET_GO) ? io_uring_get_sqe(ring) : NULL;
        struct io_uring_cqe *done;
        int r;

        if (!PROTECTED_BY(LET_GO))
                return 0;
        if (!entry)
                return -EBUSY; /* not all are over: a mistake of ours */
        /* Its turn comes when the thread is through with those before; and when it is waited for, what they have left is put away. */
        io_uring_prep_nop(entry);
        io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
        io_uring_sqe_set_data(entry, NULL);
        do
                r = io_uring_submit(ring);
        while (r == -EINTR);
        if (r <= 0)
                return r < 0 ? r : -EAGAIN;
        do
                r = io_uring_wait_cqe(ring, &done);
        while (r == -EINTR);
        if (r < 0)
                return r;
        io_uring_cqe_seen(ring, done);
        return 0;
}
