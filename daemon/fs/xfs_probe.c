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
#include "fs/donor.h"
#include "fs/driver.h"
#include "fs/lease.h"
#include "fs/xfs_commit.h"

/* The guard with stamps that are distinct within a tick: ten ticks of the slowest kernel (100 Hz). */
#define GUARD_DISTINCT_NSEC (100 * NSEC_PER_MSEC)
/* Without: two hundred of its ticks. Far more than a late timer tick could make up for, and nobody waits for it: the
 * settle time of a file is longer. */
#define GUARD_COARSE_NSEC   (2 * NSEC_PER_SEC)

/* Changes in a row whose stamps must all differ. They take some microseconds each, well within one tick. */
#define STAMP_TRIES 64

/* Of data; as much again is preallocated behind it. */
#define SCRATCH_BYTES ((size_t)(16 * KIB))

typedef struct Scratch {
        int named_fd;  /* an ordinary descriptor: writes through it move the stamps */
        int target_fd; /* the same file, opened by its identity */
        int donor_fd;
} Scratch;

static void scratch_done(Scratch *scratch)
{
        scratch->named_fd = fd_close(scratch->named_fd);
        scratch->target_fd = fd_close(scratch->target_fd);
        scratch->donor_fd = fd_close(scratch->donor_fd);
}

static int scratch_fill(int fd, char letter)
{
        char content[SCRATCH_BYTES];
        int flags;

        memset(content, letter, sizeof(content));
        /* The donor is opened for direct I/O, which this buffer is not aligned for. */
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_DIRECT) < 0)
                return -errno;
        if (pwrite(fd, content, sizeof(content), 0) != (ssize_t)sizeof(content))
                return -EIO;
        if (fallocate(fd, 0, (off_t)SCRATCH_BYTES, (off_t)SCRATCH_BYTES) < 0)
                return -errno;
        return fdatasync(fd) < 0 ? -errno : 0;
}

/* Returns 1 when the data consists of that letter, 0 when not, -errno. */
static int scratch_holds(int fd, char letter)
{
        char content[SCRATCH_BYTES];

        if (pread(fd, content, sizeof(content), 0) != (ssize_t)sizeof(content))
                return -EIO;
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

static int scratch_make(const FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents,
                        Scratch *ret)
{
        _cleanup_(scratch_done) Scratch scratch = {-EBADF, -EBADF, -EBADF};
        FileId id;
        int r;

        r = scratch.named_fd = donor_create(volume, root_fd, parents, n_parents);
        if (r < 0)
                return r;
        r = scratch.donor_fd = donor_create(volume, root_fd, parents, n_parents);
        if (r < 0)
                return r;
        r = scratch_fill(scratch.named_fd, 'T');
        if (r < 0)
                return r;
        r = scratch_fill(scratch.donor_fd, 'D');
        if (r < 0)
                return r;
        r = file_id_from_name(scratch.named_fd, "", &id);
        if (r < 0)
                return r;
        r = scratch.target_fd = fs_volume_inode_open(volume, root_fd, id, O_RDWR | O_NONBLOCK);
        if (r < 0)
                return r;
        *ret = scratch;
        scratch = (Scratch){-EBADF, -EBADF, -EBADF};
        return 0;
}

/* Do changes in quick succession get distinct stamps when somebody looks in between? Returns 1, 0 or -errno. */
static int stamps_are_distinct(const Scratch *scratch)
{
        FileFacts before, after;
        int r;

        r = file_facts_read(scratch->target_fd, &before);
        if (r < 0)
                return r;
        after = before;
        for (unsigned i = 0; i < STAMP_TRIES; i++) {
                if (pwrite(scratch->named_fd, "T", 1, 0) != 1)
                        return -EIO;
                r = file_facts_refresh(scratch->target_fd, &after);
                if (r < 0)
                        return r;
                if (file_stamp_equal(before.ctime, after.ctime))
                        return 0;
                before = after;
        }
        return 1;
}

/* A lease must be refused while a second descriptor is open, and granted when it is gone. Ends with target_fd as the only
 * descriptor. Returns 1, 0, -errno. */
static int lease_answers(Scratch *scratch)
{
        int r;

        r = lease_take_write(scratch->target_fd);
        if (r == 0)
                (void)lease_release(scratch->target_fd);
        if (r != LEASE_REFUSED)
                return r < 0 ? r : (r == LEASE_OFF ? -EOPNOTSUPP : 0);
        scratch->named_fd = fd_close(scratch->named_fd);
        /* Whether leases are switched off is looked at only after whether somebody else has the file open. */
        r = lease_take_write(scratch->target_fd);
        if (r != 0)
                return r < 0 ? r : (r == LEASE_OFF ? -EOPNOTSUPP : 0);
        (void)lease_release(scratch->target_fd);
        return 1;
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
        _cleanup_(scratch_done) Scratch scratch = {-EBADF, -EBADF, -EBADF};
        int r, distinct, keeps;

        r = scratch_make(volume, root_fd, parents, n_parents, &scratch);
        if (r < 0)
                return r;
        distinct = stamps_are_distinct(&scratch);
        if (distinct < 0)
                return distinct;
        r = lease_answers(&scratch);
        if (r <= 0)
                return r;
        r = commit_answers(volume, root_fd, commit, &scratch);
        if (r <= 0)
                return r;
        keeps = scratch_keeps_unwritten(scratch.target_fd);
        if (keeps < 0)
                return keeps;
        volume->keeps_unwritten = keeps > 0;
        volume->has_distinct_stamps = distinct > 0;
        volume->guard_nsec = distinct > 0 ? GUARD_DISTINCT_NSEC : GUARD_COARSE_NSEC;
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
