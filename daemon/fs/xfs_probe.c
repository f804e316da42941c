/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is proven of an XFS before anything on it is moved, on scratch files that never have a name.
 *
 * A version number says nothing about what a distribution's kernel really does; a commit with a known answer does. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "fs/driver.h"
#include "fs/scratch.h"
#include "fs/xfs_commit.h"

/* Of data; as much again is preallocated behind it. */
#define SCRATCH_BYTES ((size_t)(16 * KIB))

/* 'T' in the target, 'D' in the donor. */
static int scratch_fill(int fd, bool is_target)
{
        char content[SCRATCH_BYTES];
        int r;

        memset(content, is_target ? 'T' : 'D', sizeof(content));
        r = scratch_write(fd, content, sizeof(content), 0);
        if (r < 0)
                return r;
        if (fallocate(fd, 0, (off_t)SCRATCH_BYTES, (off_t)SCRATCH_BYTES) < 0)
                return -errno;
        return fdatasync(fd) < 0 ? -errno : 0;
}

/* Returns 1 when the data consists of that letter, 0 when not, -errno. */
static int scratch_holds(int fd, char letter)
{
        char content[SCRATCH_BYTES];
        const int r = scratch_read(fd, content, sizeof(content), 0);

        if (r < 0)
                return r;
        for (size_t i = 0; i < sizeof(content); i++)
                if (content[i] != letter)
                        return 0;
        return 1;
}

/* Is what was preallocated still so? On 6.1 SWAPEXT forgets it where there is a reverse-mapping tree: readers of such places
 * saw what had been on the disk there (found on 6.1; tests/powercut). Returns 1, 0 or -errno. */
static int scratch_keeps_unwritten(int fd)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        uint64_t n_bytes = 0;
        int r;

        r = extent_map_read(fd, SCRATCH_BYTES, SCRATCH_BYTES, false, EXTENT_MAP_MAX, &map);
        if (r < 0)
                return r;
        for (size_t i = 0; i < map.n_extents; i++)
                if (map.extents[i].unwritten)
                        n_bytes += map.extents[i].length;
        return n_bytes == SCRATCH_BYTES;
}

/* The commit must exchange the contents, and must refuse when the file changed after the cookie. Returns 1, 0, -errno. */
static int commit_answers(const FsVolume *volume, int root_fd, const XfsCommit *commit,
                          const Scratch *scratch)
{
        static const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
        EngineJob job = {
                .volume = volume,
                .root_fd = root_fd,
                .target_fd = scratch->target_fd,
                .donor_fd = scratch->donor_fd,
                .region = {.offset = 0, .length = 2 * SCRATCH_BYTES},
        };
        char path[64];
        int r;

        r = file_facts_read(scratch->target_fd, &job.sampled);
        if (r < 0)
                return r;
        r = commit->take_cookie(&job);
        if (r != 0)
                return r < 0 ? r : 0;
        r = commit->exchange(&job);
        if (r < 0)
                return r;
        r = scratch_holds(scratch->target_fd, 'D');
        if (r <= 0)
                return r;
        r = scratch_holds(scratch->donor_fd, 'T');
        if (r <= 0)
                return r;

        r = file_facts_read(scratch->target_fd, &job.sampled);
        if (r < 0)
                return r;
        r = commit->take_cookie(&job);
        if (r != 0)
                return r < 0 ? r : 0;
        /* An explicit time cannot be hidden by the width of a tick. It is set by way of /proc, because the descriptor by
         * identity itself moves no stamps. */
        snprintf(path, sizeof(path), "/proc/self/fd/%d", scratch->target_fd);
        if (utimensat(AT_FDCWD, path, long_ago, 0) < 0)
                return -errno;
        r = commit->exchange(&job);
        if (r != -EBUSY)
                return r < 0 ? r : 0;
        return scratch_holds(scratch->target_fd, 'D');
}

/* One engine on scratch files of its own. Returns 1 proven, 0 wrong answer, -errno. */
static int engine_answers(FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents,
                          const XfsCommit *commit)
{
        _cleanup_(scratch_done) Scratch scratch = SCRATCH_NONE;
        int r, keeps;

        r = scratch_make(volume, root_fd, parents, n_parents, scratch_fill, &scratch);
        if (r < 0)
                return r;
        r = scratch_judge_stamps(volume, scratch.named_fd, scratch.target_fd, "T", 1);
        if (r < 0)
                return r;
        r = scratch_lease_answers(&scratch);
        if (r <= 0)
                return r;
        r = commit_answers(volume, root_fd, commit, &scratch);
        if (r <= 0)
                return r;
        keeps = scratch_keeps_unwritten(scratch.target_fd);
        if (keeps < 0)
                return keeps;
        volume->keeps_unwritten = keeps > 0;
        volume->engine = commit->engine;
        return 1;
}

/* The one thing that no probe can try is a crash. Without the reverse-mapping tree SWAPEXT exchanges the inodes' forks and
 * leaves the new owner of the extent tree's blocks to log recovery, and that fails: once such a record has reached the
 * log, a crash makes a volume that cannot be mounted (measured on Linux 6.18; tests/crash/swapext.sh).
 * With the tree it moves extent by extent, each logged with an intent, and recovery is that of every other write.
 *
 * Under quota SWAPEXT wants owner and donor to be the same, which would charge the donor to the owner. */
static Reason swapext_refusal(const FsVolume *volume)
{
        if (!volume->facts.xfs.has_reverse_map && PROTECTED_BY(REVERSE_MAP))
                return SKIP_CRASH_UNSAFE;
        return volume->facts.xfs.has_quota ? SKIP_QUOTA : REASON_NONE;
}

static Reason xfs_refusal(const FsVolume *volume)
{
        return volume->facts.xfs.has_exchange ? REASON_NONE : swapext_refusal(volume);
}

static const Engine *xfs_promised(const FsVolume *volume)
{
        return volume->facts.xfs.has_exchange ? &engine_xfs_exchange : &engine_xfs_swapext;
}

/* The exchange engine is tried first where the volume has the feature, then SWAPEXT. */
static int xfs_probe(FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents)
{
        /* What stands when there is no engine that could be tried. */
        int r = -ENOSYS;

        if (volume->facts.xfs.has_exchange)
                r = engine_answers(volume, root_fd, parents, n_parents, &xfs_commit_exchange);
        if (r <= 0 && swapext_refusal(volume) == REASON_NONE)
                r = engine_answers(volume, root_fd, parents, n_parents, &xfs_commit_swapext);
        return r;
}

const FsDriver fs_driver_xfs = {
        .type = &file_system_xfs,
        .refusal = xfs_refusal,
        .promised = xfs_promised,
        .probe = xfs_probe,
};
