/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is proven of a btrfs before anything on it is moved, on a scratch file that never has a name. */

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/btrfs.h"
#include "fs/btrfs_defrag.h"
#include "fs/btrfs_room.h"
#include "fs/donor.h"
#include "fs/driver.h"
#include "fs/scratch.h"

/* The scratch file, in blocks: data in as many runs as blocks, a hole, a preallocated place. */
#define DATA_BLOCKS 8
#define HOLE_BLOCKS 4
#define ALL_BLOCKS  (DATA_BLOCKS + HOLE_BLOCKS + 4)

/* Linux 5.12, include/uapi/linux/btrfs.h; and 6.1. */
#ifndef BTRFS_FEATURE_INCOMPAT_ZONED
#define BTRFS_FEATURE_INCOMPAT_ZONED (1ULL << 12)
#endif
#ifndef BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA
#define BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA (1ULL << 16)
#endif

#define KNOWN_FEATURES                                                                                      \
        (BTRFS_FEATURE_INCOMPAT_MIXED_BACKREF | BTRFS_FEATURE_INCOMPAT_DEFAULT_SUBVOL |                     \
         BTRFS_FEATURE_INCOMPAT_MIXED_GROUPS | BTRFS_FEATURE_INCOMPAT_COMPRESS_LZO |                        \
         BTRFS_FEATURE_INCOMPAT_COMPRESS_ZSTD | BTRFS_FEATURE_INCOMPAT_BIG_METADATA |                       \
         BTRFS_FEATURE_INCOMPAT_EXTENDED_IREF | BTRFS_FEATURE_INCOMPAT_SKINNY_METADATA |                    \
         BTRFS_FEATURE_INCOMPAT_NO_HOLES | BTRFS_FEATURE_INCOMPAT_METADATA_UUID |                           \
         BTRFS_FEATURE_INCOMPAT_RAID1C34 | BTRFS_FEATURE_INCOMPAT_SIMPLE_QUOTA)

static Reason btrfs_refusal(const FsVolume *volume)
{
        const BtrfsFacts *facts = &volume->facts.btrfs;

        if (facts->incompat & BTRFS_FEATURE_INCOMPAT_ZONED)
                return SKIP_ZONED;
        /* A write that is cut off can damage what others have in the same stripe, and was there long before. */
        if (facts->incompat & BTRFS_FEATURE_INCOMPAT_RAID56)
                return SKIP_CRASH_UNSAFE;
        /* Trees that we cannot read. */
        if (facts->incompat & ~(uint64_t)KNOWN_FEATURES)
                return SKIP_NO_ENGINE;
        if (facts->is_degraded)
                return SKIP_DEGRADED;
        return facts->has_seed ? SKIP_SEED : REASON_NONE;
}

static const Engine *btrfs_promised(const FsVolume *volume)
{
        (void)volume;
        return &engine_btrfs_defrag;
}

static int block_write(int fd, uint8_t *block, size_t n_bytes, unsigned number)
{
        uint32_t noise = number + 1;

        /* Nothing that could be compressed. */
        for (size_t i = 0; i < n_bytes; i++) {
                noise = noise * 1664525 + 1013904223;
                block[i] = (uint8_t)(noise >> 24);
        }
        return scratch_write(fd, block, n_bytes, number * n_bytes);
}

/* The last block first: each is an extent of its own, and none lies behind the one before it in the file. */
static int scratch_fill(int fd, uint8_t *block, size_t n_bytes)
{
        for (unsigned i = DATA_BLOCKS; i-- > 0;) {
                int r = block_write(fd, block, n_bytes, i);

                if (r < 0)
                        return r;
        }
        if (fallocate(fd, 0, (off_t)((DATA_BLOCKS + HOLE_BLOCKS) * n_bytes),
                      (off_t)((ALL_BLOCKS - DATA_BLOCKS - HOLE_BLOCKS) * n_bytes)) < 0)
                return -errno;
        return fsync(fd) < 0 ? -errno : 0;
}

/* Returns 1 when the data is what was written, 0 or -errno. */
static int scratch_holds(int fd, uint8_t *block, size_t n_bytes)
{
        for (unsigned number = 0; number < DATA_BLOCKS; number++) {
                uint32_t noise = number + 1;
                int r = scratch_read(fd, block, n_bytes, number * n_bytes);

                if (r < 0)
                        return r;
                for (size_t i = 0; i < n_bytes; i++) {
                        noise = noise * 1664525 + 1013904223;
                        if (block[i] != (uint8_t)(noise >> 24))
                                return 0;
                }
        }
        return 1;
}

typedef struct Layout {
        uint64_t n_runs; /* of data */
        uint64_t data_bytes, unwritten_bytes, shared_bytes;
        uint64_t first; /* address of data */
} Layout;

static int layout_read(int fd, Layout *ret)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        uint64_t expected = 0;
        Layout layout = {0};
        int r;

        r = extent_map_read(fd, 0, UINT64_MAX, true, EXTENT_MAP_MAX, &map);
        if (r < 0)
                return r;
        for (size_t i = 0; i < map.n_extents; i++) {
                const Extent *extent = &map.extents[i];

                layout.shared_bytes += extent->shared ? extent->length : 0;
                if (extent->unwritten) {
                        layout.unwritten_bytes += extent->length;
                        continue;
                }
                if (layout.n_runs == 0)
                        layout.first = extent->physical;
                layout.data_bytes += extent->length;
                layout.n_runs += layout.n_runs == 0 || extent->physical != expected;
                expected = extent->physical + extent->length;
        }
        *ret = layout;
        return 0;
}

