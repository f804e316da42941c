/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Numbers by inode and subvolume, 16 bytes a place: the files of a volume that a run has met already, and where they stand in a list.
 *
 * Written for this instead of taken from uthash, which costs 70 bytes and an allocation for each of what may be ten
 * million files. Nothing is ever taken out. Inode 0 does not exist. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts/file_id.h"

typedef struct InodePlace {
        uint64_t inode; /* 0: free */
        uint32_t subvolume;
        uint32_t value;
} InodePlace;

typedef struct InodeMap {
        InodePlace *places; /* owned */
        size_t n_places;    /* 0 or a power of two */
        size_t n_used;
} InodeMap;

/* The generation does not count. Returns 1 when the inode is new and now has value, 0 when it is there already (with the value it has), -ENOMEM. */
int inode_map_add(InodeMap *map, FileId id, uint32_t value);

/* True with *ret_value when it is there. */
bool inode_map_find(const InodeMap *map, FileId id, uint32_t *ret_value);

void inode_map_done(InodeMap *map);
