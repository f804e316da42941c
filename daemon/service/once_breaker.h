/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The breaker in a run of --once: what it has stopped is left alone, and what trips here is stopped for the service and for every
 * later run, too.
 *
 * The stop files lie in the state directory, as the service's do: $STATE_DIRECTORY, or /var/lib/defragd. The only thread there is. */

#include <stdbool.h>

#include "fs/volume.h"
#include "work/candidate.h"
#include "work/stop_file.h"

typedef struct OnceBreaker {
        const char *directory;
        bool is_writable; /* in our own namespace */
        StopList stops;
} OnceBreaker;

/* Before the process goes into its own namespace: the state directory is made where it is missing, unless dry_run. */
void once_breaker_prepare(OnceBreaker *breaker, bool dry_run);
/* After that: keeps the directory writable, unless dry_run or somebody has done so (is_kept), and reads the stop files. Where there is
 * no state directory nothing was ever stopped. */
void once_breaker_begin(OnceBreaker *breaker, bool dry_run, bool is_kept);
void once_breaker_done(OnceBreaker *breaker);

/* Says that the volume is left alone, and how that ends. mount_path may be NULL. */
void once_breaker_tell(const OnceBreaker *breaker, const char *mount_path, const char *uuid);

/* It has tripped: says so, and stores it where that can be. candidate: NULL where it was no file; engine may be NULL. */
void once_breaker_trip(OnceBreaker *breaker, const FsVolume *fs, const Candidate *candidate,
                       const char *engine, const Trip *trip);
