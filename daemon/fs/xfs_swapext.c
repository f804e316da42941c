/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The SWAPEXT engine: XFS_IOC_SWAPEXT exchanges the data forks of two whole files if the target's ctime and mtime are
 * still those of a bulkstat record.
 *
 * Every XFS since Linux 2.6. The swap is one transaction: after a crash the file lies wholly in the old or wholly in the
 * new place. It is not synchronous, which costs nothing: the donor's data were durable before. */

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <xfs/xfs.h>

#include "base/protection.h"
#include "fs/user_copy.h"

_Static_assert(sizeof(struct xfs_bstat) <= sizeof(EngineCookie), "the cookie has room");

static int swapext_take_cookie(EngineJob *job)
{
        struct xfs_bstat record = {0};
        uint64_t inode = job->sampled.inode;
        int32_t n_records = 0;
        struct xfs_fsop_bulkreq request = {
                .lastip = (void *)&inode,
                .icount = 1,
                .ubuffer = &record,
                .ocount = &n_records,
        };
        const FileFacts *sampled = &job->sampled;

        if (ioctl(job->target_fd, XFS_IOC_FSBULKSTAT_SINGLE, &request) < 0)
                return -errno;
        if (record.bs_ino != sampled->inode)
                return -EIO;
        memcpy(job->cookie.words, &record, sizeof(record));

        if (!PROTECTED_BY(SAME_TICK)) {
                /* As if nobody had asked for the stamps: take them from the record itself. */
                job->sampled.size_bytes = (uint64_t)record.bs_size;
                job->sampled.ctime = (FileStamp){record.bs_ctime.tv_sec, (uint32_t)record.bs_ctime.tv_nsec};
                job->sampled.mtime = (FileStamp){record.bs_mtime.tv_sec, (uint32_t)record.bs_mtime.tv_nsec};
                return 0;
        }
        if (record.bs_ctime.tv_sec != sampled->ctime.sec || record.bs_mtime.tv_sec != sampled->mtime.sec ||
            (uint32_t)record.bs_ctime.tv_nsec != sampled->ctime.nsec ||
            (uint32_t)record.bs_mtime.tv_nsec != sampled->mtime.nsec)
                return ENGINE_CHANGED;
        return 0;
}

static int swapext_exchange(const EngineJob *job)
{
        struct xfs_swapext swap = {
                .sx_version = XFS_SX_VERSION,
                .sx_fdtarget = job->target_fd,
                .sx_fdtmp = job->donor_fd,
                .sx_offset = 0,
                .sx_length = (int64_t)job->sampled.size_bytes,
        };

        memcpy(&swap.sx_stat, job->cookie.words, sizeof(swap.sx_stat));
        return ioctl(job->target_fd, XFS_IOC_SWAPEXT, &swap) < 0 ? -errno : 0;
}

const XfsCommit xfs_commit_swapext = {
        .engine = &engine_xfs_swapext,
        .take_cookie = swapext_take_cookie,
        .exchange = swapext_exchange,
};

static int swapext_sample(EngineJob *job)
{
        return user_copy_sample(job, &xfs_commit_swapext);
}

static int swapext_commit(EngineJob *job)
{
        /* SWAPEXT drops the page cache before it looks at the cookie: a page pinned since the sample would be lost even
         * by a refusal. So nobody may have the file open while it runs. */
        return user_copy_commit(job, &xfs_commit_swapext, PROTECTED_BY(COMMIT_LEASE));
}

const Engine engine_xfs_swapext = {
        .name = "xfs-swapext",
        .whole_file = true,
        .keeps_privileges = true,
        .open = user_copy_open,
        .sample = swapext_sample,
        .reserve = user_copy_reserve,
        .copy = user_copy_copy,
        .verify = user_copy_verify,
        .commit = swapext_commit,
        .recheck = user_copy_recheck,
        .close = user_copy_close,
};
