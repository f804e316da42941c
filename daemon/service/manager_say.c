/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the journal is told: one MESSAGE_ID for each kind of event, text for people, fields for programs. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/number.h"
#include "base/units.h"
#include "service/journal_ids.h"
#include "service/served.h"

/* Records of single files in an hour; what is above is counted and told with the hour's. */
#define FILE_RECORDS_MAX 1000

static void say(Manager *manager, Record *record)
{
        writer_record(manager->writer, record);
}

static Record *volume_record(const ServedVolume *volume, int level, const char *id, const char *text)
{
        Record *record = record_new(level, id, "%s: %s", volume->shown_path, text);

        record_add(record, "DEFRAGD_VOLUME", "%s", volume->shown_path);
        if (volume->uuid[0])
                record_add(record, "DEFRAGD_UUID", "%s", volume->uuid);
        return record;
}

/* "FILE:LINE: ...": the first ":", digits, ": ". */
static const char *find_place(const char *line)
{
        for (const char *colon = strchr(line, ':'); colon; colon = strchr(colon + 1, ':')) {
                const size_t n_digits = strspn(colon + 1, "0123456789");

                if (n_digits > 0 && strncmp(colon + 1 + n_digits, ": ", 2) == 0)
                        return colon;
        }
        return NULL;
}

static void say_mistake(Manager *manager, const char *line)
{
        Record *record = record_new(LOG_WARNING, JOURNAL_ID_CONFIG_MISTAKE, "%s", line);
        const char *place = find_place(line);

        if (place) {
                record_add(record, "CONFIG_FILE", "%.*s", (int)(place - line), line);
                record_add(record, "CONFIG_LINE", "%.*s", (int)strspn(place + 1, "0123456789"), place + 1);
        }
        say(manager, record);
}

void manager_say_mistakes(Manager *manager, const char *lines)
{
        _cleanup_free_ char *copy = strdup(lines ? lines : "");
        char *rest = copy, *line;

        while (copy && (line = strsep(&rest, "\n")))
                if (*line)
                        say_mistake(manager, line);
}

void manager_say_loaded(Manager *manager, const char *what)
{
        say(manager, record_new(LOG_INFO, JOURNAL_ID_CONFIG_LOADED, "%s", what));
}

void manager_say_paused(Manager *manager)
{
        say(manager, record_new(LOG_NOTICE, JOURNAL_ID_PAUSED, "%s",
                                manager->paused ? "Paused: nothing is moved until SIGUSR2 or a restart"
                                                : "Going on"));
}

void manager_say_watched(Manager *manager, const ServedVolume *volume)
{
        _cleanup_free_ char *text = NULL;

        if (volume->watch_error < 0) {
                if (asprintf(&text, "cannot be watched (%s), looking at it every SweepSec= only",
                             strerror(-volume->watch_error)) < 0)
                        text = NULL;
                say(manager, volume_record(volume, LOG_WARNING, JOURNAL_ID_VOLUME_WATCHED,
                                           text ? text : "cannot be watched"));
                return;
        }
        say(manager, volume_record(volume, LOG_INFO, JOURNAL_ID_VOLUME_WATCHED,
                                   volume->settings->enabled == ENABLED_OBSERVE ? "watching, moving nothing"
                                                                                : "watching"));
}

void manager_say_engine(Manager *manager, const ServedVolume *volume, const Reply *reply)
{
        char guard[USEC_TEXT];
        Record *record =
                record_new(LOG_INFO, NULL, "%s: engine %s, stamps %s within a clock tick, age guard %s",
                           volume->shown_path, reply->result.engine ? reply->result.engine : "unknown",
                           reply->has_distinct_stamps ? "distinct" : "not distinct",
                           format_usec(reply->guard_usec, guard));

        record_add(record, "DEFRAGD_VOLUME", "%s", volume->shown_path);
        say(manager, record);
}

static void add_stop_file(const Manager *manager, Record *record, const char *uuid)
{
        record_add(record, "DEFRAGD_STOP_FILE", "%s/" STOP_FILE_PREFIX "%s", manager->state_directory, uuid);
}

