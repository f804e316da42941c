/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What only an XFS tells of itself; the rest is file_system_xfs in facts/file_system.h.
 *
 * Source: the ioctls of <xfs/xfs_fs.h>. Files are opened by XFS_IOC_OPEN_BY_HANDLE (CAP_SYS_ADMIN): I/O through such a
 * descriptor moves no time stamp. */

#include <stdbool.h>
#include <stdint.h>

typedef struct XfsFacts {
        uint8_t inode_shift; /* inode number >> this = its allocation group */
        bool has_exchange;   /* on-disk feature that XFS_IOC_COMMIT_RANGE needs (Linux 6.10) */
        bool has_reverse_map; /* the reverse-mapping tree, which decides how SWAPEXT works (and whether it survives a crash) */
        bool has_quota;    /* quota accounting is on */
        bool has_realtime; /* there is a realtime device */
} XfsFacts;
