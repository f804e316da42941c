/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service's sweep: an inventory of a whole volume in slices that hold nothing in between.
 *
 * Two passes over the inodes. The first collects regular files in several extents; the second opens
 * each directory by its identity and reads it, so that every candidate gets its parent, its name and, by every name
 * that it has, is held against Exclude=. Neither walks the tree, so both can stop at any inode (the second within a
 * directory, too) and go on later, also in another process. Memory is bounded: the best INVENTORY_MAX candidates are kept. Workers only. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "facts/config.h"
#include "fs/volume.h"
#include "work/candidate.h"

#define INVENTORY_MAX 4096

typedef enum InventoryPhase {
        INVENTORY_NONE,
        INVENTORY_FILES,
        INVENTORY_NAMES,
        INVENTORY_PHASE_MAX_
} InventoryPhase;

typedef struct InventoryItem {
        Candidate candidate; /* path is the path that was met first */
        char *name;          /* its last component in parent; owned; NULL until the second pass met it */
        bool excluded;
} InventoryItem;

typedef struct Inventory {
        InventoryPhase phase;
        InodeCursor cursor;         /* next inode */
        uint64_t offset;            /* NAMES: where in the directory at the cursor; 0: its beginning */
        uint32_t generation;        /* of that directory; 0: not known */
        uint64_t n_inodes, n_files; /* seen by the first pass of this process */
        uint64_t n_dropped;         /* worth looking at, but others are worth more */
        bool any_unreadable;  /* a directory could not be read: there may be names that nobody has seen */
        InventoryItem *items; /* owned; a heap by worth in the first pass, in the second sorted by inode */
        size_t n_items;
        bool is_sorted;
} Inventory;

/* Begins at phase FILES. */
void inventory_begin(Inventory *inventory);

/* Goes on where an earlier process was: phase, cursor and offset are its; its candidates are added by
 * inventory_add() before the first step. In phase NAMES those that it had found to be excluded must be left out:
 * their names are behind the cursor. */
void inventory_resume(Inventory *inventory, InventoryPhase phase, InodeCursor cursor, uint64_t offset);

/* Takes over candidate->path. In phase NAMES path and parent, where both are there, are a name that was met before;
 * in phase FILES the second pass finds them anew. Returns 0; -ENOMEM, then path stays the caller's. */
int inventory_add(Inventory *inventory, const Candidate *candidate);

/* One slice: opens the volume, works until deadline_usec (CLOCK_MONOTONIC) or *cancel, lets go of everything. At
 * least one batch or directory chunk is done. Returns 1 while there is more; 0 when the inventory is complete and
 * inventory_finish() may be called; -errno of trouble with the volume or for want of memory or descriptors: the
 * cursor stands where it got to, and a later step goes on there. A single damaged directory is no such trouble. */
int inventory_step(Inventory *inventory, const FsVolume *volume, const VolumeConfig *config,
                   uint64_t deadline_usec, const atomic_bool *cancel);

/* After the last step: takes out what is excluded and, where a pattern could be meant for anything of this volume,
 * what no name was found for: between two slices it may have been renamed into a directory that had been read.
 * Pure. */
void inventory_finish(Inventory *inventory, const FsVolume *volume, const VolumeConfig *config);
void inventory_done(Inventory *inventory);
