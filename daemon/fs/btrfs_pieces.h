/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pieces of a job's region whose content is compared by the audit: at its beginning, in the middle, at its end. Private to the btrfs engine; any
 * thread. */

#include "fs/cache_note.h"
#include "fs/engine.h"

#define BTRFS_PIECES 3

typedef struct BtrfsPieces {
        uint64_t offsets[BTRFS_PIECES];
        uint64_t checksums[BTRFS_PIECES];
} BtrfsPieces;

void btrfs_pieces_choose(const EngineJob *job, BtrfsPieces *pieces);

/* Asks for all of them from the disk, in place of what the page cache holds. */
void btrfs_pieces_ask(const BtrfsPieces *pieces, const EngineJob *job, int fd);

/* Reads what was asked for, and takes their checksums. Afterwards the page cache is what it was (cached); what lies in front of kept stays there, too.
 * Returns 0 or -errno. */
int btrfs_pieces_read(BtrfsPieces *pieces, const EngineJob *job, int fd, const CacheNote *cached,
                      uint64_t kept);
