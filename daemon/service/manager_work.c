/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is done next on each disk: one slice of a sweep or one file at a time, volume by volume in turn.
 *
 * What a file may cost is charged to DailyWrites= before it is handed out, and handed out only when the ledger with the charge is on
 * stable storage. To be charged in lumps costs one ledger for many files; what is left of a lump at a clean stop is given
 * back, and lost in a crash: the budget is then smaller than it was meant to be, never larger. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/clock.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/power.h"
#include "service/served.h"

/* After ENOSPC: somebody has to make room, and that takes hours rather than minutes. */
#define SPACE_HOLD_USEC  (6 * 3600 * USEC_PER_SEC)
#define BLOCK_BYTES_MAX  (64 * KIB)
#define SHORT_PAUSE_USEC (600 * USEC_PER_SEC)
/* A move may take days at a low MaxRate=; a volume that was mounted meanwhile is looked at after so long at the latest. */
#define PATIENCE_USEC    (30 * USEC_PER_SEC)
/* A plug that is pulled in the meantime costs that much battery. */
#define BATTERY_USEC     (30 * USEC_PER_SEC)

int64_t manager_day(void)
{
        return clock_local().day;
}

/* --- budget --- */

uint64_t manager_daily_bytes(const ServedVolume *volume)
{
        return budget_daily_bytes(volume->settings->daily_writes_is_set, volume->settings->daily_writes,
                                  volume->rotational, volume->total_bytes);
}

/* What was charged yesterday is gone with yesterday. */
static void forget_old_lump(ServedVolume *volume, int64_t day)
{
        if (volume->prepaid_day != day) {
                volume->prepaid_bytes = 0;
                volume->prepaid_day = day;
        }
}

static void charge(Manager *manager, ServedVolume *volume, int64_t day, uint64_t n_bytes)
{
        budget_charge(&volume->budget, day, n_bytes);
        volume->prepaid_bytes += n_bytes;
        volume->prepaid_day = day;
        volume->prepaid_serial = manager->sent_serial + 1;
        if (manager_store(manager, false) < 0)
                manager->ledger_failed = true;
}

/* --- limits --- */

static void ask_battery(Manager *manager, uint64_t now_usec)
{
        if (manager->battery_asked_usec != 0 && now_usec - manager->battery_asked_usec < BATTERY_USEC)
                return;
        manager->battery_asked_usec = now_usec;
        /* What cannot be read is a machine without a battery. */
        if (power_on_battery("/sys", &manager->on_battery) < 0)
                manager->on_battery = false;
}

static Regulation regulate_volume(Manager *manager, ServedVolume *volume, const LocalTime *now,
                                  uint64_t now_usec)
{
        const VolumeConfig *settings = volume->settings;
        RegulateFacts facts = {
                .now_usec = now_usec,
                .paused = manager->paused,
                .limits_broken = manager->config->config.limits_broken,
                .hours = &settings->hours,
                .week_minute = now->week_minute,
                .minute_left_usec = now->minute_left_usec,
                .midnight_left_usec = now->midnight_left_usec,
                .may_on_battery = settings->on_battery,
                .space_until_usec = volume->space_until_usec,
                .ledger_failed = manager->ledger_failed,
                .moves_nothing = settings->enabled == ENABLED_OBSERVE,
        };

        if (!settings->on_battery) {
                ask_battery(manager, now_usec);
                facts.on_battery = manager->on_battery;
        }
        budget_redate(&volume->budget, now->day);
        forget_old_lump(volume, now->day);
        facts.budget_bytes = u64_add_saturate(
                volume->prepaid_bytes, budget_left(&volume->budget, now->day, manager_daily_bytes(volume)));
        return regulate(&facts);
}

/* --- moves --- */

/* The worker is free again. */
void manager_disk_is_free(ServedDisk *disk)
{
        disk->busy_volume = 0;
        if (disk->cancelled && !disk->ending) {
                disk->cancelled = false;
                worker_go_on(disk->worker);
        }
}

/* Back into the queue, not before again_usec. */
static void put_back(ServedVolume *volume, FileId id, uint64_t again_usec, uint64_t now_usec)
{
        queue_finish(volume->queue, id, OUTCOME_CANCELLED, CANCELLED_BUDGET, true, again_usec, now_usec);
}

