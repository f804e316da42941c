/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* STATUS: one line for a person, without names of files, which systemctl shows to everybody. It has nothing in it that changes while
 * nothing happens, so that an idle service sends nothing. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/units.h"
#include "service/served.h"

#define STATUS_PAUSE_USEC (2 * USEC_PER_SEC)
/* Volumes that are named one by one; a message of 4 KiB or more is dropped. */
#define VOLUMES_NAMED     4

typedef struct Totals {
        ServedCounts counts;
        size_t n_watched, n_stopped, n_coming, n_waiting, n_ready;
        uint64_t newest_usec;
} Totals;

static Totals sum_up(const Manager *manager, uint64_t now_usec)
{
        Totals totals = {.counts = manager->gone};

        for (const ServedVolume *volume = manager->volumes; volume; volume = volume->next) {
                served_counts_add(&totals.counts, &volume->all);
                totals.n_watched += volume->state == SERVED_WATCHED;
                totals.n_stopped += volume->state == SERVED_STOPPED;
                totals.n_coming += volume->state == SERVED_LOCATING || volume->state == SERVED_ADDING;
                totals.n_waiting += queue_n_waiting(volume->queue);
                totals.n_ready += queue_n_ready(volume->queue, now_usec);
        }
        return totals;
}

static bool has_tripped(const ServedVolume *volume)
{
        return volume->state == SERVED_STOPPED && volume->verdict.reason == FAILED_STOPPED;
}

/* What one volume is at; nothing when there is nothing to say. */
static void say_volume(FILE *out, const Manager *manager, const ServedVolume *volume)
{
        char done[BYTES_TEXT], all[BYTES_TEXT];
        const char *why = "unknown";

        if (has_tripped(volume)) {
                (void)stop_list_has(&manager->stops, volume->uuid, &why);
                fprintf(out, "; %s: STOPPED by the breaker: %s", volume->shown_path, why);
                if (stop_list_find(&manager->stops, volume->uuid))
                        fprintf(out, "; to go on remove " STOP_FILE_PREFIX "%s", volume->uuid);
        } else if (volume->state == SERVED_STOPPED) {
                fprintf(out, "; %s: %s", volume->shown_path,
                        volume->verdict.text ? volume->verdict.text : reason_name(volume->verdict.reason));
        } else if (volume->disk && volume->disk->stuck_since_usec != 0) {
                fprintf(out, "; %s: no answer (frozen?), waiting", volume->shown_path);
        } else if (file_id_is_set(volume->moving)) {
                fprintf(out, "; %s: moving, %s of %s", volume->shown_path,
                        format_bytes(volume->moving_bytes, done),
                        format_bytes(volume->moving_total_bytes, all));
        } else if (volume->is_paced) {
                fprintf(out, "; %s: moving at MaxRate=", volume->shown_path);
        } else if (volume->hold != HOLD_NONE) {
                fprintf(out, "; %s: %s", volume->shown_path, hold_text(volume->hold));
        } else if (volume->sweep_running) {
                fprintf(out, "; %s: sweeping", volume->shown_path);
        }
}

static bool is_named(const ServedVolume *volume)
{
        return volume->state == SERVED_STOPPED || (volume->disk && volume->disk->stuck_since_usec != 0) ||
               file_id_is_set(volume->moving) || volume->is_paced || volume->hold != HOLD_NONE ||
               volume->sweep_running;
}

static void say_all(FILE *out, const Manager *manager, const Totals *totals)
{
        char moved[BYTES_TEXT];
        size_t n_named = 0;

        if (manager->stopping)
                fprintf(out, "Stopping. ");
        if (manager->n_mistakes > 0)
                fprintf(out, "%u mistake%s in the configuration%s. ", manager->n_mistakes,
                        manager->n_mistakes == 1 ? "" : "s",
                        manager->config->config.limits_broken ? ", nothing is moved" : "");
        if (manager->paused)
                fprintf(out, "Paused. ");
        if (!manager->ledger_loaded)
                fprintf(out, "Reading the ledger. ");
        else if (manager->ledger_failed)
                fprintf(out, "The ledger cannot be stored. ");
        if (manager->writer_stuck_since_usec != 0)
                fprintf(out, "The journal or the state directory does not answer. ");
        fprintf(out, "%zu volume%s watched, %zu file%s waiting", totals->n_watched,
                totals->n_watched == 1 ? "" : "s", totals->n_waiting, totals->n_waiting == 1 ? "" : "s");
        if (totals->n_coming > 0)
                fprintf(out, ", %zu volume%s being looked at", totals->n_coming,
                        totals->n_coming == 1 ? "" : "s");
        if (totals->counts.n_moved > 0)
                fprintf(out, "; %" PRIu64 " file%s moved: %s, %" PRIu64 " extents fewer",
                        totals->counts.n_moved, totals->counts.n_moved == 1 ? "" : "s",
                        format_bytes(totals->counts.bytes_moved, moved), totals->counts.n_runs_less);
        if (totals->counts.n_would_move > 0)
                fprintf(out, "; %" PRIu64 " would be moved", totals->counts.n_would_move);
        if (totals->counts.n_failed > 0)
                fprintf(out, "; %" PRIu64 " failed", totals->counts.n_failed);
        for (const ServedVolume *volume = manager->volumes; volume && n_named < VOLUMES_NAMED;
             volume = volume->next)
                if (is_named(volume)) {
                        say_volume(out, manager, volume);
                        n_named++;
                }
}

static const char *state_of(const Manager *manager)
{
        if (manager->stopping)
                return "stopping";
        if (manager->paused)
                return "paused";
        /* One is enough, whatever the others do: somebody has to act. */
        for (const ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (has_tripped(volume))
                        return "stopped";
        for (const ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (file_id_is_set(volume->moving) || volume->is_paced)
                        return "moving";
        for (const ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (volume->hold != HOLD_NONE)
                        return "held";
        return "idle";
}

/* Returns a new text, or NULL when memory is short. */
static char *compose(const Manager *manager, const Totals *totals)
{
        char *text = NULL;
        size_t n_bytes;
        FILE *out = open_memstream(&text, &n_bytes);

        if (!out)
                return NULL;
        fprintf(out, "STATUS=");
        say_all(out, manager, totals);
        fprintf(out,
                "\nX_DEFRAGD_QUEUED=%zu\nX_DEFRAGD_MOVED_FILES=%" PRIu64 "\nX_DEFRAGD_MOVED_BYTES=%" PRIu64
                "\nX_DEFRAGD_EXTENTS_REMOVED=%" PRIu64 "\nX_DEFRAGD_STATE=%s",
                totals->n_waiting, totals->counts.n_moved, totals->counts.bytes_moved,
                totals->counts.n_runs_less, state_of(manager));
        if (fclose(out) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

uint64_t manager_notify(Manager *manager)
{
        const uint64_t now_usec = manager_now(manager);
        const Totals totals = sum_up(manager, now_usec);
        _cleanup_free_ char *text = compose(manager, &totals);

        if (!text || (manager->status && strcmp(text, manager->status) == 0))
                return UINT64_MAX;
        if (manager->status && now_usec < manager->status_sent_usec + STATUS_PAUSE_USEC &&
            !manager->stopping)
                return manager->status_sent_usec + STATUS_PAUSE_USEC;
        (void)sd_notify(0, text);
        free(manager->status);
        manager->status = TAKE_PTR(text);
        manager->status_sent_usec = now_usec;
        return UINT64_MAX;
}
