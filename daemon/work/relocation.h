/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What becomes of one candidate, as a machine that is driven step by step.
 *
 * look (open, policy, map, plan) -> for each region: open, sample, reserve, copy, verify, commit, audit -> finish. The caller
 * owns the loop: a command calls step until the end, a worker thread may stop in between. Descriptors on the volume
 * exist only from the first step of a region to its last, never across RELOCATION_WAIT. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "decide/breaker.h"
#include "decide/outcome.h"
#include "decide/plan.h"
#include "decide/policy.h"
#include "fs/copy.h"
#include "fs/volume.h"
#include "work/candidate.h"

typedef struct RelocationOptions {
        Policy policy;
        PlanLimits limits;         /* block_bytes, unit_bytes and whole_file are set by the relocation */
        uint64_t reserve_bytes;    /* free space that must stay */
        uint64_t max_rate;         /* bytes a second or BYTES_INFINITY: waits between regions */
        uint64_t max_sliced_bytes; /* longest region of an engine that moves in slices; 0: as limits say */
        uint64_t max_bytes;        /* most bytes that may be moved of this file; BYTES_INFINITY: all */
        bool dry_run;              /* assess only: nothing is opened for writing */
        const atomic_bool *cancel;
} RelocationOptions;

typedef struct RelocationResult {
        Outcome outcome;
        Reason reason;
        int error;            /* errno of OUTCOME_FAILED, positive */
        const char *engine;   /* the one that was used or would have been */
        uint64_t runs_before; /* extents_before of the records */
        uint64_t runs_after;
        uint64_t bytes_moved;   /* committed */
        uint64_t bytes_spent;   /* of max_bytes: regions that were begun, committed or not */
        uint64_t bytes_planned; /* what the plan wanted to move at the first look */
        uint64_t
                bytes_shared; /* shared so far: the space that the moves take, those done included. Set when the first look is over;
                                 * grows before anything else is moved when a later look finds more */
        uint64_t
                owed_usec; /* what MaxRate= wants waited before anything else is moved, refused copies included */
        uint64_t usec;
        uint64_t size_bytes;
        Trip trip; /* kind TRIP_NONE, or why nothing more may be moved on the volume, whatever the outcome is */
} RelocationResult;

typedef struct Relocation Relocation;

typedef enum RelocationStep {
        RELOCATION_AGAIN,  /* call again at once */
        RELOCATION_REGION, /* the same, and a region was just committed: a good moment for news */
        RELOCATION_WAIT,   /* call again after *ret_wait_usec; nothing is held */
        RELOCATION_DONE,   /* the result stands */
} RelocationStep;

/* volume, copier, candidate and options are borrowed until relocation_free(). Returns 0 or -ENOMEM. */
int relocation_new(FsVolume *volume, Copier *copier, const Candidate *candidate,
                   const RelocationOptions *options, Relocation **ret);
Relocation *relocation_free(Relocation *relocation);

/* Never fails: what goes wrong is the result. ret_wait_usec is written on RELOCATION_WAIT alone. */
RelocationStep relocation_step(Relocation *relocation, uint64_t *ret_wait_usec);

/* Where the machine stands, for tests and for the progress line: "look", "open", "sample", "reserve", "copy", "verify", "commit",
 * "audit", "finish". The named step is the next to be taken. */
const char *relocation_stage(const Relocation *relocation);

const RelocationResult *relocation_result(const Relocation *relocation);
