/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* map_tie of file_system_btrfs; as facts/file_system.h has it. */

#include "facts/extent_map.h"
#include "facts/file_id.h"

int btrfs_map_tie(int fd, FileId id, ExtentMap *map);
