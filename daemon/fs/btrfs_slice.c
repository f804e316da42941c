/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/btrfs_extents.h"
#include "fs/btrfs_slice.h"

bool btrfs_slice_is_full(uint64_t n_bytes, uint64_t n_extents, uint64_t least_bytes)
{
        return n_bytes >= BTRFS_SLICE_MAX_BYTES ||
               (n_bytes >= least_bytes && n_extents >= BTRFS_SLICE_EXTENTS);
}

void btrfs_slice_count(const ExtentMap *map, uint64_t offset, uint64_t end, BtrfsSlice *ret)
{
        uint64_t expected = 0;
        BtrfsSlice slice = {.offset = offset, .end = end};

        for (size_t i = 0; i < map->n_extents; i++) {
                const Extent *extent = &map->extents[i];

                if (extent->logical < offset || extent->logical >= end || extent->unplaced)
                        continue;
                if (slice.n_runs == 0) {
                        slice.encoding = extent->encoding;
                        slice.physical = extent->physical;
                }
                if (slice.n_runs == 0 || extent->physical != expected)
                        slice.n_runs++;
                expected = extent_physical_end(extent);
                if (!extent->unwritten) {
                        slice.written_bytes += extent->length;
                        slice.disk_bytes += expected - extent->physical;
                }
                if (extent->encoding)
                        slice.encoded_bytes += extent->length;
                if (extent->shared)
                        slice.shared_bytes += extent->length;
        }
        slice.physical_end = expected;
        *ret = slice;
}

/* The last chunk of what is compressed together takes in an extent, or the next one does. False: it would be cut. */
static bool chunk_take(uint64_t *chunk_bytes, const Extent *extent)
{
        if (*chunk_bytes >= BTRFS_CHUNK_BYTES)
                *chunk_bytes = 0;
        *chunk_bytes += extent->length;
        return *chunk_bytes <= BTRFS_CHUNK_BYTES || !PROTECTED_BY(WHOLE_CHUNKS);
}

static bool is_followed(const ExtentMap *map, size_t i)
{
        if (i + 1 == map->n_extents)
                return map->goes_on;
        return !map->extents[i + 1].unwritten &&
               map->extents[i + 1].logical == map->extents[i].logical + map->extents[i].length;
}

bool btrfs_slice_would_cut(const ExtentMap *map, size_t i, uint64_t slice_at)
{
        const uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
        const Extent *extent = &map->extents[i];
        const uint64_t within =
                (extent->logical - u64_align_down(slice_at, page_bytes)) % BTRFS_CLUSTER_BYTES;

        return !extent->unwritten && extent->logical > slice_at && i > 0 && is_followed(map, i - 1) &&
               !map->extents[i - 1].unwritten && !is_followed(map, i) && within != 0 &&
               within + extent->length > BTRFS_CLUSTER_BYTES && PROTECTED_BY(WHOLE_EXTENTS);
}

bool btrfs_slice_next(const ExtentMap *map, uint64_t offset, uint64_t least_bytes, bool singles,
                      BtrfsSlice *ret)
{
        const bool is_exact = !singles && PROTECTED_BY(WHOLE_EXTENTS);
        uint64_t bytes = 0, n_extents = 0, end = offset, chunk_bytes = 0;
        uint8_t encoding = 0;

        for (size_t i = 0; i < map->n_extents; i++) {
                const Extent *extent = &map->extents[i];

                if (extent->logical < offset)
                        continue;
                /* The kernel would read it, and leave it. */
                if (n_extents == 0 && is_exact && (extent->unwritten || !is_followed(map, i)))
                        continue;
                if (n_extents == 0)
                        encoding = extent->encoding;
                if (n_extents == 0 && is_exact)
                        offset = extent->logical;
                if (extent->encoding != encoding || btrfs_slice_is_full(bytes, n_extents, least_bytes) ||
                    (is_exact && n_extents > 0 && !is_followed(map, i - 1)) ||
                    (!singles && btrfs_slice_would_cut(map, i, offset)) ||
                    (encoding && (bytes >= least_bytes || (n_extents > 0 && extent->logical != end) ||
                                  !chunk_take(&chunk_bytes, extent))))
                        break;
                end = extent->logical + extent->length;
                bytes += extent->length;
                n_extents++;
        }
        if (bytes == 0)
                return false;
        btrfs_slice_count(map, offset, end, ret);
        return true;
}

