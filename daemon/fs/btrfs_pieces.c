/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Through the page cache: so they are all read at once, and what direct reads find there is what they answer with, too (measured on Linux 6.18). */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/number.h"
#include "base/private_memory.h"
#include "facts/page_cache.h"
#include "fs/btrfs_pieces.h"
#include "fs/btrfs_slice.h"

#define PIECE_BYTES_MAX (16 * KIB)

static uint64_t piece_bytes(const EngineJob *job)
{
        return u64_min(PIECE_BYTES_MAX, job->region.length);
}

void btrfs_pieces_choose(const EngineJob *job, BtrfsPieces *pieces)
{
        const uint64_t span = job->region.length - piece_bytes(job);

        for (unsigned i = 0; i < BTRFS_PIECES; i++)
                pieces->offsets[i] = job->region.offset + u64_align_down(span / (BTRFS_PIECES - 1) * i,
                                                                         job->volume->facts.block_bytes);
}

void btrfs_pieces_ask(const BtrfsPieces *pieces, const EngineJob *job, int fd)
{
        const uint64_t n_bytes = piece_bytes(job);

        for (unsigned i = 0; i < BTRFS_PIECES; i++) {
                (void)posix_fadvise(fd, (off_t)pieces->offsets[i], (off_t)n_bytes, POSIX_FADV_DONTNEED);
                page_cache_refill(fd, pieces->offsets[i], n_bytes);
        }
}

/* What was read for a piece is dropped, but for what lies in front of kept. Of a compressed extent the kernel keeps all of it. */
static void piece_leave(const EngineJob *job, const CacheNote *cached, uint64_t offset, uint64_t kept)
{
        const bool is_encoded = job->map.n_extents > 0 && job->map.extents[0].encoding;
        const uint64_t reach = is_encoded ? BTRFS_CHUNK_BYTES : 0;
        const uint64_t from = u64_max(u64_max(kept, job->region.offset), offset - u64_min(offset, reach));
        const uint64_t to =
                u64_min(offset + piece_bytes(job) + reach, job->region.offset + job->region.length);

        if (from < to)
                cache_note_leave(job, cached, from, to - from);
}

int btrfs_pieces_read(BtrfsPieces *pieces, const EngineJob *job, int fd, const CacheNote *cached,
                      uint64_t kept)
{
        const uint64_t n_bytes = piece_bytes(job);
        EngineJob through = *job;
        _cleanup_(private_memory_done) PrivateMemory room = {0};
        int r;

        r = private_memory_take(&room, PIECE_BYTES_MAX);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < BTRFS_PIECES && r == 0; i++) {
                const ssize_t n = pread(fd, room.at, n_bytes, (off_t)pieces->offsets[i]);

                if (n < 0)
                        r = -errno;
                else
                        pieces->checksums[i] = checksum_of(room.at, (size_t)n) + (uint64_t)n;
        }
        through.target_fd = fd;
        for (unsigned i = 0; i < BTRFS_PIECES; i++)
                if (pieces->offsets[i] >= kept)
                        piece_leave(&through, cached, pieces->offsets[i], kept);
        return r;
}
