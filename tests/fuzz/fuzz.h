/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every target has: fuzz-NAME.c defines LLVMFuzzerTestOneInput(), which makes of any bytes an input for one parser, and
 * holds what comes out against what the parser's header promises.
 *
 * The preset "fuzz" builds it as a fuzzer (libFuzzer of clang), every other preset with replay-main.c as a program that
 * goes through the files of corpus/NAME. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Not assert(): it must not go away with NDEBUG, and not be taken for one of the product's. */
#define require(condition)                                                                                  \
        do {                                                                                                \
                if (!(condition)) {                                                                         \
                        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);             \
                        abort();                                                                            \
                }                                                                                           \
        } while (0)

/* A copy of exactly that size: a byte read behind it is the address sanitizer's to find. Freed by the caller. */
static inline void *fuzz_copy(const void *data, size_t n_bytes)
{
        void *copy = malloc(n_bytes > 0 ? n_bytes : 1);

        require(copy);
        if (n_bytes > 0)
                memcpy(copy, data, n_bytes);
        return copy;
}

/* The bytes up to the first NUL as a string of exactly that size. Freed by the caller. */
static inline char *fuzz_text(const void *data, size_t n_bytes)
{
        char *text;

        n_bytes = n_bytes > 0 ? strnlen(data, n_bytes) : 0;
        text = malloc(n_bytes + 1);
        require(text);
        if (n_bytes > 0)
                memcpy(text, data, n_bytes);
        text[n_bytes] = '\0';
        return text;
}

/* Bytes taken one after the other, zeros when there are no more. */
typedef struct FuzzBytes {
        const uint8_t *at, *end;
} FuzzBytes;

static inline uint64_t fuzz_take(FuzzBytes *bytes, unsigned n)
{
        uint64_t value = 0;

        for (; n > 0; n--)
                value = value << 8 | (bytes->at < bytes->end ? *bytes->at++ : 0);
        return value;
}
