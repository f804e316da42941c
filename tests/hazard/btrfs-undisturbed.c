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
#include <linux/capability.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-hazard.h"

/* 128 slices of 1 MiB. */
#define N_PIECES    2048
#define PIECE_BYTES (64 * (size_t)KIB)
#define N_SLICES    128

#define STEPS_BETWEEN 4
/* Where memory is short for a moment the kernel stops, too. */
#define FEW           4

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

/* In the place of the kernel, which may refuse locked memory for the buffers of a ring, as where several services of one user run. */
static void limit_locked_memory(void)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
        /* Enough for the ring itself. */
        const struct rlimit little = {.rlim_cur = MIB, .rlim_max = MIB};

        must(syscall(SYS_capget, &header, sets) == 0);
        sets[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
        must(syscall(SYS_capset, &header, sets) == 0 && setrlimit(RLIMIT_MEMLOCK, &little) == 0);
}

/* Every second stretch of so much of the file is in the page cache: then a slice leaves several behind that were not. */
#define STRETCH_BYTES (256 * (size_t)KIB)

static void read_stretches(const Subject *subject, int fd)
{
        _cleanup_free_ uint8_t *room = malloc(STRETCH_BYTES);

        must(room && posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) == 0);
        for (size_t at = 0; at < subject->bytes; at += 2 * STRETCH_BYTES)
                must(pread(fd, room, STRETCH_BYTES, (off_t)at) == (ssize_t)STRETCH_BYTES);
}

/* refused: now and then a copier is made that does not get its ring. */
static void move_cold(Arena *arena, const char *what, bool refused, bool in_stretches)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        Copier *copiers[N_SLICES / STEPS_BETWEEN] = {0};
        uint64_t wait_usec;
        Move move;

        /* What is dropped beside the moves is what a ring is for. */
        must(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
        if (in_stretches)
                read_stretches(subject, fd);
        fd = fd_close(fd);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        n_calls = 0;
        for (unsigned i = 0; refused && i < N_SLICES / STEPS_BETWEEN; i++) {
                must(copier_new(false, &copiers[i]) == 0 && !copier_uses_uring(copiers[i]));
                for (unsigned n = 0; n < STEPS_BETWEEN; n++)
                        (void)relocation_step(move.relocation, &wait_usec);
        }
        (void)move_expect(arena, &move, what, "moved");
        hazard_note(arena, "%s: %u calls for %u slices", what, n_calls, N_SLICES);
        if (n_calls < N_SLICES)
                hazard_wrong(arena, "%s: only %u calls for %u slices", what, n_calls, N_SLICES);
        if (n_calls > N_SLICES + FEW)
                hazard_lost(arena, "%s: %u calls for %u slices", what, n_calls, N_SLICES);
        for (unsigned i = 0; i < N_SLICES / STEPS_BETWEEN; i++)
                copier_free(copiers[i]);
        (void)subject_check(arena, subject, what);
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        if (!copier_uses_uring(arena->copier)) {
                hazard_skip(arena, "this kernel has no io_uring");
                return;
        }
        move_cold(arena, "with a ring", false, false);
        move_cold(arena, "partly in the page cache", false, true);
        limit_locked_memory();
        move_cold(arena, "while rings are refused", true, false);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
