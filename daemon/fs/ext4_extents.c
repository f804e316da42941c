/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A few calls and a table. */

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "facts/ext4.h"
#include "fs/ext4_extents.h"

/* fs/ext4/ext4.h of the kernel; no header for programs has it. */
typedef struct MoveExtent {
        uint32_t reserved;
        uint32_t donor_fd;
        uint64_t orig_start; /* in blocks, like the rest */
        uint64_t donor_start;
        uint64_t n_blocks;
        uint64_t n_moved;
} MoveExtent;
_Static_assert(sizeof(MoveExtent) == 40, "layout of struct move_extent");

#define IOC_MOVE_EXT _IOWR('f', 15, MoveExtent)

int ext4_extents_move(int target_fd, int donor_fd, uint64_t offset, uint64_t donor_offset, uint64_t n_bytes,
                      uint32_t block_bytes, uint64_t *ret_moved)
{
        MoveExtent move = {
                .donor_fd = (uint32_t)donor_fd,
                .orig_start = offset / block_bytes,
                .donor_start = donor_offset / block_bytes,
                .n_blocks = n_bytes / block_bytes,
        };
        int r = ioctl(target_fd, IOC_MOVE_EXT, &move) < 0 ? -errno : 0;

        /* On success fewer are counted where there were holes, or where the file ends by now. */
        *ret_moved = r < 0 ? u64_min(move.n_moved * block_bytes, n_bytes) : n_bytes;
        return r;
}

int ext4_extents_write(int fd, uint64_t offset, uint64_t n_bytes)
{
        return sync_file_range(fd, (off_t)offset, (off_t)n_bytes,
                               SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                       SYNC_FILE_RANGE_WAIT_AFTER) < 0
                       ? -errno
                       : 0;
}

int ext4_extents_commit(int donor_fd)
{
        /* The donor's inode becomes part of the running transaction, or of a later one, and fsync waits for that. */
        if (futimens(donor_fd, NULL) < 0)
                return -errno;
        return fsync(donor_fd) < 0 ? -errno : 0;
}

Reason ext4_flags_refusal(uint32_t flags)
{
        if (flags & EXT4_FLAG_ENCRYPTED)
                return SKIP_ENCRYPTED;
        if (flags & EXT4_FLAG_VERITY)
                return SKIP_VERITY;
        if (flags & EXT4_FLAG_DAX)
                return SKIP_DAX;
        if (flags & EXT4_FLAG_JOURNAL_DATA)
                return SKIP_JOURNALLED_DATA;
        if (flags & EXT4_FLAG_INLINE_DATA)
                return SKIP_INLINE_DATA;
        return flags & EXT4_FLAG_EXTENTS ? REASON_NONE : SKIP_INDIRECT_MAPPED;
}
