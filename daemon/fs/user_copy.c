/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The steps of the user-space copy, in the order in which they are taken. The file is as it was until the commit, and
 * the donor vanishes with its descriptor: dying anywhere in here changes nothing. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/page_cache.h"
#include "facts/quota.h"
#include "fs/copy.h"
#include "fs/donor.h"
#include "fs/lease.h"
#include "fs/user_copy.h"

/* Direct I/O alignment where the kernel does not say: one block is always enough on XFS. */
#define DIO_ALIGN_FALLBACK 4096

/* Two readings of the clocks' offset differ by more than this only when somebody set the wall clock: slewing moves it by
 * at most half a millisecond a second, and a region takes seconds at worst. */
#define CLOCK_STEP_NSEC (10 * (int64_t)NSEC_PER_MSEC)

static int verdict(EngineJob *job, EngineVerdict what, Reason why)
{
        job->reason = why;
        return (int)what;
}

/* What an error of opening, reserving or committing means for the file. */
static int verdict_of_error(EngineJob *job, int error)
{
        switch (-error) {
        case EWOULDBLOCK: /* somebody holds a lease on it */
        case ETXTBSY:     /* it is being executed, or became active swap */
                return verdict(job, ENGINE_BUSY, BUSY_OPEN);
        case EBUSY: /* the cookie no longer holds */
                return verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        case ESTALE:
        case ENOENT:
                return verdict(job, ENGINE_SKIP, SKIP_VANISHED);
        case EROFS:
                return verdict(job, ENGINE_SKIP, SKIP_READ_ONLY);
        case EPERM:
                return verdict(job, ENGINE_SKIP, SKIP_IMMUTABLE);
        case ENOSPC:
        case EDQUOT:
                return verdict(job, ENGINE_NO_SPACE, NO_SPACE_FULL);
        default:
                return error;
        }
}

static int verdict_of_lease(EngineJob *job, int r)
{
        if (r == LEASE_REFUSED)
                return verdict(job, ENGINE_BUSY, BUSY_OPEN);
        if (r == LEASE_OFF)
                return verdict(job, ENGINE_SKIP, SKIP_NO_LEASES);
        return r;
}

