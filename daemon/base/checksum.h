/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A checksum against accidents, not against malice (XXH3, 64 bits). Pure. */

#include <stddef.h>
#include <stdint.h>

uint64_t checksum_of(const void *data, size_t n_bytes);
