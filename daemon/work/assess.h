/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One look at one file: may it be moved, how does it lie, what would be worth moving? Nothing is opened for writing. */

#include <stdbool.h>

#include "decide/plan.h"
#include "decide/policy.h"
#include "facts/file_facts.h"
#include "fs/engine.h"
#include "fs/volume.h"

typedef struct Assessment {
        FileFacts facts;
        Plan plan;     /* owned */
        Reason reason; /* of ASSESS_SKIP */
} Assessment;

/* Positive results. */
#define ASSESS_OPTIMAL 1 /* the plan is empty */
#define ASSESS_SKIP    2 /* policy or safety forbids it */

/* A region that is moved in slices holds no lock for longer when it is longer, and lies in fewer pieces; but all of it is reserved, and the
 * volume is held for all of it: at most max_sliced_bytes, and no more than an eighth of the free space. Workers only. */
void assess_widen(const FsVolume *volume, int root_fd, const Engine *engine, uint64_t max_sliced_bytes,
                  PlanLimits *limits);

/* What an error (-errno) of reaching the volume or opening the file read-only means: "failed" where it means no more than that. */
Outcome assess_error(int error, Reason *ret);

/* The same of an error of the probe (0: a wrong answer). SKIP_NO_ENGINE and the like hold for all of the volume, so what passes is "failed". */
Outcome assess_probe_error(int error, Reason *ret);

/* The runs that a file lies in up to size_bytes, without the lock. Returns 0; 1 when they cannot be counted now; -errno of the file. *ret
 * is written only on 0. Workers only. */
int assess_runs(const FsVolume *volume, FileId id, uint64_t size_bytes, uint64_t *ret);

/* limits: block_bytes and unit_bytes are set from the volume and the file. engine: what the plan is for. dry_run: nothing follows; else dirty
 * data without a place on the volume is written back first, so that it can be planned for, and an engine that finds swap space itself is left
 * to. Returns 0 with a plan that moves something, ASSESS_*, or
 * -errno: -EWOULDBLOCK while somebody holds a lease, -ESTALE when the file is gone, -EFBIG for more extents than a whole-file
 * engine can take. *ret is written unless negative and released with assessment_done(). Workers only. */
int assess_file(const FsVolume *volume, int root_fd, FileId id, const Engine *engine, PlanLimits *limits,
                const Policy *policy, bool dry_run, Assessment *ret);
void assessment_done(Assessment *assessment);
