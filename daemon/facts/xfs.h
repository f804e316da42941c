/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What XFS tells about itself: geometry, inodes in bulk, and files opened by their identity.
 *
 * Source: the ioctls of <xfs/xfs_fs.h>. Any descriptor on the volume will do as fs_fd. Workers only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts/file_id.h"

typedef struct XfsGeometry {
        uint8_t uuid[16];
        uint32_t block_bytes;
        uint32_t sector_bytes;
        uint32_t n_groups;   /* allocation groups */
        uint8_t inode_shift; /* inode number >> this = its allocation group */
        bool has_exchange;   /* on-disk feature that XFS_IOC_COMMIT_RANGE needs (Linux 6.10) */
        bool has_reverse_map; /* the reverse-mapping tree, which decides how SWAPEXT works (and whether it survives a crash) */
        bool has_quota;       /* quota accounting is on */
        bool has_realtime;    /* there is a realtime device */
        uint64_t total_bytes; /* data device */
} XfsGeometry;

/* Returns 0; -ENOTTY when fs_fd is not on XFS; -errno. */
int xfs_geometry_read(int fs_fd, XfsGeometry *ret);

static inline uint32_t xfs_group_of(const XfsGeometry *geometry, uint64_t inode)
{
        return (uint32_t)(inode >> geometry->inode_shift);
}

/* Opens a regular file or a directory by identity (XFS_IOC_OPEN_BY_HANDLE, CAP_SYS_ADMIN). I/O through the descriptor
 * moves no time stamp. O_CLOEXEC is set afterwards: the ioctl cannot. Returns the descriptor; -ESTALE when no such
 * file lives any more; -EWOULDBLOCK (with O_NONBLOCK) when a lease stands in the way; -ETXTBSY for a file that is
 * being executed (write access); -EROFS; -errno. */
int xfs_open_by_id(int fs_fd, FileId id, int flags);

typedef struct XfsInode {
        FileId id;
        uint64_t size_bytes;
        uint64_t n_extents; /* data fork, unwritten and behind EOF included */
        uint32_t mode;
        uint32_t xflags;
} XfsInode;

/* One inode by number (XFS_IOC_BULKSTAT). Returns 0; -ENOENT when it is free; -errno. */
int xfs_inode_read(int fs_fd, uint64_t inode, XfsInode *ret);

/* Calls on_inode for each inode from *cursor on, in ascending order, at most one batch (a few thousand), and moves
 * *cursor behind the last. Begin with 0. Returns 1 while there may be more, 0 at the end of the volume, -EIO for
 * inodes that do not ascend, -errno, or the first non-zero value that on_inode returned. */
int xfs_inodes_next(int fs_fd, uint64_t *cursor, int (*on_inode)(const XfsInode *inode, void *userdata),
                    void *userdata);

/* Free blocks of the data device (XFS_IOC_FSCOUNTS). Unlike statfs(2), which took six milliseconds here because it pushes the
 * inactivation of deleted files, it only reads counters. Returns 0 or -errno. */
int xfs_free_blocks(int fs_fd, uint64_t *ret);
