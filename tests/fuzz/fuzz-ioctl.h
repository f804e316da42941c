/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For targets that answer in the kernel's place: the linker puts __wrap_ioctl() in the place of ioctl(2) (tests/CMakeLists.txt). Before it
 * is included CALLS_MAX is defined: more calls than that, and it never ends. */

#include <errno.h>
#include <stdarg.h>

#include "fuzz.h"

static FuzzBytes answer;
static unsigned n_calls;

/* Mostly small numbers, so that extents meet. */
static uint64_t take_number(void)
{
        const uint8_t kind = (uint8_t)fuzz_take(&answer, 1);

        if (kind < 0xe0)
                return (uint64_t)kind * 4096;
        return kind < 0xf0 ? fuzz_take(&answer, 3) : fuzz_take(&answer, 8);
}

/* As ioctl(2), for one that does not fail by chance. */
static int ioctl_answer(unsigned long number, void *argument);

int __wrap_ioctl(int fd, unsigned long number, ...);
int __wrap_ioctl(int fd, unsigned long number, ...)
{
        va_list arguments;
        void *argument;

        va_start(arguments, number);
        argument = va_arg(arguments, void *);
        va_end(arguments);
        (void)fd;
        require(++n_calls < CALLS_MAX);
        if (fuzz_take(&answer, 1) == 0xee) {
                errno = (int)(1 + fuzz_take(&answer, 1) % 133);
                return -1;
        }
        return ioctl_answer(number, argument);
}
