/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which parts of a file are worth moving, what that would gain and what it would cost. Pure.
 *
 * A plan is a list of regions, ascending and apart from each other. Each begins at the first byte and ends at the last
 * byte (block, at EOF) of allocated extents of the file; in between lie only bad runs, and holes that stay holes.
 * Good runs stay where they are, but for those that move with other parts of the same extent: parts of one extent on the disk
 * move together or not at all. Shared extents are walls: no region contains or crosses one, unless the limits allow to
 * unshare; then the plan says how many bytes of space that takes. Nothing behind EOF is planned. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts/extent_map.h"

typedef struct PlanLimits {
        uint64_t block_bytes; /* regions begin and end on it, but for the end at EOF */
        uint64_t unit_bytes;  /* smallest movable unit: the extent size hint, else block_bytes */
        uint64_t
                max_region_bytes; /* most allocated bytes in a region (a run longer than that is good anyway) */
        uint64_t max_tied_bytes; /* the same of what cannot be parted, if that is more */
        uint32_t
                max_region_runs; /* most runs in a region: bounds how long the commit holds the file's locks */
        uint64_t bytes_per_run; /* exchange rate: removing one run is worth moving this many bytes, no more.
                                      * A run at least this long is good. */
        uint64_t min_runs;      /* a file with fewer runs is left alone */
        bool unshare;           /* shared extents may move: as many bytes of space are used up for good */
        bool whole_file;        /* the engine can only move everything at once: one region or none */
} PlanLimits;

typedef struct Region {
        uint64_t offset; /* bytes, a multiple of block_bytes */
        uint64_t length; /* span in bytes, holes included; ends at most at EOF, rounded up to a block */
        uint64_t bytes;  /* allocated bytes within: what has to be reserved */
        uint64_t written_bytes; /* of these, what has to be copied */
        uint64_t
                shared_bytes; /* of these, what is shared so far: more space used afterwards; 0 without limits.unshare */
        uint32_t n_runs; /* before */
        uint32_t gain;   /* runs that the file has fewer if the region becomes one run; at least 1 */
} Region;

typedef struct Plan {
        Region *regions; /* owned */
        size_t n_regions;
        uint64_t runs_before;     /* of the whole map, behind EOF excluded */
        uint64_t runs_after;      /* if every region becomes one run */
        uint64_t bytes;           /* sum over the regions */
        uint64_t shared_bytes;    /* sum over the regions */
        bool blocked_by_sharing;  /* there are bad runs, and only walls kept them out of the plan */
        bool blocked_by_encoding; /* the same where these walls alone would not be why */
} Plan;

/* Returns 0 or -ENOMEM; *ret is written only on 0 and released with plan_done(). An empty plan means optimal. */
int plan_make(const ExtentMap *map, uint64_t size_bytes, const PlanLimits *limits, Plan *ret);
void plan_done(Plan *plan);

/* The benefit test that the plan is made with, to be asked again when the donor's real layout is known. */
bool plan_is_worth(const PlanLimits *limits, uint64_t gain, uint64_t bytes);

/* A run that long is not taken up again. */
uint64_t plan_good_bytes(const PlanLimits *limits);

/* What removing one run may cost on this kind of disk; the numbers' reasons are at the definition. */
uint64_t plan_bytes_per_run(bool rotational);

/* Longest region: longer runs gain nothing that can be measured, and a region is what a conflict or a stop costs. */
#define PLAN_REGION_BYTES (UINT64_C(64) << 20)
/* A commit costs 25 to 50 us a run under the file's locks: 2,000 runs stay near 100 ms. */
#define PLAN_REGION_RUNS  2000
/* Longest region that is moved in slices, where the budget is lifted; and most that may have to move together. Two of the longest extents of btrfs. */
#define PLAN_SLICED_BYTES (UINT64_C(256) << 20)