static int send_move(ServedVolume *volume, const QueueEntry *entry, uint64_t max_bytes, uint64_t now_usec)
{
        Request *request = request_new(REQUEST_MOVE, volume->serial);

        if (!request) {
                put_back(volume, entry->id, now_usec + SHORT_PAUSE_USEC, now_usec);
                return -ENOMEM;
        }
        request->candidate = (Candidate){
                .id = entry->id,
                .parent = entry->parent,
                .size_bytes = entry->size_bytes,
                .n_extents = entry->n_extents,
        };
        request->names_checked = entry->names_checked;
        request->dry_run = volume->settings->enabled == ENABLED_OBSERVE;
        request->max_bytes = max_bytes;
        volume->moving = entry->id;
        volume->moving_bytes = 0;
        volume->moving_total_bytes = entry->size_bytes;
        volume->disk->busy_volume = volume->serial;
        volume->disk->last_volume = volume->serial;
        volume->disk->n_out++;
        worker_send(volume->disk->worker, request);
        return 0;
}

/* The most that a file of that size costs: whole blocks, and XFS has none that are larger. */
static uint64_t cost_of(uint64_t size_bytes)
{
        return u64_align_up(size_bytes, BLOCK_BYTES_MAX);
}

/* Hands out the best file, if the budget for it is there. Returns true when something was sent, else false with
 * *ret_next_usec saying when to try again. */
static bool try_move(Manager *manager, ServedVolume *volume, const LocalTime *now, uint64_t now_usec,
                     uint64_t *ret_next_usec)
{
        const uint64_t limit_bytes = manager_daily_bytes(volume);
        const bool is_free = limit_bytes == BYTES_INFINITY || volume->settings->enabled == ENABLED_OBSERVE;
        const QueueEntry *entry;
        uint64_t left_bytes, cost_bytes;

        *ret_next_usec = UINT64_MAX;
        /* The answer of the writer wakes us. */
        if (PROTECTED_BY(CHARGED_FIRST) && !is_free && volume->prepaid_serial > manager->stored_serial)
                return false;
        entry = queue_pop_best(volume->queue, now_usec);
        if (!entry) {
                *ret_next_usec = queue_next_usec(volume->queue, now_usec);
                return false;
        }
        if (watch_table_has(manager->watched, volume->fsid, entry->id)) {
                /* It has been written again since, and has not settled. */
                put_back(volume, entry->id, u64_add_saturate(now_usec, volume->settings->settle_usec),
                         now_usec);
                *ret_next_usec = now_usec;
                return false;
        }
        if (is_free)
                return send_move(volume, entry, BYTES_INFINITY, now_usec) >= 0;

        left_bytes = budget_left(&volume->budget, now->day, limit_bytes);
        cost_bytes = cost_of(entry->size_bytes);
        if (volume->prepaid_bytes < cost_bytes && left_bytes > 0) {
                put_back(volume, entry->id, now_usec, now_usec);
                charge(manager, volume, now->day,
                       budget_lump(cost_bytes - volume->prepaid_bytes, left_bytes, limit_bytes));
                return false;
        }
        return send_move(volume, entry, volume->prepaid_bytes, now_usec) >= 0;
}

void manager_on_looked(Manager *manager, Reply *reply)
{
        ServedVolume *volume = manager_find_volume(manager, reply->volume);
        const uint64_t now_usec = manager_now(manager);
        QueueEntry offer = {
                .id = reply->candidate.id,
                .parent = reply->candidate.parent,
                .size_bytes = reply->candidate.size_bytes,
                .n_extents = reply->candidate.n_extents,
                .not_before_usec = now_usec,
        };

        if (!volume || volume->state != SERVED_WATCHED)
                return;
        if (reply->verdict.stopped) {
                manager_stop_volume(manager, volume, &reply->verdict);
                return;
        }
        if (reply->said < 0) {
                const Trip trip = {
                        .kind = breaker_judge_error(-reply->said, false),
                        .error = -reply->said,
                        .step = "look",
                };

                if (trip.kind != TRIP_NONE)
                        manager_trip(manager, volume, volume->uuid, &trip, &reply->candidate, NULL);
        }
        if (reply->said <= 0)
                return;
        if (queue_offer(volume->queue, &offer, now_usec) < 0)
                volume->sweep_wanted = true;
}

static void count(ServedCounts *counts, const RelocationResult *result)
{
        counts->bytes_moved += result->bytes_moved;
        if (result->bytes_moved > 0 && result->runs_after < result->runs_before)
                counts->n_runs_less += result->runs_before - result->runs_after;
        switch (result->outcome) {
        case OUTCOME_MOVED:
                counts->n_moved++;
                break;
        case OUTCOME_FAILED:
                counts->n_failed++;
                break;
        case OUTCOME_CHANGED:
        case OUTCOME_BUSY:
        case OUTCOME_NO_SPACE:
        case OUTCOME_CANCELLED:
                counts->n_later++;
                break;
        case OUTCOME_SKIPPED:
                if (result->reason == SKIP_DRY_RUN)
                        counts->n_would_move++;
                else
                        counts->n_skipped++;
                break;
        case OUTCOME_OPTIMAL:
        case OUTCOME_MAX_:
                break;
        }
}

