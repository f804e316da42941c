/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* In how many pieces free space is.
 *
 * Source: the free space tree (space_cache=v2, which mkfs.btrfs has made since version 5.15) and what no chunk has been made of yet. A
 * hint: what was freed a moment ago is in the tree before it can be used. Workers only. */

#include <stdint.h>

/* The fewest runs in which n_bytes of data could be written now: the kernel takes the largest stretches that there are, and makes a new chunk before it
 * divides. Returns 0; -ENOENT where there is no such tree; -errno. */
int btrfs_space_runs(int fs_fd, uint64_t n_bytes, uint64_t *ret_runs);

/* Which lengths stretches of free space have: bit n of *ret is set where one has 2^n bytes or more, and less than twice that. All of them where there are
 * too many stretches to tell. Returns 0; -ENOENT where there is no such tree; -errno. */
int btrfs_space_lengths(int fs_fd, uint64_t *ret);
