/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The exchange engine: XFS_IOC_START_COMMIT samples, XFS_IOC_COMMIT_RANGE exchanges one region of the two files'
 * mappings if the sample still holds.
 *
 * Linux 6.10, on volumes with the exchange-range feature. The exchange is logged as one intent: after a crash the
 * region lies wholly in the old or wholly in the new place. The declarations below are the kernel's interface as
 * fs/xfs/libxfs/xfs_fs.h defines it; Debian 12's headers are older. */

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/number.h"
#include "base/protection.h"
#include "fs/user_copy.h"

typedef struct CommitRange {
        int32_t file1_fd; /* the donor; the ioctl's own descriptor is the target */
        uint32_t pad;
        uint64_t file1_offset;
        uint64_t file2_offset;
        uint64_t length;
        uint64_t flags;
        uint64_t file2_freshness[6];
} CommitRange;
_Static_assert(sizeof(CommitRange) == 88, "layout of struct xfs_commit_range");
_Static_assert(sizeof(((CommitRange *)NULL)->file2_freshness) <= sizeof(EngineCookie),
               "the cookie has room");

#define IOC_START_COMMIT _IOR('X', 130, CommitRange)
#define IOC_COMMIT_RANGE _IOW('X', 131, CommitRange)
#define RANGE_DSYNC      UINT64_C(2) /* data and the exchange itself are durable on return */

static int exchange_take_cookie(EngineJob *job)
{
        CommitRange range = {0};
        FileFacts after = job->sampled;
        int r;

        if (ioctl(job->target_fd, IOC_START_COMMIT, &range) < 0)
                return -errno;
        memcpy(job->cookie.words, range.file2_freshness, sizeof(range.file2_freshness));

        /* The cookie is opaque: that it is of the same moment as job->sampled shows when nothing moved around it. */
        r = file_facts_refresh(job->target_fd, &after);
        if (r < 0)
                return r;
        if (!PROTECTED_BY(SAME_TICK)) {
                /* As if nobody had asked for the stamps before. */
                job->sampled = after;
                return 0;
        }
        return file_facts_same(&job->sampled, &after) ? 0 : ENGINE_CHANGED;
}

static int exchange_commit_range(const EngineJob *job)
{
        uint64_t to_eof = job->sampled.size_bytes - job->region.offset;
        CommitRange range = {
                .file1_fd = job->donor_fd,
                .file1_offset = job->region.offset - job->donor_shift,
                .file2_offset = job->region.offset,
                /* Nothing behind EOF may be named; the last block goes along whole. */
                .length = u64_min(job->region.length, to_eof),
                .flags = RANGE_DSYNC,
        };

        memcpy(range.file2_freshness, job->cookie.words, sizeof(range.file2_freshness));
        return ioctl(job->target_fd, IOC_COMMIT_RANGE, &range) < 0 ? -errno : 0;
}

const XfsCommit xfs_commit_exchange = {
        .engine = &engine_xfs_exchange,
        .take_cookie = exchange_take_cookie,
        .exchange = exchange_commit_range,
};

static int exchange_sample(EngineJob *job)
{
        return user_copy_sample(job, &xfs_commit_exchange);
}

static int exchange_commit(EngineJob *job)
{
        /* No second lease: the kernel compares the cookie before it touches the page cache, and whoever pins a page after
         * the sample has moved ctime by faulting it in for writing. */
        return user_copy_commit(job, &xfs_commit_exchange, false);
}

const Engine engine_xfs_exchange = {
        .name = "xfs-exchange",
        .open = user_copy_open,
        .sample = exchange_sample,
        .reserve = user_copy_reserve,
        .copy = user_copy_copy,
        .verify = user_copy_verify,
        .commit = exchange_commit,
        .recheck = user_copy_recheck,
        .close = user_copy_close,
};
