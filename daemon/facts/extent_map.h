/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Extent map of one file: where its bytes lie on the volume, and in how many runs.
 *
 * Source: FS_IOC_FIEMAP (Documentation/filesystems/fiemap.rst). All offsets and lengths are bytes. A run ends where
 * the next extent's physical start is not this one's end; holes do not count, nor does a change between written and
 * unwritten. Extents are sorted by logical offset and do not overlap. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Extent {
        uint64_t logical;
        uint64_t physical;
        uint64_t length;
        uint32_t encoded_bytes; /* of an encoded one: its length on the volume */
        uint8_t encoding;       /* how it is compressed, as the file system numbers it; 0: not at all */
        bool unwritten;         /* allocated, reads as zeros */
        bool shared;            /* also belongs to another file or to another place of this one */
        bool unplaced; /* not on the volume yet (delayed allocation) or not addressable: physical means nothing */
        bool partial; /* FileSystemType.map_tie(): one of several parts of one extent on the disk */
        bool tied;    /* the same: parts of one lie both before its end and behind it */
        bool stays;   /* the same: it could not be moved and be encoded as it is */
} Extent;

typedef struct ExtentMap {
        Extent *extents; /* owned */
        size_t n_extents;
        bool complete; /* false: the file goes on behind the last extent, max_extents was reached, or the answer did not go forward */
        bool goes_on; /* of btrfs_region_read(): behind the last extent, without a hole, there is one that the kernel would join with it */
        bool any_encoded; /* compressed or encrypted: such extents are unplaced until FileSystemType.map_decode() has found them */
} ExtentMap;

/* How an extent is encoded before that is known. */
#define EXTENT_ENCODED_SOMEHOW UINT8_MAX

/* What lies on the volume right behind it. */
static inline uint64_t extent_physical_end(const Extent *extent)
{
        return extent->physical + (extent->encoding ? extent->encoded_bytes : extent->length);
}

/* The most that one map may hold: 1,000,000 extents are 40 MB. A file with more is worked on from its start, and
 * what lies behind is seen once the beginning has been mended. */
#define EXTENT_MAP_MAX 1000000

/* Reads the map of [offset, offset + length) (UINT64_MAX: to the end, blocks behind EOF included), clipped to that
 * range. With sync the kernel first writes dirty data of the range back, so that nothing is unplaced; this takes as
 * long as the device needs. Returns 0; -EOPNOTSUPP where FIEMAP is missing; -EIO for an answer that makes no sense;
 * -errno. *ret is written only on 0 and is
 * released with extent_map_done(). Workers only. */
int extent_map_read(int fd, uint64_t offset, uint64_t length, bool sync, size_t max_extents, ExtentMap *ret);
void extent_map_done(ExtentMap *map);

/* Puts an extent behind the others; *room counts those that the list has room for, 0 for an empty map. Returns 0 or -ENOMEM. */
int extent_map_append(ExtentMap *map, size_t *room, const Extent *extent);

/* Both are pure. Unplaced extents count in neither. */
uint64_t extent_map_runs(const ExtentMap *map);
bool extent_map_any_unplaced(const ExtentMap *map);
