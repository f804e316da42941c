/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file's identity within one volume: what is left of it when names, hard links and renames are taken away.
 *
 * The generation makes a reused inode number another file. It is what fanotify reports and what a file is opened
 * by; paths are looked up only to be shown to a person. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Inode and subvolume first, together and without a gap: they are the key by which tables know a file. */
typedef struct FileId {
        uint64_t inode;
        uint32_t subvolume; /* its root's number on btrfs, where each has its own inode numbers; else 0 */
        uint32_t generation;
} FileId;

#define FILE_ID_KEY_BYTES offsetof(FileId, generation)

static inline bool file_id_equal(FileId a, FileId b)
{
        return a.inode == b.inode && a.subvolume == b.subvolume && a.generation == b.generation;
}

/* The same number, now or before. */
static inline bool file_id_same_inode(FileId a, FileId b)
{
        return a.inode == b.inode && a.subvolume == b.subvolume;
}

/* By subvolume, inode, generation: less than, equal to or greater than 0. */
static inline int file_id_order(FileId a, FileId b)
{
        if (a.subvolume != b.subvolume)
                return a.subvolume < b.subvolume ? -1 : 1;
        if (a.inode != b.inode)
                return a.inode < b.inode ? -1 : 1;
        return a.generation < b.generation ? -1 : a.generation > b.generation;
}

static inline bool file_id_is_set(FileId id)
{
        return id.inode != 0;
}

/* Identity in a file handle as the kernel gives it (struct file_handle: type, and n_bytes of f_handle). Returns 0; -EOPNOTSUPP for a
 * handle of another shape. Pure. */
int file_id_from_handle(int type, const void *f_handle, size_t n_bytes, FileId *ret);

/* Identity of name in the directory dirfd (name "" means dirfd itself), not following a symbolic link.
 *
 * Source: name_to_handle_at(2); neither opens the file nor moves a time stamp. Understands the handle layouts of XFS
 * with and without 64-bit inode numbers, of ext4 and of btrfs. Returns 0; -EOPNOTSUPP for a handle of another shape; -errno. Workers only. */
int file_id_from_name(int dirfd, const char *name, FileId *ret);
