/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sweeps, slice by slice, and what they find. */

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/number.h"
#include "service/served.h"

/* A sweep that could not go on for a reason that may pass. */
#define SWEEP_RETRY_USEC (3600 * USEC_PER_SEC)
/* Where more is written than can be remembered, another sweep is wanted all the time: ten times as long a pause as one takes. */
#define SWEEP_RESTS      10

void manager_begin_sweep(ServedVolume *volume)
{
        if (volume->sweep_running)
                return;
        volume->inventory = calloc(1, sizeof(*volume->inventory));
        if (!volume->inventory) {
                volume->sweep_wanted = true;
                return;
        }
        inventory_begin(volume->inventory);
        volume->sweep_running = true;
        volume->sweep_wanted = false;
        volume->slice_due_usec = 0;
}

int manager_send_slice(ServedVolume *volume, uint64_t now_usec)
{
        Request *request = request_new(REQUEST_SWEEP, volume->serial);

        if (!request)
                return -ENOMEM;
        request->inventory = volume->inventory;
        volume->inventory = NULL;
        volume->disk->busy_volume = volume->serial;
        volume->disk->last_volume = volume->serial;
        volume->disk->slice_start_usec = now_usec;
        if (volume->sweep_begun_usec == 0)
                volume->sweep_begun_usec = now_usec;
        volume->disk->n_out++;
        worker_send(volume->disk->worker, request);
        return 0;
}

/* Files that were written before we began to watch may have been written a moment before. */
static void offer_found(Manager *manager, ServedVolume *volume)
{
        const uint64_t now_usec = manager_now(manager);
        const uint64_t settled_usec = u64_add_saturate(volume->since_usec, volume->settings->settle_usec);
        Inventory *inventory = volume->inventory;

        for (size_t i = 0; i < inventory->n_items; i++) {
                InventoryItem *item = &inventory->items[i];
                QueueEntry offer = {
                        .id = item->candidate.id,
                        .parent = item->candidate.parent,
                        .name = item->name,
                        .size_bytes = item->candidate.size_bytes,
                        .n_extents = item->candidate.n_extents,
                        .names_checked = !inventory->any_unreadable,
                        .not_before_usec = u64_max(now_usec, settled_usec),
                };

                if (queue_offer(volume->queue, &offer, now_usec) >= 0)
                        item->name = NULL;
        }
}

static void sweep_end(ServedVolume *volume, uint64_t now_usec)
{
        volume->sweep_again_usec = now_usec + SWEEP_RESTS * (now_usec - volume->sweep_begun_usec);
        volume->sweep_begun_usec = 0;
        inventory_done(volume->inventory);
        free(volume->inventory);
        volume->inventory = NULL;
        volume->sweep_running = false;
        volume->sweep_phase = INVENTORY_NONE;
}

bool manager_has_left_out(ServedVolume *volume, uint64_t now_usec)
{
        const uint64_t n_dropped = queue_n_dropped(volume->queue);

        if (!volume->sweep_left_out && n_dropped == volume->n_dropped)
                return false;
        /* What a sweep at the start has found waits for its settle time; then, what is not ready was tried. */
        if (now_usec < u64_add_saturate(volume->since_usec, volume->settings->settle_usec) ||
            queue_n_ready(volume->queue, now_usec) > 0 ||
            queue_n_waiting(volume->queue) > SERVED_QUEUE_MAX / 2)
                return false;
        volume->sweep_left_out = false;
        volume->n_dropped = n_dropped;
        return true;
}

void manager_on_swept(Manager *manager, ServedDisk *disk, Reply *reply)
{
        ServedVolume *volume = manager_find_volume(manager, reply->volume);
        const uint64_t now_usec = manager_now(manager);

        manager_disk_is_free(disk);
        if (!volume || volume->state == SERVED_STOPPED)
                return;
        volume->inventory = reply->inventory;
        reply->inventory = NULL;
        manager->ledger_dirty = true;
        if (reply->said > 0) {
                /* Three times as long a pause as the slice took: an umount finds us at it once in four times, and others have most
                 * of the disk. */
                volume->slice_due_usec = now_usec + 3 * (now_usec - disk->slice_start_usec);
                volume->sweep_phase = volume->inventory->phase;
                volume->sweep_cursor = volume->inventory->cursor;
                volume->sweep_offset = volume->inventory->offset;
                return;
        }
        if (reply->said < 0) {
                volume->sweep_due_usec = now_usec + SWEEP_RETRY_USEC;
                sweep_end(volume, now_usec);
                if (reply->verdict.stopped) {
                        manager_stop_volume(manager, volume, &reply->verdict);
                } else if (breaker_judge_error(-reply->said, false) != TRIP_NONE) {
                        const Trip trip = {
                                .kind = breaker_judge_error(-reply->said, false),
                                .error = -reply->said,
                                .step = "sweep",
                        };

                        manager_trip(manager, volume, volume->uuid, &trip, NULL, NULL);
                }
                return;
        }
        offer_found(manager, volume);
        volume->sweep_left_out = volume->inventory->n_dropped > 0;
        manager_say_swept(manager, volume, volume->inventory);
        sweep_end(volume, now_usec);
        volume->sweep_finished_sec = (int64_t)(clock_realtime_nsec() / NSEC_PER_SEC);
        volume->sweep_due_usec = u64_add_saturate(now_usec, volume->settings->sweep_usec);
}