static void say_still_tripped(Manager *manager, const ServedVolume *volume)
{
        _cleanup_free_ char *text = NULL;
        const char *why = "unknown";
        Record *record;
        int n;

        (void)stop_list_has(&manager->stops, volume->uuid, &why);
        if (!stop_list_find(&manager->stops, volume->uuid))
                n = asprintf(&text, "stopped by the breaker: %s; nothing is moved on it until it can be",
                             why);
        else
                n = asprintf(&text,
                             "stopped by the breaker: %s; nothing is moved on it until %s/" STOP_FILE_PREFIX
                             "%s is removed",
                             why, manager->state_directory, volume->uuid);
        if (n < 0)
                text = NULL;
        record = volume_record(volume, LOG_ERR, JOURNAL_ID_VOLUME_STOPPED,
                               text ? text : "stopped by the breaker");
        record_add(record, "DEFRAGD_OUTCOME", "%s", outcome_name(OUTCOME_FAILED));
        record_add(record, "DEFRAGD_REASON", "%s", why);
        if (stop_list_find(&manager->stops, volume->uuid))
                add_stop_file(manager, record, volume->uuid);
        say(manager, record);
}

void manager_say_tripped(Manager *manager, const ServedVolume *volume, const StopReport *report)
{
        _cleanup_free_ char *seen = stop_seen(&report->trip);
        _cleanup_free_ char *path = report->path ? escape_text(report->path) : NULL;
        const char *name = volume ? volume->shown_path : report->uuid;
        char inode[sizeof(", inode ") + 20] = "", region[sizeof(" ( bytes from )") + 2 * 20] = "";
        Record *record;

        if (report->inode != 0)
                (void)snprintf(inode, sizeof(inode), ", inode %" PRIu64, report->inode);
        if (report->trip.length != 0)
                (void)snprintf(region, sizeof(region), " (%" PRIu64 " bytes from %" PRIu64 ")",
                               report->trip.length, report->trip.offset);
        record = record_new(
                LOG_CRIT, JOURNAL_ID_VOLUME_TRIPPED,
                "%s: STOPPED: %s at the step %s%s%s%s%s; nothing is moved on it until somebody has "
                "looked at it and removed %s/" STOP_FILE_PREFIX "%s",
                name, seen ? seen : "unknown", report->trip.step ? report->trip.step : "unknown", inode,
                path ? ", " : "", path ? path : "", region, manager->state_directory, report->uuid);
        record_add(record, "DEFRAGD_VOLUME", "%s", name);
        record_add(record, "DEFRAGD_UUID", "%s", report->uuid);
        record_add(record, "DEFRAGD_REASON", "%s", seen ? seen : "unknown");
        record_add(record, "DEFRAGD_STEP", "%s", report->trip.step ? report->trip.step : "");
        record_add(record, "DEFRAGD_ENGINE", "%s", report->engine ? report->engine : "");
        if (report->inode != 0)
                record_add(record, "DEFRAGD_INODE", "%" PRIu64, report->inode);
        if (path)
                record_add(record, "DEFRAGD_PATH", "%s", path);
        if (report->trip.length != 0)
                record_add(record, "DEFRAGD_REGION", "%" PRIu64 "+%" PRIu64, report->trip.offset,
                           report->trip.length);
        if (report->trip.error != 0)
                record_add(record, "ERRNO", "%d", report->trip.error);
        add_stop_file(manager, record, report->uuid);
        say(manager, record);
}

void manager_say_stopped(Manager *manager, const ServedVolume *volume)
{
        const VolumeVerdict *verdict = &volume->verdict;
        _cleanup_free_ char *text = NULL;
        Record *record;

        if (verdict->level > log_max_level() && !verdict->text)
                return;
        if (verdict->reason == FAILED_STOPPED) {
                /* That it has tripped just now was said. */
                if (verdict->level != LOG_CRIT)
                        say_still_tripped(manager, volume);
                return;
        }
        if (asprintf(&text, "%s%s%s (%s%s%s)", verdict->text ? verdict->text : "left alone",
                     verdict->error != 0 ? ": " : "", verdict->error != 0 ? strerror(verdict->error) : "",
                     outcome_name(verdict->outcome), verdict->reason != REASON_NONE ? ":" : "",
                     reason_name(verdict->reason)) < 0)
                text = NULL;
        record =
                volume_record(volume, verdict->level, JOURNAL_ID_VOLUME_STOPPED, text ? text : "left alone");
        record_add(record, "DEFRAGD_OUTCOME", "%s", outcome_name(verdict->outcome));
        record_add(record, "DEFRAGD_REASON", "%s",
                   verdict->error != 0 ? strerror(verdict->error) : reason_name(verdict->reason));
        if (verdict->error != 0)
                record_add(record, "ERRNO", "%d", verdict->error);
        say(manager, record);
}

