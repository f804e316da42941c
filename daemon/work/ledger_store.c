/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ledger's file: written aside and renamed, so that there is always a whole one; set aside when it cannot be used, so that whoever
 * wants to know why finds it. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "work/ledger.h"

#define NAME      "ledger"
#define NEW_NAME  "ledger.new"
#define SET_ASIDE "ledger.set-aside"
/* That many broken ledgers and something else is wrong. */
#define ASIDE_MAX 1000

static int directory_open(const char *directory)
{
        int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* Under the first name that is free. */
static int set_aside(int dir_fd)
{
        char name[sizeof(SET_ASIDE ".1000")];

        for (unsigned i = 0; i < ASIDE_MAX; i++) {
                (void)snprintf(name, sizeof(name), i == 0 ? SET_ASIDE : SET_ASIDE ".%u", i);
                if (renameat2(dir_fd, NAME, dir_fd, name, RENAME_NOREPLACE) >= 0)
                        return fsync(dir_fd) < 0 ? -errno : 0;
                if (errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

static int read_all(int fd, char *buffer, size_t n_bytes)
{
        size_t done = 0;

        while (done < n_bytes) {
                ssize_t n = read(fd, buffer + done, n_bytes - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO; /* shorter than it was a moment ago */
                done += (size_t)n;
        }
        return 0;
}

/* Anything that is no plain file of a sensible size is damage. Returns 0 with *ret_text, LEDGER_NONE, LEDGER_DAMAGED, -errno. */
static int read_file(int dir_fd, char **ret_text, size_t *ret_bytes, const char **ret_why)
{
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *text = NULL;
        struct stat status;
        int r;

        fd = openat(dir_fd, NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return LEDGER_NONE;
        *ret_why = "not a plain file";
        if (fd < 0)
                return errno == ELOOP || errno == ENXIO ? LEDGER_DAMAGED : -errno;
        if (fstat(fd, &status) < 0)
                return -errno;
        if (!S_ISREG(status.st_mode))
                return LEDGER_DAMAGED;
        *ret_why = "too large";
        if ((uint64_t)status.st_size > LEDGER_MAX_BYTES)
                return LEDGER_DAMAGED;
        text = malloc((size_t)status.st_size + 1);
        if (!text)
                return -ENOMEM;
        r = read_all(fd, text, (size_t)status.st_size);
        if (r < 0)
                return r;
        *ret_text = TAKE_PTR(text);
        *ret_bytes = (size_t)status.st_size;
        return 0;
}

int ledger_load(const char *directory, Ledger *ret, char **ret_what)
{
        _cleanup_close_ int dir_fd = directory_open(directory);
        _cleanup_free_ char *text = NULL, *what = NULL;
        const char *why = NULL;
        size_t n_bytes = 0;
        int r, aside;

        if (dir_fd < 0)
                return dir_fd;
        r = read_file(dir_fd, &text, &n_bytes, &why);
        if (r == -ENOMEM || r == LEDGER_NONE)
                return r;
        /* Whatever is in it, the next store must not take its place. */
        if (r < 0) {
                why = strerrordesc_np(-r);
                r = LEDGER_DAMAGED;
        }
        if (r == LEDGER_DAMAGED) {
                what = strdup(why ? why : "unreadable");
                if (!what)
                        return -ENOMEM;
        } else {
                r = ledger_parse(text, n_bytes, ret, &what);
                if (r <= 0)
                        return r;
        }
        aside = set_aside(dir_fd);
        if (aside < 0)
                return aside;
        *ret_what = TAKE_PTR(what);
        return r;
}

static int write_all(int fd, const char *text, size_t n_bytes)
{
        while (n_bytes > 0) {
                ssize_t n = write(fd, text, n_bytes);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                text += n;
                n_bytes -= (size_t)n;
        }
        return 0;
}

int ledger_store(const char *directory, const char *text, size_t n_bytes)
{
        _cleanup_close_ int dir_fd = directory_open(directory), fd = -EBADF;
        int r;

        if (dir_fd < 0)
                return dir_fd;
        /* It could not be read again. */
        if (n_bytes > LEDGER_MAX_BYTES)
                return -EFBIG;
        /* What a crash has left of an earlier one. */
        if (unlinkat(dir_fd, NEW_NAME, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(dir_fd, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = write_all(fd, text, n_bytes);
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r >= 0 && renameat(dir_fd, NEW_NAME, dir_fd, NAME) < 0)
                r = -errno;
        if (r < 0) {
                (void)unlinkat(dir_fd, NEW_NAME, 0);
                return r;
        }
        return fsync(dir_fd) < 0 ? -errno : 0;
}
