/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a restart must not lose, on its way into the ledger and back.
 *
 * A ledger in the middle of the work says that a sweep is wanted: if it is the last one, then nobody knows what was written
 * after it. Only a clean stop tells how it really is. Files that are still being written are not in it: the sweep at
 * the next start finds them. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "service/served.h"

/* What a kill -9 may cost: the issue of a queue that is half a minute old. Stored a little earlier, for the time that it takes. */
#define STORE_USEC       (20 * USEC_PER_SEC)
/* Where nothing can be stored, that is tried again now and then. */
#define STORE_RETRY_USEC (60 * USEC_PER_SEC)
/* A slice of a sweep is not waited for longer than that. */
#define SLICE_WAIT_USEC  (5 * USEC_PER_SEC)
/* With full queues they are a third of LEDGER_MAX_BYTES. */
#define ABSENT_MAX       32
/* Longer than any pause that the queue makes: the wall clock was set back. */
#define PAUSE_MAX_SEC    (7 * 86400)

static int64_t wall_sec(void)
{
        return (int64_t)(clock_realtime_nsec() / NSEC_PER_SEC);
}

/* --- into the ledger --- */

typedef struct Filling {
        LedgerVolume *volume;
        size_t n_room;
        uint64_t now_usec;
        int64_t now_sec;
        bool failed;
} Filling;

/* Takes nothing over. */
static void fill(Filling *filling, const LedgerFile *file, const char *name)
{
        LedgerVolume *volume = filling->volume;

        if (filling->failed || volume->n_files == filling->n_room) {
                filling->failed = true;
                return;
        }
        volume->files[volume->n_files] = *file;
        if (name) {
                volume->files[volume->n_files].name = strdup(name);
                if (!volume->files[volume->n_files].name) {
                        filling->failed = true;
                        return;
                }
        }
        volume->n_files++;
}

static void count_entry(const QueueEntry *entry, void *userdata)
{
        size_t *n = userdata;

        (void)entry;
        (*n)++;
}

static void fill_entry(const QueueEntry *entry, void *userdata)
{
        Filling *filling = userdata;
        const uint64_t due_usec = entry->not_before_usec;
        LedgerFile file = {
                .id = entry->id,
                .parent = entry->parent,
                .size_bytes = entry->size_bytes,
                .n_extents = entry->n_extents,
                .n_conflicts = entry->n_conflicts,
                /* One that was offered again while it cools down is waiting in all but name. */
                .state = entry->state == QUEUE_COOLING && !entry->offered_again ? QUEUE_COOLING
                                                                                : QUEUE_WAITING,
        };

        if (due_usec > filling->now_usec)
                file.not_before_sec =
                        filling->now_sec + 1 + (int64_t)((due_usec - filling->now_usec) / USEC_PER_SEC);
        fill(filling, &file, entry->name);
}

static void kept_done(LedgerVolume *kept)
{
        for (size_t i = 0; i < kept->n_files; i++)
                free(kept->files[i].name);
        free(kept->files);
}

/* Is there anything that only this process knows, or nobody? What was written and has not settled or not been looked at is behind the
 * place of the sweep as often as before it. */
static bool wants_sweep(const Manager *manager, const ServedVolume *volume)
{
        return volume->sweep_wanted || volume->disk->n_out > 0 || watch_table_n_files(manager->watched) > 0;
}

/* Returns 0 or -ENOMEM. */
static int volume_to_ledger(Manager *manager, ServedVolume *volume, bool final, LedgerVolume *ret)
{
        LedgerVolume kept = {
                .budget_day = volume->budget.day,
                .budget_charged_bytes = volume->budget.charged_bytes,
                .sweep_finished_sec = volume->sweep_finished_sec,
                .sweep_wanted = !final || wants_sweep(manager, volume),
        };
        Filling filling = {
                .volume = &kept,
                .now_usec = manager_now(manager),
                .now_sec = wall_sec(),
        };

        memcpy(kept.uuid, volume->uuid, sizeof(kept.uuid));
        queue_for_each(volume->queue, count_entry, &filling.n_room);
        if (volume->inventory && volume->sweep_phase == INVENTORY_FILES)
                filling.n_room += volume->inventory->n_items;
        kept.files = calloc(filling.n_room + 1, sizeof(*kept.files));
        if (!kept.files)
                return -ENOMEM;
        queue_for_each(volume->queue, fill_entry, &filling);
        /* What the sweep has found so far is of use only with the place that it has come to. */
        if (volume->inventory && volume->sweep_phase == INVENTORY_FILES) {
                kept.sweep_phase = INVENTORY_FILES;
                kept.sweep_cursor = volume->sweep_cursor;
                for (size_t i = 0; i < volume->inventory->n_items; i++) {
                        const Candidate *found = &volume->inventory->items[i].candidate;
                        const LedgerFile file = {
                                .id = found->id,
                                .size_bytes = found->size_bytes,
                                .n_extents = found->n_extents,
                                .state = LEDGER_FOUND,
                        };

                        fill(&filling, &file, NULL);
                }
        } else if (volume->sweep_running) {
                kept.sweep_wanted = true;
        }
        if (filling.failed) {
                kept_done(&kept);
                return -ENOMEM;
        }
        *ret = kept;
        return 0;
}

