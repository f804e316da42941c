/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A table of entries by identity and four heaps over them:
 *
 *     best    WAITING, and their time has come: what is worth most first
 *     worst   WAITING, whether or not: what is worth least first, to make room
 *     due     WAITING, and their time has not come: soonest first
 *     cooling COOLING: what is soonest over first
 *
 * RUNNING entries are in none. When the queue is full, and more than half of it cools down, the one that is nearest to its end goes for a
 * newcomer: else a busy day would end with the queue full of what is done. Otherwise a newcomer displaces the one that is worth least of
 * those that wait, if that is worth less. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A table that cannot grow says so instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/number.h"
#include "decide/queue.h"
#include "decide/worth.h"

#define MINUTE_USEC         (60 * USEC_PER_SEC)
#define HOUR_USEC           (60 * MINUTE_USEC)
#define DAY_USEC            (24 * HOUR_USEC)
/* A file that is moved and fragmented again by its owner is moved once a day: more would wear the disk and gain hours. */
#define MOVED_PAUSE_USEC    DAY_USEC
/* The first pause after a conflict is that of a file that has just been written, SettleSec='s default; from then on it doubles. */
#define CONFLICT_PAUSE_USEC (10 * MINUTE_USEC)
#define CONFLICT_MAX_USEC   (6 * HOUR_USEC)
/* So often in a row and it is not by chance: a file that is always in use costs one try a day. */
#define CONFLICTS_MAX       8
/* Somebody deletes something now and then, and a look costs little. */
#define SPACE_PAUSE_USEC    HOUR_USEC
/* Free space that is no better than the file, media errors: what is wrong is not repaired within hours. */
#define TROUBLE_PAUSE_USEC  DAY_USEC

typedef struct QueueItem {
        QueueEntry entry; /* first: an entry is its item */
        /* No offer brings it forward to before this: a pause is not cut short by the file's being written again.
         * While it is RUNNING: when what was offered meanwhile may be done. */
        uint64_t bound_usec;
        UT_hash_handle hh;
} QueueItem;

struct Queue {
        QueueItem *table;
        Heap best, worst, due, cooling;
        size_t max_entries;
        size_t n_running;
        uint64_t n_dropped;
        uint64_t generation;
};

/* --- orders --- */

static int order_u64(uint64_t a, uint64_t b)
{
        return a < b ? -1 : a > b;
}

static int order_best(const void *left, const void *right)
{
        const QueueEntry *a = left, *b = right;
        int order = worth_order(a->n_extents, a->size_bytes, b->n_extents, b->size_bytes);

        if (order == 0)
                order = file_id_order(a->id, b->id);
        return order;
}

static int order_worst(const void *left, const void *right)
{
        return order_best(right, left);
}

static int order_due(const void *left, const void *right)
{
        const QueueEntry *a = left, *b = right;

        return order_u64(a->not_before_usec, b->not_before_usec);
}

Queue *queue_new(size_t max_entries)
{
        Queue *queue = calloc(1, sizeof(*queue));

        if (!queue)
                return NULL;
        queue->max_entries = max_entries;
        queue->best = (Heap){.order = order_best, .place_offset = offsetof(QueueEntry, best_place)};
        queue->worst = (Heap){.order = order_worst, .place_offset = offsetof(QueueEntry, worst_place)};
        queue->due = (Heap){.order = order_due, .place_offset = offsetof(QueueEntry, due_place)};
        queue->cooling = (Heap){.order = order_due, .place_offset = offsetof(QueueEntry, cooling_place)};
        return queue;
}

/* --- single entries --- */

static QueueItem *find(const Queue *queue, FileId id)
{
        QueueItem *item;

        HASH_FIND(hh, queue->table, &id, FILE_ID_KEY_BYTES, item);
        return item;
}

static void take_out_of_heaps(Queue *queue, QueueEntry *entry)
{
        heap_remove(&queue->best, entry);
        heap_remove(&queue->worst, entry);
        heap_remove(&queue->due, entry);
        heap_remove(&queue->cooling, entry);
}

