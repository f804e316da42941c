/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "base/protection.h"
#include "fs/ring.h"

int ring_new(unsigned n_entries, struct io_uring *ret)
{
        int r = -EINVAL;

        if (PROTECTED_BY(UNDISTURBED))
                r = io_uring_queue_init(n_entries, ret,
                                        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
        if (r == -EINVAL)
                r = io_uring_queue_init(n_entries, ret, 0);
        return r;
}