static LedgerVolume *ledger_find(const Ledger *ledger, const char *uuid)
{
        for (size_t i = 0; i < ledger->n_volumes; i++)
                if (strcmp(ledger->volumes[i].uuid, uuid) == 0)
                        return &ledger->volumes[i];
        return NULL;
}

/* Takes one out, and the others stay in their order: the caller owns what was in it. */
static LedgerVolume ledger_take(Ledger *ledger, LedgerVolume *volume)
{
        const LedgerVolume taken = *volume;
        const size_t n_behind = (size_t)(ledger->volumes + --ledger->n_volumes - volume);

        memmove(volume, volume + 1, n_behind * sizeof(*volume));
        return taken;
}

static void give_back_lump(ServedVolume *volume)
{
        budget_refund(&volume->budget, volume->prepaid_day, volume->prepaid_bytes);
        volume->prepaid_bytes = 0;
}

void manager_keep(Manager *manager, ServedVolume *volume)
{
        LedgerVolume *old = ledger_find(&manager->absent, volume->uuid), *grown;
        LedgerVolume kept;

        manager->ledger_dirty = true;
        /* A move that is still going on may spend the rest of its lump. */
        if (!file_id_is_set(volume->moving))
                give_back_lump(volume);
        if (volume_to_ledger(manager, volume, false, &kept) < 0)
                return;
        if (old) {
                LedgerVolume gone = ledger_take(&manager->absent, old);

                kept_done(&gone);
        }
        grown = reallocarray(manager->absent.volumes, manager->absent.n_volumes + 1, sizeof(*grown));
        if (!grown) {
                kept_done(&kept);
                return;
        }
        manager->absent.volumes = grown;
        /* So many volumes come and go at nobody's; the one that has been away longest is forgotten. */
        while (manager->absent.n_volumes >= ABSENT_MAX) {
                LedgerVolume gone = ledger_take(&manager->absent, grown);

                kept_done(&gone);
        }
        grown[manager->absent.n_volumes++] = kept;
}