/* Into the heaps that its state and its time ask for. Returns 0 or -ENOMEM, and then it is in none. */
static int put_into_heaps(Queue *queue, QueueEntry *entry, uint64_t now_usec)
{
        int r;

        take_out_of_heaps(queue, entry);
        if (entry->state == QUEUE_RUNNING)
                return 0;
        if (entry->state == QUEUE_COOLING)
                r = heap_add(&queue->cooling, entry);
        else if (entry->not_before_usec > now_usec)
                r = heap_add(&queue->due, entry);
        else
                r = heap_add(&queue->best, entry);
        if (r >= 0 && entry->state == QUEUE_WAITING)
                r = heap_add(&queue->worst, entry);
        if (r < 0)
                take_out_of_heaps(queue, entry);
        return r;
}

static void forget(Queue *queue, QueueItem *item)
{
        if (item->entry.state == QUEUE_RUNNING)
                queue->n_running--;
        take_out_of_heaps(queue, &item->entry);
        HASH_DEL(queue->table, item);
        free(item->entry.name);
        free(item);
        queue->generation++;
}

/* What its new place needs memory for is not worth keeping when there is none. */
static void replace(Queue *queue, QueueItem *item, uint64_t now_usec)
{
        queue->generation++;
        if (put_into_heaps(queue, &item->entry, now_usec) < 0)
                forget(queue, item);
}

Queue *queue_free(Queue *queue)
{
        QueueItem *item, *next;

        if (!queue)
                return NULL;
        HASH_ITER(hh, queue->table, item, next)
        {
                HASH_DEL(queue->table, item);
                free(item->entry.name);
                free(item);
        }
        heap_done(&queue->best);
        heap_done(&queue->worst);
        heap_done(&queue->due);
        heap_done(&queue->cooling);
        free(queue);
        return NULL;
}

/* Lets in those whose time has come, and forgets those that have cooled down. */
static void let_in(Queue *queue, uint64_t now_usec)
{
        QueueEntry *entry;

        while ((entry = heap_first(&queue->cooling)) && entry->not_before_usec <= now_usec) {
                if (!entry->offered_again) {
                        forget(queue, (QueueItem *)entry);
                        continue;
                }
                entry->state = QUEUE_WAITING;
                entry->offered_again = false;
                replace(queue, (QueueItem *)entry, now_usec);
        }
        /* To have waited changes nothing for a ledger. */
        while ((entry = heap_first(&queue->due)) && entry->not_before_usec <= now_usec)
                if (put_into_heaps(queue, entry, now_usec) < 0)
                        forget(queue, (QueueItem *)entry);
}

/* --- offers --- */

/* Returns false when the newcomer is not worth the place of any other. */
static bool make_room(Queue *queue, const QueueEntry *offer)
{
        QueueEntry *victim;

        if (HASH_COUNT(queue->table) < queue->max_entries)
                return true;
        victim = heap_first(&queue->worst);
        if (victim && queue->cooling.n_items <= queue->max_entries / 2) {
                if (order_best(offer, victim) >= 0)
                        return false;
                queue->n_dropped++;
        } else {
                victim = heap_first(&queue->cooling);
                if (!victim)
                        return false;
        }
        forget(queue, (QueueItem *)victim);
        return true;
}

static int add_new(Queue *queue, const QueueEntry *entry, uint64_t bound_usec, uint64_t now_usec)
{
        QueueItem *item;
        int r;

        if (!make_room(queue, entry)) {
                queue->n_dropped++;
                free(entry->name);
                return QUEUE_DROPPED;
        }
        item = calloc(1, sizeof(*item));
        if (!item)
                return -ENOMEM;
        item->entry = *entry;
        item->bound_usec = bound_usec;
        item->entry.best_place = item->entry.worst_place = HEAP_NOWHERE;
        item->entry.due_place = item->entry.cooling_place = HEAP_NOWHERE;
        HASH_ADD(hh, queue->table, entry.id, FILE_ID_KEY_BYTES, item);
        if (!item->hh.tbl) {
                free(item);
                return -ENOMEM;
        }
        r = put_into_heaps(queue, &item->entry, now_usec);
        if (r < 0) {
                HASH_DEL(queue->table, item);
                free(item);
                return r;
        }
        queue->generation++;
        return 0;
}

