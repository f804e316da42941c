/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A few ten-byte reads, with read-ahead off: they leave at most five pages in the cache. Or one direct read, which leaves nothing there and
 * reads nothing ahead. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/number.h"
#include "facts/page_cache.h"
#include "facts/swap_signature.h"

#define SIGNATURE_BYTES 10
#define PAGE_MIN_BYTES  (4 * KIB)
#define PAGE_MAX_BYTES  (64 * KIB)

/* Swap space of either format, and what suspending to disk puts in its place until the next boot (libblkid knows the same). */
static const char *const signatures[] = {"SWAPSPACE2",
                                         "SWAP-SPACE",
                                         "S1SUSPEND",
                                         "S2SUSPEND",
                                         "ULSUSPEND",
                                         "LINHIB0001",
                                         "\xed\xc3\x02\xe9\x98\x56\xe5\x0c"};

static bool is_signature(const char *bytes)
{
        for (size_t i = 0; i < ELEMENTS(signatures); i++)
                if (memcmp(bytes, signatures[i], strlen(signatures[i])) == 0)
                        return true;
        return false;
}

/* The ends of the pages into their places in the buffer. Returns the bytes up to the last one that there is, or -errno. */
static ssize_t ends_read(int fd, char *buffer, uint64_t n_bytes)
{
        ssize_t n_read = 0;

        for (uint64_t page_bytes = PAGE_MIN_BYTES; page_bytes <= n_bytes; page_bytes *= 2) {
                const uint64_t at = page_bytes - SIGNATURE_BYTES;
                const ssize_t n = pread(fd, buffer + at, SIGNATURE_BYTES, (off_t)at);

                if (n < 0)
                        return -errno;
                /* It has been truncated since. */
                if (n < SIGNATURE_BYTES)
                        break;
                n_read = (ssize_t)page_bytes;
        }
        return n_read;
}

int swap_signature_read(int fd, uint64_t size_bytes, bool past_cache, bool *ret)
{
        const uint64_t n_bytes = u64_min(u64_align_down(size_bytes, PAGE_MIN_BYTES), PAGE_MAX_BYTES);
        ssize_t n = 0;
        char *buffer;

        *ret = false;
        if (n_bytes == 0)
                return 0;
        buffer = mmap(NULL, PAGE_MAX_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (buffer == MAP_FAILED)
                return -ENOMEM;
        (void)madvise(buffer, PAGE_MAX_BYTES, MADV_DONTDUMP);
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
        if (past_cache)
                n = page_cache_read_past(fd, buffer, n_bytes, 0);
        /* EIO is also what a direct read gets where somebody has just written what has no place on the disk yet. */
        if (!past_cache || n == -EIO)
                n = ends_read(fd, buffer, n_bytes);
        for (uint64_t page_bytes = PAGE_MIN_BYTES; n > 0 && page_bytes <= (uint64_t)n; page_bytes *= 2)
                *ret = *ret || is_signature(buffer + page_bytes - SIGNATURE_BYTES);
        (void)munmap(buffer, PAGE_MAX_BYTES);
        return n < 0 ? (int)n : 0;
}
