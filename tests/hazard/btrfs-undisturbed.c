/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: btrfs */
/* MUTANTS: UNDISTURBED:btrfs */

/* Nobody sends a signal, and so the call that moves is never ended early.
 *
 * An io_uring may tell the thread that uses it what is over in the way a signal is told, in the middle of a call, and btrfs then leaves off and says
 * that all is well. What is left is handed over once more (WHOLE_SLICES), so nothing but the number of calls tells. */

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-hazard.h"

/* 128 slices of 1 MiB. */
#define N_PIECES    2048
#define PIECE_BYTES (64 * (size_t)KIB)
#define N_SLICES    128
/* Where memory is short for a moment the kernel stops, too. */
#define FEW         4

static unsigned n_calls;

/* In place of the C library's, for all of this program. */
int ioctl(int fd, unsigned long request, ...)
{
        va_list arguments;
        void *argument;

        va_start(arguments, request);
        argument = va_arg(arguments, void *);
        va_end(arguments);
        n_calls += request == BTRFS_IOC_DEFRAG_RANGE;
        return (int)syscall(SYS_ioctl, fd, request, argument);
}

static void scenario(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);

        if (!copier_uses_uring(arena->copier)) {
                hazard_skip(arena, "this kernel has no io_uring");
                return;
        }
        /* What is dropped beside the moves is what a ring is for. */
        must(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
        fd = fd_close(fd);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        n_calls = 0;
        (void)move_whole(arena, subject, "a cold file", "moved");
        hazard_note(arena, "%u calls for %u slices", n_calls, N_SLICES);
        if (n_calls < N_SLICES)
                hazard_wrong(arena, "only %u calls for %u slices", n_calls, N_SLICES);
        if (n_calls > N_SLICES + FEW)
                hazard_lost(arena, "%u calls for %u slices", n_calls, N_SLICES);
        (void)subject_check(arena, subject, "undisturbed");
        subject_free(subject);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
