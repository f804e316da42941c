/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every file system that we look after can be asked, whichever it is: what it is, its inodes one by one and in bulk, and a
 * file by its identity. All below this floor that differs between them is behind this table.
 *
 * Any descriptor on the volume will do as fs_fd. Workers only. */

#include <stdbool.h>
#include <stddef.h>
#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "facts/btrfs.h"
#include "facts/ext4.h"
#include "facts/extent_map.h"
#include "facts/file_id.h"
#include "facts/xfs.h"

typedef struct FileSystemType FileSystemType;

/* What a mounted file system tells of itself. */
typedef struct FsFacts {
        const FileSystemType *type;
        uint8_t uuid[16];
        uint32_t block_bytes;
        uint32_t sector_bytes; /* of direct I/O, where the kernel does not say */
        uint32_t n_groups;     /* of allocation; at least 1 */
        uint64_t total_bytes;
        union {
                XfsFacts xfs;
                Ext4Facts ext4;
                BtrfsFacts btrfs;
        };
} FsFacts;

/* Of one inode, as cheaply as it can be had. */
typedef struct InodeFacts {
        FileId id;
        uint64_t size_bytes;
        uint64_t
                n_extents; /* unwritten and behind EOF included; a hint what to look at, where the exact number costs more */
        uint32_t mode;
        uint32_t xflags; /* FS_XFLAG_* */
} InodeFacts;

/* Where an inventory goes on: at this inode or the next one that there is. All zero at the beginning. */
typedef struct InodeCursor {
        uint64_t inode;
        uint32_t subvolume;
} InodeCursor;

struct FileSystemType {
        const char *name; /* in the mount table: "xfs" */

        /* Read-ahead of a file that somebody is making shorter can leave a wrong page behind its end (docs/UPSTREAM.md): what is looked at
         * without a lease is not read through the page cache. */
        bool stale_read_ahead;

        /* The directory at the top of the file system, through a directory of any mount of it. NULL: mount_fd is that. Returns a
         * descriptor or -errno. */
        int (*root_open)(int mount_fd);

        /* The block devices that it lies on, at most max. NULL: the one of st_dev. Returns their number or -errno. */
        int (*devices_read)(int fs_fd, dev_t *ret, size_t max);

        /* The path of a directory from the top, where the kernel's own name of a descriptor would not do. Returns 0; -ENOENT when it is
         * gone; -ENAMETOOLONG; -errno. NULL: readlink(2) of the descriptor. */
        int (*directory_path)(int fs_fd, FileId directory, char ret[static PATH_MAX]);

        /* Returns 0; -EOPNOTSUPP when fs_fd is on another type; -errno. */
        int (*read)(int fs_fd, FsFacts *ret);

        /* Opens a regular file or a directory by identity, close-on-exec. Returns the descriptor; -ESTALE when no such file lives any
         * more; -EWOULDBLOCK (with O_NONBLOCK) when a lease stands in the way; -ETXTBSY for a file that is being executed
         * (write access); -EROFS; -errno. */
        int (*inode_open)(int fs_fd, FileId id, int flags);

        /* One inode, whatever its generation is now. Returns 0; -ENOENT when it is free; -errno. */
        int (*inode_read)(const FsFacts *facts, int fs_fd, FileId id, InodeFacts *ret);

        /* Calls on_inode for each inode from *cursor on, in ascending order, at most one batch (a few thousand), and moves *cursor
         * behind the last. Returns 1 while there may be more, 0 at the end of the volume, -EIO for inodes that do not ascend, -errno,
         * or the first non-zero value that on_inode returned. */
        int (*inodes_next)(const FsFacts *facts, int fs_fd, InodeCursor *cursor,
                           int (*on_inode)(const InodeFacts *inode, void *userdata), void *userdata);

        /* Says of the encoded extents of a map, which is read anew for that, where they lie and how long they are there. What it cannot tell of
         * stays unplaced. Its first extent must not begin within one on the disk. NULL: nothing can be told of any. Returns 0 or -errno. */
        int (*map_decode)(int fs_fd, FileId id, ExtentMap *map);

        /* Says of the extents of a file's whole map, through a descriptor of that file, which are parts of one extent on the disk: none of
         * its space comes back before the last part has moved; and which could not be moved and stay encoded, or not encoded, as they are. Best
         * effort. NULL: each extent stands for itself, and none of them stays. Returns 0 or -errno. */
        int (*map_tie)(int fd, FileId id, ExtentMap *map);

        /* Without waiting for the volume, as far as it can tell so. Returns 0 or -errno. */
        int (*free_bytes)(const FsFacts *facts, int fs_fd, uint64_t *ret);

        /* Does something have the file system for itself for minutes or hours, so that it is better left alone? NULL: nothing ever does.
         * Returns 1, 0 or -errno. */
        int (*is_exclusive)(const FsFacts *facts);

        /* The allocation group of an inode; NULL where there is one only. */
        uint32_t (*group_of)(const FsFacts *facts, uint64_t inode);
};

extern const FileSystemType file_system_xfs, file_system_ext4, file_system_btrfs;

/* The type of that name in the mount table, NULL for one that we do not look after. Pure. */
const FileSystemType *file_system_find(const char *name);

/* Of whatever type fs_fd is on. Returns 0; -EOPNOTSUPP for one that we do not look after; -errno. */
int file_system_read(int fs_fd, FsFacts *ret);

static inline uint32_t file_system_group(const FsFacts *facts, uint64_t inode)
{
        const uint32_t group = facts->type->group_of ? facts->type->group_of(facts, inode) : 0;

        /* A damaged number is no index. */
        return group < facts->n_groups ? group : 0;
}