/* The budget ended it: when is it worth another try? */
static uint64_t after_budget(Manager *manager, ServedVolume *volume, const Reply *reply)
{
        const uint64_t now_usec = manager_now(manager);
        /* It may have grown since it was looked at. */
        const uint64_t size_bytes = u64_max(reply->candidate.size_bytes, reply->result.size_bytes);
        const LocalTime now = clock_local();

        queue_resize(volume->queue, reply->candidate.id, size_bytes);
        if (volume->prepaid_bytes < cost_of(size_bytes)) {
                if (budget_left(&volume->budget, now.day, manager_daily_bytes(volume)) > 0)
                        return now_usec;
                volume->short_day = now.day;
                return now_usec + now.midnight_left_usec;
        }
        /* It was enough, and nothing was done: whatever it is, it must not be tried over and over. */
        return reply->result.bytes_spent > 0 ? now_usec : now_usec + SHORT_PAUSE_USEC;
}

void manager_on_moved(Manager *manager, ServedDisk *disk, Reply *reply)
{
        ServedVolume *volume = manager_find_volume(manager, reply->volume);
        const RelocationResult *result = &reply->result;
        const uint64_t now_usec = manager_now(manager);
        uint64_t again_usec = now_usec;

        manager_disk_is_free(disk);
        /* Before anything else, and also for a volume that is here no more: its file system may come back. */
        if (result->trip.kind != TRIP_NONE && !volume)
                manager_trip(manager, NULL, reply->uuid, &result->trip, &reply->candidate, result->engine);
        if (!volume)
                return;
        volume->moving = (FileId){0};
        volume->prepaid_bytes -= u64_min(volume->prepaid_bytes, result->bytes_spent);
        if (result->outcome == OUTCOME_CANCELLED && result->reason == CANCELLED_BUDGET)
                again_usec = after_budget(manager, volume, reply);
        /* Where the disk was taken away, no file is to blame: it has its turn as soon as the disk is back. */
        if (reply->verdict.stopped && reply->verdict.error == ENODEV)
                put_back(volume, reply->candidate.id, now_usec, now_usec);
        else
                queue_finish(volume->queue, reply->candidate.id, result->outcome, result->reason,
                             volume->settings->busy_files, again_usec, now_usec);
        volume->not_before_usec = u64_add_saturate(now_usec, result->owed_usec);
        manager->ledger_dirty = true;
        if (manager->hour_start_usec == 0)
                manager->hour_start_usec = now_usec;
        count(&volume->hour, result);
        count(&volume->all, result);
        if (reply->guard_usec > 0 && !volume->announced) {
                manager_say_engine(manager, volume, reply);
                volume->announced = true;
        }
        manager_say_file(manager, volume, reply);
        if (!reply->verdict.stopped)
                return;
        if (result->trip.kind != TRIP_NONE)
                manager_trip(manager, volume, volume->uuid, &result->trip, &reply->candidate,
                             result->engine);
        else if (reply->verdict.outcome == OUTCOME_NO_SPACE)
                volume->space_until_usec = u64_add_saturate(now_usec, SPACE_HOLD_USEC);
        else
                manager_stop_volume(manager, volume, &reply->verdict);
}

/* --- whose turn it is --- */

