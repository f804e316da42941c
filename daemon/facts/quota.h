/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much more an owner may use of a volume on which space is accounted.
 *
 * Source: quotactl_fd(2) with Q_XGETQUOTA (Linux 5.14; XFS). Needs CAP_SYS_ADMIN for other people's. */

#include <stdint.h>

/* The least that user, group and project have left below their limits (soft ones count like hard ones), in bytes, UINT64_MAX where nothing limits
 * them; id 0 is never limited. fd: any on the volume, not O_PATH. Returns 0 or -errno: -ENOSYS, -EPERM where it cannot be asked. Workers only. */
int quota_left(int fd, uint32_t uid, uint32_t gid, uint32_t project_id, uint64_t *ret_bytes);
