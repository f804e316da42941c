/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <sys/mman.h>

#include "base/private_memory.h"

int private_memory_take(PrivateMemory *ret, size_t n_bytes)
{
        void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
                return -ENOMEM;
        (void)madvise(memory, n_bytes, MADV_DONTDUMP);
        *ret = (PrivateMemory){.at = memory, .n_bytes = n_bytes};
        return 0;
}

void private_memory_done(PrivateMemory *memory)
{
        if (memory->at)
                (void)munmap(memory->at, memory->n_bytes);
        *memory = (PrivateMemory){0};
}
