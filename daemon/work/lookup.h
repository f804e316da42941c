/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a file is called that an event told of: to be shown, and to be held against Exclude=. */

#include <limits.h>
#include <stdint.h>

#include "facts/file_id.h"
#include "fs/volume.h"

/* Entries read of one directory: 26 ms when they are cached (Linux 6.18, November 2026). Whoever keeps more
 * files in one directory goes without names until the next sweep. */
#define LOOKUP_ENTRIES_MAX 200000

/* What a directory, open as dir_fd, is called at this moment. -ENOENT when it has been removed or is not seen by any mount that
 * belongs to the volume; -ENOTDIR; -ENAMETOOLONG; -errno. */
int name_of_directory(const FsVolume *volume, int root_fd, FileId directory, int dir_fd,
                      char ret[static PATH_MAX]);

/* The path of inode in the directory parent, as it is at this moment; of several names in it the one that
 * readdir gives first. The kernel finds the directory's own path (XFS_IOC_OPEN_BY_HANDLE connects a
 * directory to the root), which may mean reading every directory above it. Nothing is pinned once this has
 * returned.
 *
 * Returns 0 with *ret_path, the caller's to free. -ENOENT: the file is not in it (any more), not among the
 * first LOOKUP_ENTRIES_MAX entries, or the directory has been removed or does not lie below
 * volume->mount_path. -ESTALE: no such directory lives any more. -ENOTDIR; -ENAMETOOLONG above 4 KiB, where
 * only a walk can tell; -errno. Workers only. */
int name_lookup(const FsVolume *volume, int root_fd, FileId parent, uint64_t inode, char **ret_path);
