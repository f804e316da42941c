/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* FIEMAP, a batch at a time. */

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/extent_map.h"

/* 56 bytes each: half a megabyte a call, enough that a file of 100,000 extents takes a dozen. */
#define BATCH       8192
/* Most files that are looked at have few extents; a second call with the large batch is cheap. */
#define FIRST_BATCH 256

/* What a move could not reproduce, or where the physical address means nothing. */
#define UNPLACED_FLAGS                                                                                      \
        (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_ENCODED |                           \
         FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_NOT_ALIGNED)

int extent_map_append(ExtentMap *map, size_t *room, const Extent *extent)
{
        if (map->n_extents == *room) {
                size_t more = *room ? *room * 2 : FIRST_BATCH;
                Extent *grown = reallocarray(map->extents, more, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                map->extents = grown;
                *room = more;
        }
        map->extents[map->n_extents++] = *extent;
        return 0;
}

/* Cuts the kernel's extent to [start, end); false when nothing is left. */
static bool extent_clip(const struct fiemap_extent *raw, uint64_t start, uint64_t end, Extent *ret)
{
        uint64_t from = u64_max(raw->fe_logical, start);
        uint64_t to = u64_min(u64_add_saturate(raw->fe_logical, raw->fe_length), end);

        if (from >= to)
                return false;
        *ret = (Extent){
                .logical = from,
                .physical = raw->fe_physical + (from - raw->fe_logical),
                .length = to - from,
                .unwritten = raw->fe_flags & FIEMAP_EXTENT_UNWRITTEN,
                .shared = raw->fe_flags & FIEMAP_EXTENT_SHARED,
                .unplaced = raw->fe_flags & UNPLACED_FLAGS,
                .encoding = raw->fe_flags & FIEMAP_EXTENT_ENCODED ? EXTENT_ENCODED_SOMEHOW : 0,
        };
        return true;
}

int extent_map_read(int fd, uint64_t offset, uint64_t length, bool sync, size_t max_extents, ExtentMap *ret)
{
        _cleanup_free_ struct fiemap *request = NULL;
        ExtentMap map = {.complete = true};
        uint64_t end = u64_add_saturate(offset, length), next = offset;
        uint32_t batch = FIRST_BATCH, asked;
        size_t room = 0;
        bool last = false;
        int r;

        request = malloc(sizeof(*request) + BATCH * sizeof(request->fm_extents[0]));
        if (!request)
                return -ENOMEM;

        while (!last && next < end) {
                const uint64_t before = next;

                memset(request, 0, sizeof(*request));
                request->fm_start = next;
                request->fm_length = end - next;
                request->fm_flags = sync ? FIEMAP_FLAG_SYNC : 0;
                request->fm_extent_count = asked = batch;
                batch = BATCH;
                if (ioctl(fd, FS_IOC_FIEMAP, request) < 0) {
                        r = errno == ENOTTY ? -EOPNOTSUPP : -errno;
                        goto fail;
                }
                if (request->fm_mapped_extents == 0)
                        break;
                if (request->fm_mapped_extents > asked) {
                        r = -EIO;
                        goto fail;
                }

                for (uint32_t i = 0; i < request->fm_mapped_extents; i++) {
                        const struct fiemap_extent *raw = &request->fm_extents[i];
                        Extent extent;
                        bool any;

                        /* An extent that was merged with the one before it since the last call begins before what we have. */
                        any = extent_clip(raw, next, end, &extent);
                        next = u64_max(next, u64_add_saturate(raw->fe_logical, raw->fe_length));
                        last = raw->fe_flags & FIEMAP_EXTENT_LAST;
                        if (!any)
                                continue;
                        map.any_encoded |= (raw->fe_flags & FIEMAP_EXTENT_ENCODED) != 0;
                        if (map.n_extents == max_extents) {
                                map.complete = false;
                                last = true;
                                break;
                        }
                        r = extent_map_append(&map, &room, &extent);
                        if (r < 0)
                                goto fail;
                }
                /* Of a file that is being written btrfs answers with what lies before the place that was asked for (measured on Linux 6.18); it
                 * might do so for ever. */
                if (!last && next == before) {
                        map.complete = false;
                        break;
                }
        }
        *ret = map;
        return 0;

fail:
        extent_map_done(&map);
        return r;
}

void extent_map_done(ExtentMap *map)
{
        free(map->extents);
        *map = (ExtentMap){0};
}

uint64_t extent_map_runs(const ExtentMap *map)
{
        uint64_t n_runs = 0, expected = 0;

        for (size_t i = 0; i < map->n_extents; i++) {
                const Extent *extent = &map->extents[i];

                if (extent->unplaced)
                        continue;
                if (n_runs == 0 || extent->physical != expected)
                        n_runs++;
                expected = extent_physical_end(extent);
        }
        return n_runs;
}

bool extent_map_any_unplaced(const ExtentMap *map)
{
        for (size_t i = 0; i < map->n_extents; i++)
                if (map->extents[i].unplaced)
                        return true;
        return false;
}
