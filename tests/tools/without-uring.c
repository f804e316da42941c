/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* without-uring setup|register COMMAND [ARG...]: runs COMMAND where the kernel refuses io_uring as a whole (ENOSYS, as
 * with the sysctl kernel.io_uring_disabled or in a container), or grants a ring but no locked memory for its buffers
 * (ENOMEM, as under a small LimitMEMLOCK=). By a seccomp filter, which touches nobody else. */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tool.h"

int main(int argc, char *argv[])
{
        bool setup = argc > 2 && strcmp(argv[1], "setup") == 0;
        struct sock_filter instructions[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, setup ? SYS_io_uring_setup : SYS_io_uring_register, 0,
                         1),
                BPF_STMT(BPF_RET | BPF_K, (uint32_t)SECCOMP_RET_ERRNO | (uint32_t)(setup ? ENOSYS : ENOMEM)),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = {
                .len = sizeof(instructions) / sizeof(instructions[0]),
                .filter = instructions,
        };

        if (argc < 3 || (!setup && strcmp(argv[1], "register") != 0))
                die_plainly("usage: without-uring setup|register COMMAND [ARG...]");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                die("seccomp");
        execvp(argv[2], argv + 2);
        die("%s", argv[2]);
}
