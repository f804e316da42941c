/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The thread that does everything that touches the volumes of one physical disk.
 *
 * It may wait for its disk for as long as that takes: nobody waits for it. Between two requests it holds no descriptor on any
 * volume, and memory for copying only for a few seconds. */

#include <stdatomic.h>
#include <stdint.h>

#include "service/letters.h"

typedef struct Worker Worker;

/* Starts the thread. replies is where its answers go, with serial as their sender; it must outlive the worker. Returns 0 or
 * -errno. */
int worker_new(Mailbox *replies, uint64_t serial, Worker **ret);

/* Main thread. Takes the request over. */
void worker_send(Worker *worker, Request *request);

/* Main thread: the move or the slice of a sweep in progress ends at its next step. In force until worker_go_on(). */
void worker_cancel(Worker *worker);
void worker_go_on(Worker *worker);

/* Since when (CLOCK_MONOTONIC) it has been at one and the same step; 0 while it has nothing to do. */
uint64_t worker_step_since_usec(const Worker *worker);

/* After REPLY_ENDED: joins and frees. A worker that never ends, because the kernel does not let it go, is left to the exit of the
 * process. */
Worker *worker_free(Worker *worker);