int user_copy_open(EngineJob *job)
{
        int fd, r;

        /* Is it open for writing anywhere? Asked with a read-only descriptor, because closing a writable one would trim
         * what the file system preallocated for a live appender. */
        fd = fs_volume_inode_open(job->volume, job->root_fd, job->target, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return verdict_of_error(job, fd);
        r = lease_take_read(fd);
        (void)fd_close(fd);
        if (r != 0 && PROTECTED_BY(LEASE) && PROTECTED_BY(APPENDER))
                return verdict_of_lease(job, r);

        fd = fs_volume_inode_open(job->volume, job->root_fd, job->target, O_RDWR | O_NONBLOCK | O_DIRECT);
        if (fd < 0)
                return verdict_of_error(job, fd);
        job->target_fd = fd;
        return ENGINE_DONE;
}

static int64_t stamp_nsec(FileStamp stamp)
{
        return stamp.sec * (int64_t)NSEC_PER_SEC + stamp.nsec;
}

/* A change within the same clock tick as the last one may get the same stamp, so the last one must be older than many
 * ticks before a stamp can stand for the content. */
static int age_check(EngineJob *job)
{
        int64_t now = (int64_t)clock_realtime_nsec(), guard = (int64_t)job->volume->guard_nsec;
        int64_t changed = stamp_nsec(job->sampled.ctime), modified = stamp_nsec(job->sampled.mtime);
        int64_t youngest = changed;

        if (changed > now + guard)
                return verdict(job, ENGINE_CHANGED, CHANGED_FUTURE);
        /* mtime is the owner's to set, so one in the future says nothing; ctime of the same change is the kernel's. */
        if (modified > youngest && modified <= now)
                youngest = modified;
        if (now - youngest >= guard)
                return ENGINE_DONE;
        job->wait_usec = (uint64_t)(youngest + guard - now) / NSEC_PER_USEC + 1000;
        return verdict(job, ENGINE_YOUNG, CHANGED_WRITTEN);
}

/* Everything that has to be true in one instant; the caller holds the lease. */
static int sample_quiet(EngineJob *job, const XfsCommit *commit)
{
        Reason why;
        int r;

        if (PROTECTED_BY(SAME_TICK)) {
                /* Asking for the stamps makes kernels with fine-grained ones stamp the next change anew. */
                r = file_facts_read(job->target_fd, &job->sampled);
                if (r < 0)
                        return r;
                r = age_check(job);
                if (r != ENGINE_DONE)
                        return r;
        } else {
                job->sampled = *job->looked;
        }
        why = policy_judge(job->policy, &job->sampled);
        if (why != REASON_NONE)
                return verdict(job, ENGINE_SKIP, why);
        r = commit->take_cookie(job);
        if (r == ENGINE_CHANGED)
                return verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        return r;
}

/* More is shared than the plan was allowed to unshare, and than it was said to cost: nothing where sharing is a wall. */
static bool shares_more_than_planned(const EngineJob *job, const ExtentMap *map)
{
        uint64_t shared_bytes = 0;

        for (size_t i = 0; i < map->n_extents; i++)
                if (map->extents[i].shared)
                        shared_bytes += map->extents[i].length;
        return shared_bytes > job->region.shared_bytes;
}

/* The map that the job is about: of the region, or of all of a file that moves as a whole. */
static int job_map_read(const EngineJob *job, bool sync, ExtentMap *ret)
{
        const bool whole = job->limits->whole_file;

        return extent_map_read(job->target_fd, whole ? 0 : job->region.offset,
                               whole ? UINT64_MAX : job->region.length, sync, EXTENT_MAP_MAX, ret);
}

/* The plan was made of an older map: is this still the region that it meant? */
static bool region_is_as_planned(const EngineJob *job)
{
        uint64_t bytes = 0;

        if (!job->map.complete || extent_map_any_unplaced(&job->map) ||
            shares_more_than_planned(job, &job->map))
                return false;
        for (size_t i = 0; i < job->map.n_extents; i++)
                bytes += job->map.extents[i].length;
        return bytes >= job->region.bytes && extent_map_runs(&job->map) >= job->region.n_runs;
}

/* Behind EOF, too: nobody can read there yet, but preallocation that is no longer marked as such is another map. */
static bool has_unwritten(const EngineJob *job)
{
        for (size_t i = 0; i < job->map.n_extents; i++)
                if (job->map.extents[i].unwritten)
                        return true;
        return false;
}

int user_copy_sample(EngineJob *job, const XfsCommit *commit)
{
        bool kept;
        int r;

        r = lease_take_write(job->target_fd);
        if (r != 0 && PROTECTED_BY(LEASE))
                return verdict_of_lease(job, r);
        r = sample_quiet(job, commit);
        kept = lease_release(job->target_fd) == 0;
        if (r != ENGINE_DONE)
                return r;
        /* Whoever waited for it to be taken away may have had a direct write in flight since before the sample. */
        if (!kept && PROTECTED_BY(LEASE) && PROTECTED_BY(LEASE_KEPT))
                return verdict(job, ENGINE_BUSY, BUSY_OPEN);
        job->was_quiet = true;
        job->clock_offset_nsec = clock_offset_nsec();

        /* What was dirty at the sample has to be on the device before it is read from there. Whoever writes from here on
         * moves ctime. */
        r = job_map_read(job, PROTECTED_BY(FLUSH), &job->map);
        if (r < 0)
                return r;
        if (job->sampled.size_bytes != job->looked->size_bytes || !region_is_as_planned(job))
                return verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        if (!job->volume->keeps_unwritten && PROTECTED_BY(KEEPS_UNWRITTEN) && has_unwritten(job))
                return verdict(job, ENGINE_SKIP, SKIP_UNWRITTEN);

        if (page_cache_resident(job->target_fd, job->region.offset, job->region.length, &job->cached_bytes) <
            0)
                job->cached_bytes = 0;
        return ENGINE_DONE;
}

/* How long the donor is: to the end of the region or to EOF, whichever comes first. */
static uint64_t donor_size(const EngineJob *job)
{
        return u64_min(job->region.offset + job->region.length, job->sampled.size_bytes) - job->donor_shift;
}

/* An exchange reserves, for its transaction, the space of all that it moves on the owner's account, past any limit: who is near a
 * limit meets it meanwhile, though nothing changes in the end (measured on 6.12: EDQUOT for a user with 64 KiB left while 8 MiB were
 * moved). So as much has to be left for the owner as is lent, and what one writer may be ahead. */
#define QUOTA_AHEAD_BYTES (16 * MIB)

static bool owner_has_room(const EngineJob *job)
{
        uint64_t left_bytes;

        if (!job->volume->facts.xfs.has_quota || !PROTECTED_BY(QUOTA_ROOM))
                return true;
        return quota_left(job->target_fd, job->sampled.uid, job->sampled.gid, job->sampled.project_id,
                          &left_bytes) >= 0 &&
               left_bytes >= u64_add_saturate(2 * job->region.bytes, QUOTA_AHEAD_BYTES);
}

int user_copy_reserve(EngineJob *job)
{
        const bool whole = job->limits->whole_file;
        uint64_t free_bytes, wanted = 0, runs;
        uint32_t align = (uint32_t)u64_max(job->sampled.dio_align_bytes, job->volume->facts.sector_bytes);
        int r;

        if (!owner_has_room(job))
                return verdict(job, ENGINE_SKIP, SKIP_QUOTA);
        r = fs_volume_free_bytes(job->volume, job->root_fd, &free_bytes);
        if (r < 0)
                return r;
        for (size_t i = 0; i < job->map.n_extents; i++)
                wanted += job->map.extents[i].length;
        if (free_bytes < u64_add_saturate(wanted, PROTECTED_BY(RESERVE) ? job->reserve_bytes : 0))
                return verdict(job, ENGINE_NO_SPACE, NO_SPACE_RESERVE);

        r = donor_create(job->volume, job->root_fd, job->parents, job->n_parents);
        if (r < 0)
                return r == -EROFS ? verdict(job, ENGINE_SKIP, SKIP_READ_ONLY)
                                   : (r == -ENOSPC ? verdict(job, ENGINE_NO_SPACE, NO_SPACE_FULL) : r);
        job->donor_fd = r;
        r = donor_prepare(job->donor_fd, &job->sampled);
        if (r < 0)
                return r;
        job->donor_shift = whole ? 0 : job->region.offset;
        r = donor_reserve(job->donor_fd, &job->map, job->donor_shift, donor_size(job),
                          job->volume->facts.block_bytes, &runs);
        if (r == DONOR_DIFFERS)
                return verdict(job, ENGINE_NO_SPACE, NO_SPACE_FRAGMENTED);
        if (r == -ENOSPC || r == -EDQUOT)
                return verdict(job, ENGINE_NO_SPACE, NO_SPACE_FULL);
        if (r < 0)
                return r;

        /* Free space may be as fragmented as the file is: then there is nothing to gain, and nothing was read yet. */
        job->runs_after = (uint32_t)u64_min(runs, UINT32_MAX);
        if (PROTECTED_BY(GAIN) &&
            (runs >= job->region.n_runs ||
             !plan_is_worth(job->limits, job->region.n_runs - runs, job->region.bytes)))
                return verdict(job, ENGINE_NO_SPACE, NO_SPACE_FRAGMENTED);

        if (job->sampled.dio_align_bytes == 0)
                align = (uint32_t)u64_max(align, DIO_ALIGN_FALLBACK);
        return copier_begin(job->copier, job->target_fd, job->donor_fd, &job->map, job->sampled.size_bytes,
                            job->donor_shift, align);
}

int user_copy_copy(EngineJob *job)
{
        const uint32_t block_bytes = job->volume->facts.block_bytes;
        int r = copier_step(job->copier);

        job->bytes_moved = copier_bytes(job->copier);
        if (r == COPY_MORE)
                return ENGINE_MORE;
        if (r == COPY_SHORT)
                return verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        if (r < 0)
                return r == -ENOSPC ? verdict(job, ENGINE_NO_SPACE, NO_SPACE_FULL) : r;

        /* Direct I/O wrote whole sectors; the donor must end where the target does. */
        if (donor_size(job) % block_bytes != 0) {
                if (ftruncate(job->donor_fd, (off_t)donor_size(job)) < 0)
                        return -errno;
                r = donor_reserve_tail(job->donor_fd, &job->map, job->donor_shift,
                                       u64_align_up(donor_size(job), block_bytes));
                if (r < 0)
                        return r == -ENOSPC ? verdict(job, ENGINE_NO_SPACE, NO_SPACE_FULL) : r;
        }
        /* Begun here, waited for after the donor was read back: both wait for the device, so they do it together. */
        return copier_flush_begin(job->copier);
}

int user_copy_verify(EngineJob *job)
{
        int r = PROTECTED_BY(VERIFY) ? copier_verify_step(job->copier) : 0;

        if (r == COPY_MORE)
                return ENGINE_MORE;
        /* Memory, bus or disk changed a bit on the way: whatever it was, it is not the file's fault. */
        if (r == COPY_WRONG)
                return -EIO;
        if (r < 0)
                return r;
        /* Data and the record that the blocks are written reach stable storage before the exchange is logged. */
        return copier_flush_wait(job->copier);
}

/* Called when the kernel refused with something else than "changed": often that is only the first thing that it noticed
 * of a change (a range that now lies behind EOF, say). */
static int commit_refused(EngineJob *job, int error)
{
        FileFacts now = job->sampled;
        int r;

        if (error == -EBUSY)
                return verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        r = file_facts_refresh(job->target_fd, &now);
        if (r < 0)
                return r;
        if (!file_facts_same(&job->sampled, &now))
                return verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        /* SWAPEXT, when one of the two inodes cannot hold the other's fork beside its own attributes. */
        if (error == -EINVAL && job->limits->whole_file)
                return verdict(job, ENGINE_SKIP, SKIP_INODE_FORMAT);
        return verdict_of_error(job, error);
}

/* To be cloned moves no stamp of a file, so the kernel's check does not see it, and the commit would give the file a copy of its
 * own. Returns 0, ENGINE_CHANGED, -errno. */
static int check_sharing(EngineJob *job)
{
        _cleanup_(extent_map_done) ExtentMap now = {0};
        int r;

        if (!PROTECTED_BY(CLONED_MEANWHILE))
                return 0;
        r = job_map_read(job, false, &now);
        if (r < 0)
                return r;
        return shares_more_than_planned(job, &now) ? verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN) : 0;
}

