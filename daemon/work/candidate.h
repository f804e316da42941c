/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file that may be worth looking at, named by identity; and a bounded list of them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts/file_id.h"

typedef struct Candidate {
        FileId id;
        FileId parent;       /* a directory that holds it; not set when unknown */
        uint64_t size_bytes; /* when it was found */
        uint64_t n_extents;  /* when it was found; 0 when unknown */
        char *path;          /* owned; only to be shown and to be held against Exclude=; NULL when unknown */
} Candidate;

typedef struct CandidateList {
        Candidate *items;
        size_t n_items;
        size_t n_dropped; /* found, but the list was full: those with the fewest extents */
} CandidateList;

/* About 20 MB with paths. */
#define CANDIDATES_MAX 65536

/* Takes over item->path. A full list keeps the ones with more extents. Returns 0 or -ENOMEM. */
int candidate_list_add(CandidateList *list, const Candidate *item);
void candidate_list_done(CandidateList *list);

/* Takes out the items whose place in marked (one an item) is true. The others keep their order. */
void candidate_list_remove(CandidateList *list, const bool *marked);

/* Most extents for the least bytes first: extents per MiB, then inode number. */
void candidate_list_sort(CandidateList *list);
