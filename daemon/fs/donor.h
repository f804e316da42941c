/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The unnamed temporary file that holds the better layout. It never gets a name, nobody else can open it, and the file
 * system frees it when we close it or die (log recovery frees it after a crash). */

#include <stddef.h>
#include <stdint.h>

#include "facts/extent_map.h"
#include "facts/file_facts.h"
#include "facts/file_id.h"
#include "fs/volume.h"

/* Makes one in the first of the parents that allows it (an immutable directory refuses), then in the root directory,
 * then in one of the root's own subdirectories. XFS and ext4 take its blocks from near the parent. Returns an O_RDWR | O_DIRECT descriptor or
 * -errno of the last try. */
int donor_create(const FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents);

/* Gives the empty donor what decides where and to whom blocks are charged: the target's extent size hint, no realtime or
 * DAX flag that a parent may have passed on, project 0 and root's group, so that nobody's quota notices. Returns 0 or
 * -errno. */
int donor_prepare(int donor_fd, const FileFacts *target);

/* Waits while the file system is frozen: for whoever is about to take a lease. One that is frozen a moment later keeps the lease as long
 * as lease-break-time allows. Returns 0 or -errno. */
int donor_wait_thawed(int donor_fd);

/* Sets the donor's size to donor_size_bytes and allocates exactly what map has allocated, shifted down by shift, in as
 * few runs as free space has room for. Nothing is written. *ret_runs: in how many runs it lies. Returns 0; DONOR_DIFFERS
 * when the allocator would not make the same map; -ENOSPC, -EDQUOT; -errno. */
#define DONOR_DIFFERS 1
int donor_reserve(int donor_fd, const ExtentMap *map, uint64_t shift, uint64_t donor_size_bytes,
                  uint32_t block_bytes, uint64_t *ret_runs);

/* Allocates again what map has behind eof (rounded up to a block, in the donor's offsets): setting the size frees it.
 * Returns 0 or -errno. */
int donor_reserve_tail(int donor_fd, const ExtentMap *map, uint64_t shift, uint64_t eof);
