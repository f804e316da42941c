/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Three questions, of which each may have no answer: the kind is not accounted, or the id never used anything. */

#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/number.h"
#include "facts/quota.h"

/* <sys/quota.h> knows users and groups. */
#define KIND_USER    0U
#define KIND_GROUP   1U
#define KIND_PROJECT 2U

/* Of limits and use. */
#define BASIC_BLOCK_BYTES UINT64_C(512)

static int left_of(int fd, unsigned kind, uint32_t id, uint64_t *left_bytes)
{
        struct fs_disk_quota quota = {0};
        uint64_t limit;

        if (id == 0)
                return 0;
        if (syscall(SYS_quotactl_fd, fd, QCMD(Q_XGETQUOTA, kind), id, &quota) < 0)
                return errno == ESRCH || errno == ENOENT ? 0 : -errno;
        limit = quota.d_blk_hardlimit;
        if (quota.d_blk_softlimit != 0 && (limit == 0 || quota.d_blk_softlimit < limit))
                limit = quota.d_blk_softlimit;
        if (limit != 0)
                *left_bytes =
                        u64_min(*left_bytes, (limit - u64_min(limit, quota.d_bcount)) * BASIC_BLOCK_BYTES);
        return 0;
}

int quota_left(int fd, uint32_t uid, uint32_t gid, uint32_t project_id, uint64_t *ret_bytes)
{
        uint64_t left_bytes = UINT64_MAX;
        int r;

        r = left_of(fd, KIND_USER, uid, &left_bytes);
        if (r >= 0)
                r = left_of(fd, KIND_GROUP, gid, &left_bytes);
        if (r >= 0)
                r = left_of(fd, KIND_PROJECT, project_id, &left_bytes);
        if (r < 0)
                return r;
        *ret_bytes = left_bytes;
        return 0;
}
