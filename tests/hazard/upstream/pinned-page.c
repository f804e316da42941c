/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* pinned-page read FILE SOURCE: reads SOURCE with direct I/O into a shared mapping of FILE; says "in flight", then what the kernel
 * answered.
 * pinned-page commit|dry-run FILE DONOR: START_COMMIT and COMMIT_RANGE. */

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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
#define DRY_RUN      4

int main(int argc, char **argv)
{
        struct iocb read_it = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_nbytes = SIZE}, *list[] = {&read_it};
        struct commit commit = {0};
        aio_context_t queue = 0;
        struct io_event done;
        struct stat status;
        int fd, other;
        void *mapping;

        must(argc == 4);
        fd = open(argv[2], O_RDWR);
        other = open(argv[3], argv[1][0] == 'r' ? O_RDONLY | O_DIRECT : O_RDWR);
        must(fd >= 0 && other >= 0 && fstat(fd, &status) == 0);
        if (argv[1][0] != 'r') {
                must(ioctl(fd, START_COMMIT, &commit) == 0);
                commit.donor_fd = other;
                commit.length = (uint64_t)status.st_size;
                commit.flags = argv[1][0] == 'd' ? DRY_RUN : 0;
                must(ioctl(fd, COMMIT_RANGE, &commit) == 0);
                return 0;
        }
        mapping = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        must(mapping != MAP_FAILED && syscall(SYS_io_setup, 1, &queue) == 0);
        read_it.aio_fildes = (uint32_t)other;
        read_it.aio_buf = (uintptr_t)mapping;
        must(syscall(SYS_io_submit, queue, 1, list) == 1);
        puts("in flight");
        fflush(stdout);
        must(syscall(SYS_io_getevents, queue, 1, 1, &done, NULL) == 1);
        printf("%lld bytes were read into the mapping\n", (long long)done.res);
        must(msync(mapping, SIZE, MS_SYNC) == 0 && munmap(mapping, SIZE) == 0 && fsync(fd) == 0);
        return 0;
}
