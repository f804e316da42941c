/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A list under a lock. The lock is held for a few instructions only, so that the main thread, which waits for nobody, may take it. */

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/units.h"
#include "service/mailbox.h"

int mailbox_init(Mailbox *box, bool with_fd)
{
        pthread_condattr_t attributes;

        *box = (Mailbox){.event_fd = -EBADF};
        if (with_fd) {
                box->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                if (box->event_fd < 0)
                        return -errno;
        }
        /* None of these can fail on Linux. */
        (void)pthread_mutex_init(&box->mutex, NULL);
        (void)pthread_condattr_init(&attributes);
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&box->arrival, &attributes);
        (void)pthread_condattr_destroy(&attributes);
        return 0;
}

void mailbox_done(Mailbox *box)
{
        assert(!box->first);
        (void)pthread_cond_destroy(&box->arrival);
        (void)pthread_mutex_destroy(&box->mutex);
        box->event_fd = fd_close(box->event_fd);
}

void mailbox_put(Mailbox *box, Letter *letter)
{
        const uint64_t one = 1;

        letter->next = NULL;
        (void)pthread_mutex_lock(&box->mutex);
        if (box->last)
                box->last->next = letter;
        else
                box->first = letter;
        box->last = letter;
        box->n_letters++;
        (void)pthread_cond_signal(&box->arrival);
        /* Cannot fail: the counter is taken back to nothing with the last letter. */
        if (box->event_fd >= 0 && box->n_letters == 1 && write(box->event_fd, &one, sizeof(one)) < 0)
                assert(errno == EAGAIN);
        (void)pthread_mutex_unlock(&box->mutex);
}

/* Under the lock. */
static Letter *take_first(Mailbox *box)
{
        Letter *letter = box->first;
        uint64_t count;

        if (!letter)
                return NULL;
        box->first = letter->next;
        if (!box->first)
                box->last = NULL;
        box->n_letters--;
        if (box->event_fd >= 0 && !box->first && read(box->event_fd, &count, sizeof(count)) < 0)
                assert(errno == EAGAIN);
        letter->next = NULL;
        return letter;
}

Letter *mailbox_take(Mailbox *box)
{
        Letter *letter;

        (void)pthread_mutex_lock(&box->mutex);
        letter = take_first(box);
        (void)pthread_mutex_unlock(&box->mutex);
        return letter;
}

/* Under the lock. Returns false once the time is over. */
static bool wait_for_news(Mailbox *box, uint64_t deadline_usec)
{
        struct timespec deadline = {
                .tv_sec = (time_t)(deadline_usec / USEC_PER_SEC),
                .tv_nsec = (long)(deadline_usec % USEC_PER_SEC * NSEC_PER_USEC),
        };

        if (deadline_usec == USEC_INFINITY)
                return pthread_cond_wait(&box->arrival, &box->mutex) == 0;
        return pthread_cond_timedwait(&box->arrival, &box->mutex, &deadline) != ETIMEDOUT;
}

Letter *mailbox_wait(Mailbox *box, uint64_t deadline_usec)
{
        Letter *letter;

        (void)pthread_mutex_lock(&box->mutex);
        while (!box->first && wait_for_news(box, deadline_usec))
                ;
        letter = take_first(box);
        (void)pthread_mutex_unlock(&box->mutex);
        return letter;
}

void mailbox_linger(Mailbox *box, uint64_t deadline_usec, const atomic_bool *cancel)
{
        (void)pthread_mutex_lock(&box->mutex);
        while (!atomic_load(cancel) && wait_for_news(box, deadline_usec))
                ;
        (void)pthread_mutex_unlock(&box->mutex);
}

void mailbox_wake(Mailbox *box)
{
        (void)pthread_mutex_lock(&box->mutex);
        (void)pthread_cond_signal(&box->arrival);
        (void)pthread_mutex_unlock(&box->mutex);
}
