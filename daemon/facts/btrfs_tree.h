/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The trees of a btrfs, item by item.
 *
 * Source: BTRFS_IOC_TREE_SEARCH_V2 (CAP_SYS_ADMIN), which sees the trees as they are in memory, a transaction's changes included. Two
 * kinds of changes come later than the system call that made them: sizes and flags of inodes, and in the tree of extents everything, until the
 * transaction is committed (every 30 s by default). Any descriptor on the file system will do as fs_fd. Workers only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>

typedef struct BtrfsKey {
        uint64_t object;
        uint8_t type;
        uint64_t offset;
} BtrfsKey;

typedef struct BtrfsItem {
        BtrfsKey key;
        const void *data; /* little-endian and unaligned; until the next call */
        size_t n_bytes;
} BtrfsItem;

typedef struct BtrfsScan {
        int fs_fd;
        uint64_t tree;
        BtrfsKey next, last;
        struct btrfs_ioctl_search_args_v2 *args; /* owned */
        size_t room;                             /* of args->buf */
        const uint8_t *at, *end;                 /* what has not been handed out yet */
        uint32_t n_left;
        bool is_over;
} BtrfsScan;

/* All items of a tree from key first to key last, both included, in their order (object, type, offset). room: bytes to be fetched a
 * call, with BTRFS_SCAN_SMALL any item has room, -EOVERFLOW from
 * btrfs_scan_next() is one that has not. Returns 0 or -ENOMEM. */
int btrfs_scan_begin(BtrfsScan *scan, int fs_fd, uint64_t tree, BtrfsKey first, BtrfsKey last, size_t room);
void btrfs_scan_done(BtrfsScan *scan);

#define BTRFS_SCAN_SMALL ((size_t)128 << 10)
#define BTRFS_SCAN_LARGE ((size_t)1 << 20)

/* Returns 1 with an item, 0 behind the last one, -EIO for an answer that makes no sense, -errno (-ENOENT: no such tree). */
int btrfs_scan_next(BtrfsScan *scan, BtrfsItem *ret);

/* Whether the next one is there already, so that to get it is no search. */
bool btrfs_scan_holds_more(const BtrfsScan *scan);

/* Less than, equal to or greater than 0. */
int btrfs_key_order(BtrfsKey a, BtrfsKey b);

/* An item of a file's data (EXTENT_DATA), in the order of bytes of the disk. Returns 1 with *ret; 0 for data within the inode, of which *ret says
 * nothing; -EIO for one that is too short. */
int btrfs_file_extent_read(const BtrfsItem *item, struct btrfs_file_extent_item *ret);

/* One item by its key, at most n_bytes of it into data. Returns the number of bytes written there, -ENOENT, -errno. */
int btrfs_item_read(int fs_fd, uint64_t tree, BtrfsKey key, void *data, size_t n_bytes);