static int scratch_move(int fd, size_t n_bytes, bool singles)
{
        const uint64_t end = (uint64_t)ALL_BLOCKS * n_bytes;
        const int r = btrfs_range_move(fd, 0, end, (BtrfsMove){.singles = singles, .start_io = true});

        return r < 0 ? r : btrfs_range_wait(fd, 0, end);
}

/* The range must lie in fewer runs afterwards, hold what it held, have its hole and its preallocated place, and the stamps that it had.
 * Returns 1, 0, -errno. */
static int defrag_answers(int fd, uint8_t *block, size_t n_bytes)
{
        FileFacts facts_before, facts_after;
        Layout before, after;
        int r;

        r = layout_read(fd, &before);
        if (r < 0)
                return r;
        r = file_facts_read(fd, &facts_before);
        if (r < 0)
                return r;
        r = scratch_move(fd, n_bytes, false);
        if (r < 0)
                return r;
        r = layout_read(fd, &after);
        if (r < 0)
                return r;
        r = file_facts_read(fd, &facts_after);
        if (r < 0)
                return r;
        if (after.data_bytes != before.data_bytes || after.unwritten_bytes != before.unwritten_bytes ||
            after.shared_bytes != 0 || !file_facts_same(&facts_before, &facts_after))
                return 0;
        /* There may be no two free blocks side by side. */
        if (after.n_runs >= before.n_runs)
                return -ENOSPC;
        return scratch_holds(fd, block, n_bytes);
}

/* Is an extent that has none next to it moved, too, if the kernel is asked so? Returns 1, 0, -errno. */
static int singles_move(int fd, uint8_t *block, size_t n_bytes, bool *ret)
{
        Layout before, after;
        int r;

        *ret = false;
        r = layout_read(fd, &before);
        if (r < 0 || before.n_runs != 1)
                return r < 0 ? r : 1;
        r = scratch_move(fd, n_bytes, true);
        if (r < 0)
                return r == -EOPNOTSUPP || r == -EINVAL ? 1 : r;
        r = layout_read(fd, &after);
        if (r < 0)
                return r;
        if (after.data_bytes != before.data_bytes || after.unwritten_bytes != before.unwritten_bytes)
                return 0;
        *ret = after.n_runs == 1 && after.first != before.first;
        return scratch_holds(fd, block, n_bytes);
}

/* What is shared must be shown as such, or it would be unshared: walls are made of nothing else. Returns 1, 0, -errno. */
static int sharing_answers(const FsVolume *volume, int root_fd, int fd, const FileId *parents,
                           size_t n_parents)
{
        _cleanup_close_ int clone_fd = -EBADF;
        Layout layout;
        int r;

        clone_fd = donor_create(volume, root_fd, parents, n_parents);
        if (clone_fd < 0)
                return clone_fd;
        if (ioctl(clone_fd, FICLONE, fd) < 0)
                return -errno;
        r = layout_read(fd, &layout);
        if (r < 0)
                return r;
        return layout.shared_bytes == layout.data_bytes + layout.unwritten_bytes;
}

/* Through the page cache it takes some microseconds a write, directly a hundred. The file is empty afterwards. */
static int judge_stamps(FsVolume *volume, int fd)
{
        int r = scratch_be_direct(fd, false);

        if (r < 0)
                return r;
        r = scratch_judge_stamps(volume, fd, fd, "a", 1);
        if (r < 0)
                return r;
        if (ftruncate(fd, 0) < 0)
                return -errno;
        return scratch_be_direct(fd, true);
}

static int btrfs_probe(FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents)
{
        const size_t n_bytes = volume->facts.block_bytes;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ uint8_t *block = NULL;
        uint64_t free_bytes;
        int r;

        r = fs_volume_free_bytes(volume, root_fd, &free_bytes);
        if (r < 0)
                return r;
        if (free_bytes < BTRFS_LEAST_FREE_BYTES && PROTECTED_BY(TREE_ROOM))
                return -ENOSPC;
        /* The alignment of direct I/O. */
        block = aligned_alloc(n_bytes, n_bytes);
        if (!block)
                return -ENOMEM;
        fd = donor_create(volume, root_fd, parents, n_parents);
        if (fd < 0)
                return fd;
        r = judge_stamps(volume, fd);
        if (r < 0)
                return r;
        r = scratch_fill(fd, block, n_bytes);
        if (r < 0)
                return r;
        r = defrag_answers(fd, block, n_bytes);
        if (r <= 0)
                return r;
        r = singles_move(fd, block, n_bytes, &volume->moves_singles);
        if (r <= 0)
                return r;
        r = sharing_answers(volume, root_fd, fd, parents, n_parents);
        if (r <= 0)
                return r;
        volume->keeps_unwritten = true;
        volume->engine = &engine_btrfs_defrag;
        return 1;
}

const FsDriver fs_driver_btrfs = {
        .type = &file_system_btrfs,
        .refusal = btrfs_refusal,
        .promised = btrfs_promised,
        .probe = btrfs_probe,
};
