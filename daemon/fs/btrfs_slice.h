/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Parts of a region that the btrfs engine hands to the kernel one after the other. Private to it. */

#include <stdbool.h>
#include <stdint.h>

#include "facts/extent_map.h"
#include "fs/engine.h"

/* Two slices are under way at a time: one is written while the next one is read and marked. A slice ends with the extent that makes it at least so
 * long; extents may have 128 MiB. Few long ones are taken together. */
#define BTRFS_SLICE_BYTES     MIB
#define BTRFS_SLICE_EXTENTS   16
#define BTRFS_SLICE_MAX_BYTES (8 * MIB)

/* Where free space is in pieces, the kernel would put each slice into the first piece that is as long. So there slices are marked until there is so
 * much, which gets one place, and then written one after the other; or, where they cannot be marked only, they have BTRFS_SLICE_MAX_BYTES. */
#define BTRFS_BATCH_BYTES (32 * MIB)

/* Compressed extents are written by chunks of this length (not those that the volume consists of) from the beginning of the slice, or from a hole, on.
 * Where a chunk would end within an extent the slice ends before it: what can be compressed by itself can be together, but half of it may be
 * another matter. */
#define BTRFS_CHUNK_BYTES (128 * KIB)

/* And slices of them are that long: who opens the file waits for one, and one processor compresses so much after the other. */
#define BTRFS_ENCODED_SLICE_BYTES (512 * KIB)

typedef struct BtrfsSlice {
        uint64_t offset, end;
        uint64_t written_bytes;
        uint64_t encoded_bytes; /* of these, what is compressed */
        uint64_t disk_bytes;    /* as long as they are on the disk */
        uint64_t shared_bytes;
        uint64_t n_runs;
        uint64_t physical, physical_end; /* where its first extent begins and its last one ends */
        uint8_t encoding;                /* of its first extent; with btrfs_slice_next() of all */
} BtrfsSlice;

/* Does one of least_bytes or more end here, with so much in it? Pure. */
bool btrfs_slice_is_full(uint64_t n_bytes, uint64_t n_extents, uint64_t least_bytes);

/* Would a kernel that moves no single extents move this one in part, if the slice began there? It does with one that has none next to it and begins in a
 * cluster with the one before, and ends in another. What has moved of it is used twice then. Pure. */
bool btrfs_slice_would_cut(const ExtentMap *map, size_t i, uint64_t slice_at);

/* What of a map lies from offset to end, which are the borders of extents. Pure. */
void btrfs_slice_count(const ExtentMap *map, uint64_t offset, uint64_t end, BtrfsSlice *ret);

/* The next slice of a map from this offset on, of least_bytes (BTRFS_SLICE_BYTES) or more: it ends with an extent, and before one that is encoded in
 * another way. What is compressed may make a shorter one (above), which ends at a hole, too. singles: extents that have none next to them are moved, too; else it is without holes, consists of
 * what the kernel moves, and does not end with an extent that would be cut: the clusters by which the kernel goes begin anew behind what it leaves, if that
 * reaches over the end of one. False at the end of the map. Pure. */
bool btrfs_slice_next(const ExtentMap *map, uint64_t offset, uint64_t least_bytes, bool singles,
                      BtrfsSlice *ret);

/* From where on does the end of a slice lie where it lay before, though the kernel was told to move all of it? singles: it moves extents that
 * have none next to them, too; else such a one at the end says nothing. slice->end: nowhere, as far as can be told. after: the map of the slice. Pure. */
uint64_t btrfs_slice_rest(const ExtentMap *before, const ExtentMap *after, const BtrfsSlice *slice,
                          bool singles);

/* What has become of a slice that was handed to the kernel. */
typedef struct BtrfsLook {
        /* From here on it was left: the kernel stops early (a signal, no room or no memory for a moment) without a word if it has moved anything. */
        uint64_t rest;
        uint64_t n_runs, physical, physical_end; /* of what has moved, as in BtrfsSlice */
        uint64_t n_runs_before;                  /* that it lay in */
        bool is_worse;                           /* it has come to lie in no fewer runs */
        bool has_grown; /* it is longer on the disk than before, or is not compressed any more, or is now */
} BtrfsLook;

/* When it is on the disk; slice as it was in the job's map. sync: waits for all of the file, the next slice included, where without the last of its extents
 * may not be to be seen yet. Returns 0, -EAGAIN, -errno as btrfs_slice_read(). */
int btrfs_slice_look(const EngineJob *job, const BtrfsSlice *slice, bool singles, bool sync, BtrfsLook *ret);

/* As it lies now. ret_map takes the map as well (released with extent_map_done()), or is NULL. Returns 0, -EAGAIN for one with too many
 * extents, -errno. */
int btrfs_slice_read(const EngineJob *job, uint64_t offset, uint64_t end, bool sync, BtrfsSlice *ret,
                     ExtentMap *ret_map);
