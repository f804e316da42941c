/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Swap space by its signature, in files in memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "facts/swap_signature.h"

#define FILE_BYTES 131072

/* A file with text at the end of a page of that size. */
static int file_with(const char *text, size_t page_bytes)
{
        int fd = memfd_create("file", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
        assert_int_equal(pwrite(fd, text, strlen(text), (off_t)(page_bytes - 10)), (ssize_t)strlen(text));
        return fd;
}

static bool is_swap(int fd, uint64_t size_bytes)
{
        bool swap, past_cache;

        assert_int_equal(swap_signature_read(fd, size_bytes, false, &swap), 0);
        assert_int_equal(swap_signature_read(fd, size_bytes, true, &past_cache), 0);
        assert_int_equal(swap, past_cache);
        return swap;
}

static void it_is_found_at_the_end_of_a_page_of_any_size(void **state)
{
        (void)state;
        for (size_t page_bytes = 2048; page_bytes <= FILE_BYTES; page_bytes *= 2) {
                _cleanup_close_ int fd = file_with("SWAPSPACE2", page_bytes);

                assert_int_equal(is_swap(fd, FILE_BYTES), page_bytes >= 4096 && page_bytes <= 65536);
        }
}

static void what_suspending_left_counts(void **state)
{
        _cleanup_close_ int suspended = file_with("S1SUSPEND", 4096),
                            other = file_with("S1SUSPENDED", 4096 - 1);

        (void)state;
        assert_true(is_swap(suspended, FILE_BYTES));
        assert_false(is_swap(other, FILE_BYTES));
}

static void a_file_that_was_truncated_meanwhile_is_not_taken_for_the_one_before(void **state)
{
        _cleanup_close_ int swap = file_with("SWAPSPACE2", 4096), file = file_with("", 4096);

        (void)state;
        assert_int_equal(ftruncate(file, 100), 0);
        assert_true(is_swap(swap, FILE_BYTES));
        assert_false(is_swap(file, FILE_BYTES));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_is_found_at_the_end_of_a_page_of_any_size),
                cmocka_unit_test(what_suspending_left_counts),
                cmocka_unit_test(a_file_that_was_truncated_meanwhile_is_not_taken_for_the_one_before),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
