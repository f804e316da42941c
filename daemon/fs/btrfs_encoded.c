/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/private_memory.h"
#include "base/protection.h"
#include "facts/btrfs_extents.h"
#include "facts/btrfs_space.h"
#include "fs/btrfs_defrag.h"
#include "fs/btrfs_encoded.h"
#include "fs/btrfs_room.h"
#include "fs/donor.h"
#include "fs/lease.h"
#include "fs/scratch.h"
#include "fs/target.h"

/* Chunks that a region is written in. Each is no longer on the disk than what it is made of. */
typedef struct Chunks {
        uint64_t n;
        uint64_t most_bytes; /* of one, on the disk */
        uint64_t disk_bytes; /* of all */
} Chunks;

static Chunks chunks_of(const EngineJob *job)
{
        const uint64_t end = job->region.offset + job->region.length;
        Chunks chunks = {0};
        BtrfsSlice chunk;

        for (uint64_t at = job->region.offset;
             at < end && btrfs_slice_next(&job->map, at, BTRFS_CHUNK_BYTES, true, &chunk); at = chunk.end) {
                chunks.n++;
                chunks.most_bytes = u64_max(chunks.most_bytes, chunk.disk_bytes);
                chunks.disk_bytes += chunk.disk_bytes;
        }
        return chunks;
}

int btrfs_encoded_check_room(EngineJob *job, uint64_t *ret_most)
{
        const Chunks chunks = chunks_of(job);
        /* Which of free space the kernel takes is a guess: with less to gain a file might be moved again and again. But no chunk is cut in two. */
        const uint64_t most = chunks.n < job->region.n_runs ? chunks.n : job->region.n_runs / 2;
        BtrfsPlaces places;
        uint64_t n_runs;
        int r;

        if (chunks.n == 0)
                return target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        r = btrfs_space_places(job->root_fd, chunks.disk_bytes, chunks.disk_bytes / chunks.n,
                               chunks.most_bytes, &places);
        /* It does not tell. */
        if (r == -ENOENT)
                return target_verdict(job, ENGINE_NO_GAIN, NO_SPACE_FRAGMENTED);
        if (r < 0)
                return r;
        if (places.sure_bytes < chunks.disk_bytes && PROTECTED_BY(CHUNK_ROOM))
                return target_verdict(job, ENGINE_NO_GAIN, NO_SPACE_FRAGMENTED);
        n_runs = u64_min(places.most_runs, chunks.n);
        if ((n_runs > most || !plan_is_worth(job->limits, job->region.n_runs - n_runs, job->region.bytes)) &&
            PROTECTED_BY(CHUNK_GAIN))
                return target_verdict(job, ENGINE_NO_GAIN, NO_SPACE_FRAGMENTED);
        *ret_most = most;
        return ENGINE_DONE;
}

/* Writes the chunk's content to the empty donor. Returns 0, -EAGAIN where the file ends before, -errno. */
static int chunk_copy(const EngineJob *job, int donor_fd, const BtrfsSlice *chunk, size_t n_bytes)
{
        _cleanup_(private_memory_done) PrivateMemory content = {0};
        size_t n_read = 0;
        int r;

        r = private_memory_take(&content, n_bytes);
        if (r < 0)
                return r;
        while (n_read < n_bytes) {
                const ssize_t n = pread(job->target_fd, content.at + n_read, n_bytes - n_read,
                                        (off_t)(chunk->offset + n_read));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EAGAIN;
                n_read += (size_t)n;
        }
        r = scratch_be_direct(donor_fd, false);
        if (r == 0)
                r = scratch_write(donor_fd, content.at, n_bytes, 0);
        if (r == 0 && fsync(donor_fd) < 0)
                r = -errno;
        return r;
}

/* The same as is done to the target. */
static int chunk_compress(const EngineJob *job, int donor_fd, size_t n_bytes, BtrfsEncoding would,
                          BtrfsSlice *ret)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        FileId donor;
        int r;

        r = btrfs_range_move(donor_fd, 0, n_bytes, (BtrfsMove){.start_io = true, .encoding = would});
        if (r == 0)
                r = btrfs_range_wait(donor_fd, 0, n_bytes);
        if (r == 0)
                r = file_id_from_name(donor_fd, "", &donor);
        if (r == 0)
                r = fs_volume_map_read(job->volume, donor_fd, donor, 0, UINT64_MAX, true, EXTENT_MAP_MAX,
                                       &map);
        if (r == 0)
                btrfs_slice_count(&map, 0, n_bytes, ret);
        return r;
}

int btrfs_encoded_try(EngineJob *job, BtrfsEncoding would)
{
        _cleanup_close_ int donor_fd = -EBADF;
        BtrfsSlice chunk, tried = {0};
        size_t n_bytes;
        int r;

        if (!btrfs_slice_next(&job->map, job->region.offset, BTRFS_CHUNK_BYTES, true, &chunk) ||
            chunk.offset >= job->sampled.size_bytes)
                return target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN);
        n_bytes = u64_min(chunk.end, job->sampled.size_bytes) - chunk.offset;
        /* Is there somebody at the file now? */
        r = btrfs_encoded_begin(job, &chunk);
        if (r != ENGINE_DONE)
                return r;
        btrfs_encoded_end(job);
        donor_fd = donor_create(job->volume, job->root_fd, job->parents, job->n_parents);
        r = donor_fd < 0 ? donor_fd : chunk_copy(job, donor_fd, &chunk, n_bytes);
        if (r == 0)
                r = chunk_compress(job, donor_fd, n_bytes, would, &tried);
        if (r < 0)
                return r == -EAGAIN ? target_verdict(job, ENGINE_STALE, CHANGED_WRITTEN)
                                    : target_verdict_of_room(job, r);
        if ((tried.encoding != chunk.encoding || tried.encoded_bytes < n_bytes ||
             tried.disk_bytes > chunk.disk_bytes) &&
            PROTECTED_BY(TRIED))
                return target_verdict(job, ENGINE_SKIP, SKIP_WOULD_GROW);
        return ENGINE_DONE;
}

int btrfs_encoded_begin(EngineJob *job, const BtrfsSlice *slice)
{
        int r;

        if (!PROTECTED_BY(COMPRESSED_ALONE))
                return ENGINE_DONE;
        r = lease_take_read(job->target_fd);
        if (r != 0)
                return target_verdict_of_lease(job, r);
        /* What was written by whoever is gone. */
        r = btrfs_range_settle(job->target_fd, slice->offset, slice->end - slice->offset);
        if (r < 0)
                btrfs_encoded_end(job);
        return r;
}

void btrfs_encoded_end(EngineJob *job)
{
        /* Somebody may have waited so long that it was taken away: then what he wrote was met by the look at the slice. */
        (void)lease_release(job->target_fd);
}
