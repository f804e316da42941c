/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is a file formatted as swap space? The kernel finds the blocks of a swap file once, at swapon or in the boot loader's
 * resume offset, and writes to them behind the file system's back. */

#include <stdbool.h>
#include <stdint.h>

#include "base/number.h"

/* In so much of a file there is one, if there is any. */
#define SWAP_SIGNATURE_WITHIN_BYTES (64 * KIB)

/* Reads the ends of the first page for each page size that Linux has (mkswap(8)); past_cache: from the device, where that can be. Returns 0 or
 * -errno. Workers only. */
int swap_signature_read(int fd, uint64_t size_bytes, bool past_cache, bool *ret);
