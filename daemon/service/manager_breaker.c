/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Volumes that the breaker has stopped: when it does, and when a person says that all is well again.
 *
 * What stands is the files in the state directory. They are read before any volume is taken up, after a reload, and when
 * inotify tells that one has come or gone; an inotify descriptor is read without touching the file system that it watches. What
 * has tripped and is not stored yet counts as well. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "service/served.h"

/* Where a stop cannot be stored, or the files cannot be read, that is tried again now and then. */
#define RETRY_USEC (60 * USEC_PER_SEC)

struct PendingStop {
        PendingStop *next;
        char uuid[37];
        char *text; /* of the file; owned */
        bool is_out;
        bool is_told; /* that it cannot be stored */
        uint64_t due_usec;
};

/* --- reading them --- */

void manager_load_stops(Manager *manager)
{
        if (manager->stops_loading) {
                manager->stops_load_again = true;
                return;
        }
        if (writer_load_stops(manager->writer) < 0) {
                log_warning("Out of memory: the stop files are not read");
                return;
        }
        manager->stops_loading = true;
        manager->n_errands++;
}

/* What only we know of yet goes on counting. Returns false where memory is short: the list has an error then. */
static bool keep_pending(const StopList *old, StopList *fresh)
{
        bool kept = true;

        for (size_t i = 0; i < old->n_marks; i++)
                if (!old->marks[i].is_stored)
                        kept = stop_list_add(fresh, old->marks[i].uuid, old->marks[i].text) == 0 && kept;
        return kept;
}

void manager_on_stops(Manager *manager, Reply *reply)
{
        StopList fresh = TAKE(reply->stops, (StopList){0});

        manager->stops_loading = false;
        /* What could not be kept would be forgotten by reading again: then everything stays stopped. */
        manager->stops_due_usec = keep_pending(&manager->stops, &fresh) && fresh.error != 0
                                          ? manager_now(manager) + RETRY_USEC
                                          : UINT64_MAX;
        if (fresh.error != 0 && manager->stops.error == 0)
                log_error("The state directory cannot be read (%s): no volume is worked on",
                          strerror(-fresh.error));
        stop_list_done(&manager->stops);
        manager->stops = fresh;
        if (manager->stopping)
                return;
        for (ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (volume->state == SERVED_WATCHED && stop_list_has(&manager->stops, volume->uuid, NULL)) {
                        const VolumeVerdict verdict = volume_tripped(false, 0);

                        manager_stop_volume(manager, volume, &verdict);
                }
        /* Those that are not stopped any more are taken up anew. */
        if (manager->ledger_loaded)
                manager_read_mounts(manager);
        if (TAKE(manager->stops_load_again, false))
                manager_load_stops(manager);
}

static int on_state_directory(sd_event_source *source, const struct inotify_event *event, void *userdata)
{
        (void)source;
        /* Events without a name are about the directory itself, or about events that were lost. */
        if (event->len == 0 || strncmp(event->name, STOP_FILE_PREFIX, strlen(STOP_FILE_PREFIX)) == 0)
                manager_load_stops(userdata);
        return 0;
}

int manager_watch_stops(Manager *manager)
{
        char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
        int r;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", manager->state_fd);
        r = sd_event_add_inotify(manager->event, &manager->stops_source, path,
                                 IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
                                 on_state_directory, manager);
        if (r < 0)
                log_warning("Cannot watch the state directory (%s): that a stop file is gone is noticed at "
                            "a reload",
                            strerror(-r));
        return 0;
}

/* --- tripping --- */

static PendingStop *pending_new(const char *uuid, char *text)
{
        PendingStop *pending = calloc(1, sizeof(*pending));

        if (!pending) {
                free(text);
                return NULL;
        }
        (void)snprintf(pending->uuid, sizeof(pending->uuid), "%s", uuid);
        pending->text = text;
        return pending;
}

static PendingStop *pending_free(PendingStop *pending)
{
        if (pending)
                free(pending->text);
        free(pending);
        return NULL;
}

void manager_breaker_done(Manager *manager)
{
        while (manager->pending_stops) {
                PendingStop *pending = manager->pending_stops;

                manager->pending_stops = pending->next;
                pending_free(pending);
        }
        stop_list_done(&manager->stops);
}

static void pending_send(Manager *manager, PendingStop *pending)
{
        if (writer_store_stop(manager->writer, pending->uuid, pending->text) < 0) {
                pending->due_usec = manager_now(manager) + RETRY_USEC;
                return;
        }
        pending->is_out = true;
        manager->n_errands++;
}

uint64_t manager_breaker_due(Manager *manager)
{
        const uint64_t now_usec = manager_now(manager);
        uint64_t next_usec;

        if (manager->stops_due_usec <= now_usec) {
                manager->stops_due_usec = UINT64_MAX;
                manager_load_stops(manager);
        }
        next_usec = manager->stops_due_usec;
        for (PendingStop *pending = manager->pending_stops; pending; pending = pending->next) {
                if (!pending->is_out && pending->due_usec <= now_usec)
                        pending_send(manager, pending);
                if (!pending->is_out)
                        next_usec = u64_min(next_usec, pending->due_usec);
        }
        return next_usec;
}

void manager_on_stop_stored(Manager *manager, const Reply *reply)
{
        StopMark *mark = stop_list_find(&manager->stops, reply->uuid);

        for (PendingStop **at = &manager->pending_stops; *at; at = &(*at)->next) {
                PendingStop *pending = *at;

                if (strcmp(pending->uuid, reply->uuid) != 0)
                        continue;
                if (reply->said >= 0) {
                        *at = pending->next;
                        pending_free(pending);
                        if (mark)
                                mark->is_stored = true;
                        return;
                }
                if (!pending->is_told)
                        log_error("Cannot store that %s is stopped: %s; a restart would forget it",
                                  pending->uuid, strerror(-reply->said));
                pending->is_told = true;
                pending->is_out = false;
                pending->due_usec = manager_now(manager) + RETRY_USEC;
                return;
        }
}

static void remember(Manager *manager, const StopReport *report)
{
        _cleanup_free_ char *seen = stop_seen(&report->trip);
        PendingStop *pending;
        char *text;

        /* Where memory is short, list.error stops everything. */
        if (stop_list_add(&manager->stops, report->uuid, seen) < 0)
                return;
        if (stop_file_format(report, &text) < 0 || !(pending = pending_new(report->uuid, text))) {
                manager->stops.error = -ENOMEM;
                return;
        }
        pending->next = manager->pending_stops;
        manager->pending_stops = pending;
        pending_send(manager, pending);
}

void manager_trip(Manager *manager, ServedVolume *volume, const char *uuid, const Trip *trip,
                  const Candidate *candidate, const char *engine)
{
        const VolumeVerdict verdict = volume_tripped(true, trip->error);
        const StopReport report = {
                .when_sec = (int64_t)(clock_realtime_nsec() / NSEC_PER_SEC),
                .uuid = uuid,
                .volume = volume ? volume->mount_path : NULL,
                .path = candidate ? candidate->path : NULL,
                .engine = engine,
                .inode = candidate ? candidate->id.inode : 0,
                .trip = *trip,
        };

        if (!stop_list_find(&manager->stops, uuid)) {
                manager_say_tripped(manager, volume, &report);
                remember(manager, &report);
        }
        /* Mounted anew in the meantime, or taken up anew after a reload: the same file system under another serial number. */
        for (ServedVolume *other = manager->volumes; other; other = other->next)
                if (other == volume || strcmp(other->uuid, uuid) == 0)
                        manager_stop_volume(manager, other, &verdict);
}
