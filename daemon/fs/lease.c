/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* F_SETLEASE with a signal that does nothing: we never wait for a lease break, because no lease is held for long without
 * asking. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "base/protection.h"
#include "fs/lease.h"

void lease_ignore_breaks(void)
{
        const struct sigaction ignore = {.sa_handler = SIG_IGN};

        if (!PROTECTED_BY(LEASE_SIGNAL))
                return;
        /* The default, SIGIO, would end the process; it stays ignored for the moment before F_SETSIG. */
        (void)sigaction(SIGIO, &ignore, NULL);
        (void)sigaction(SIGRTMIN, &ignore, NULL);
}

static int lease_take(int fd, int type)
{
        if (PROTECTED_BY(LEASE_SIGNAL) && fcntl(fd, F_SETSIG, SIGRTMIN) < 0)
                return -errno;
        if (fcntl(fd, F_SETLEASE, type) == 0)
                return 0;
        switch (errno) {
        case EAGAIN: /* somebody has it open, mapped or in flight */
                return LEASE_REFUSED;
        case EINVAL: /* fs.leases-enable=0, or not a file that can be leased: all of ours are regular files */
        case EOPNOTSUPP:
                return LEASE_OFF;
        default:
                return -errno;
        }
}

int lease_take_write(int fd)
{
        return lease_take(fd, F_WRLCK);
}

int lease_take_read(int fd)
{
        return lease_take(fd, F_RDLCK);
}

bool lease_is_wanted(int fd)
{
        return fcntl(fd, F_GETLEASE) != F_WRLCK;
}

int lease_release(int fd)
{
        int saved = errno;
        /* Fails only when there is none. */
        int r = fcntl(fd, F_SETLEASE, F_UNLCK) < 0 ? LEASE_REFUSED : 0;

        errno = saved;
        return r;
}
