/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/btrfs_space.h"
#include "fs/btrfs_defrag.h"
#include "fs/btrfs_room.h"
#include "fs/btrfs_slice.h"
#include "fs/donor.h"
#include "fs/target.h"

/* So long what was seen of free space holds: the interval at which btrfs commits. What was freed since is in the tree, and cannot be used. */
#define SEEN_USEC (30 * USEC_PER_SEC)

/* The same on a file system that does not tell: an unnamed file of that size is allocated, and given back. Regions that follow each other
 * then come to lie apart, because what was given back is free only after a commit. */
static int free_runs_probe(EngineJob *job, uint64_t n_bytes, uint64_t *ret)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        _cleanup_close_ int fd = donor_create(job->volume, job->root_fd, job->parents, job->n_parents);
        int r;

        if (fd < 0)
                return fd;
        if (fallocate(fd, 0, 0, (off_t)u64_max(n_bytes, 1)) < 0)
                return -errno;
        r = extent_map_read(fd, 0, UINT64_MAX, false, EXTENT_MAP_MAX, &map);
        if (r < 0)
                return r;
        *ret = extent_map_runs(&map);
        return 0;
}

int btrfs_room_check(EngineJob *job, uint32_t fewest)
{
        BtrfsSlice all;
        uint64_t n_runs;
        int r;

        btrfs_slice_count(&job->map, job->region.offset, job->region.offset + job->region.length, &all);
        r = btrfs_space_runs(job->root_fd, all.disk_bytes, &n_runs);
        if (r == -ENOENT) {
                r = free_runs_probe(job, all.disk_bytes, &n_runs);
                if (r < 0)
                        return target_verdict_of_room(job, r);
        }
        if (r < 0)
                return r;
        n_runs = u64_add_saturate(n_runs, fewest - u64_min(fewest, 1));
        if (PROTECTED_BY(GAIN) &&
            (n_runs >= job->region.n_runs ||
             !plan_is_worth(job->limits, job->region.n_runs - n_runs, job->region.bytes)))
                return target_verdict(job, ENGINE_NO_GAIN, NO_SPACE_FRAGMENTED);
        return ENGINE_DONE;
}

/* All lengths there are where it cannot be told. Returns 0 or -errno. */
static int lengths_read(const EngineJob *job, uint64_t *ret)
{
        FsVolumeNotes *notes = job->volume->notes;
        const uint64_t now = clock_monotonic_usec();
        int r;

        if (notes->space_usec == 0 || now - notes->space_usec > SEEN_USEC) {
                r = btrfs_space_lengths(job->root_fd, &notes->space_lengths);
                if (r == -ENOENT)
                        notes->space_lengths = UINT64_MAX;
                else if (r < 0)
                        return r;
                notes->space_usec = now;
        }
        *ret = notes->space_lengths;
        return 0;
}

int btrfs_room_in_pieces(const EngineJob *job, uint64_t slice_bytes, bool *ret)
{
        uint64_t shortest = UINT64_MAX, lengths;
        BtrfsSlice slice;
        int r;

        *ret = false;
        for (uint64_t at = job->region.offset; btrfs_slice_next(&job->map, at, slice_bytes, true, &slice);
             at = slice.end)
                shortest = u64_min(shortest, slice.end - slice.offset);
        if (shortest >= job->region.length)
                return ENGINE_DONE;
        r = lengths_read(job, &lengths);
        if (r < 0)
                return r;
        for (uint64_t bytes = UINT64_C(1) << (63 - __builtin_clzll(shortest)); bytes < job->region.length;
             bytes *= 2)
                *ret = *ret || (lengths & bytes) != 0;
        return ENGINE_DONE;
}
