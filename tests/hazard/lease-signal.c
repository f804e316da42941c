/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 btrfs */
/* WHOLE_FILE_SYSTEMS: btrfs-zstd */
/* MUTANTS: LEASE_SIGNAL */

/* The signal by which the kernel says that somebody else wants a leased file.
 *
 * By default it is SIGIO, which ends a process that has made nothing of it: any foreign open in the wrong microsecond would be the end of
 * us. A child takes the lease as the engines do and holds it still; an open without waiting breaks it; the child has to live. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/lease.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define PIECE_BYTES (64 * (size_t)KIB)

/* 'l': take the lease, and hold it until the other side hangs up. */
static void holder_run(int socket, void *context)
{
        int fd;

        must(signal(SIGIO, SIG_DFL) != SIG_ERR && signal(SIGRTMIN, SIG_DFL) != SIG_ERR);
        lease_ignore_breaks();
        must(foreign_hear(socket) == 'l');
        fd = open(context, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        must(fd >= 0 && lease_take_write(fd) == 0);
        foreign_say(socket, 'l');
        (void)foreign_hear(socket);
        lease_release(fd);
        (void)close(fd);
}

static void scenario(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", 2, PIECE_BYTES, 0);
        Foreign holder;
        int fd, status;

        foreign_start(&holder, holder_run, subject->path);
        must(foreign_ask(&holder, 'l') == 'l');
        fd = open(subject->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 || errno != EWOULDBLOCK)
                hazard_wrong(arena, "an open of a leased file: %s", fd >= 0 ? "succeeded" : strerror(errno));
        (void)fd_close(fd);
        status = foreign_end(&holder);
        if (WIFSIGNALED(status))
                hazard_lost(arena, "the break of a lease ended us by signal %d", WTERMSIG(status));
        else if (status != 0)
                hazard_wrong(arena, "the holder ended with %d", status);
        subject_free(subject);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