/* Returns when to look at the volume again; *ret_sent: its worker has something to do now. */
static uint64_t attend_volume(Manager *manager, ServedVolume *volume, const LocalTime *now,
                              uint64_t now_usec, bool *ret_sent)
{
        uint64_t next_usec = UINT64_MAX, other_usec;
        const bool has_ready = queue_n_ready(volume->queue, now_usec) > 0;
        const bool is_short = volume->short_day == now->day && queue_n_waiting(volume->queue) > 0;
        Regulation regulation = {HOLD_NONE, now_usec};

        *ret_sent = false;
        volume->is_paced = false;
        if (manager_has_left_out(volume, now_usec))
                volume->sweep_wanted = true;
        if (volume->sweep_wanted)
                volume->sweep_due_usec = u64_min(volume->sweep_due_usec, volume->sweep_again_usec);
        if (!volume->sweep_running && now_usec >= volume->sweep_due_usec)
                manager_begin_sweep(volume);
        if (has_ready || volume->inventory)
                regulation = regulate_volume(manager, volume, now, now_usec);
        volume->hold = !has_ready && is_short ? HOLD_BUDGET : regulation.hold;
        if (volume->hold != volume->told_hold && (has_ready || is_short || volume->hold == HOLD_NONE)) {
                if (volume->hold != HOLD_NONE)
                        manager_say_hold(manager, volume);
                volume->told_hold = volume->hold;
        }

        if (!volume->sweep_running) {
                /* Due, and not begun: memory is short. */
                next_usec = volume->sweep_due_usec > now_usec ? volume->sweep_due_usec
                                                              : now_usec + SHORT_PAUSE_USEC;
        } else if (!volume->inventory) {
                /* The worker has it, and its answer wakes us. */
        } else if (!hold_lets_sweep(regulation.hold)) {
                next_usec = regulation.until_usec;
        } else if (now_usec < volume->slice_due_usec) {
                next_usec = volume->slice_due_usec;
        } else if (manager_send_slice(volume, now_usec) >= 0) {
                *ret_sent = true;
                return UINT64_MAX;
        }

        if (!has_ready)
                return u64_min(next_usec, queue_next_usec(volume->queue, now_usec));
        if (regulation.hold != HOLD_NONE)
                return u64_min(next_usec, regulation.until_usec);
        volume->is_paced = now_usec < volume->not_before_usec;
        if (volume->is_paced)
                return u64_min(next_usec, volume->not_before_usec);
        *ret_sent = try_move(manager, volume, now, now_usec, &other_usec);
        return *ret_sent ? UINT64_MAX : u64_min(next_usec, other_usec);
}

/* Hours that end, a pause, a plug that is pulled, midnight: the region in progress is the last. */
/* Since when a volume has been waiting to be looked at behind what the worker does; UINT64_MAX: none is. */
static uint64_t waits_since_usec(const Manager *manager, const ServedDisk *disk)
{
        uint64_t since_usec = UINT64_MAX;

        for (const ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (volume->disk == disk && volume->state == SERVED_ADDING)
                        since_usec = u64_min(since_usec, volume->since_usec);
        return since_usec;
}

/* Returns when to come again. */
static uint64_t attend_busy(Manager *manager, ServedDisk *disk, const LocalTime *now, uint64_t now_usec)
{
        const uint64_t patience_usec = u64_add_saturate(waits_since_usec(manager, disk), PATIENCE_USEC);
        ServedVolume *volume = manager_find_volume(manager, disk->busy_volume);
        bool is_over;
        Hold hold;

        if (disk->cancelled || !volume || volume->state != SERVED_WATCHED)
                return UINT64_MAX;
        /* What was charged yesterday is for yesterday. One region may be under way, and the next before it hears of this. */
        is_over = file_id_is_set(volume->moving) && volume->prepaid_bytes > 0 &&
                  volume->prepaid_day != now->day;
        if (is_over)
                budget_charge(&volume->budget, now->day,
                              u64_min(volume->prepaid_bytes, 2 * PLAN_REGION_BYTES));
        hold = regulate_volume(manager, volume, now, now_usec).hold;
        if (is_over || hold == HOLD_PAUSED || hold == HOLD_HOURS || hold == HOLD_BATTERY ||
            now_usec >= patience_usec) {
                worker_cancel(disk->worker);
                disk->cancelled = true;
                return UINT64_MAX;
        }
        return patience_usec;
}

static uint64_t attend_disk(Manager *manager, ServedDisk *disk, const LocalTime *now, uint64_t now_usec)
{
        uint64_t next_usec = UINT64_MAX;
        bool sent = false;

        if (disk->ending)
                return UINT64_MAX;
        if (disk->busy_volume != 0) {
                return attend_busy(manager, disk, now, now_usec);
        }
        /* First those behind the one that was served last, then the others up to it. */
        for (unsigned round = 0; round < 2; round++) {
                bool is_behind = false;

                for (ServedVolume *volume = manager->volumes; volume && !sent; volume = volume->next) {
                        if (volume->disk == disk && volume->state == SERVED_WATCHED &&
                            is_behind == (round == 0))
                                next_usec = u64_min(next_usec,
                                                    attend_volume(manager, volume, now, now_usec, &sent));
                        if (volume->serial == disk->last_volume)
                                is_behind = true;
                }
        }
        return next_usec;
}

uint64_t manager_attend(Manager *manager)
{
        const uint64_t now_usec = manager_now(manager);
        const LocalTime now = clock_local();
        uint64_t next_usec = UINT64_MAX;

        for (ServedDisk *disk = manager->disks; disk; disk = disk->next)
                next_usec = u64_min(next_usec, attend_disk(manager, disk, &now, now_usec));
        return next_usec;
}
