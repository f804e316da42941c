/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A few ten-byte reads, with read-ahead off: they leave at most five pages in the cache. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "facts/swap_signature.h"

#define SIGNATURE_BYTES 10

/* Swap space of either format, and what suspending to disk puts in its place until the next boot (libblkid knows the same). */
static const char *const signatures[] = {"SWAPSPACE2",
                                         "SWAP-SPACE",
                                         "S1SUSPEND",
                                         "S2SUSPEND",
                                         "ULSUSPEND",
                                         "LINHIB0001",
                                         "\xed\xc3\x02\xe9\x98\x56\xe5\x0c"};

int swap_signature_read(int fd, uint64_t size_bytes, bool *ret)
{
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
        for (uint64_t page_bytes = 4 * KIB; page_bytes <= 64 * KIB; page_bytes *= 2) {
                char signature[SIGNATURE_BYTES];
                ssize_t n;

                if (size_bytes < page_bytes)
                        break;
                n = pread(fd, signature, sizeof(signature), (off_t)(page_bytes - SIGNATURE_BYTES));
                if (n < 0)
                        return -errno;
                /* It has been truncated since. */
                if (n < SIGNATURE_BYTES)
                        break;
                for (size_t i = 0; i < ELEMENTS(signatures); i++)
                        if (memcmp(signature, signatures[i], strlen(signatures[i])) == 0) {
                                *ret = true;
                                return 0;
                        }
        }
        *ret = false;
        return 0;
}
