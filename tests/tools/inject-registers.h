/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What of tracing differs between machines, for inject(1): the call that a stopped thread is about to make, and its result. */

#include <linux/elf.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "tool.h"

#if defined(__x86_64__)

static inline void call_skip(pid_t pid, int64_t result)
{
        if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1L) < 0 ||
            ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), result) < 0)
                die("POKEUSER");
}

static inline void result_set(pid_t pid, int64_t result)
{
        if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), result) < 0)
                die("POKEUSER");
}

static inline void third_argument_set(pid_t pid, uint64_t value)
{
        if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rdx), value) < 0)
                die("POKEUSER");
}

#else

static inline void register_set(pid_t pid, unsigned index, uint64_t value)
{
        struct user_regs_struct registers;
        struct iovec vector = {.iov_base = &registers, .iov_len = sizeof(registers)};

        if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vector) < 0)
                die("GETREGSET");
        registers.regs[index] = value;
        if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &vector) < 0)
                die("SETREGSET");
}

static inline void call_skip(pid_t pid, int64_t result)
{
        int none = -1;
        struct iovec vector = {.iov_base = &none, .iov_len = sizeof(none)};

        if (ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &vector) < 0)
                die("SETREGSET");
        register_set(pid, 0, (uint64_t)result);
}

static inline void result_set(pid_t pid, int64_t result)
{
        register_set(pid, 0, (uint64_t)result);
}

static inline void third_argument_set(pid_t pid, uint64_t value)
{
        register_set(pid, 2, value);
}

#endif