static int commit_checked(EngineJob *job, const XfsCommit *commit)
{
        FileFacts now = job->sampled;
        int r;

        r = file_facts_refresh(job->target_fd, &now);
        if (r < 0)
                return r;
        if (!PROTECTED_BY(ONE_COOKIE)) {
                job->sampled = now;
                r = commit->take_cookie(job);
                if (r != 0)
                        return r;
        }
        if (!file_facts_same(&job->sampled, &now))
                return verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        r = check_sharing(job);
        if (r != 0)
                return r;
        if (PROTECTED_BY(CLOCK_STEP) &&
            llabs(clock_offset_nsec() - job->clock_offset_nsec) > CLOCK_STEP_NSEC)
                return verdict(job, ENGINE_CHANGED, CHANGED_CLOCK);
        r = commit->exchange(job);
        return r < 0 ? commit_refused(job, r) : ENGINE_DONE;
}

int user_copy_commit(EngineJob *job, const XfsCommit *commit, bool with_lease)
{
        int r;

        if (with_lease) {
                r = lease_take_write(job->target_fd);
                if (r != 0)
                        return verdict_of_lease(job, r);
        }
        r = commit_checked(job, commit);
        if (with_lease)
                (void)lease_release(job->target_fd);

        /* The exchange dropped the range from the page cache: what was mostly there comes back. */
        if (PROTECTED_BY(CACHE_REFILL) && r == ENGINE_DONE && job->cached_bytes >= job->region.bytes / 2 &&
            job->cached_bytes > 0)
                page_cache_refill(job->target_fd, job->region.offset, job->region.length);
        return r;
}

int user_copy_recheck(const EngineJob *job, int fd)
{
        return copier_sample_check(job->copier, fd);
}

void user_copy_close(EngineJob *job)
{
        /* A flush that was begun would keep the donor open. */
        if (job->donor_fd >= 0)
                (void)copier_flush_wait(job->copier);
        job->target_fd = PROTECTED_BY(NOTHING_HELD) ? fd_close(job->target_fd) : -EBADF;
        job->donor_fd = fd_close(job->donor_fd);
        extent_map_done(&job->map);
}
