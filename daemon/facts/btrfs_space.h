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

/* Where what is written by pieces, each of which gets a place of its own, may come to lie. */
typedef struct BtrfsPlaces {
        uint64_t
                most_runs; /* about, if the shortest places are taken first that can hold any; UINT64_MAX where there are too many to tell */
        uint64_t
                sure_bytes; /* so much finds a place at least, however long the pieces are; as far as was looked */
} BtrfsPlaces;

/* For n_bytes in pieces of mean_bytes on the average and most_bytes at most. Returns 0; -ENOENT where there is no such tree; -errno. */
int btrfs_space_places(int fs_fd, uint64_t n_bytes, uint64_t mean_bytes, uint64_t most_bytes,
                       BtrfsPlaces *ret);

/* Which lengths stretches of free space have: bit n of *ret is set where one has 2^n bytes or more, and less than twice that. All of them where there are
 * too many stretches to tell. Returns 0; -ENOENT where there is no such tree; -errno. */
int btrfs_space_lengths(int fs_fd, uint64_t *ret);
