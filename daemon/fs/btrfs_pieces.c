/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Through the page cache: so they are all read at once, and what direct reads find there is what they answer with, too (measured on Linux 6.18). */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/number.h"
#include "facts/page_cache.h"
#include "fs/btrfs_pieces.h"

#define PIECE_BYTES (16 * KIB)

void btrfs_pieces_choose(const EngineJob *job, BtrfsPieces *pieces)
{
        const uint64_t span = job->region.length - u64_min(job->region.length, PIECE_BYTES);

        for (unsigned i = 0; i < BTRFS_PIECES; i++)
                pieces->offsets[i] = job->region.offset + u64_align_down(span / (BTRFS_PIECES - 1) * i,
                                                                         job->volume->facts.block_bytes);
}

void btrfs_pieces_ask(const BtrfsPieces *pieces, int fd)
{
        for (unsigned i = 0; i < BTRFS_PIECES; i++) {
                (void)posix_fadvise(fd, (off_t)pieces->offsets[i], PIECE_BYTES, POSIX_FADV_DONTNEED);
                page_cache_refill(fd, pieces->offsets[i], PIECE_BYTES);
        }
}

/* Memory for people's data, kept out of core dumps. NULL: there is none. */
static void *room_new(void)
{
        void *room = mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (room == MAP_FAILED)
                return NULL;
        (void)madvise(room, PIECE_BYTES, MADV_DONTDUMP);
        return room;
}

int btrfs_pieces_read(BtrfsPieces *pieces, const EngineJob *job, int fd, const CacheNote *cached,
                      uint64_t kept)
{
        void *room = room_new();
        int r = 0;

        if (!room)
                return -ENOMEM;
        for (unsigned i = 0; i < BTRFS_PIECES && r == 0; i++) {
                const ssize_t n = pread(fd, room, PIECE_BYTES, (off_t)pieces->offsets[i]);

                if (n < 0)
                        r = -errno;
                else
                        pieces->checksums[i] = checksum_of(room, (size_t)n) + (uint64_t)n;
        }
        (void)munmap(room, PIECE_BYTES);
        for (unsigned i = 0; i < BTRFS_PIECES; i++)
                if (pieces->offsets[i] >= kept)
                        cache_note_leave(job, cached, pieces->offsets[i], PIECE_BYTES);
        return r;
}
