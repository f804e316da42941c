/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Copies written extents of one file into the same places of another with direct I/O, and proves afterwards that what
 * is on the device is what was read.
 *
 * io_uring with registered buffers and several requests in flight; where the kernel refuses the ring or the locked
 * memory, pread and pwrite do the same work one request at a time. Reads never go through the page cache; nothing is
 * shared instead of copied. A Copier is made once and used for one file after the other by one thread. Its buffers are
 * kept out of core dumps. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts/extent_map.h"
#include "fs/aside.h"

typedef struct Copier Copier;

#define COPY_MORE   1 /* call again */
#define COPY_SHORT  2 /* the source ended early: it was truncated meanwhile */
#define COPY_WRONG  3 /* verify: the device gave back something else than was written */
#define COPY_UNREAD 4 /* the source cannot be read (EIO): the device's fault, or target_verdict_of_read() */

/* force_sync: do not even try io_uring. Returns 0 or -ENOMEM. */
int copier_new(bool force_sync, Copier **ret);
Copier *copier_free(Copier *copier);

/* True when requests go through io_uring. */
bool copier_uses_uring(const Copier *copier);

/* Prepares a copy of the written extents of map, which must stay as it is until the end. Offsets in the donor are those
 * of the source minus donor_shift. align_bytes: of direct I/O. Nothing at or behind size_bytes is read; the rest of the
 * last aligned piece becomes zeros in the donor. Ends an unfinished copy. Returns 0 or -errno. */
int copier_begin(Copier *copier, int source_fd, int donor_fd, const ExtentMap *map, uint64_t size_bytes,
                 uint64_t donor_shift, uint32_t align_bytes);

/* Copies about a dozen MiB. Returns 0 at the end, COPY_MORE, COPY_SHORT, COPY_UNREAD or -errno of the first request that
 * failed. No request but a flush is in flight on return. */
int copier_step(Copier *copier);

/* Begins to flush the donor's data to stable storage, without waiting where there is a ring; and waits for it. Every begun
 * flush is waited for before another copy begins, and in copier_let_go(). Return 0 or -errno. */
int copier_flush_begin(Copier *copier);
int copier_flush_wait(Copier *copier);

/* After the copy has ended: reads the donor back and compares checksums (XXH3, 64 bits a
 * piece). Returns 0 at the end, COPY_MORE, COPY_WRONG or -errno. */
int copier_verify_step(Copier *copier);

/* After the copy has ended: reads the first, the middle and the last piece (512 KiB each at most) from fd, where they lay in the
 * source, with direct I/O, and compares checksums. fd is open with O_DIRECT. Returns 0, COPY_WRONG (also when the file ends
 * early) or -errno. */
int copier_sample_check(Copier *copier, int fd);

/* Waits until nothing that was asked of the kernel keeps a file open any more, neither of copies nor beside them. To be called before the
 * descriptors are closed. */
void copier_let_go(Copier *copier);

/* Bytes written to the donor since copier_begin(). */
uint64_t copier_bytes(const Copier *copier);

/* What the kernel does beside all copies; lives as long as the copier. */
Aside *copier_aside(const Copier *copier);
