/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A directory of its own that stands for "/", in which a test puts configuration files and loads them. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/config.h"

static char root[] = "/tmp/test-config-XXXXXX";
static char complaints[32768]; /* "FILE:LINE: TEXT\n" each, without the root */

static void on_complaint(const char *file, unsigned line, const char *text, void *userdata)
{
        size_t used = strlen(complaints);

        assert_ptr_equal(userdata, complaints);
        if (strncmp(file, root, strlen(root)) == 0)
                file += strlen(root);
        snprintf(complaints + used, sizeof(complaints) - used, "%s:%u: %s\n", file, line, text);
}

static int root_new(void **state)
{
        (void)state;
        memset(root + strlen(root) - 6, 'X', 6);
        complaints[0] = '\0';
        return mkdtemp(root) ? 0 : -1;
}

static int on_leftover(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
        (void)status;
        (void)type;
        (void)ftw;
        return remove(path);
}

static int root_free(void **state)
{
        (void)state;
        return nftw(root, on_leftover, 16, FTW_DEPTH | FTW_PHYS);
}

/* path below the root, with all its directories. */
static const char *path_in_root(const char *path)
{
        static char full[512];

        snprintf(full, sizeof(full), "%s%s", root, path);
        for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(full, 0700) < 0)
                        assert_int_equal(errno, EEXIST);
                *slash = '/';
        }
        return full;
}

static void put_bytes(const char *path, const char *bytes, size_t n)
{
        _cleanup_close_ int fd = open(path_in_root(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), (ssize_t)n);
}

static void put(const char *path, const char *text)
{
        put_bytes(path, text, strlen(text));
}

static Config load(int expected)
{
        Config config = {0};
        int r;

        complaints[0] = '\0';
        r = config_load(root, NULL, on_complaint, complaints, &config);
        if (r != expected)
                fail_msg("%d instead of %d complaints:\n%s", r, expected, complaints);
        return config;
}

static void assert_complaint(const char *start)
{
        const char *found = strstr(complaints, start);

        if (!found || (found != complaints && found[-1] != '\n'))
                fail_msg("no '%s' among:\n%s", start, complaints);
}

#define CONF            "/etc/defragd/defragd.conf"
#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, root_new, root_free)
