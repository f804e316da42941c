/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Compressed extents: where they lie, how long they are on the disk, and how the file system would write them now.
 *
 * FIEMAP tells of a compressed extent where it begins and how long it is in the file; its length on the disk and the algorithm are in the trees. The
 * level that it was compressed with is nowhere. Workers only, but for what is pure. */

#include <stdbool.h>
#include <stdint.h>

#include "facts/btrfs_tree.h"
#include "facts/extent_map.h"
#include "facts/file_id.h"

/* As items of files have it. */
enum {
        BTRFS_ENCODING_NONE,
        BTRFS_ENCODING_ZLIB,
        BTRFS_ENCODING_LZO,
        BTRFS_ENCODING_ZSTD,
        BTRFS_ENCODING_OTHER = EXTENT_ENCODED_SOMEHOW, /* which one the kernel would choose cannot be told */
};

typedef struct BtrfsEncoding {
        uint8_t type;
        int8_t level; /* 0: the algorithm's own, or it has none */
} BtrfsEncoding;

/* How would the file system encode what is written to this file now? By the mount's compress= and compress-force=, the inode's flags and
 * the property btrfs.compression. Data that cannot be compressed are written as they are in any case. Returns 0 or -errno. */
int btrfs_encoding_read(int fd, BtrfsEncoding *ret);

/* The same out of what is known: options of the super block as the mount table shows them, FS_*_FL, and the property's value (NULL: none). Pure. */
BtrfsEncoding btrfs_encoding_of(const char *super_options, unsigned flags, const char *property);

/* Would an extent be encoded as it is if it were moved? Whether its data can still be compressed when they are joined with others is not certain,
 * so those that hardly can are left out. Pure. */
bool btrfs_encoding_keeps(BtrfsEncoding would, const Extent *extent);

/* The extent that an item stands for which is compressed, up to end at most; raw is in the order of bytes of the disk. Pure. */
void btrfs_encoded_extent(uint64_t logical, const struct btrfs_file_extent_item *raw, uint64_t end,
                          Extent *ret);

/* map_decode of file_system_btrfs; as facts/file_system.h has it. */
int btrfs_map_decode(int fs_fd, FileId id, ExtentMap *map);
