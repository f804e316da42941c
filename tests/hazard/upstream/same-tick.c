/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* same-tick swapext|swapext-after-stat|commit FILE DONOR TRIES
 *
 * Write, take the cookie, copy, write again, commit; all within one tick of the kernel's clock. Prints how many commits were
 * accepted and how many of them threw the second write away. */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xfs/xfs.h>

#define SIZE 16384
#define must(condition)                                                                                     \
        ((condition)                                                                                        \
                 ? (void)0                                                                                  \
                 : (fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, strerror(errno)), exit(1)))

/* struct xfs_commit_range of the kernel's xfs_fs.h; Debian 12's headers are older. */
struct commit {
        int32_t donor_fd;
        uint32_t pad;
        uint64_t donor_offset, offset, length, flags, freshness[6];
};
#define START_COMMIT _IOR('X', 130, struct commit)
#define COMMIT_RANGE _IOW('X', 131, struct commit)

static void wait_for_tick(void)
{
        struct timespec first, now;

        clock_gettime(CLOCK_REALTIME_COARSE, &first);
        do
                clock_gettime(CLOCK_REALTIME_COARSE, &now);
        while (now.tv_nsec == first.tv_nsec);
}

int main(int argc, char **argv)
{
        static char bytes[SIZE];
        int fd, donor, tries = 0, n_accepted = 0, n_lost = 0, n_records = 0, other = 0;
        struct xfs_swapext swap = {.sx_version = XFS_SX_VERSION, .sx_length = SIZE};
        struct commit commit = {0};
        struct stat status;
        uint64_t inode;
        struct xfs_fsop_bulkreq request = {(void *)&inode, 1, &swap.sx_stat, &n_records};

        must(argc == 5);
        fd = open(argv[2], O_RDWR | O_CREAT, 0600);
        donor = open(argv[3], O_RDWR | O_CREAT, 0600);
        must(fd >= 0 && donor >= 0 && fstat(fd, &status) == 0);
        must(pwrite(fd, bytes, SIZE, 0) == SIZE && pwrite(donor, bytes, SIZE, 0) == SIZE && syncfs(fd) == 0);
        inode = status.st_ino;
        swap.sx_fdtarget = fd;
        swap.sx_fdtmp = commit.donor_fd = donor;

        for (; tries < atoi(argv[4]); tries++) {
                uint32_t first = 2U * (uint32_t)tries + 1, second = first + 1, now = 0;
                int r;

                wait_for_tick();
                must(pwrite(fd, &first, sizeof(first), 0) == sizeof(first));
                if (argv[1][0] == 'c') {
                        must(ioctl(fd, START_COMMIT, &commit) == 0);
                } else {
                        if (strcmp(argv[1], "swapext") != 0)
                                must(fstat(fd, &status) == 0);
                        must(ioctl(fd, XFS_IOC_FSBULKSTAT_SINGLE, &request) == 0);
                }
                must(pread(fd, bytes, SIZE, 0) == SIZE && pwrite(donor, bytes, SIZE, 0) == SIZE);
                must(pwrite(fd, &second, sizeof(second), 0) == sizeof(second)); /* the owner's */
                if (argv[1][0] == 'c') {
                        commit.length = SIZE;
                        r = ioctl(fd, COMMIT_RANGE, &commit);
                        commit.length = 0;
                } else {
                        r = ioctl(fd, XFS_IOC_SWAPEXT, &swap);
                }
                if (r < 0 && errno != EBUSY)
                        other = errno;
                n_accepted += r == 0;
                must(pread(fd, &now, sizeof(now), 0) == sizeof(now));
                n_lost += now != second;
        }
        printf("%s: %d tries, %d accepted, %d writes lost", argv[1], tries, n_accepted, n_lost);
        printf(other ? ", also refused with: %s\n" : "\n", strerror(other));
        return 0;
}
