/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* inode_read and inodes_next of file_system_btrfs; as facts/file_system.h has them. */

#include "facts/file_system.h"

int btrfs_inode_read(const FsFacts *facts, int fs_fd, FileId id, InodeFacts *ret);

/* One subvolume after the other, by number. Left out is what nothing can be moved in (read-only subvolumes, and with them most snapshots) and
 * what is being deleted. A batch is a buffer of 1 MiB; a file with more extents than fit is counted to its end. */
int btrfs_inodes_next(const FsFacts *facts, int fs_fd, InodeCursor *cursor,
                      int (*on_inode)(const InodeFacts *inode, void *userdata), void *userdata);
