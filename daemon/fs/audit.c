/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The look itself; what it says is decided in decide/breaker.c. */

#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/protection.h"
#include "fs/audit.h"
#include "fs/copy.h"
#include "fs/lease.h"

/* What the copy adds after the donor's runs were counted: the blocks behind EOF, which setting the donor's size had freed. */
#define RUNS_ADDED      1
/* As before the commit: more than slewing explains. */
#define CLOCK_STEP_NSEC (10 * (int64_t)NSEC_PER_MSEC)

/* By a writer who keeps direct reads from the file (target_verdict_of_read()), say. */
static bool is_changed(const EngineJob *job, int fd)
{
        FileFacts now = job->sampled;

        return PROTECTED_BY(READ_COLLISION) && file_facts_refresh(fd, &now) >= 0 &&
               !file_facts_same(&job->sampled, &now);
}

/* One look through fd. Returns an AuditAnswer or -errno. */
static int look(const EngineJob *job, int fd, bool is_quiet, TripKind *ret_kind)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        FileFacts before, after;
        AuditFacts facts = {
                .sampled = &job->sampled,
                .before = &before,
                .after = &after,
                .is_quiet = is_quiet,
                .map_sampled = &job->map,
                .map = &map,
                .end = u64_align_up(job->sampled.size_bytes, job->volume->facts.block_bytes),
                .runs_allowed = (uint64_t)job->runs_after + RUNS_ADDED,
        };
        const uint64_t length =
                u64_min(job->region.length, facts.end - u64_min(facts.end, job->region.offset));
        int r;

        r = file_facts_read(fd, &before);
        if (r < 0)
                return r;
        r = job->was_quiet && job->volume->engine->recheck ? job->volume->engine->recheck(job, fd) : 0;
        if (r == -EIO && !is_quiet && is_changed(job, fd))
                return AUDIT_DOUBTFUL;
        if (r < 0)
                return r;
        facts.content_differs = r == COPY_WRONG;
        r = fs_volume_map_read(job->volume, fd, job->target, job->region.offset, length, false,
                               EXTENT_MAP_MAX, &map);
        if (r < 0)
                return r;
        r = file_facts_read(fd, &after);
        if (r < 0)
                return r;
        facts.clock_stepped = llabs(clock_offset_nsec() - job->clock_offset_nsec) > CLOCK_STEP_NSEC;
        return (int)breaker_judge_audit(&facts, ret_kind);
}

/* The same while nobody can write: who had it open for writing is gone, who wants to waits for us. */
static int look_quiet(EngineJob *job, TripKind *ret_kind)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        copier_let_go(job->copier);
        job->target_fd = fd_close(job->target_fd);
        fd = fs_volume_inode_open(job->volume, job->root_fd, job->target, O_RDONLY | O_NONBLOCK | O_DIRECT);
        if (fd < 0)
                return fd;
        r = lease_take_read(fd);
        if (r != 0)
                return r < 0 ? r : (int)AUDIT_DOUBTFUL;
        r = look(job, fd, true, ret_kind);
        /* Taken away because we stood still: somebody may have written meanwhile. */
        if (lease_release(fd) != 0 && r == (int)AUDIT_WRONG)
                r = (int)AUDIT_DOUBTFUL;
        return r;
}

AuditAnswer audit_region(EngineJob *job, TripKind *ret_kind, int *ret_error)
{
        int r;

        if (!PROTECTED_BY(AUDIT))
                return AUDIT_SAME;
        r = job->volume->engine->settle && PROTECTED_BY(SETTLED) ? job->volume->engine->settle(job) : 0;
        if (r == 0)
                r = look(job, job->target_fd, false, ret_kind);
        if (r == AUDIT_DOUBTFUL)
                r = look_quiet(job, ret_kind);
        if (r >= 0) {
                *ret_error = 0;
                return (AuditAnswer)r;
        }
        *ret_kind = breaker_judge_error(-r, false);
        *ret_error = -r;
        if (*ret_kind != TRIP_NONE)
                return AUDIT_WRONG;
        log_debug("inode %llu: what was committed could not be looked at: errno %d",
                  (unsigned long long)job->target.inode, -r);
        return AUDIT_DOUBTFUL;
}
