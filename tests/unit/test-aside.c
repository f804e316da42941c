/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is asked of the kernel beside everything else has been done when it was waited for: through a ring, and by hand. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/number.h"
#include "facts/page_cache.h"
#include "fs/aside.h"

/* More requests than a ring has. */
#define FILE_BYTES (80 * MIB)

static int file_new(void)
{
        char name[] = "/var/tmp/test-aside-XXXXXX";
        const int fd = mkstemp(name);

        assert_true(fd >= 0);
        assert_return_code(unlink(name), errno);
        assert_return_code(posix_fallocate(fd, 0, FILE_BYTES), 0);
        return fd;
}

static uint64_t resident(int fd, uint64_t offset, uint64_t n_bytes)
{
        uint64_t cached = 0;

        if (page_cache_resident(fd, offset, n_bytes, &cached) == -EOPNOTSUPP)
                skip();
        return cached;
}

static void reads_and_drops(bool by_hand)
{
        const int fd = file_new();
        Aside *aside;

        assert_return_code(aside_new(by_hand, &aside), 0);
        /* A file system in memory. */
        if (resident(fd, 0, FILE_BYTES) > 0)
                skip();
        /* Not a piece more, in the middle of one either. */
        aside_read_ahead(aside, fd, MIB, 3 * MIB + 4096);
        aside_wait(aside);
        assert_int_equal(resident(fd, MIB, 3 * MIB + 4096), 3 * MIB + 4096);
        assert_int_equal(resident(fd, 0, FILE_BYTES), 3 * MIB + 4096);
        aside_read_ahead(aside, fd, 0, FILE_BYTES);
        aside_read_ahead(aside, fd, 0, 0);
        aside_wait(aside);
        assert_int_equal(resident(fd, 0, FILE_BYTES), FILE_BYTES);
        /* A length of 0 is nothing, where posix_fadvise() takes it for everything. */
        aside_drop(aside, fd, 0, 0);
        aside_wait(aside);
        assert_int_equal(resident(fd, 0, FILE_BYTES), FILE_BYTES);
        aside_drop(aside, fd, 2 * MIB, FILE_BYTES - 2 * MIB);
        aside_let_go(aside);
        assert_int_equal(resident(fd, 0, FILE_BYTES), 2 * MIB);
        assert_null(aside_free(aside));
        (void)close(fd);
}

static void writes(bool by_hand)
{
        const int fd = file_new();
        char page[4096] = "dirty";
        Aside *aside;

        assert_return_code(aside_new(by_hand, &aside), 0);
        assert_int_equal(pwrite(fd, page, sizeof(page), MIB), sizeof(page));
        aside_write(aside, fd, 0, FILE_BYTES);
        aside_wait(aside);
        /* It is on its way now, and nobody else has begun that: this only waits. */
        assert_return_code(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE), errno);
        aside_drop(aside, fd, 0, FILE_BYTES);
        aside_wait(aside);
        assert_int_equal(resident(fd, 0, FILE_BYTES), 0);
        assert_null(aside_free(aside));
        (void)close(fd);
}

/* Hints: what cannot be done is not, and the next one is. */
static void is_no_file(bool by_hand)
{
        const int fd = file_new();
        Aside *aside;

        assert_return_code(aside_new(by_hand, &aside), 0);
        aside_let_go(aside);
        aside_read_ahead(aside, -EBADF, 0, MIB);
        aside_read_ahead(aside, fd, 0, MIB);
        aside_write(aside, -EBADF, 0, MIB);
        aside_drop(aside, -EBADF, 0, MIB);
        aside_wait(aside);
        assert_int_equal(resident(fd, 0, FILE_BYTES), MIB);
        /* The last ones are waited for. */
        aside_drop(aside, fd, 0, MIB);
        assert_null(aside_free(aside));
        assert_int_equal(resident(fd, 0, FILE_BYTES), 0);
        assert_null(aside_free(NULL));
        (void)close(fd);
}

static void test_aside(void **state)
{
        (void)state;
        for (int by_hand = 0; by_hand < 2; by_hand++) {
                reads_and_drops(by_hand);
                writes(by_hand);
                is_no_file(by_hand);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_aside),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
