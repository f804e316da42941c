/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where a ring is granted and no locked memory for its buffers, as where several services of one user run, copies go by hand. The ring stays open
 * all the same until the copier ends: one that is closed interrupts the thread some milliseconds later. */

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

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

/* In the place of the kernel: as under a small LimitMEMLOCK=, which is one for all processes of a user; or an older one. */
static void refuse(uint32_t what)
{
        struct sock_filter instructions[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_register, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, what, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, (uint32_t)SECCOMP_RET_ERRNO | (uint32_t)ENOMEM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = {
                .len = sizeof(instructions) / sizeof(instructions[0]),
                .filter = instructions,
        };

        assert_return_code(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), errno);
        assert_return_code(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), errno);
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

        refuse(IORING_REGISTER_BUFFERS);
        assert_return_code(copier_new(false, &copier), 0);
        assert_false(copier_uses_uring(copier));
        assert_int_equal(n_rings(), 1);
        assert_null(copier_free(copier));
        assert_int_equal(n_rings(), 0);
}

/* A ring of which it is not known when it has let go of its files is not used. */
static void test_many_threads(void **state)
{
        Copier *copier;

        (void)state;
        refuse(IORING_REGISTER_IOWQ_MAX_WORKERS);
        assert_return_code(copier_new(false, &copier), 0);
        assert_false(copier_uses_uring(copier));
        assert_int_equal(n_rings(), 0);
        assert_null(copier_free(copier));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_many_threads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
