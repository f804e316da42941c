/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Memory for other people's data: whole pages, zeroed, so that direct I/O can have it, and kept out of core dumps as far as the kernel will (LimitCORE=
 * says the same). Any thread. */

#include <stddef.h>
#include <stdint.h>

typedef struct PrivateMemory {
        uint8_t *at; /* owned */
        size_t n_bytes;
} PrivateMemory;

/* Returns 0 or -ENOMEM. Released with private_memory_done(), which also takes one that is all zero. */
int private_memory_take(PrivateMemory *ret, size_t n_bytes);
void private_memory_done(PrivateMemory *memory);
