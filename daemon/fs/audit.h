/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A look at a region right after its commit: is it what was promised?
 *
 * Content (a sample of at most 1.5 MiB against the checksums of the copy), the map of holes, preallocated and written places, the
 * number of runs, size, times, mode, owner and flags. Engine-independent: it asks nothing of the engine and knows only what
 * the steps before the commit have left in the job. */

#include "decide/breaker.h"
#include "fs/engine.h"

/* After a commit that was ENGINE_DONE. First without a lease; only when something differs, once more under a read lease, which
 * keeps writers out for as long as three reads take. For that job->target_fd is closed: our own descriptor counts as a
 * writer. Returns AUDIT_SAME, AUDIT_DOUBTFUL (also when the look could not be taken), or AUDIT_WRONG with *ret_kind, and
 * *ret_error (positive; 0: it was no error). Workers only. */
AuditAnswer audit_region(EngineJob *job, TripKind *ret_kind, int *ret_error);
