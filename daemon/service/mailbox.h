/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The only thing that threads share: letters, handed over whole. Whoever has taken a letter owns it and all it points to.
 *
 * Putting never waits for the other side. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Letter {
        struct Letter *next;
} Letter;

typedef struct Mailbox {
        pthread_mutex_t mutex;
        pthread_cond_t arrival;
        Letter *first, *last;
        size_t n_letters;
        int event_fd; /* readable while there are letters; -EBADF for a box that is waited for by mailbox_wait() */
} Mailbox;

/* with_fd: for the owner that has an event loop. Returns 0 or -errno. */
int mailbox_init(Mailbox *box, bool with_fd);
/* It must be empty, and nobody may be using it. */
void mailbox_done(Mailbox *box);

/* Any thread. Takes the letter over. */
void mailbox_put(Mailbox *box, Letter *letter);

/* The owner's: the oldest letter, or NULL when there is none (now; until deadline_usec of CLOCK_MONOTONIC, USEC_INFINITY: for
 * ever). */
Letter *mailbox_take(Mailbox *box);
Letter *mailbox_wait(Mailbox *box, uint64_t deadline_usec);

/* The owner's: waits until deadline_usec or until *cancel is true; letters stay where they are. Whoever sets *cancel calls
 * mailbox_wake() after it. */
void mailbox_linger(Mailbox *box, uint64_t deadline_usec, const atomic_bool *cancel);
void mailbox_wake(Mailbox *box);
