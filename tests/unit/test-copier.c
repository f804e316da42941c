/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where a ring is granted and no locked memory for its buffers, as where several services of one user run, copies go by hand. The ring stays open
 * all the same until the copier ends: one that is closed interrupts the thread some milliseconds later. */

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/number.h"
#include "fs/copy.h"

static unsigned n_rings(void)
{
        DIR *directory = opendir("/proc/self/fd");
        unsigned n = 0;

        assert_non_null(directory);
        for (const struct dirent *entry; (entry = readdir(directory));) {
                char target[64] = "";

                n += readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1) > 0 &&
                     strcmp(target, "anon_inode:[io_uring]") == 0;
        }
        (void)closedir(directory);
        return n;
}

static void limit_locked_memory(void)
{
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
        /* Enough for the ring itself. */
        const struct rlimit little = {.rlim_cur = MIB, .rlim_max = MIB};

        assert_return_code(syscall(SYS_capget, &header, sets), errno);
        sets[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
        assert_return_code(syscall(SYS_capset, &header, sets), errno);
        assert_return_code(setrlimit(RLIMIT_MEMLOCK, &little), errno);
}

static void test_refused(void **state)
{
        Copier *copier;

        (void)state;
        assert_return_code(copier_new(false, &copier), 0);
        if (!copier_uses_uring(copier)) {
                copier_free(copier);
                print_message("this kernel has no io_uring\n");
                skip();
        }
        assert_int_equal(n_rings(), 1);
        assert_null(copier_free(copier));
        assert_int_equal(n_rings(), 0);

        limit_locked_memory();
        assert_return_code(copier_new(false, &copier), 0);
        assert_false(copier_uses_uring(copier));
        assert_int_equal(n_rings(), 1);
        assert_null(copier_free(copier));
        assert_int_equal(n_rings(), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
