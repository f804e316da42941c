/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much of a file range is in the page cache, so that a move can leave it as warm as it was.
 *
 * Source: cachestat(2), Linux 6.5. */

#include <stdint.h>
#include <sys/types.h>

/* Returns 0 and the bytes of [offset, offset + length) that are cached, in whole pages but never more than length;
 * -EOPNOTSUPP on kernels without the call; -errno. */
int page_cache_resident(int fd, uint64_t offset, uint64_t length, uint64_t *ret_bytes);

/* pread(2) from the device, not from the page that may lie in front of it; by the page cache where the file system
 * wants it so. Buffer, length and offset are aligned for direct I/O. Returns the bytes that were read or -errno. */
ssize_t page_cache_read_past(int fd, void *buffer, uint64_t n_bytes, uint64_t offset);

/* Asks the kernel to read the range in again, without waiting for the data; a full device queue is waited for. At
 * most the first 64 MiB of it. Best effort. */
void page_cache_refill(int fd, uint64_t offset, uint64_t length);
