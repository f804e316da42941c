/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* EXT4_IOC_MOVE_EXT, and what has to come after it. Private to the engine and its probe.
 *
 * The kernel copies page by page through the page cache, exchanges the two files' blocks under both inodes' locks, and leaves the
 * page dirty; a transaction does not commit before the data of its pages are on stable storage (also with data=writeback). So a
 * crash finds each page in the old or in the new place, whole. Time stamps do not move. */

#include <stdint.h>

#include "decide/outcome.h"

/* Exchanges [offset, offset + n_bytes) of the target with as much of the donor from donor_offset on. Both are open for reading and
 * writing, all numbers are multiples of a block, the two offsets the same within a page. Where the target has a hole nothing is
 * done; unwritten places stay so. *ret_moved is how much is certain: all of it on 0. With an error it
 * may be more: older kernels count what they did only when they did all of it. Returns 0; -EBUSY for a page that is pinned or dirty; -errno. */
int ext4_extents_move(int target_fd, int donor_fd, uint64_t offset, uint64_t donor_offset, uint64_t n_bytes,
                      uint32_t block_bytes, uint64_t *ret_moved);

/* Writes what is dirty of the range and waits for it. Returns 0; the error of any write of the file since it was opened as fd, be it another's,
 * each of them once; -errno. */
int ext4_extents_write(int fd, uint64_t offset, uint64_t n_bytes);

/* Commits the transaction that the moves are in, and with it writes their data; waits for both. Nothing else does: the moves are not noted as
 * something that an fdatasync(2) of the target has to wait for. Until this is done, whoever overwrites what was moved and
 * calls fdatasync gets a promise that a crash breaks: his data are on the disk in the new place, and the journal, which still lacks
 * the move, gives him the old one (measured on Linux 6.18, tests/crash/ext4-fdatasync.sh). So nobody may have the file open
 * from before the move until after this. Returns 0 or -errno. */
int ext4_extents_commit(int donor_fd);

/* What the attributes of a file (FS_IOC_GETFLAGS) forbid, before the kernel is asked and complains in its log. Pure. */
Reason ext4_flags_refusal(uint32_t flags);