void manager_say_hold(Manager *manager, const ServedVolume *volume)
{
        _cleanup_free_ char *text = NULL;
        Record *record;

        if (asprintf(&text, "nothing is moved for now: %s", hold_text(volume->hold)) < 0)
                text = NULL;
        record = volume_record(volume, LOG_INFO, JOURNAL_ID_VOLUME_HELD, text ? text : "held");
        record_add(record, "DEFRAGD_REASON", "%s", hold_text(volume->hold));
        say(manager, record);
}

/* Moved, failed: what people look for. Everything else a line for those who look closer. */
static int level_of(const RelocationResult *result, const char **ret_id)
{
        *ret_id = NULL;
        if (result->outcome == OUTCOME_MOVED) {
                *ret_id = JOURNAL_ID_FILE_MOVED;
                return LOG_INFO;
        }
        if (result->outcome == OUTCOME_FAILED) {
                *ret_id = JOURNAL_ID_FILE_FAILED;
                return LOG_WARNING;
        }
        return LOG_DEBUG;
}

void manager_say_file(Manager *manager, const ServedVolume *volume, const Reply *reply)
{
        const RelocationResult *result = &reply->result;
        _cleanup_free_ char *path = reply->candidate.path ? escape_text(reply->candidate.path) : NULL;
        char inode[sizeof("inode ") + 20], moved[BYTES_TEXT], took[USEC_TEXT];
        const char *id;
        const int level = level_of(result, &id);
        Record *record;

        if (level > log_max_level())
                return;
        if (id && manager->n_records_this_hour++ >= FILE_RECORDS_MAX) {
                manager_find_volume(manager, volume->serial)->hour.n_untold++;
                return;
        }
        (void)snprintf(inode, sizeof(inode), "inode %" PRIu64, reply->candidate.id.inode);
        if (result->outcome == OUTCOME_MOVED)
                record = record_new(
                        level, id, "%s: moved, %" PRIu64 " -> %" PRIu64 " extents, %s in %s by %s",
                        path ? path : inode, result->runs_before, result->runs_after,
                        format_bytes(result->bytes_moved, moved), format_usec(result->usec, took),
                        result->engine ? result->engine : "unknown");
        else
                record = record_new(level, id, "%s: %s%s%s%s%s", path ? path : inode,
                                    outcome_name(result->outcome), result->reason != REASON_NONE ? ":" : "",
                                    reason_name(result->reason), result->error != 0 ? ": " : "",
                                    result->error != 0 ? strerror(result->error) : "");
        record_add(record, "DEFRAGD_VOLUME", "%s", volume->shown_path);
        record_add(record, "DEFRAGD_INODE", "%" PRIu64, reply->candidate.id.inode);
        if (path)
                record_add(record, "DEFRAGD_PATH", "%s", path);
        record_add(record, "DEFRAGD_ENGINE", "%s", result->engine ? result->engine : "");
        record_add(record, "DEFRAGD_OUTCOME", "%s", outcome_name(result->outcome));
        record_add(record, "DEFRAGD_REASON", "%s",
                   result->error != 0 ? strerror(result->error) : reason_name(result->reason));
        record_add(record, "DEFRAGD_EXTENTS_BEFORE", "%" PRIu64, result->runs_before);
        record_add(record, "DEFRAGD_EXTENTS_AFTER", "%" PRIu64, result->runs_after);
        record_add(record, "DEFRAGD_BYTES", "%" PRIu64, result->bytes_moved);
        record_add(record, "DEFRAGD_USEC", "%" PRIu64, result->usec);
        if (result->error != 0)
                record_add(record, "ERRNO", "%d", result->error);
        say(manager, record);
}

void manager_say_unsharing(Manager *manager, const ServedVolume *volume, const Reply *reply)
{
        _cleanup_free_ char *path = reply->candidate.path ? escape_text(reply->candidate.path) : NULL;
        char inode[sizeof("inode ") + 20], bytes[BYTES_TEXT];
        Record *record;

        (void)snprintf(inode, sizeof(inode), "inode %" PRIu64, reply->candidate.id.inode);
        record = record_new(LOG_NOTICE, JOURNAL_ID_FILE_UNSHARING,
                            "%s: moving it takes up to %s of space that it shares so far",
                            path ? path : inode, format_bytes(reply->result.bytes_shared, bytes));
        record_add(record, "DEFRAGD_VOLUME", "%s", volume->shown_path);
        record_add(record, "DEFRAGD_INODE", "%" PRIu64, reply->candidate.id.inode);
        if (path)
                record_add(record, "DEFRAGD_PATH", "%s", path);
        record_add(record, "DEFRAGD_BYTES", "%" PRIu64, reply->result.bytes_shared);
        say(manager, record);
}

