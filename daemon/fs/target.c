/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the engines do alike before they differ in how data come into the donor's blocks. */

#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/protection.h"
#include "fs/donor.h"
#include "fs/lease.h"
#include "fs/target.h"

int target_verdict(EngineJob *job, EngineVerdict what, Reason why)
{
        job->reason = why;
        return (int)what;
}

/* What an error of opening, reserving or committing means for the file. */
int target_verdict_of_error(EngineJob *job, int error)
{
        switch (-error) {
        case EWOULDBLOCK: /* somebody holds a lease on it */
        case ETXTBSY:     /* it is being executed, or became active swap */
                return target_verdict(job, ENGINE_BUSY, BUSY_OPEN);
        case EBUSY: /* the cookie no longer holds */
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        case ESTALE:
        case ENOENT:
                return target_verdict(job, ENGINE_SKIP, SKIP_VANISHED);
        case EPERM:
                return target_verdict(job, ENGINE_SKIP, SKIP_IMMUTABLE);
        case ENOKEY: /* nobody has told the kernel its key */
                return target_verdict(job, ENGINE_SKIP, SKIP_ENCRYPTED);
        default:
                return target_verdict_of_room(job, error);
        }
}

int target_verdict_of_room(EngineJob *job, int error)
{
        switch (-error) {
        case ENOSPC:
                return target_verdict(job, ENGINE_NO_SPACE, NO_SPACE_FULL);
        case EDQUOT: /* of this owner, project or subvolume: others have room */
                return target_verdict(job, ENGINE_SKIP, SKIP_QUOTA);
        case EROFS:
                return target_verdict(job, ENGINE_SKIP, SKIP_READ_ONLY);
        default:
                return error;
        }
}

int target_verdict_of_lease(EngineJob *job, int r)
{
        if (r == LEASE_REFUSED)
                return target_verdict(job, ENGINE_BUSY, BUSY_OPEN);
        if (r == LEASE_OFF)
                return target_verdict(job, ENGINE_SKIP, SKIP_NO_LEASES);
        return r;
}

int target_check_volume(EngineJob *job, const FsDriver *driver)
{
        FsVolume now = *job->volume;
        Reason why;
        int r;

        r = now.facts.type->read(job->root_fd, &now.facts);
        if (r < 0)
                return r;
        why = driver->refusal(&now);
        return why == REASON_NONE || !PROTECTED_BY(REJUDGED) ? (int)ENGINE_DONE
                                                             : target_verdict(job, ENGINE_SKIP, why);
}

