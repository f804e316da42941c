/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* stale-read-ahead FILE SECONDS
 *
 * One thread collapses a range of the file and writes a byte behind the new end; another reads the file meanwhile. What lies between the
 * old end and that byte was never written, so it has to be zeros. Both begin together, and the reader a little later each time, until
 * something else is seen there or the time is up. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE        4096
#define AHEAD       (32 * PAGE)  /* read before, so that read-ahead is under way */
#define FROM        (100 * PAGE) /* the range that is collapsed */
#define CUT         (5 * PAGE)
#define LATEST_USEC 4000
#define must(condition)                                                                                     \
        ((condition)                                                                                        \
                 ? (void)0                                                                                  \
                 : (fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, strerror(errno)), exit(1)))

static const char *path;
static atomic_uint round_laid_out, round_ready, round_begun, round_read;

static unsigned long long now_usec(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

static void wait_for(atomic_uint *round, unsigned n)
{
        while (atomic_load(round) != n)
                ;
}

static void *reader(void *unused)
{
        static char bytes[AHEAD];

        (void)unused;
        for (unsigned n = 1;; n++) {
                unsigned long long begun;
                int fd;

                wait_for(&round_laid_out, n);
                fd = open(path, O_RDONLY);
                must(fd >= 0 && pread(fd, bytes, AHEAD, 0) == AHEAD);
                atomic_store(&round_ready, n);
                wait_for(&round_begun, n);
                begun = now_usec();
                while (now_usec() - begun < n * 37 % LATEST_USEC)
                        ;
                must(pread(fd, bytes, AHEAD, AHEAD) >= 0 && close(fd) == 0);
                atomic_store(&round_read, n);
        }
        return NULL;
}

int main(int argc, char **argv)
{
        static char data[FROM], seen[160 * PAGE];
        unsigned long long end_usec;
        struct stat status;
        pthread_t thread;
        size_t block, end;
        unsigned n = 0;
        int fd;

        must(argc == 3);
        path = argv[1];
        fd = open(path, O_RDWR | O_CREAT, 0600);
        must(fd >= 0 && fstat(fd, &status) == 0 && pthread_create(&thread, NULL, reader, NULL) == 0);
        memset(data, 0xaa, sizeof(data));
        end_usec = now_usec() + strtoull(argv[2], NULL, 10) * 1000000;
        block = (size_t)status.st_blksize;
        /* The last block comes after a hole: in its page, or in the pages of one large folio. */
        end = block < PAGE ? 140 * PAGE + 2 * block : 142 * PAGE;

        while (now_usec() < end_usec) {
                must(ftruncate(fd, 0) == 0);
                must(pwrite(fd, data, FROM, 0) == FROM);
                must(pwrite(fd, data, block, (off_t)(end - block + CUT)) == (ssize_t)block);
                must(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
                atomic_store(&round_laid_out, ++n);
                wait_for(&round_ready, n);
                /* Dirty, so that the collapse takes its time. */
                for (size_t i = FROM + CUT; i < end - 4 * PAGE; i += 2 * PAGE)
                        must(pwrite(fd, data, PAGE, (off_t)i) == PAGE);
                atomic_store(&round_begun, n);
                must(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, FROM, CUT) == 0);
                must(pwrite(fd, "", 1, (off_t)(end + CUT - 1)) == 1);
                wait_for(&round_read, n);
                must(pread(fd, seen, sizeof(seen), 0) == (ssize_t)(end + CUT));
                for (size_t i = end; i < end + CUT; i++)
                        if (seen[i] != 0) {
                                printf("blocks of %zu: byte %zu is %#x instead of 0, round %u\n", block, i,
                                       (unsigned char)seen[i], n);
                                return 0;
                        }
        }
        printf("blocks of %zu: %u rounds, nothing seen\n", block, n);
        return 0;
}
