/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libext2fs on a device that is mounted. All that is read there is taken for what it is, bytes that anybody may have written: numbers
 * are held against the room that there is, and what makes no sense counts as nothing. Nothing is ever written. */

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/ext4_tables.h"

/* Blocks that hold inodes, read by one call of the library. */
#define SCAN_BUFFER_BLOCKS 64

/* A batch ends with a group, when it has seen as many inodes, whether in use or not: each batch reads the group descriptors again, and
 * begins with a group. A group has 8,192 where mkfs was not told otherwise. */
#define SCAN_BATCH 8192

/* Blocks of an extent tree that are read to count a file's extents; what is left of it is judged by these. */
#define TREE_BLOCKS_MAX 16

typedef struct Scan {
        ext2_filsys fs;
        ext2_inode_scan scan;
        unsigned char *block;   /* of an extent tree */
        uint64_t budget_blocks; /* of the tree being looked at, that may still be read */
        uint64_t expected;      /* where on the volume the extent before ends */
} Scan;

static void scan_done(Scan *scan)
{
        if (scan->scan)
                ext2fs_close_inode_scan(scan->scan);
        if (scan->fs)
                ext2fs_free(scan->fs);
        free(scan->block);
}

/* The library's own errors say that what it read makes no sense. */
static int error_of(errcode_t error)
{
        if (error == EXT2_ET_NO_MEMORY)
                return -ENOMEM;
        return error > 0 && error < 4096 ? -(int)error : -EIO;
}

static int scan_open(int device_fd, Scan *scan)
{
        char path[64];
        errcode_t error;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", device_fd);
        error = ext2fs_open2(path, NULL,
                             EXT2_FLAG_SOFTSUPP_FEATURES | EXT2_FLAG_IGNORE_CSUM_ERRORS | EXT2_FLAG_64BITS,
                             0, 0, unix_io_manager, &scan->fs);
        if (error)
                return error_of(error);
        /* Else the scan begins by reading the inode of bad blocks, whatever that leads to. */
        error = ext2fs_badblocks_list_create(&scan->fs->badblocks, 0);
        if (error)
                return error_of(error);
        error = ext2fs_open_inode_scan(scan->fs, SCAN_BUFFER_BLOCKS, &scan->scan);
        if (error)
                return error_of(error);
        scan->block = malloc(scan->fs->blocksize);
        return scan->block ? 0 : -ENOMEM;
}

/* How many entries a node of an extent tree has, at most as many as there is room for; 0 for one that makes no sense. */
static unsigned node_entries(const void *node, size_t room_bytes, unsigned depth)
{
        const struct ext3_extent_header *header = node;
        const unsigned n_entries = ext2fs_le16_to_cpu(header->eh_entries);

        if (ext2fs_le16_to_cpu(header->eh_magic) != EXT3_EXT_MAGIC ||
            ext2fs_le16_to_cpu(header->eh_depth) != depth ||
            n_entries > (room_bytes - sizeof(*header)) / sizeof(struct ext3_extent))
                return 0;
        return n_entries;
}

static uint64_t leaf_runs(Scan *scan, const void *node, unsigned n_entries)
{
        const struct ext3_extent *extent =
                (const struct ext3_extent *)(const void *)((const struct ext3_extent_header *)node + 1);
        uint64_t n_runs = 0;

        for (unsigned i = 0; i < n_entries; i++, extent++) {
                const uint64_t start = (uint64_t)ext2fs_le16_to_cpu(extent->ee_start_hi) << 32 |
                                       ext2fs_le32_to_cpu(extent->ee_start);
                uint32_t length = ext2fs_le16_to_cpu(extent->ee_len);

                /* Longer ones are unwritten. */
                if (length > EXT_INIT_MAX_LEN)
                        length -= (uint32_t)EXT_INIT_MAX_LEN;
                /* An extent ends at 128 MiB of 4 KiB blocks, and where written places end; what adjoins is one piece. */
                if (start != scan->expected)
                        n_runs++;
                scan->expected = start + length;
        }
        return n_runs;
}

/* The runs below a node, at least approximately: no more than so many blocks are read of one tree, from the front, and what was
 * not read is taken to be like what was. */
static uint64_t node_runs(Scan *scan, const void *node, size_t room_bytes, unsigned depth)
{
        const struct ext3_extent_idx *index =
                (const struct ext3_extent_idx *)(const void *)((const struct ext3_extent_header *)node + 1);
        const unsigned n_entries = node_entries(node, room_bytes, depth);
        _cleanup_free_ uint64_t *below = NULL;
        unsigned n_read = 0;
        uint64_t n_runs = 0;

        if (depth == 0)
                return leaf_runs(scan, node, n_entries);
        /* The nodes below are read into the same block. */
        below = calloc(n_entries + 1, sizeof(*below));
        if (!below)
                return n_entries;
        for (unsigned i = 0; i < n_entries; i++)
                below[i] = (uint64_t)ext2fs_le16_to_cpu(index[i].ei_leaf_hi) << 32 |
                           ext2fs_le32_to_cpu(index[i].ei_leaf);
        for (; n_read < n_entries && scan->budget_blocks > 0; n_read++) {
                scan->budget_blocks--;
                if (below[n_read] >= ext2fs_blocks_count(scan->fs->super) ||
                    io_channel_read_blk64(scan->fs->io, below[n_read], 1, scan->block) != 0)
                        break;
                n_runs += node_runs(scan, scan->block, scan->fs->blocksize, depth - 1);
        }
        return n_read == 0 ? n_entries : n_runs * n_entries / n_read;
}