/* What was seen last is what is believed. An offer without a name does not take a known one away. */
static void bring_up_to_date(QueueEntry *entry, QueueEntry *offer)
{
        entry->size_bytes = offer->size_bytes;
        entry->n_extents = offer->n_extents;
        entry->names_checked = offer->names_checked;
        if (file_id_is_set(offer->parent))
                entry->parent = offer->parent;
        if (offer->name) {
                free(entry->name);
                entry->name = offer->name;
        }
}

int queue_offer(Queue *queue, QueueEntry *offer, uint64_t now_usec)
{
        QueueItem *item;
        QueueEntry *entry;

        let_in(queue, now_usec);
        item = find(queue, offer->id);
        if (item && !file_id_equal(item->entry.id, offer->id)) {
                /* The inode has become another file. */
                forget(queue, item);
                item = NULL;
        }
        if (!item) {
                QueueEntry entry_new = *offer;

                entry_new.state = QUEUE_WAITING;
                entry_new.n_conflicts = 0;
                entry_new.offered_again = false;
                return add_new(queue, &entry_new, 0, now_usec);
        }
        entry = &item->entry;
        bring_up_to_date(entry, offer);
        if (entry->state == QUEUE_WAITING) {
                entry->not_before_usec = u64_max(item->bound_usec, offer->not_before_usec);
        } else {
                entry->offered_again = true;
                if (entry->state == QUEUE_RUNNING)
                        item->bound_usec = u64_max(item->bound_usec, offer->not_before_usec);
                else
                        entry->not_before_usec = u64_max(entry->not_before_usec, offer->not_before_usec);
        }
        replace(queue, item, now_usec);
        return QUEUE_KNOWN;
}

int queue_restore(Queue *queue, QueueEntry *entry, uint64_t now_usec)
{
        QueueEntry restored = *entry;

        if (find(queue, entry->id)) {
                free(entry->name);
                return QUEUE_KNOWN;
        }
        if (restored.state != QUEUE_COOLING)
                restored.state = QUEUE_WAITING;
        restored.offered_again = false;
        /* Whether it was a pause is not remembered; a settle time is too short to matter. */
        return add_new(queue, &restored, restored.not_before_usec, now_usec);
}

/* --- work --- */

const QueueEntry *queue_pop_best(Queue *queue, uint64_t now_usec)
{
        QueueEntry *entry;

        let_in(queue, now_usec);
        entry = heap_first(&queue->best);
        if (!entry)
                return NULL;
        take_out_of_heaps(queue, entry);
        entry->state = QUEUE_RUNNING;
        ((QueueItem *)entry)->bound_usec = 0;
        queue->n_running++;
        return entry;
}

static uint64_t conflict_pause_usec(uint32_t n_conflicts)
{
        uint64_t pause_usec = CONFLICT_PAUSE_USEC;

        if (n_conflicts >= CONFLICTS_MAX)
                return DAY_USEC;
        for (uint32_t i = 1; i < n_conflicts && pause_usec < CONFLICT_MAX_USEC; i++)
                pause_usec *= 2;
        return u64_min(pause_usec, CONFLICT_MAX_USEC);
}

static void cool(QueueEntry *entry, uint64_t pause_usec, uint64_t now_usec)
{
        entry->not_before_usec = u64_add_saturate(now_usec, pause_usec);
        /* What was offered meanwhile is looked at again, but not before. */
        entry->state = entry->offered_again ? QUEUE_WAITING : QUEUE_COOLING;
        entry->offered_again = false;
        entry->n_conflicts = 0;
}

