/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A run that a person started by hand may not be able to write below /var: then it stops itself, and says that nobody else knows. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/number.h"
#include "service/once_breaker.h"
#include "service/once_budget.h"
#include "service/privilege.h"

#define STATE_DIRECTORY "/var/lib/defragd"

void once_breaker_prepare(OnceBreaker *breaker, bool dry_run)
{
        breaker->directory = dry_run ? getenv("STATE_DIRECTORY") : once_budget_directory();
        /* Not there and not to be made: it is looked for all the same. */
        if (!breaker->directory)
                breaker->directory = STATE_DIRECTORY;
}

void once_breaker_begin(OnceBreaker *breaker, bool dry_run, bool is_kept)
{
        breaker->is_writable = is_kept || (!dry_run && privilege_keep_writable(breaker->directory) >= 0);
        stop_list_read(breaker->directory, &breaker->stops);
        if (breaker->stops.error == -ENOENT)
                breaker->stops.error = 0;
}

void once_breaker_done(OnceBreaker *breaker)
{
        stop_list_done(&breaker->stops);
}

void once_breaker_tell(const OnceBreaker *breaker, const char *mount_path, const char *uuid)
{
        _cleanup_free_ char *name = escape_text(mount_path);
        const char *why = "unknown";

        (void)stop_list_has(&breaker->stops, uuid, &why);
        if (breaker->stops.error != 0)
                log_error("%s: %s cannot be read (%s): nobody knows what the breaker has stopped, so "
                          "nothing is "
                          "moved",
                          name ? name : "volume", breaker->directory, strerror(-breaker->stops.error));
        else
                log_error("%s: stopped by the breaker: %s; nothing is moved on it until %s/" STOP_FILE_PREFIX
                          "%s is removed",
                          name ? name : "volume", why, breaker->directory, uuid);
}

static int store(const OnceBreaker *breaker, const StopReport *report)
{
        _cleanup_free_ char *text = NULL;
        int r;

        if (!breaker->is_writable)
                return -EROFS;
        r = stop_file_format(report, &text);
        return r < 0 ? r : stop_file_store(breaker->directory, report->uuid, text);
}

void once_breaker_trip(OnceBreaker *breaker, const FsVolume *fs, const Candidate *candidate,
                       const char *engine, const Trip *trip)
{
        const StopReport report = {
                .when_sec = (int64_t)(clock_realtime_nsec() / NSEC_PER_SEC),
                .uuid = fs->uuid,
                .volume = fs->mount_path,
                .path = candidate ? candidate->path : NULL,
                .engine = engine,
                .inode = candidate ? candidate->id.inode : 0,
                .trip = *trip,
        };
        _cleanup_free_ char *volume = escape_text(fs->mount_path), *seen = stop_seen(trip);
        _cleanup_free_ char *path = report.path ? escape_text(report.path) : NULL;
        int r;

        if (stop_list_find(&breaker->stops, fs->uuid))
                return;
        (void)stop_list_add(&breaker->stops, fs->uuid, seen);
        log_line(LOG_CRIT, "%s: STOPPED: %s at the step %s%s%s", volume ? volume : "volume",
                 seen ? seen : "unknown", trip->step ? trip->step : "unknown", path ? ": " : "",
                 path ? path : "");
        r = store(breaker, &report);
        if (r < 0)
                log_error("Cannot store that it is stopped in %s: %s; another run would not know",
                          breaker->directory, strerror(-r));
        else
                log_error("Nothing is moved on it until somebody has looked at it and removed "
                          "%s/" STOP_FILE_PREFIX "%s",
                          breaker->directory, fs->uuid);
}