/* Does any of it lie in its old place? The map's extents from *at on, backwards, are looked at; the next one asked for lies further to the front. */
static bool is_unmoved(const Extent *extent, const ExtentMap *after, size_t *at)
{
        while (*at > 0 && after->extents[*at - 1].logical > extent->logical)
                (*at)--;
        if (*at > 0) {
                const Extent *now = &after->extents[*at - 1];
                const uint64_t distance = extent->logical - now->logical;

                return !now->unplaced && distance < now->length && (distance == 0 || !now->encoding) &&
                       now->physical + distance == extent->physical;
        }
        return false;
}

/* From where on does the end of it lie in its old place, though its beginning does not? Its end: nowhere. */
static uint64_t unmoved_from(const Extent *extent, const ExtentMap *after)
{
        const uint64_t end = extent->logical + extent->length;

        for (size_t i = after->n_extents; i > 0; i--) {
                const Extent *now = &after->extents[i - 1];

                if (now->logical >= end)
                        continue;
                return !now->unplaced && !now->encoding && now->logical > extent->logical &&
                                       now->logical + now->length >= end &&
                                       now->physical == extent->physical + (now->logical - extent->logical)
                               ? now->logical
                               : end;
        }
        return end;
}

uint64_t btrfs_slice_rest(const ExtentMap *before, const ExtentMap *after, const BtrfsSlice *slice,
                          bool singles)
{
        uint64_t rest = slice->end;
        size_t at = after->n_extents;
        bool would_move = singles;

        for (size_t i = before->n_extents; i > 0; i--) {
                const Extent *extent = &before->extents[i - 1];

                if (extent->logical < slice->offset)
                        break;
                /* What is preallocated is not moved. */
                if (extent->logical >= slice->end || extent->unwritten || extent->unplaced)
                        continue;
                if (!is_unmoved(extent, after, &at)) {
                        /* The kernel stops where a cluster ends, also within an extent. */
                        const uint64_t end = extent->logical + extent->length;
                        const uint64_t from = unmoved_from(extent, after);

                        if (end != rest || from == end)
                                break;
                        return from;
                }
                would_move = would_move || (rest < slice->end && extent->logical + extent->length == rest);
                rest = extent->logical;
        }
        return would_move ? rest : slice->end;
}

int btrfs_slice_read(const EngineJob *job, uint64_t offset, uint64_t end, bool sync, BtrfsSlice *ret,
                     ExtentMap *ret_map)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        int r;

        r = fs_volume_map_read(job->volume, job->target_fd, job->target, offset, end - offset, sync,
                               EXTENT_MAP_MAX, &map);
        if (r < 0)
                return r;
        if (!map.complete)
                return -EAGAIN;
        btrfs_slice_count(&map, offset, end, ret);
        if (ret_map)
                *ret_map = TAKE(map, (ExtentMap){0});
        return 0;
}

int btrfs_slice_look(const EngineJob *job, const BtrfsSlice *slice, bool singles, bool sync, BtrfsLook *ret)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        BtrfsSlice before, now;
        uint64_t rest;
        int r;

        r = btrfs_slice_read(job, slice->offset, slice->end, sync, &now, &map);
        if (r < 0)
                return r;
        rest = PROTECTED_BY(WHOLE_SLICES) ? btrfs_slice_rest(&job->map, &map, slice, singles) : slice->end;
        btrfs_slice_count(&job->map, slice->offset, rest, &before);
        btrfs_slice_count(&map, slice->offset, rest, &now);
        *ret = (BtrfsLook){
                .rest = rest,
                .n_runs = now.n_runs,
                .n_runs_before = before.n_runs,
                .physical = now.physical,
                .physical_end = now.physical_end,
                .is_worse = before.n_runs > 1 && now.n_runs >= before.n_runs,
                .has_grown = (now.encoding != before.encoding || now.encoded_bytes != before.encoded_bytes ||
                              (before.encoding && now.disk_bytes > before.disk_bytes)) &&
                             PROTECTED_BY(NOT_GROWN),
        };
        return 0;
}
