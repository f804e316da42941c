/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the probes of all file systems have in common. */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/units.h"
#include "facts/file_facts.h"
#include "fs/donor.h"
#include "fs/lease.h"
#include "fs/scratch.h"

/* The guard with stamps that are distinct within a tick: ten ticks of the slowest kernel (100 Hz). */
#define GUARD_DISTINCT_NSEC (100 * NSEC_PER_MSEC)
/* Without: two hundred of its ticks. Far more than a late timer tick could make up for, and nobody waits for it: the
 * settle time of a file is longer. */
#define GUARD_COARSE_NSEC   (2 * NSEC_PER_SEC)

/* Changes in a row whose stamps must all differ. They take some microseconds each, well within one tick. */
#define STAMP_TRIES 64

void scratch_done(Scratch *scratch)
{
        scratch->named_fd = fd_close(scratch->named_fd);
        scratch->target_fd = fd_close(scratch->target_fd);
        scratch->donor_fd = fd_close(scratch->donor_fd);
}

int scratch_be_direct(int fd, bool direct)
{
        const int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) < 0)
                return -errno;
        return 0;
}

int scratch_write(int fd, const void *content, size_t n_bytes, uint64_t offset)
{
        const char *bytes = content;

        while (n_bytes > 0) {
                const ssize_t n = pwrite(fd, bytes, n_bytes, (off_t)offset);

                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                bytes += n;
                n_bytes -= (size_t)n;
                offset += (uint64_t)n;
        }
        return 0;
}

int scratch_read(int fd, void *ret, size_t n_bytes, uint64_t offset)
{
        const ssize_t n = pread(fd, ret, n_bytes, (off_t)offset);

        if (n < 0)
                return -errno;
        return n == (ssize_t)n_bytes ? 0 : -EIO;
}

static int file_make(const FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents,
                     int (*fill)(int fd, bool is_target), bool is_target)
{
        _cleanup_close_ int fd = donor_create(volume, root_fd, parents, n_parents);
        int r;

        if (fd < 0)
                return fd;
        r = scratch_be_direct(fd, false);
        if (r < 0)
                return r;
        r = fill(fd, is_target);
        return r < 0 ? r : TAKE_FD(fd);
}

int scratch_make(const FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents,
                 int (*fill)(int fd, bool is_target), Scratch *ret)
{
        _cleanup_(scratch_done) Scratch scratch = SCRATCH_NONE;
        FileId id;
        int r;

        r = scratch.named_fd = file_make(volume, root_fd, parents, n_parents, fill, true);
        if (r < 0)
                return r;
        r = scratch.donor_fd = file_make(volume, root_fd, parents, n_parents, fill, false);
        if (r < 0)
                return r;
        r = file_id_from_name(scratch.named_fd, "", &id);
        if (r < 0)
                return r;
        r = scratch.target_fd = fs_volume_inode_open(volume, root_fd, id, O_RDWR | O_NONBLOCK);
        if (r < 0)
                return r;
        *ret = TAKE(scratch, SCRATCH_NONE);
        return 0;
}

/* Was something else said than what is wanted? Then *ret is what the probe comes to. */
static bool is_other(int said, int wanted, int *ret)
{
        if (said == wanted)
                return false;
        *ret = said < 0 ? said : (said == LEASE_OFF ? -EOPNOTSUPP : 0);
        return true;
}

int scratch_lease_answers(Scratch *scratch)
{
        int said, r;

        said = lease_take_write(scratch->target_fd);
        if (said == 0)
                (void)lease_release(scratch->target_fd);
        if (is_other(said, LEASE_REFUSED, &r))
                return r;
        scratch->named_fd = fd_close(scratch->named_fd);
        /* Whether leases are switched off is looked at only after whether somebody else has the file open. */
        if (is_other(lease_take_write(scratch->target_fd), 0, &r))
                return r;
        (void)lease_release(scratch->target_fd);
        return 1;
}

int scratch_judge_stamps(FsVolume *volume, int write_fd, int fd, const void *content, size_t n_bytes)
{
        FileFacts before, after;
        bool is_distinct = true;
        int r;

        r = file_facts_read(fd, &before);
        if (r < 0)
                return r;
        after = before;
        for (unsigned i = 0; i < STAMP_TRIES && is_distinct; i++) {
                r = scratch_write(write_fd, content, n_bytes, 0);
                if (r < 0)
                        return r;
                r = file_facts_refresh(fd, &after);
                if (r < 0)
                        return r;
                is_distinct = !file_stamp_equal(before.ctime, after.ctime);
                before = after;
        }
        volume->has_distinct_stamps = is_distinct;
        volume->guard_nsec = is_distinct ? GUARD_DISTINCT_NSEC : GUARD_COARSE_NSEC;
        return 0;
}
