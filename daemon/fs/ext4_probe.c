/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is proven of an ext4 before anything on it is moved, on scratch files that never have a name: that MOVE_EXT exchanges blocks and
 * nothing else, and that leases tell who has a file open. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "fs/driver.h"
#include "fs/ext4_extents.h"
#include "fs/scratch.h"

/* The scratch file: a piece of data, one that is preallocated, one hole, and again data, each of so many bytes: a whole page of any
 * machine. */
#define PIECE_BYTES   ((size_t)(64 * KIB))
#define N_PIECES      4
#define SCRATCH_BYTES (N_PIECES * PIECE_BYTES)

typedef enum Piece { DATA, UNWRITTEN, HOLE } Piece;
static const Piece pieces[N_PIECES] = {DATA, UNWRITTEN, HOLE, DATA};

/* Different in each piece. */
static void pattern_fill(char *piece, size_t i)
{
        memset(piece, 'a' + (int)i, PIECE_BYTES);
}

/* Allocates all but the hole; with data in it, unless it is the donor. */
static int scratch_fill(int fd, bool is_target)
{
        char piece[PIECE_BYTES];
        int r;

        if (ftruncate(fd, (off_t)SCRATCH_BYTES) < 0)
                return -errno;
        for (size_t i = 0; i < N_PIECES; i++) {
                if (pieces[i] == HOLE)
                        continue;
                if (fallocate(fd, 0, (off_t)(i * PIECE_BYTES), (off_t)PIECE_BYTES) < 0)
                        return -errno;
                if (pieces[i] == UNWRITTEN || !is_target)
                        continue;
                pattern_fill(piece, i);
                r = scratch_write(fd, piece, PIECE_BYTES, i * PIECE_BYTES);
                if (r < 0)
                        return r;
        }
        return fdatasync(fd) < 0 ? -errno : 0;
}

/* Returns 1 when all reads as it was written, 0 when not, -errno. */
static int scratch_reads_as_written(int fd)
{
        char piece[PIECE_BYTES], expected[PIECE_BYTES];

        for (size_t i = 0; i < N_PIECES; i++) {
                const int r = scratch_read(fd, piece, PIECE_BYTES, i * PIECE_BYTES);

                if (r < 0)
                        return r;
                memset(expected, 0, PIECE_BYTES);
                if (pieces[i] == DATA)
                        pattern_fill(expected, i);
                if (memcmp(piece, expected, PIECE_BYTES) != 0)
                        return 0;
        }
        return 1;
}

/* Does each piece lie where the map says that the file's own, or the donor's, did, and is it written or not as it was? */
static bool scratch_lies_at(const ExtentMap *now, const ExtentMap *places)
{
        size_t n = 0, p = 0;

        for (uint64_t at = 0; at < SCRATCH_BYTES; at += 4 * KIB) {
                const Piece piece = pieces[at / PIECE_BYTES];
                const Extent *here, *there;

                while (n < now->n_extents && now->extents[n].logical + now->extents[n].length <= at)
                        n++;
                while (p < places->n_extents && places->extents[p].logical + places->extents[p].length <= at)
                        p++;
                here = n < now->n_extents && now->extents[n].logical <= at ? &now->extents[n] : NULL;
                there = p < places->n_extents && places->extents[p].logical <= at ? &places->extents[p]
                                                                                  : NULL;
                if ((piece == HOLE) != !here || !here != !there)
                        return false;
                if (here &&
                    (here->unwritten != (piece == UNWRITTEN) ||
                     here->physical + (at - here->logical) != there->physical + (at - there->logical)))
                        return false;
        }
        return true;
}