void manager_say_swept(Manager *manager, const ServedVolume *volume, const Inventory *inventory)
{
        Record *record = record_new(LOG_INFO, JOURNAL_ID_SWEEP_FINISHED,
                                    "%s: swept, %zu of %" PRIu64 " files are worth looking at",
                                    volume->shown_path, inventory->n_items, inventory->n_files);

        record_add(record, "DEFRAGD_VOLUME", "%s", volume->shown_path);
        say(manager, record);
}

void manager_say_lost(Manager *manager)
{
        say(manager, record_new(LOG_INFO, JOURNAL_ID_EVENTS_LOST,
                                "More was written than events could tell; sweeping all volumes to find it"));
}

static const char *disk_name(const Manager *manager, const ServedDisk *disk)
{
        for (const ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (volume->disk == disk && (disk->busy_volume == 0 || disk->busy_volume == volume->serial))
                        return volume->shown_path;
        return "a disk";
}

void manager_say_stuck(Manager *manager, const ServedDisk *disk, uint64_t usec)
{
        const char *name = disk ? disk_name(manager, disk) : "the journal or the state directory";
        char span[USEC_TEXT];
        Record *record =
                record_new(LOG_WARNING, JOURNAL_ID_DISK_STUCK, "%s: no answer for %s (frozen?), waiting",
                           name, format_usec(usec, span));

        record_add(record, "DEFRAGD_VOLUME", "%s", name);
        say(manager, record);
}

void manager_say_answers(Manager *manager, const ServedDisk *disk, uint64_t usec)
{
        const char *name = disk ? disk_name(manager, disk) : "the journal or the state directory";
        char span[USEC_TEXT];
        Record *record = record_new(LOG_NOTICE, JOURNAL_ID_DISK_ANSWERS, "%s: answers again, after %s", name,
                                    format_usec(usec, span));

        record_add(record, "DEFRAGD_VOLUME", "%s", name);
        record_add(record, "DEFRAGD_USEC", "%" PRIu64, usec);
        say(manager, record);
}

void manager_say_set_aside(Manager *manager, const char *text, bool is_aside)
{
        _cleanup_free_ char *shown = escape_text(text);
        Record *record =
                record_new(LOG_WARNING, JOURNAL_ID_LEDGER_SET_ASIDE,
                           "The ledger cannot be used (%s): %stoday's DailyWrites= counts as used up",
                           shown ? shown : "damaged", is_aside ? "set aside, and " : "");

        record_add(record, "DEFRAGD_REASON", "%s", shown ? shown : "damaged");
        say(manager, record);
}

void manager_say_not_stored(Manager *manager, int error)
{
        Record *record =
                record_new(LOG_WARNING, JOURNAL_ID_LEDGER_NOT_STORED,
                           "Cannot store the ledger: %s; nothing is moved until it can be", strerror(error));

        record_add(record, "DEFRAGD_REASON", "%s", strerror(error));
        record_add(record, "ERRNO", "%d", error);
        say(manager, record);
}

static bool is_nothing(const ServedCounts *counts)
{
        return counts->n_moved + counts->n_failed + counts->n_later + counts->n_skipped +
                       counts->n_would_move ==
               0;
}

void manager_say_hour_of(Manager *manager, ServedVolume *volume)
{
        const ServedCounts *hour = &volume->hour;
        char moved[BYTES_TEXT];
        Record *record;

        if (is_nothing(hour))
                return;
        record = record_new(LOG_INFO, JOURNAL_ID_VOLUME_HOURLY,
                            "%s: %" PRIu64 " moved (%s, %" PRIu64 " extents fewer), %" PRIu64
                            " later, %" PRIu64 " skipped, %" PRIu64 " failed",
                            volume->shown_path, hour->n_moved, format_bytes(hour->bytes_moved, moved),
                            hour->n_runs_less, hour->n_later, hour->n_skipped, hour->n_failed);
        record_add(record, "DEFRAGD_VOLUME", "%s", volume->shown_path);
        record_add(record, "DEFRAGD_BYTES", "%" PRIu64, hour->bytes_moved);
        record_add(record, "DEFRAGD_WOULD_MOVE", "%" PRIu64, hour->n_would_move);
        record_add(record, "DEFRAGD_UNTOLD", "%" PRIu64, hour->n_untold);
        say(manager, record);
        volume->hour = (ServedCounts){0};
}

void manager_say_hour(Manager *manager)
{
        for (ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                manager_say_hour_of(manager, volume);
        manager->n_records_this_hour = 0;
}
