/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which of two files is worth more: the one with more extents for its size, since that is what each extent fewer costs to
 * move. Pure. */

#include <stdint.h>

#include "base/number.h"

/* Negative when a is worth more than b, positive when less, 0 when the same. Multiplied out: a quotient would put small
 * differences into one class, and 64 bits overflow at a million extents in 16 TiB. An empty file has nothing that could be
 * moved: last. */
static inline int worth_order(uint64_t a_extents, uint64_t a_bytes, uint64_t b_extents, uint64_t b_bytes)
{
        unsigned __int128 a_weight = (unsigned __int128)(a_bytes > 0 ? a_extents : 0) * u64_max(b_bytes, 1);
        unsigned __int128 b_weight = (unsigned __int128)(b_bytes > 0 ? b_extents : 0) * u64_max(a_bytes, 1);

        return a_weight == b_weight ? 0 : a_weight > b_weight ? -1 : 1;
}
