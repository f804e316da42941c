/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What BTRFS_IOC_DEFRAG_RANGE makes of a region, in terms of runs.
 *
 * The kernel goes through a range by clusters, from its beginning on. In each it writes anew what belongs to an extent that is followed by
 * another written one without a hole between them, and what follows such a piece in the same cluster. Preallocated places and single
 * extents stay where they are. So the last extent of several stays apart when a cluster begins with it. Seen on Linux 6.18: without this,
 * files that could get no better were written anew by every run. A kernel that moves singles moves all that is written. */

#include <unistd.h>

#include "base/number.h"
#include "base/units.h"
#include "facts/btrfs_extents.h"
#include "fs/btrfs_defrag.h"
#include "fs/btrfs_slice.h"

/* The last piece. */
typedef struct Tail {
        uint64_t end;      /* in the file */
        uint64_t expected; /* on the disk, if it stays */
        bool is_moved;
        bool any;
} Tail;

/* An extent, or the part of one that lies in one cluster. */
static uint32_t add_piece(Tail *tail, const Extent *extent, uint64_t from, uint64_t to, bool is_first,
                          bool has_next)
{
        const bool is_adjacent = tail->any && tail->end == from;
        const uint64_t physical = extent->physical + (from - extent->logical);
        const bool is_moved =
                !extent->unwritten && (has_next || (!is_first && is_adjacent && tail->is_moved));
        const bool goes_on = tail->any && (is_moved ? is_adjacent && tail->is_moved
                                                    : !tail->is_moved && physical == tail->expected);

        *tail = (Tail){
                .end = to,
                .expected = physical + (to - from),
                .is_moved = is_moved,
                .any = true,
        };
        return goes_on ? 0 : 1;
}

uint32_t btrfs_fewest_runs(const ExtentMap *map, uint64_t least_bytes, bool singles)
{
        uint64_t slice_at = map->n_extents > 0 ? map->extents[0].logical : 0, bytes = 0, n_extents = 0;
        const uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
        Tail tail = {0};
        bool goes_on = true;
        uint32_t n_runs = 0;

        for (size_t i = 0; i < map->n_extents; i++) {
                const Extent *extent = &map->extents[i];
                const Extent *next = i + 1 < map->n_extents ? extent + 1 : NULL;
                const uint64_t end = extent->logical + extent->length;
                const bool has_next =
                        singles || (next ? next->logical == end && !next->unwritten : map->goes_on);

                if (btrfs_slice_is_full(bytes, n_extents, least_bytes) ||
                    (!singles && (!goes_on || btrfs_slice_would_cut(map, i, slice_at)))) {
                        slice_at = extent->logical;
                        bytes = n_extents = 0;
                }
                for (uint64_t from = extent->logical, to; from < end; from = to) {
                        /* Clusters end with pages. */
                        const uint64_t within =
                                (from - u64_align_down(slice_at, page_bytes)) % BTRFS_CLUSTER_BYTES;

                        to = u64_min(end, from - within + BTRFS_CLUSTER_BYTES);
                        n_runs += add_piece(&tail, extent, from, to, within == 0 || from == slice_at,
                                            has_next);
                }
                bytes += extent->length;
                n_extents++;
                goes_on = !extent->unwritten && has_next;
        }
        return n_runs;
}
