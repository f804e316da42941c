/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the engine is doing at this moment, for writers who want to meet it: a page that part-mover and
 * exerciser map. */

#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef struct Board {
        _Atomic uint64_t inode;     /* sampled and not yet committed or refused, else 0 */
        _Atomic uint32_t n_changes; /* of inode; a futex */
        _Atomic uint64_t wish;      /* a file whose owner would like to meet the engine now, or 0 */
} Board;

/* Returns NULL with errno. Whoever comes first makes the file. */
static inline Board *board_open(const char *path)
{
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        void *memory = MAP_FAILED;

        if (fd < 0)
                return NULL;
        if (ftruncate(fd, sizeof(Board)) == 0)
                memory = mmap(NULL, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void)close(fd);
        return memory == MAP_FAILED ? NULL : memory;
}

static inline void board_set(Board *board, uint64_t inode)
{
        if (atomic_exchange(&board->inode, inode) == inode)
                return;
        atomic_fetch_add(&board->n_changes, 1);
        (void)syscall(SYS_futex, &board->n_changes, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Waits for another inode than that of n_changes, or for the time to be up. */
static inline void board_wait(Board *board, uint32_t n_changes, uint64_t usec)
{
        const struct timespec span = {.tv_sec = (time_t)(usec / 1000000),
                                      .tv_nsec = (long)(usec % 1000000 * 1000)};

        (void)syscall(SYS_futex, &board->n_changes, FUTEX_WAIT, n_changes, &span, NULL, 0);
}
