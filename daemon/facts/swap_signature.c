/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One direct read, of which nothing stays in the page cache and which reads nothing ahead. Where something is there already, or that cannot be
 * told, a few ten-byte reads instead, with read-ahead off: a direct read would have dirty pages written. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/private_memory.h"
#include "facts/page_cache.h"
#include "facts/swap_signature.h"

#define SIGNATURE_BYTES 10
#define PAGE_MIN_BYTES  (4 * KIB)

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

static bool is_cold(int fd, uint64_t n_bytes)
{
        uint64_t cached;

        return page_cache_resident(fd, 0, n_bytes, &cached) == 0 && cached == 0;
}

int swap_signature_read(int fd, uint64_t size_bytes, bool past_cache, bool *ret)
{
        const uint64_t n_bytes =
                u64_min(u64_align_down(size_bytes, PAGE_MIN_BYTES), SWAP_SIGNATURE_WITHIN_BYTES);
        _cleanup_(private_memory_done) PrivateMemory memory = {0};
        ssize_t n = 0;
        char *buffer;
        bool cold;
        int r;

        *ret = false;
        if (n_bytes == 0)
                return 0;
        r = private_memory_take(&memory, SWAP_SIGNATURE_WITHIN_BYTES);
        if (r < 0)
                return r;
        buffer = (char *)memory.at;
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
        cold = is_cold(fd, n_bytes);
        if (past_cache || cold)
                n = page_cache_read_past(fd, buffer, n_bytes, 0);
        /* EIO is also what a direct read gets where somebody has just written what has no place on the disk yet. */
        if (!(past_cache || cold) || n == -EIO)
                n = ends_read(fd, buffer, n_bytes);
        /* What btrfs keeps checksums of it reads into the page cache in any case (seen on Linux 6.18). */
        if (cold)
                (void)posix_fadvise(fd, 0, (off_t)n_bytes, POSIX_FADV_DONTNEED);
        for (uint64_t page_bytes = PAGE_MIN_BYTES; n > 0 && page_bytes <= (uint64_t)n; page_bytes *= 2)
                *ret = *ret || is_signature(buffer + page_bytes - SIGNATURE_BYTES);
        return n < 0 ? (int)n : 0;
}