static uint64_t inode_runs(Scan *scan, const struct ext2_inode *inode)
{
        /* The library has put the numbers of an inode into our byte order, but not the tree in it. */
        const struct ext3_extent_header *header =
                (const struct ext3_extent_header *)(const void *)inode->i_block;
        const unsigned depth = ext2fs_le16_to_cpu(header->eh_depth);

        /* What is not mapped by extents is not moved. */
        if (!(inode->i_flags & EXT4_EXTENTS_FL) || (inode->i_flags & EXT4_INLINE_DATA_FL) || depth > 5)
                return 0;
        scan->budget_blocks = TREE_BLOCKS_MAX;
        scan->expected = UINT64_MAX;
        return node_runs(scan, header, sizeof(inode->i_block), depth);
}

static uint32_t xflags_of_inode(uint32_t flags)
{
        return (flags & EXT2_IMMUTABLE_FL ? FS_XFLAG_IMMUTABLE : 0) |
               (flags & EXT2_APPEND_FL ? FS_XFLAG_APPEND : 0) |
               (flags & EXT2_NODUMP_FL ? FS_XFLAG_NODUMP : 0) | (flags & FS_DAX_FL ? FS_XFLAG_DAX : 0);
}

/* Reserved ones but the root directory are the file system's own, as are the quota files that have other numbers. */
static bool is_somebodys(const Scan *scan, ext2_ino_t number, const struct ext2_inode *inode)
{
        const struct ext2_super_block *super = scan->fs->super;

        /* Some kernels take it for corruption when a value of an extended attribute is opened by its inode. */
        if (inode->i_links_count == 0 || inode->i_mode == 0 || (inode->i_flags & EXT4_EA_INODE_FL))
                return false;
        if (number < EXT2_FIRST_INODE(super))
                return number == EXT2_ROOT_INO;
        return number != super->s_prj_quota_inum && number != super->s_orphan_file_inum;
}

static int on_number(Scan *scan, ext2_ino_t number, const struct ext2_inode *inode,
                     int (*on_inode)(const InodeFacts *inode, void *userdata), void *userdata)
{
        const InodeFacts facts = {
                .id = {.inode = number, .generation = inode->i_generation},
                .size_bytes = EXT2_I_SIZE(inode),
                .n_extents = LINUX_S_ISREG(inode->i_mode) ? inode_runs(scan, inode) : 0,
                .mode = inode->i_mode,
                .xflags = xflags_of_inode(inode->i_flags),
        };

        return is_somebodys(scan, number, inode) ? on_inode(&facts, userdata) : 0;
}

/* All of a group's table that is in use is asked for at once: the library waits for a piece of it at a time. */
static void group_read_ahead(const Scan *scan, int device_fd, dgrp_t group)
{
        struct ext2_super_block *super = scan->fs->super;
        const uint64_t start = ext2fs_inode_table_loc(scan->fs, group);
        const uint32_t unused =
                ext2fs_has_group_desc_csum(scan->fs) ? ext2fs_bg_itable_unused(scan->fs, group) : 0;
        const uint64_t n_inodes = super->s_inodes_per_group - u64_min(unused, super->s_inodes_per_group);

        /* A hint, so that a number that makes no sense does no harm. */
        if (n_inodes > 0 && start < ext2fs_blocks_count(super))
                (void)posix_fadvise(device_fd, (off_t)(start * scan->fs->blocksize),
                                    (off_t)(n_inodes * EXT2_INODE_SIZE(super)), POSIX_FADV_WILLNEED);
}

int ext4_tables_next(int device_fd, uint64_t *cursor,
                     int (*on_inode)(const InodeFacts *inode, void *userdata), void *userdata)
{
        _cleanup_(scan_done) Scan scan = {0};
        uint64_t next = u64_max(*cursor, 1), n_seen = 0;
        uint32_t per_group;
        dgrp_t group;
        int r;

        r = scan_open(device_fd, &scan);
        if (r < 0)
                return r;
        if (next > scan.fs->super->s_inodes_count)
                return 0;
        per_group = scan.fs->super->s_inodes_per_group;
        group = (dgrp_t)((next - 1) / per_group);
        if (ext2fs_inode_scan_goto_blockgroup(scan.scan, (int)group) != 0)
                return -EIO;
        group_read_ahead(&scan, device_fd, group);
        for (;;) {
                union {
                        struct ext2_inode inode;
                        struct ext2_inode_large large;
                } raw;
                ext2_ino_t number = 0;
                errcode_t error =
                        ext2fs_get_next_inode_full(scan.scan, &number, &raw.inode, sizeof(raw.large));

                if (error == EXT2_ET_MISSING_INODE_TABLE || error == EXT2_ET_BAD_BLOCK_IN_INODE_TABLE) {
                        /* Of a group that is damaged; others are not. */
                        if (++group >= scan.fs->group_desc_count)
                                return 0;
                        if (ext2fs_inode_scan_goto_blockgroup(scan.scan, (int)group) != 0)
                                return -EIO;
                        continue;
                }
                if (error && error != EXT2_ET_INODE_CSUM_INVALID && error != EXT2_ET_INODE_IS_GARBAGE)
                        return error_of(error);
                if (number == 0)
                        return 0;
                if ((number - 1) / per_group != group) {
                        group = (number - 1) / per_group;
                        if (n_seen >= SCAN_BATCH) {
                                *cursor = number;
                                return 1;
                        }
                        group_read_ahead(&scan, device_fd, group);
                }
                n_seen++;
                if (number < next)
                        continue;
                next = (uint64_t)number + 1;
                r = on_number(&scan, number, &raw.inode, on_inode, userdata);
                if (r != 0)
                        return r;
        }
}
