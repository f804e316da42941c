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
#include "fs/target.h"
#include "fs/user_copy.h"

/* Direct I/O alignment where the kernel does not say: one block is always enough on XFS. */
#define DIO_ALIGN_FALLBACK 4096

int user_copy_open(EngineJob *job)
{
        return target_open(job, O_DIRECT);
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
                r = target_age_check(job);
                if (r != ENGINE_DONE)
                        return r;
        } else {
                job->sampled = *job->looked;
        }
        why = policy_judge(job->policy, &job->sampled);
        if (why != REASON_NONE)
                return target_verdict(job, ENGINE_SKIP, why);
        r = commit->take_cookie(job);
        if (r == ENGINE_CHANGED)
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        return r;
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
                return target_verdict_of_lease(job, r);
        r = sample_quiet(job, commit);
        kept = lease_release(job->target_fd) == 0;
        if (r != ENGINE_DONE)
                return r;
        /* Whoever waited for it to be taken away may have had a direct write in flight since before the sample. */
        if (!kept && PROTECTED_BY(LEASE) && PROTECTED_BY(LEASE_KEPT))
                return target_verdict(job, ENGINE_BUSY, BUSY_OPEN);
        job->was_quiet = true;
        job->clock_offset_nsec = clock_offset_nsec();

        /* What was dirty at the sample has to be on the device before it is read from there. Whoever writes from here on
         * moves ctime. */
        r = target_map_read(job, PROTECTED_BY(FLUSH), &job->map);
        if (r < 0)
                return r;
        if (job->sampled.size_bytes != job->looked->size_bytes || !target_is_as_planned(job))
                return target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        if (!job->volume->keeps_unwritten && PROTECTED_BY(KEEPS_UNWRITTEN) && has_unwritten(job))
                return target_verdict(job, ENGINE_SKIP, SKIP_UNWRITTEN);

        if (page_cache_resident(job->target_fd, job->region.offset, job->region.length, &job->cached_bytes) <
            0)
                job->cached_bytes = 0;
        return ENGINE_DONE;
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
        uint32_t align = (uint32_t)u64_max(job->sampled.dio_align_bytes, job->volume->facts.sector_bytes);
        int r;

        if (!owner_has_room(job))
                return target_verdict(job, ENGINE_SKIP, SKIP_QUOTA);
        r = target_reserve(job, job->limits->whole_file ? 0 : job->region.offset);
        if (r != ENGINE_DONE)
                return r;
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
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        if (r == COPY_UNREAD)
                return target_verdict_of_read(job, -EIO);
        if (r < 0)
                return target_verdict_of_room(job, r);

        /* Direct I/O wrote whole sectors; the donor must end where the target does. */
        if (target_donor_size(job) % block_bytes != 0) {
                if (ftruncate(job->donor_fd, (off_t)target_donor_size(job)) < 0)
                        return -errno;
                r = donor_reserve_tail(job->donor_fd, &job->map, job->donor_shift,
                                       u64_align_up(target_donor_size(job), block_bytes));
                if (r < 0)
                        return target_verdict_of_room(job, r);
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
        int r;

        if (error == -EBUSY)
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        r = target_check_unchanged(job);
        if (r != ENGINE_DONE)
                return r;
        /* SWAPEXT, when one of the two inodes cannot hold the other's fork beside its own attributes. */
        if (error == -EINVAL && job->limits->whole_file)
                return target_verdict(job, ENGINE_SKIP, SKIP_INODE_FORMAT);
        return target_verdict_of_error(job, error);
}

/* To be cloned moves no stamp of a file, so the kernel's check does not see it, and the commit would give the file a copy of its
 * own. Returns 0, ENGINE_CHANGED, -errno. */
static int check_sharing(EngineJob *job)
{
        _cleanup_(extent_map_done) ExtentMap now = {0};
        int r;

        if (!PROTECTED_BY(CLONED_MEANWHILE))
                return 0;
        r = target_map_read(job, false, &now);
        if (r < 0)
                return r;
        return target_shares_more_than_planned(job, &now)
                       ? target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN)
                       : 0;
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
                return target_verdict(job, ENGINE_CHANGED, CHANGED_WRITTEN);
        r = check_sharing(job);
        if (r != 0)
                return r;
        if (PROTECTED_BY(CLOCK_STEP) &&
            llabs(clock_offset_nsec() - job->clock_offset_nsec) > TARGET_CLOCK_STEP_NSEC)
                return target_verdict(job, ENGINE_CHANGED, CHANGED_CLOCK);
        r = commit->exchange(job);
        return r < 0 ? commit_refused(job, r) : ENGINE_DONE;
}

int user_copy_commit(EngineJob *job, const XfsCommit *commit, bool with_lease)
{
        int r;

        if (with_lease) {
                r = donor_wait_thawed(job->donor_fd);
                if (r < 0)
                        return r;
                r = lease_take_write(job->target_fd);
                if (r != 0)
                        return target_verdict_of_lease(job, r);
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
        /* A job that was never begun has none. */
        if (job->copier)
                copier_let_go(job->copier);
        job->target_fd = PROTECTED_BY(NOTHING_HELD) ? fd_close(job->target_fd) : -EBADF;
        job->donor_fd = fd_close(job->donor_fd);
        extent_map_done(&job->map);
}