static void try_again(QueueEntry *entry, uint64_t not_before_usec)
{
        entry->not_before_usec = not_before_usec;
        entry->state = QUEUE_WAITING;
        entry->offered_again = false;
}

void queue_finish(Queue *queue, FileId id, Outcome outcome, Reason reason, bool keep_busy,
                  uint64_t again_usec, uint64_t now_usec)
{
        QueueItem *item = find(queue, id);
        QueueEntry *entry;

        if (!item || !file_id_equal(item->entry.id, id) || item->entry.state != QUEUE_RUNNING)
                return;
        entry = &item->entry;
        queue->n_running--;
        entry->state = QUEUE_WAITING;
        switch (outcome) {
        case OUTCOME_MOVED:
                cool(entry, MOVED_PAUSE_USEC, now_usec);
                break;
        case OUTCOME_OPTIMAL:
        case OUTCOME_SKIPPED:
        case OUTCOME_MAX_:
                if (!entry->offered_again) {
                        forget(queue, item);
                        return;
                }
                /* Written meanwhile: it may be another matter now. */
                entry->n_conflicts = 0;
                try_again(entry, u64_add_saturate(now_usec, CONFLICT_PAUSE_USEC));
                break;
        case OUTCOME_BUSY:
                if (!keep_busy && !entry->offered_again) {
                        forget(queue, item);
                        return;
                }
                /* fall through */
        case OUTCOME_CHANGED:
                if (entry->n_conflicts < UINT32_MAX)
                        entry->n_conflicts++;
                try_again(entry, u64_add_saturate(now_usec, conflict_pause_usec(entry->n_conflicts)));
                break;
        case OUTCOME_NO_SPACE:
                if (reason != NO_SPACE_FRAGMENTED) {
                        entry->offered_again = true;
                        cool(entry, SPACE_PAUSE_USEC, now_usec);
                        break;
                }
                /* fall through */
        case OUTCOME_FAILED:
                entry->offered_again = true;
                cool(entry, TROUBLE_PAUSE_USEC, now_usec);
                break;
        case OUTCOME_CANCELLED:
                try_again(entry, reason == CANCELLED_BUDGET ? again_usec : now_usec);
                break;
        }
        entry->not_before_usec = u64_max(entry->not_before_usec, item->bound_usec);
        item->bound_usec = entry->not_before_usec;
        replace(queue, item, now_usec);
}

void queue_resize(Queue *queue, FileId id, uint64_t size_bytes)
{
        QueueItem *item = find(queue, id);

        /* The others' places in the heaps depend on it. */
        if (item && file_id_equal(item->entry.id, id) && item->entry.state == QUEUE_RUNNING)
                item->entry.size_bytes = size_bytes;
}

/* --- questions --- */

uint64_t queue_next_usec(Queue *queue, uint64_t now_usec)
{
        Heap *const timed[] = {&queue->due, &queue->cooling};
        uint64_t next_usec = UINT64_MAX;
        const QueueEntry *entry;

        let_in(queue, now_usec);
        if (queue->best.n_items > 0)
                return now_usec;
        for (size_t i = 0; i < ELEMENTS(timed); i++) {
                entry = heap_first(timed[i]);
                if (entry)
                        next_usec = u64_min(next_usec, entry->not_before_usec);
        }
        return next_usec;
}

size_t queue_n_ready(Queue *queue, uint64_t now_usec)
{
        let_in(queue, now_usec);
        return queue->best.n_items;
}

size_t queue_n_waiting(const Queue *queue)
{
        return queue->worst.n_items + queue->n_running;
}

uint64_t queue_n_dropped(const Queue *queue)
{
        return queue->n_dropped;
}

uint64_t queue_generation(const Queue *queue)
{
        return queue->generation;
}

void queue_for_each(const Queue *queue, void (*on_entry)(const QueueEntry *entry, void *userdata),
                    void *userdata)
{
        QueueItem *item, *next;

        HASH_ITER(hh, queue->table, item, next)
        {
                on_entry(&item->entry, userdata);
        }
}
