/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `defragd --once`: these files, directories and mount points, now, in this thread, until they are done. */

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "facts/config.h"

/* Exit status; 128 + signal after the summary when one asked us to stop. */
#define ONCE_DONE        0  /* everything moved, optimal or skipped by policy */
#define ONCE_FAILED      1  /* something failed */
#define ONCE_UNSUPPORTED 2  /* the only PATH is on a volume that we cannot work on */
#define ONCE_LATER       75 /* nothing failed, but something was changed, busy or without space */

typedef struct OnceOptions {
        /* No PATH: every mounted volume that the configuration enables. Nobody named them: DailyWrites= holds, and is shared with the
         * service. */
        bool all;
        bool dry_run;
        bool json;
        bool no_budget; /* MaxRate= and the low priority do not hold */
        bool verbose;
        const atomic_bool *cancel;           /* set by the signal handler */
        const volatile sig_atomic_t *signal; /* which one; 0 for none */
} OnceOptions;

/* Gives up privileges on the way, so nothing else can be done afterwards. Returns the exit status; says everything
 * itself. config outlives the call. */
int once_run(const OnceOptions *options, const Config *config, char *const paths[], size_t n_paths);
