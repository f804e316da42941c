/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/btrfs_encoding.h"
#include "facts/btrfs_extents.h"
#include "facts/swap_signature.h"
#include "fs/btrfs_sample.h"
#include "fs/btrfs_slice.h"
#include "fs/lease.h"
#include "fs/target.h"

/* Changes that old are committed, and seen by whoever looks into the tree of extents: twice the interval of 30 s at which btrfs commits. */
#define SETTLED_NSEC (60 * NSEC_PER_SEC)

/* Is all that could have a signature read with the region? */
static bool region_has_signature(const EngineJob *job)
{
        return job->region.offset == 0 &&
               job->region.length >= u64_min(job->sampled.size_bytes, SWAP_SIGNATURE_WITHIN_BYTES);
}

int btrfs_check_swap(EngineJob *job, bool is_asked)
{
        unsigned flags = 0;
        bool swap = false;
        int r;

        if (ioctl(job->target_fd, FS_IOC_GETFLAGS, &flags) < 0)
                return -errno;
        if ((!(flags & FS_NOCOW_FL) && region_has_signature(job)) != is_asked)
                return ENGINE_DONE;
        r = swap_signature_read(job->target_fd, job->sampled.size_bytes, false, &swap);
        if (r < 0)
                return r;
        (void)posix_fadvise(job->target_fd, 0, 0, POSIX_FADV_NORMAL);
        return swap && PROTECTED_BY(SWAP_SIGNATURE) ? target_verdict(job, ENGINE_SKIP, SKIP_SWAPFILE)
                                                    : ENGINE_DONE;
}

static size_t n_kept(const ExtentMap *map, BtrfsEncoding would)
{
        size_t n = 0;

        for (size_t i = 0; i < map->n_extents; i++)
                n += btrfs_encoding_keeps(would, &map->extents[i]);
        return n;
}

int btrfs_check_encoding(EngineJob *job, BtrfsEncoding would)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        int r;

        r = target_map_read(job, false, &map);
        if (r < 0)
                return r;
        return n_kept(&map, would) == 0 && PROTECTED_BY(COMPRESSION)
                       ? target_verdict(job, ENGINE_SKIP, SKIP_COMPRESSED)
                       : ENGINE_DONE;
}

static int64_t age_nsec(const FileFacts *facts)
{
        return (int64_t)clock_realtime_nsec() -
               (facts->ctime.sec * (int64_t)NSEC_PER_SEC + facts->ctime.nsec);
}

/* Would moving it take more than it gives back? */
static bool would_grow(const EngineJob *job, const BtrfsRegion *region)
{
        const uint64_t held_bytes = job->volume->moves_singles ? region->held_bytes : 0;

        return region->moved_bytes > region->freed_bytes + held_bytes + job->region.shared_bytes &&
               PROTECTED_BY(WHOLE_EXTENTS);
}

/* Where single extents stay, the last one of what lies together may, and with it all that was written together. What would grow for that gets longer
 * slices, if it does not with them. Returns as btrfs_region_read(). */
static int region_read(EngineJob *job, bool is_young, BtrfsRegion *ret, uint64_t *ret_slice_bytes)
{
        int r;

        *ret_slice_bytes = BTRFS_SLICE_BYTES;
        r = btrfs_region_read(job->target_fd, job->target, job->region.offset, job->region.length,
                              *ret_slice_bytes, is_young, ret, &job->map);
        if (r < 0 || job->volume->moves_singles || job->region.shared_bytes > 0 || !would_grow(job, ret))
                return r;
        extent_map_done(&job->map);
        *ret_slice_bytes = BTRFS_SLICE_MAX_BYTES;
        return btrfs_region_read(job->target_fd, job->target, job->region.offset, job->region.length,
                                 *ret_slice_bytes, false, ret, &job->map);
}

int btrfs_layout_read(EngineJob *job, BtrfsEncoding would, BtrfsLayout *ret)
{
        const bool is_young = age_nsec(&job->sampled) < (int64_t)SETTLED_NSEC;
        BtrfsRegion region;
        int r;

        /* What is dirty gets its place first, which is not what it had when it was planned. */
        r = btrfs_range_settle(job->target_fd, job->region.offset, job->region.length);
        if (r < 0)
                return r;
        r = region_read(job, is_young, &region, &ret->slice_bytes);
        if (r == -EAGAIN)
                return target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        if (r == -EFBIG)
                return target_verdict(job, ENGINE_NO_GAIN, SKIP_WOULD_GROW);
        if (r < 0)
                return r;
        if (job->region.shared_bytes > 0) {
                /* What was said to cost so much must not cost more, and all of it is looked at. */
                const bool goes_on = job->map.goes_on;

                extent_map_done(&job->map);
                r = target_map_read(job, true, &job->map);
                if (r < 0)
                        return r;
                job->map.goes_on = goes_on;
        }
        /* The plan has left the others out. If there are any now they were written since. */
        if (n_kept(&job->map, would) < job->map.n_extents && PROTECTED_BY(COMPRESSION))
                return would.type == BTRFS_ENCODING_NONE || region.encoded_bytes == 0
                               ? target_verdict(job, ENGINE_SKIP, SKIP_COMPRESSED)
                               : target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        if (job->sampled.size_bytes != job->looked->size_bytes || !target_is_as_planned(job))
                return target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        ret->is_encoded = region.encoded_bytes > 0;
        ret->has_parts = region.has_parts;
        ret->has_held = region.held_bytes > 0;
        if (would_grow(job, &region))
                return target_verdict(job, ENGINE_NO_GAIN, SKIP_WOULD_GROW);
        return ENGINE_DONE;
}

int btrfs_sample_facts(EngineJob *job)
{
        const bool has_lease = lease_take_read(job->target_fd) == 0;
        bool was_kept = true;
        int64_t age;
        int r;

        r = file_facts_read(job->target_fd, &job->sampled);
        if (has_lease)
                was_kept = lease_release(job->target_fd) == 0;
        if (r < 0)
                return r;
        if (!has_lease && !job->policy->busy_files)
                return target_verdict(job, ENGINE_BUSY, BUSY_OPEN);
        age = age_nsec(&job->sampled);
        job->was_quiet = has_lease && was_kept && age >= (int64_t)job->volume->guard_nsec;
        job->clock_offset_nsec = clock_offset_nsec();
        return 0;
}