int target_open(EngineJob *job, int flags)
{
        int fd, r;

        /* Is it open for writing anywhere? Asked with a read-only descriptor, because closing a writable one would trim
         * what the file system preallocated for a live appender. */
        fd = fs_volume_inode_open(job->volume, job->root_fd, job->target, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return target_verdict_of_error(job, fd);
        r = lease_take_read(fd);
        (void)fd_close(fd);
        if (r != 0 && PROTECTED_BY(LEASE) && PROTECTED_BY(APPENDER))
                return target_verdict_of_lease(job, r);

        fd = fs_volume_inode_open(job->volume, job->root_fd, job->target, O_RDWR | O_NONBLOCK | flags);
        if (fd < 0)
                return target_verdict_of_error(job, fd);
        job->target_fd = fd;
        return ENGINE_DONE;
}

static int64_t stamp_nsec(FileStamp stamp)
{
        return stamp.sec * (int64_t)NSEC_PER_SEC + stamp.nsec;
}

/* A change within the same clock tick as the last one may get the same stamp, so the last one must be older than many
 * ticks before a stamp can stand for the content. */
int target_age_check(EngineJob *job)
{
        int64_t now = (int64_t)clock_realtime_nsec(), guard = (int64_t)job->volume->guard_nsec;
        int64_t changed = stamp_nsec(job->sampled.ctime), modified = stamp_nsec(job->sampled.mtime);
        int64_t youngest = changed;

        if (changed > now + guard)
                return target_verdict(job, ENGINE_CHANGED, CHANGED_FUTURE);
        /* mtime is the owner's to set, so one in the future says nothing; ctime of the same change is the kernel's. */
        if (modified > youngest && modified <= now)
                youngest = modified;
        if (now - youngest >= guard)
                return ENGINE_DONE;
        job->wait_usec = (uint64_t)(youngest + guard - now) / NSEC_PER_USEC + 1000;
        return target_verdict(job, ENGINE_YOUNG, CHANGED_WRITTEN);
}

/* More is shared than the plan was allowed to unshare, and than it was said to cost: nothing where sharing is a wall. */
bool target_shares_more_than_planned(const EngineJob *job, const ExtentMap *map)
{
        uint64_t shared_bytes = 0;

        for (size_t i = 0; i < map->n_extents; i++)
                if (map->extents[i].shared)
                        shared_bytes += map->extents[i].length;
        return shared_bytes > job->region.shared_bytes;
}

/* The map that the job is about: of the region, or of all of a file that moves as a whole. */
int target_map_read(const EngineJob *job, bool sync, ExtentMap *ret)
{
        const bool whole = job->limits->whole_file;

        return fs_volume_map_read(job->volume, job->target_fd, job->target, whole ? 0 : job->region.offset,
                                  whole ? UINT64_MAX : job->region.length, sync, EXTENT_MAP_MAX, ret);
}

/* The plan was made of an older map: is this still the region that it meant? */
bool target_is_as_planned(const EngineJob *job)
{
        uint64_t bytes = 0;

        if (!job->map.complete || extent_map_any_unplaced(&job->map) ||
            target_shares_more_than_planned(job, &job->map))
                return false;
        for (size_t i = 0; i < job->map.n_extents; i++)
                bytes += job->map.extents[i].length;
        return bytes >= job->region.bytes && extent_map_runs(&job->map) >= job->region.n_runs;
}

int target_check_unchanged(EngineJob *job)
{
        FileFacts now = job->sampled;
        int r = file_facts_refresh(job->target_fd, &now);

        if (r < 0)
                return r;
        return file_facts_same(&job->sampled, &now) ? ENGINE_DONE
                                                    : target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
}

int target_verdict_of_read(EngineJob *job, int error)
{
        int r = ENGINE_DONE;

        if (error == -EIO && PROTECTED_BY(READ_COLLISION))
                r = target_check_unchanged(job);
        return r == ENGINE_DONE ? error : r;
}

/* How long the donor is: to the end of the region or to EOF, whichever comes first. */
uint64_t target_donor_size(const EngineJob *job)
{
        return u64_min(job->region.offset + job->region.length, job->sampled.size_bytes) - job->donor_shift;
}

int target_reserve(EngineJob *job, uint64_t shift)
{
        uint64_t free_bytes, wanted = 0, runs;
        int r;

        r = fs_volume_free_bytes(job->volume, job->root_fd, &free_bytes);
        if (r < 0)
                return r;
        for (size_t i = 0; i < job->map.n_extents; i++)
                wanted += job->map.extents[i].length;
        if (free_bytes < u64_add_saturate(wanted, PROTECTED_BY(RESERVE) ? job->reserve_bytes : 0))
                return target_verdict(job, ENGINE_NO_SPACE, NO_SPACE_RESERVE);

        r = donor_create(job->volume, job->root_fd, job->parents, job->n_parents);
        if (r < 0)
                return target_verdict_of_room(job, r);
        job->donor_fd = r;
        r = donor_prepare(job->donor_fd, &job->sampled);
        if (r < 0)
                return r;
        job->donor_shift = shift;
        r = donor_reserve(job->donor_fd, &job->map, job->donor_shift, target_donor_size(job),
                          job->volume->facts.block_bytes, &runs);
        if (r == DONOR_DIFFERS)
                return target_verdict(job, ENGINE_NO_SPACE, NO_SPACE_FRAGMENTED);
        if (r < 0)
                return target_verdict_of_room(job, r);

        /* Free space may be as fragmented as the file is: then there is nothing to gain, and nothing was read yet. */
        job->runs_after = (uint32_t)u64_min(runs, UINT32_MAX);
        if (PROTECTED_BY(GAIN) &&
            (runs >= job->region.n_runs ||
             !plan_is_worth(job->limits, job->region.n_runs - runs, job->region.bytes)))
                return target_verdict(job, ENGINE_NO_SPACE, NO_SPACE_FRAGMENTED);
        return ENGINE_DONE;
}