int manager_store(Manager *manager, bool final)
{
        Ledger ledger = {0};
        size_t n_own = 0, n_bytes;
        char *text = NULL;
        int r = 0;

        for (const ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                n_own++;
        ledger.volumes = calloc(n_own + manager->absent.n_volumes + 1, sizeof(*ledger.volumes));
        if (!ledger.volumes) {
                manager->ledger_due_usec = manager_now(manager) + STORE_RETRY_USEC;
                return -ENOMEM;
        }
        n_own = 0;
        for (ServedVolume *volume = manager->volumes; volume && r >= 0; volume = volume->next) {
                if (volume->state != SERVED_WATCHED)
                        continue;
                if (final && !file_id_is_set(volume->moving))
                        give_back_lump(volume);
                r = volume_to_ledger(manager, volume, final, &ledger.volumes[n_own]);
                if (r >= 0)
                        n_own++;
        }
        if (r >= 0) {
                if (manager->absent.n_volumes > 0)
                        memcpy(&ledger.volumes[n_own], manager->absent.volumes,
                               manager->absent.n_volumes * sizeof(*ledger.volumes));
                ledger.n_volumes = n_own + manager->absent.n_volumes;
                r = ledger_format(&ledger, &text, &n_bytes);
        }
        if (r >= 0)
                r = writer_store_ledger(manager->writer, text, n_bytes, manager->sent_serial + 1);
        if (r >= 0) {
                manager->sent_serial++;
                manager->n_errands++;
                manager->ledger_dirty = false;
                manager->ledger_due_usec = 0;
        } else {
                manager->ledger_due_usec = manager_now(manager) + STORE_RETRY_USEC;
        }
        for (size_t i = 0; i < n_own; i++)
                kept_done(&ledger.volumes[i]);
        free(ledger.volumes);
        return r;
}

uint64_t manager_store_due(Manager *manager)
{
        const uint64_t now_usec = manager_now(manager);
        bool any_out = false;

        if (!manager->ledger_loaded)
                return UINT64_MAX;
        for (ServedVolume *volume = manager->volumes; volume; volume = volume->next) {
                if (volume->state != SERVED_WATCHED)
                        continue;
                any_out = any_out || (volume->sweep_running && !volume->inventory);
                if (queue_generation(volume->queue) != volume->queue_stored_generation) {
                        volume->queue_stored_generation = queue_generation(volume->queue);
                        manager->ledger_dirty = true;
                }
        }
        if (!manager->ledger_dirty)
                return UINT64_MAX;
        if (manager->ledger_due_usec == 0)
                manager->ledger_due_usec =
                        now_usec + (manager->ledger_failed ? STORE_RETRY_USEC : STORE_USEC);
        return any_out ? manager->ledger_due_usec + SLICE_WAIT_USEC : manager->ledger_due_usec;
}

void manager_on_stored(Manager *manager, const Reply *reply)
{
        if (reply->said < 0) {
                if (!manager->ledger_failed)
                        manager_say_not_stored(manager, -reply->said);
                manager->ledger_failed = true;
                manager->ledger_dirty = true;
                return;
        }
        manager->ledger_failed = false;
        manager->stored_serial = u64_max(manager->stored_serial, reply->serial);
}

/* --- and back --- */

void manager_on_ledger(Manager *manager, Reply *reply)
{
        manager->ledger_loaded = true;
        if (reply->said == 0) {
                manager->absent = *reply->ledger;
                *reply->ledger = (Ledger){0};
        } else if (reply->said != LEDGER_NONE) {
                manager->budgets_lost = true;
                manager->lost_day = manager_day();
                manager_say_set_aside(manager,
                                      reply->said < 0 ? strerror(-reply->said)
                                      : reply->text   ? reply->text
                                                      : "damaged",
                                      reply->said > 0);
        }
        manager_read_mounts(manager);
}

static void recall_file(ServedVolume *volume, LedgerFile *file, uint64_t now_usec, int64_t now_sec)
{
        int64_t pause_sec = file->not_before_sec - now_sec;
        QueueEntry entry = {
                .id = file->id,
                .parent = file->parent,
                .name = file->name,
                .size_bytes = file->size_bytes,
                .n_extents = file->n_extents,
                .n_conflicts = file->n_conflicts,
                .state = (QueueState)file->state,
                .not_before_usec = now_usec,
        };

        if (pause_sec > PAUSE_MAX_SEC)
                pause_sec = PAUSE_MAX_SEC;
        if (pause_sec > 0)
                entry.not_before_usec += (uint64_t)pause_sec * USEC_PER_SEC;
        if (queue_restore(volume->queue, &entry, now_usec) >= 0)
                file->name = NULL;
}

/* Goes on with the sweep that an earlier process had begun. */
static void recall_sweep(const Manager *manager, ServedVolume *volume, const LedgerVolume *kept)
{
        manager_begin_sweep(volume);
        if (!volume->inventory || kept->sweep_phase != INVENTORY_FILES)
                return;
        inventory_resume(volume->inventory, INVENTORY_FILES, kept->sweep_cursor, 0);
        volume->sweep_phase = INVENTORY_FILES;
        volume->sweep_cursor = kept->sweep_cursor;
        /* What was written since is known only if we were told all the time: one more, from the beginning. */
        volume->sweep_wanted = kept->sweep_wanted || !manager->group_inherited;
        for (size_t i = 0; i < kept->n_files; i++) {
                const Candidate candidate = {
                        .id = kept->files[i].id,
                        .size_bytes = kept->files[i].size_bytes,
                        .n_extents = kept->files[i].n_extents,
                };

                if (kept->files[i].state == LEDGER_FOUND && inventory_add(volume->inventory, &candidate) < 0)
                        return;
        }
}

void manager_recall(Manager *manager, ServedVolume *volume)
{
        LedgerVolume *known = ledger_find(&manager->absent, volume->uuid), kept;
        const uint64_t now_usec = manager_now(manager);
        const int64_t now_sec = wall_sec();

        if (!known) {
                if (manager->budgets_lost && manager->lost_day == manager_day())
                        budget_charge(&volume->budget, manager->lost_day, manager_daily_bytes(volume));
                return;
        }
        kept = ledger_take(&manager->absent, known);
        volume->budget = (DailyBudget){.day = kept.budget_day, .charged_bytes = kept.budget_charged_bytes};
        volume->sweep_finished_sec = kept.sweep_finished_sec;
        for (size_t i = 0; i < kept.n_files; i++)
                if (kept.files[i].state != LEDGER_FOUND)
                        recall_file(volume, &kept.files[i], now_usec, now_sec);
        recall_sweep(manager, volume, &kept);
        kept_done(&kept);
}
