/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Everything about one file but its extents: what the policy looks at, and what must be the same after a move.
 *
 * Source: statx(2), FS_IOC_FSGETXATTR, fgetxattr(2), all on an open descriptor. */

#include <stdbool.h>
#include <stdint.h>

#include "facts/file_id.h"

typedef struct FileStamp {
        int64_t sec;
        uint32_t nsec;
} FileStamp;

typedef struct FileFacts {
        uint64_t inode;
        uint64_t size_bytes;
        uint64_t allocated_bytes;
        uint64_t attributes; /* STATX_ATTR_*, only those that the file system says it knows */
        FileStamp atime, mtime, ctime, btime;
        uint32_t mode; /* type and permission bits */
        uint32_t uid, gid, n_links;
        uint32_t
                dio_align_bytes; /* offset and length alignment of direct I/O; 0 where the kernel does not say (before 6.1) */
        uint32_t xflags; /* FS_XFLAG_* */
        uint32_t extent_hint_bytes;
        uint32_t cow_hint_bytes;
        uint32_t project_id;
        bool has_capabilities; /* xattr security.capability */
        bool opted_out;        /* xattr user.defragd = "off" */
} FileFacts;

/* Reads all of them. Asking for the stamps also tells kernels with fine-grained stamps that somebody looked, so that
 * the next change gets a stamp of its own. Returns 0 or -errno (EIO where statx leaves out a field that we need).
 * Moves no time stamp. Workers only. */
int file_facts_read(int fd, FileFacts *ret);

/* statx alone: size, stamps, mode, owner, links, attributes; the rest of *ret stays as it is. */
int file_facts_refresh(int fd, FileFacts *ret);

/* True when nothing but atime differs: content may only have changed when size, mtime or ctime did. */
bool file_facts_same(const FileFacts *a, const FileFacts *b);

static inline bool file_stamp_equal(FileStamp a, FileStamp b)
{
        return a.sec == b.sec && a.nsec == b.nsec;
}
