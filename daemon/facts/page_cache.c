/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cachestat(2) by number, because the C library of Debian 12 does not know it, and read-ahead in small pieces, because the
 * kernel cuts large ones. */

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/number.h"
#include "facts/page_cache.h"

#ifndef SYS_cachestat
#define SYS_cachestat 451 /* the same on every architecture; include/uapi/asm-generic/unistd.h */
#endif

/* include/uapi/linux/mman.h */
typedef struct CacheRange {
        uint64_t offset;
        uint64_t length;
} CacheRange;

typedef struct CacheCounts {
        uint64_t n_cached;
        uint64_t n_dirty;
        uint64_t n_writeback;
        uint64_t n_evicted;
        uint64_t n_recently_evicted;
} CacheCounts;
_Static_assert(sizeof(CacheRange) == 16 && sizeof(CacheCounts) == 40, "layout of the kernel's structures");

/* One piece of read-ahead. The kernel reads no more for one call than the larger of the device's read-ahead window and its
 * largest request, and says nothing of the rest: of 64 MiB asked for at once 8 MiB came where read_ahead_kb was 8192, and
 * all 64 MiB came in pieces of 128 KiB, the default window (measured 2026-11-24, Linux 6.18). */
#define REFILL_BYTES (128 * KIB)

/* The longest region of an engine that works by regions. Engines that move whole files may pass a range that is mostly
 * hole, and read-ahead fills holes with pages, too. */
#define REFILL_MAX_BYTES (64 * MIB)

int page_cache_resident(int fd, uint64_t offset, uint64_t length, uint64_t *ret_bytes)
{
        CacheRange range = {.offset = offset, .length = length};
        CacheCounts counts;
        long page_bytes = sysconf(_SC_PAGESIZE);

        /* To the kernel a length of 0 is everything to the end. */
        if (length == 0) {
                *ret_bytes = 0;
                return 0;
        }
        /* EPERM comes from a system call filter that does not know the call. */
        if (syscall(SYS_cachestat, fd, &range, &counts, 0) < 0)
                return errno == ENOSYS || errno == EPERM ? -EOPNOTSUPP : -errno;
        /* The pages at both ends may reach beyond the range. */
        *ret_bytes = u64_min(counts.n_cached * (uint64_t)page_bytes, length);
        return 0;
}

void page_cache_refill(int fd, uint64_t offset, uint64_t length)
{
        length = u64_min(length, REFILL_MAX_BYTES);
        while (length > 0 && offset <= INT64_MAX - REFILL_BYTES) {
                uint64_t bytes = u64_min(length, REFILL_BYTES);

                if (posix_fadvise(fd, (off_t)offset, (off_t)bytes, POSIX_FADV_WILLNEED) != 0)
                        return;
                offset += bytes;
                length -= bytes;
        }
}

ssize_t page_cache_read_past(int fd, void *buffer, uint64_t n_bytes, uint64_t offset)
{
        const int flags = fcntl(fd, F_GETFL);
        ssize_t n = -1;
        int error;

        if (flags < 0)
                return -errno;
        if (fcntl(fd, F_SETFL, flags | O_DIRECT) == 0)
                n = pread(fd, buffer, n_bytes, (off_t)offset);
        error = errno;
        (void)fcntl(fd, F_SETFL, flags & ~O_DIRECT);
        if (n < 0 && error == EINVAL) {
                n = pread(fd, buffer, n_bytes, (off_t)offset);
                error = errno;
        }
        (void)fcntl(fd, F_SETFL, flags);
        return n < 0 ? -error : n;
}
