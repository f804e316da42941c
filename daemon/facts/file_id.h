/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file's identity within one volume: what is left of it when names, hard links and renames are taken away.
 *
 * The generation makes a reused inode number another file. It is what fanotify reports and what a file is opened
 * by; paths are looked up only to be shown to a person. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct FileId {
        uint64_t inode;
        uint32_t generation;
} FileId;

static inline bool file_id_equal(FileId a, FileId b)
{
        return a.inode == b.inode && a.generation == b.generation;
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
 * with and without 64-bit inode numbers. Returns 0; -EOPNOTSUPP for a handle of another shape; -errno. Workers only. */
int file_id_from_name(int dirfd, const char *name, FileId *ret);
