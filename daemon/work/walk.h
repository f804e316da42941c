/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Finds files by name: one file, or a directory with all below it on the same mount.
 *
 * Files are never opened: identity by name_to_handle_at(2), extents by bulkstat. Symbolic links below the named path are not
 * followed, automounts not triggered, mount points not crossed. Directories are read with descriptors, never by path
 * twice, so a rename meanwhile leads nowhere else. Depth is bounded only by memory. Workers only. */

#include <stdatomic.h>
#include <stdint.h>

#include "facts/file_id.h"

typedef struct WalkEntry {
        FileId id;
        FileId parent;    /* set for all but the named path itself */
        const char *path; /* absolute or as it was named; valid during the call */
        uint8_t type;     /* DT_* */
        uint64_t inode;
        uint32_t subvolume; /* that the inode belongs to */
} WalkEntry;

/* What tables know it by, whether its generation is known or not. */
static inline FileId walk_entry_key(const WalkEntry *entry)
{
        return (FileId){.inode = entry->inode, .subvolume = entry->subvolume};
}

/* Returns 0 to go on; WALK_PRUNE to leave a directory out; anything else ends the walk and is returned. */
#define WALK_PRUNE 1000
typedef int (*on_walk_entry)(const WalkEntry *entry, void *userdata);

/* Walks the directory dir_fd (left open, not closed); path is what it is called. with_ids: fill in id of every
 * regular file (else only d_ino is known, which is much cheaper); directories always have theirs. A directory that
 * cannot be read is reported through on_error, if set, and left out. Returns 0, -ECANCELED once *cancel is true, -ENOMEM, or what
 * on_entry returned. */
int walk_directory(int dir_fd, const char *path, bool with_ids, on_walk_entry on_entry,
                   void (*on_error)(const char *path, int error, void *userdata), const atomic_bool *cancel,
                   void *userdata);
