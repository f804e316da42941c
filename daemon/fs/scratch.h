/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files that a probe tries on whatever an engine relies on. They never have a name. Private to the probes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/volume.h"

typedef struct Scratch {
        int named_fd;  /* as it was made: writes through it move the stamps */
        int target_fd; /* the same file, opened by its identity */
        int donor_fd;
} Scratch;

#define SCRATCH_NONE ((Scratch){-EBADF, -EBADF, -EBADF})

void scratch_done(Scratch *scratch);

/* Target and donor in one of the parents, each filled by fill, which gets a descriptor without O_DIRECT. Returns 0 or -errno. */
int scratch_make(const FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents,
                 int (*fill)(int fd, bool is_target), Scratch *ret);

/* Direct I/O from now on, or through the page cache. Returns 0 or -errno. */
int scratch_be_direct(int fd, bool direct);

/* All of it, there or back. Returns 0; -errno, so that a full volume is one; -EIO where the file ends before. */
int scratch_write(int fd, const void *content, size_t n_bytes, uint64_t offset);
int scratch_read(int fd, void *ret, size_t n_bytes, uint64_t offset);

/* A lease must be refused while a second descriptor is open, and granted when it is gone. Ends with target_fd as the only
 * descriptor. Returns 1; 0 for a wrong answer; -EOPNOTSUPP when leases are switched off; -errno. */
int scratch_lease_answers(Scratch *scratch);

/* Do changes in quick succession get distinct stamps when somebody looks in between? Writes content over the beginning of a file, by
 * write_fd, and looks by fd; sets has_distinct_stamps and guard_nsec. Returns 0 or -errno. */
int scratch_judge_stamps(FsVolume *volume, int write_fd, int fd, const void *content, size_t n_bytes);
