/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The library's one-shot form; the copy engine has the streaming one. */

#include <xxhash.h>

#include "base/checksum.h"

uint64_t checksum_of(const void *data, size_t n_bytes)
{
        return XXH3_64bits(data, n_bytes);
}
