/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inventory of a whole volume, inode by inode: no directory is read and no file opened to find the candidates; one pass over
 * the names afterwards tells what they are called and which Exclude= covers. Workers only. */

#include <stdatomic.h>
#include <stdint.h>

#include "fs/volume.h"
#include "work/candidate.h"

typedef struct SweepCounts {
        uint64_t n_inodes; /* seen, of every type */
        uint64_t n_files;  /* regular */
} SweepCounts;

/* Adds every regular file with at least min_bytes and two extents to *list, best first on return. Directories to
 * make donors in are remembered, a few an allocation group, and filled in as parent of files whose own directory the pass
 * over the names did not find. Returns 0; -ECANCELED once *cancel is true; -errno. */
int sweep_volume(const FsVolume *volume, int root_fd, uint64_t min_bytes, const atomic_bool *cancel,
                 CandidateList *list, SweepCounts *ret_counts);
