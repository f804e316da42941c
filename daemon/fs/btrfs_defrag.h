/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the btrfs engine and its probe share. */

#include <stdint.h>

/* Has the kernel write [offset, end) of a file anew, in one piece if there is room, and waits until that is on the disk. Returns 0 or
 * -errno. */
int btrfs_defrag_range(int fd, uint64_t offset, uint64_t end);
