/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What of a file's extents only the trees tell.
 *
 * An extent of a file is a part of an extent on the disk, and that one is given back only when nobody refers to any part of it any
 * more: to move a part takes space and gives none back. (Measured on Linux 6.18: a file of 157 MB took 223 MB after
 * defragmentation inside an extent.) Workers only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"
#include "facts/extent_map.h"
#include "facts/file_id.h"

typedef struct BtrfsRegion {
        uint64_t
                moved_bytes; /* of written extents: space that moving the region takes, if what is compressed stays as short as it is */
        uint64_t
                freed_bytes; /* and gives back: extents on the disk that nothing outside the region refers to. They are as long as
                                 * they were written, whatever has become of parts of them since */
        uint64_t
                held_bytes; /* and more of it where the kernel moves single extents, too: it leaves the end of what lies together where it is */
        uint64_t encoded_bytes; /* of those, as long as they are on the disk */
        uint32_t n_items;
        bool has_parts; /* of extents: nothing comes back of one before the last part has moved */
} BtrfsRegion;

/* Of the extents in [offset, offset + length) of a file, and their map, which is that of FIEMAP (released with extent_map_done()) but for
 * what is shared: to find that out takes FIEMAP fifty times as long as all the rest. Snapshots do not count as references here: whether an extent is shared
 * with others is FIEMAP's to say. What a transaction changes shows up when it is committed, so where it matters one is
 * (BTRFS_IOC_WAIT_SYNC: some milliseconds to some hundred); is_young: the file was changed within the last transactions.
 * slice_bytes: of what lies together without a hole the kernel gets so much with one call, if there is no more, so that it is known what it
 * does with the end.
 * Returns 0, -EFBIG above BTRFS_REGION_ITEMS_MAX extents, -errno. */
int btrfs_region_read(int fs_fd, FileId id, uint64_t offset, uint64_t length, uint64_t slice_bytes,
                      bool is_young, BtrfsRegion *ret, ExtentMap *ret_map);

/* Has dirty data of a range written, and waits until the trees tell where. Returns 0 or -errno. */
int btrfs_range_settle(int fd, uint64_t offset, uint64_t length);

/* The kernel goes through what it is handed by clusters, from the page with its beginning on. */
#define BTRFS_CLUSTER_BYTES (256 * KIB)

/* 64 MiB in pieces of 1 KiB; 3 MB of memory. */
#define BTRFS_REGION_ITEMS_MAX 65536
