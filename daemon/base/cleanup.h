/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Scope-bound release of what a function owns, and the two ways to hand it on.
 *
 * Every function here keeps errno, so that a cleanup never hides the error that made us leave. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void cleanup_free(void *pointer)
{
        free(*(void **)pointer);
}

/* Closes fd unless it is negative; returns -EBADF, so that `fd = fd_close(fd)` leaves no stale number behind. */
static inline int fd_close(int fd)
{
        if (fd >= 0) {
                int saved = errno;

                (void)close(fd);
                errno = saved;
        }
        return -EBADF;
}

static inline void cleanup_close(const int *fd)
{
        (void)fd_close(*fd);
}

static inline void cleanup_closedir(DIR **dir)
{
        if (*dir)
                (void)closedir(*dir);
}

static inline void cleanup_fclose(FILE **file)
{
        if (*file)
                (void)fclose(*file);
}

#define _cleanup_free_     _cleanup_(cleanup_free)
#define _cleanup_close_    _cleanup_(cleanup_close)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)
#define _cleanup_fclose_   _cleanup_(cleanup_fclose)

#define TAKE(variable, nothing)                                                                             \
        ({                                                                                                  \
                __typeof__(variable) taken_ = (variable);                                                   \
                (variable) = (nothing);                                                                     \
                taken_;                                                                                     \
        })
#define TAKE_PTR(pointer) TAKE(pointer, NULL)
#define TAKE_FD(fd)       TAKE(fd, -EBADF)
