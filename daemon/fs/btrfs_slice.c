/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "fs/btrfs_slice.h"

void btrfs_slice_count(const ExtentMap *map, uint64_t offset, uint64_t end, BtrfsSlice *ret)
{
        uint64_t expected = 0;
        BtrfsSlice slice = {.offset = offset, .end = end};

        for (size_t i = 0; i < map->n_extents; i++) {
                const Extent *extent = &map->extents[i];

                if (extent->logical < offset || extent->logical >= end || extent->unplaced)
                        continue;
                if (slice.n_runs == 0 || extent->physical != expected)
                        slice.n_runs++;
                expected = extent->physical + extent->length;
                if (!extent->unwritten)
                        slice.written_bytes += extent->length;
                if (extent->shared)
                        slice.shared_bytes += extent->length;
        }
        *ret = slice;
}

bool btrfs_slice_next(const ExtentMap *map, uint64_t offset, BtrfsSlice *ret)
{
        uint64_t bytes = 0, end = offset;

        for (size_t i = 0; i < map->n_extents && bytes < BTRFS_SLICE_BYTES; i++) {
                if (map->extents[i].logical < offset)
                        continue;
                end = map->extents[i].logical + map->extents[i].length;
                bytes += map->extents[i].length;
        }
        if (bytes == 0)
                return false;
        btrfs_slice_count(map, offset, end, ret);
        return true;
}

int btrfs_slice_read(int fd, uint64_t offset, uint64_t end, bool sync, BtrfsSlice *ret, ExtentMap *ret_map)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        int r;

        r = extent_map_read(fd, offset, end - offset, sync, EXTENT_MAP_MAX, &map);
        if (r < 0)
                return r;
        if (!map.complete)
                return -EAGAIN;
        btrfs_slice_count(&map, offset, end, ret);
        if (ret_map)
                *ret_map = TAKE(map, (ExtentMap){0});
        return 0;
}
