/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What service/examine finds out about a volume, kept for one run and told to the person who waits. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/number.h"
#include "base/protection.h"
#include "base/units.h"
#include "service/examine.h"
#include "service/once_volume.h"

static void volume_stop(OnceVolume *volume, Outcome outcome, Reason reason, int error)
{
        volume->stopped = true;
        volume->outcome = outcome;
        volume->reason = reason;
        volume->error = error;
}

static void volume_log(const OnceVolume *volume, int level, const char *text, int error)
{
        _cleanup_free_ char *name = escape_text(volume->mount_path);

        report_hide_progress(volume->report);
        log_line(level, "%s: %s%s%s", name ? name : "volume", text, error != 0 ? ": " : "",
                 error != 0 ? strerror(error) : "");
}

/* A verdict holds for the whole volume, and is said where a person should know. */
static void volume_take_verdict(OnceVolume *volume, const VolumeVerdict *verdict)
{
        if (!verdict->stopped)
                return;
        report_hide_progress(volume->report);
        if (verdict->reason == FAILED_STOPPED && verdict->level != LOG_CRIT)
                once_breaker_tell(volume->breaker, volume->mount_path, volume->fs.uuid);
        else if (verdict->text)
                volume_log(volume, verdict->level, verdict->text, verdict->error);
        volume_stop(volume, verdict->outcome, verdict->reason, verdict->error);
}

int once_volume_new(dev_t device, const char *path, const MountTable *table, const Config *config,
                    const OnceOptions *options, const OnceBreaker *breaker, Report *report, OnceVolume **ret)
{
        OnceVolume *volume = calloc(1, sizeof(*volume));
        VolumeVerdict verdict;
        int r;

        if (!volume)
                return -ENOMEM;
        volume->device = device;
        volume->report = report;
        volume->breaker = breaker;
        r = volume_examine(device, table, config, &breaker->stops,
                           (options->dry_run ? 0 : EXAMINE_WRITE) | (options->all ? EXAMINE_UNASKED : 0),
                           path, &volume->mount_path, &volume->fs, &verdict);
        if (r < 0) {
                once_volume_free(volume);
                return r;
        }
        volume_take_verdict(volume, &verdict);
        if (!volume->stopped) {
                volume->config = config_for(config, volume->mount_path);
                volume->relocation =
                        volume_relocation_options(&volume->fs, volume->config, options->no_budget);
                volume->relocation.dry_run = options->dry_run;
                volume->relocation.cancel = options->cancel;
        }
        *ret = volume;
        return 0;
}

OnceVolume *once_volume_free(OnceVolume *volume)
{
        if (volume) {
                fs_volume_done(&volume->fs);
                candidate_list_done(&volume->list);
                inode_map_done(&volume->seen);
                inode_map_done(&volume->excluded);
                inode_map_done(&volume->named);
                free(volume->mount_path);
                free(volume);
        }
        return NULL;
}

void once_volume_recheck(OnceVolume *volume, const MountTable *table)
{
        const Mount *mount = mount_table_find(table, volume->device);

        if (volume->stopped || (mount && (mount->writable || !PROTECTED_BY(READ_ONLY))))
                return;
        volume_log(volume, LOG_NOTICE,
                   mount ? "now read-only, leaving the rest" : "unmounted, leaving the rest", 0);
        if (mount)
                volume_stop(volume, OUTCOME_SKIPPED, SKIP_READ_ONLY, 0);
        else
                volume_stop(volume, OUTCOME_FAILED, REASON_NONE, ENODEV);
}

void once_volume_learn(OnceVolume *volume, const RelocationResult *result)
{
        VolumeVerdict verdict;

        if (!volume->announced && volume->fs.engine && !volume->relocation.dry_run) {
                _cleanup_free_ char *name = escape_text(volume->mount_path);
                char guard[USEC_TEXT];

                report_hide_progress(volume->report);
                log_info("%s: engine %s, stamps %s within a clock tick, age guard %s",
                         name ? name : "volume", result->engine ? result->engine : "unknown",
                         volume->fs.has_distinct_stamps ? "distinct" : "not distinct",
                         format_usec(volume->fs.guard_nsec / NSEC_PER_USEC, guard));
                volume->announced = true;
        }
        if (!volume->stopped && volume_learn(&volume->fs, result, &verdict))
                volume_take_verdict(volume, &verdict);
}

bool once_volume_is_unsupported(const OnceVolume *volume)
{
        return volume->stopped && volume->outcome == OUTCOME_SKIPPED &&
               (volume->reason == SKIP_UNSUPPORTED_FILESYSTEM || volume->reason == SKIP_NO_ENGINE ||
                volume->reason == SKIP_CRASH_UNSAFE || volume->reason == SKIP_BIGALLOC ||
                volume->reason == SKIP_JOURNALLED_DATA || volume->reason == SKIP_INDIRECT_MAPPED);
}

ReportFile once_volume_report(const OnceVolume *volume, const char *path, FileId id)
{
        uint32_t unused;

        return (ReportFile){
                .path = path,
                .volume = volume->mount_path,
                .inode = id.inode,
                .outcome = volume->outcome,
                .reason = volume->reason,
                .error = volume->error,
                .named = inode_map_find(&volume->named, id, &unused),
        };
}

void once_volume_say(const OnceVolume *volume, const Candidate *candidate, const RelocationResult *result)
{
        ReportFile file = once_volume_report(volume, candidate->path, candidate->id);

        file.engine = result->engine;
        file.outcome = result->outcome;
        file.reason = result->reason;
        file.error = result->error;
        file.extents_before = result->runs_before;
        file.extents_after = result->runs_after;
        file.bytes_moved = result->bytes_moved;
        file.bytes_planned = result->bytes_planned;
        file.bytes_shared = result->bytes_shared;
        file.usec = result->usec;
        report_file(volume->report, &file);
}

void once_volume_say_unopened(const OnceVolume *volume, const Candidate *candidate, bool excluded)
{
        ReportFile file = once_volume_report(volume, candidate->path, candidate->id);

        if (excluded) {
                file.outcome = OUTCOME_SKIPPED;
                file.reason = SKIP_EXCLUDED;
                file.error = 0;
        }
        file.extents_before = file.extents_after = candidate->n_extents;
        report_file(volume->report, &file);
}
