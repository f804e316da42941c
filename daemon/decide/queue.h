/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of one volume that are worth moving, best first, and those that have to cool down. Pure: the caller says what
 * time it is (any clock in microseconds that only goes forward).
 *
 * Bounded: a full queue lets the entry go that is worth least. A file that was written while it was being moved, or
 * was in use, comes back later and later; one that was moved stays known for a while, so that a file which is fragmented
 * anew all the time is not moved all the time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/heap.h"
#include "decide/outcome.h"
#include "facts/file_id.h"

typedef enum QueueState {
        QUEUE_WAITING, /* to be done once not_before is reached */
        QUEUE_RUNNING, /* handed out by queue_pop_best() */
        QUEUE_COOLING, /* done or given up; forgotten once not_before is reached, unless it was offered again */
        QUEUE_STATE_MAX_
} QueueState;

typedef struct QueueEntry {
        /* Set by whoever offers it. */
        FileId id;
        FileId parent;       /* a directory that holds it; not set when unknown */
        char *name;          /* in parent; owned; NULL when unknown */
        uint64_t size_bytes; /* what a move may cost at most */
        uint64_t n_extents;  /* when it was found */
        bool names_checked;  /* Exclude= was held against every name that it has */

        /* The queue's own. */
        QueueState state;
        uint64_t not_before_usec;
        uint32_t n_conflicts; /* in a row: busy or changed */
        bool offered_again;   /* while it was running or cooling */
        size_t best_place, worst_place, due_place, cooling_place;
} QueueEntry;

typedef struct Queue Queue;

/* Room for that many entries, cooling ones included. Returns NULL when memory is short. */
Queue *queue_new(size_t max_entries);
Queue *queue_free(Queue *queue);

/* Positive results of queue_offer(). */
#define QUEUE_KNOWN   1 /* it was there already: brought up to date, and done when its time has come */
#define QUEUE_DROPPED 2 /* the queue is full of better ones */

/* Takes over offer->name when it returns 0 or more. not_before_usec of the offer is when it may be done first (0:
 * now); state, n_conflicts are looked at only by queue_restore(). When the offer is dropped, or another entry that waits
 * for it, that one is counted in queue_n_dropped(). Returns 0, QUEUE_*, -ENOMEM. */
int queue_offer(Queue *queue, QueueEntry *offer, uint64_t now_usec);

/* The same for what a ledger remembers: state (RUNNING becomes WAITING), not_before_usec and n_conflicts are kept. */
int queue_restore(Queue *queue, QueueEntry *entry, uint64_t now_usec);

/* The best of those whose time has come, now RUNNING; NULL when there is none. Owned by the queue; valid until the
 * next call that changes the queue. */
const QueueEntry *queue_pop_best(Queue *queue, uint64_t now_usec);

/* What became of a RUNNING entry decides what comes next:
 *   moved                         cools down
 *   optimal, skipped, no such     forgotten
 *   busy, changed                 again after a pause that doubles each time; many in a row: after hours
 *   no-space, failed              again after a day
 *   cancelled                     again at once (with CANCELLED_BUDGET: on the next call after not_before_usec, which is
 *                                 given in again_usec)
 * An entry that was offered again meanwhile is looked at again, but not before its cool-down is over. keep_busy: false
 * where BusyFiles=no: a busy file is forgotten. */
void queue_finish(Queue *queue, FileId id, Outcome outcome, Reason reason, bool keep_busy,
                  uint64_t again_usec, uint64_t now_usec);

/* A RUNNING entry has turned out to be of another size. */
void queue_resize(Queue *queue, FileId id, uint64_t size_bytes);

/* When queue_pop_best() may next have something that it has not now: a time, or UINT64_MAX. Forgets what has cooled
 * down. */
uint64_t queue_next_usec(Queue *queue, uint64_t now_usec);

size_t queue_n_ready(Queue *queue, uint64_t now_usec); /* WAITING and due */
size_t queue_n_waiting(const Queue *queue);            /* WAITING, due or not, and RUNNING */
uint64_t queue_n_dropped(const Queue *queue);
uint64_t queue_generation(const Queue *queue); /* changes whenever a ledger should be written */

/* Calls on_entry for every entry, in no order; it must not change the queue. */
void queue_for_each(const Queue *queue, void (*on_entry)(const QueueEntry *entry, void *userdata),
                    void *userdata);
