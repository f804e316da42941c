/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ten bytes at the end of a page in a file of some size: is it swap space? Byte 0: which page size; byte 1: how far off; byte 2: how
 * much shorter the file has become since its size was asked for; then what is written there. */

#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/swap_signature.h"
#include "fuzz.h"

static bool is_signature(const uint8_t *at, size_t n_bytes)
{
        static const char *const signatures[] = {"SWAPSPACE2",
                                                 "SWAP-SPACE",
                                                 "S1SUSPEND",
                                                 "S2SUSPEND",
                                                 "ULSUSPEND",
                                                 "LINHIB0001",
                                                 "\xed\xc3\x02\xe9\x98\x56\xe5\x0c"};

        for (size_t i = 0; i < ELEMENTS(signatures); i++)
                if (n_bytes >= strlen(signatures[i]) &&
                    memcmp(at, signatures[i], strlen(signatures[i])) == 0)
                        return true;
        return false;
}

/* Is one at the end of a page, in a file of that size? */
static bool is_swap(const uint8_t *image, size_t n_bytes, uint64_t size_bytes)
{
        for (size_t page_bytes = 4096; page_bytes <= 65536 && page_bytes <= size_bytes; page_bytes *= 2)
                if (n_bytes >= page_bytes && is_signature(image + page_bytes - 10, 10))
                        return true;
        return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        static uint8_t image[65536 + 512];
        static int file = -1, swap_file;
        FuzzBytes bytes = {data, data + n_bytes};
        const size_t page_bytes = (size_t)4096 << fuzz_take(&bytes, 1) % 5;
        const size_t at = page_bytes - 10 - 128 + fuzz_take(&bytes, 1);
        const size_t missing = (size_t)fuzz_take(&bytes, 1) * 257 % (page_bytes + 1);
        size_t n = (size_t)(bytes.end - bytes.at), size_bytes;
        const bool past_cache = missing % 2;
        bool answer, stale;

        if (file < 0) {
                file = memfd_create("file", MFD_CLOEXEC);
                swap_file = memfd_create("swap", MFD_CLOEXEC);
                require(file >= 0 && swap_file >= 0);
                require(pwrite(swap_file, "SWAPSPACE2", 10, 4096 - 10) == 10);
        }
        if (n > 256)
                n = 256;
        memset(image, 0, sizeof(image));
        memcpy(image + at, bytes.at, n);
        size_bytes = at + n;
        require(ftruncate(file, 0) == 0 && ftruncate(file, (off_t)size_bytes) == 0);
        require(pwrite(file, bytes.at, n, (off_t)at) == (ssize_t)n);

        require(swap_signature_read(file, size_bytes, past_cache, &answer) == 0);
        require(answer == is_swap(image, size_bytes, size_bytes));

        /* It has been truncated since; what was seen in another file is no answer for this one. */
        require(ftruncate(file, (off_t)(size_bytes - u64_min(missing, size_bytes))) == 0);
        require(swap_signature_read(swap_file, 4096, past_cache, &stale) == 0 && stale);
        require(swap_signature_read(file, size_bytes, past_cache, &answer) == 0);
        require(answer == is_swap(image, size_bytes - u64_min(missing, size_bytes), size_bytes));
        return 0;
}
