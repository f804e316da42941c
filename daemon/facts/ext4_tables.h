/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inode tables of an ext4, by libext2fs. Private to facts/ext4.c, but for tests. */

#include "facts/file_system.h"

/* As inodes_next of facts/file_system.h, from the device itself. Inodes that are not in use, and those that hold the file system's
 * own tables, are left out. n_extents are runs as the inode's extent tree has them, of a tree that has more than a
 * few blocks approximately; 0 of a file that is not mapped by extents. */
int ext4_tables_next(int device_fd, uint64_t *cursor,
                     int (*on_inode)(const InodeFacts *inode, void *userdata), void *userdata);
