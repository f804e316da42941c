/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two XFS engines differ in: how freshness is sampled and how the kernel is asked to commit.
 *
 * Private to fs/: the engines and the probe, which must try exactly what the engines will do. */

#include <stdint.h>

#include "fs/engine.h"

typedef struct XfsCommit {
        const Engine *engine;
        /* Fills job->cookie from job->target_fd. Returns 0, ENGINE_CHANGED when the cookie is not of job->sampled's
         * moment, or -errno. */
        int (*take_cookie)(EngineJob *job);
        /* Exchanges job->region between target and donor if nothing changed since the cookie. Returns 0 or -errno as
         * the kernel gave it; -EBUSY is its refusal. */
        int (*exchange)(const EngineJob *job);
} XfsCommit;

extern const XfsCommit xfs_commit_exchange;
extern const XfsCommit xfs_commit_swapext;