/* The target lies where the donor did, and nothing else is different. Returns 1, 0, -errno. */
static int move_answers(const FsVolume *volume, const Scratch *scratch)
{
        _cleanup_(extent_map_done) ExtentMap target = {0}, donor = {0}, now = {0};
        FileFacts before, after;
        int r;

        r = extent_map_read(scratch->target_fd, 0, UINT64_MAX, true, EXTENT_MAP_MAX, &target);
        if (r < 0)
                return r;
        r = extent_map_read(scratch->donor_fd, 0, UINT64_MAX, true, EXTENT_MAP_MAX, &donor);
        if (r < 0)
                return r;
        if (!scratch_lies_at(&target, &target))
                return 0;
        r = file_facts_read(scratch->target_fd, &before);
        if (r < 0)
                return r;
        for (size_t i = 0; i < N_PIECES; i++) {
                uint64_t moved;

                if (pieces[i] == HOLE)
                        continue;
                r = ext4_extents_move(scratch->target_fd, scratch->donor_fd, i * PIECE_BYTES,
                                      i * PIECE_BYTES, PIECE_BYTES, volume->facts.block_bytes, &moved);
                if (r < 0)
                        return r;
        }
        r = ext4_extents_commit(scratch->donor_fd);
        if (r < 0)
                return r;
        r = extent_map_read(scratch->target_fd, 0, UINT64_MAX, true, EXTENT_MAP_MAX, &now);
        if (r < 0)
                return r;
        if (!scratch_lies_at(&now, &donor))
                return 0;
        r = file_facts_read(scratch->target_fd, &after);
        if (r < 0)
                return r;
        if (!file_facts_same(&before, &after))
                return 0;
        /* From the page cache, and from where it lies now. */
        r = scratch_reads_as_written(scratch->target_fd);
        if (r <= 0)
                return r;
        (void)posix_fadvise(scratch->target_fd, 0, 0, POSIX_FADV_DONTNEED);
        return scratch_reads_as_written(scratch->target_fd);
}

static int ext4_probe(FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents)
{
        _cleanup_(scratch_done) Scratch scratch = SCRATCH_NONE;
        int r;

        r = scratch_make(volume, root_fd, parents, n_parents, scratch_fill, &scratch);
        if (r < 0)
                return r;
        r = scratch_judge_stamps(volume, scratch.named_fd, scratch.target_fd, "a", 1);
        if (r < 0)
                return r;
        r = scratch_lease_answers(&scratch);
        if (r <= 0)
                return r;
        r = move_answers(volume, &scratch);
        /* What looks like a wrong answer may be a device that is dying: then say that. */
        if (r == 0 && fsync(scratch.target_fd) < 0)
                r = -errno;
        /* While a file is open for writing only a kernel that has met an error makes the file system read-only. */
        if (r == -EROFS)
                r = -EIO;
        if (r <= 0)
                return r;
        volume->keeps_unwritten = true;
        volume->engine = &engine_ext4_move;
        return 1;
}

/* A move is as safe as the journal that it is in. Without one, or where the device is not told to write its data before the
 * journal, a crash leaves a file with blocks that were never written. Where an fsync may log less than a
 * transaction, that it waits for the moves is not known. */
static Reason ext4_refusal(const FsVolume *volume)
{
        const Ext4Facts *facts = &volume->facts.ext4;

        if (!facts->has_extents)
                return SKIP_INDIRECT_MAPPED;
        if (facts->has_clusters)
                return SKIP_BIGALLOC;
        if (facts->journals_data)
                return SKIP_JOURNALLED_DATA;
        if (PROTECTED_BY(JOURNAL) && (!facts->has_journal || !facts->has_barriers ||
                                      facts->has_async_commit || facts->has_fast_commits))
                return SKIP_CRASH_UNSAFE;
        return REASON_NONE;
}

static int ext4_file_refusal(int fd, Reason *ret)
{
        uint32_t flags;
        int r = ext4_flags_read(fd, &flags);

        if (r < 0)
                return r;
        *ret = ext4_flags_refusal(flags);
        return 0;
}

static const Engine *ext4_promised(const FsVolume *volume)
{
        (void)volume;
        return &engine_ext4_move;
}

const FsDriver fs_driver_ext4 = {
        .type = &file_system_ext4,
        .refusal = ext4_refusal,
        .promised = ext4_promised,
        .file_refusal = ext4_file_refusal,
        .probe = ext4_probe,
};
