/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An io_uring for one thread, whose requests are told of only when that thread waits for them.
 *
 * By default the kernel tells a thread that a request of its is over as it tells it a signal, whatever it does at that time.
 * BTRFS_IOC_DEFRAG_RANGE then stops in the middle and says that all is well (Linux 6.18, fs/btrfs/defrag.c; hazard/btrfs-undisturbed). This is
 * a ring of the other kind; before Linux 6.1 there is only the first. All returns are 0 or -errno where nothing else is said, and after
 * -errno of ring_submit(), ring_wait() and ring_let_go() nothing is known about what is in flight: close it.
 *
 * What the kernel cannot do at once it does in a thread of its own, one for all rings of our thread: one request after the other, in their order. Where
 * that one has to wait and others stand behind it, the kernel may still interrupt our thread, to have it make another one (io_uring/io-wq.c:
 * io_queue_worker_create(); not seen); so no two of them are under way during a call that must not be interrupted. */

#include <liburing.h>
#include <stdbool.h>

typedef struct Ring {
        struct io_uring uring;
        bool holds_files; /* requests that are over may keep theirs open */
        bool is_waking;   /* a request for nothing is under way, to wake the kernel's thread */
} Ring;

/* Only the thread that has made it may use it. Also fails on a kernel that cannot be told to use one thread (before 5.15). */
int ring_new(unsigned n_entries, Ring *ret);

/* Some milliseconds after that the thread is interrupted once: so a ring is closed when there is nothing more to do, but for one that does
 * not work any more. Requests that are over may keep their files open for as long. */
void ring_close(Ring *ring);

/* To be prepared, and to be given data (io_uring_sqe_set_data()). NULL: there is no room before ring_submit(). */
struct io_uring_sqe *ring_request(Ring *ring);

/* Hands what is prepared to the kernel. Returns how many of them, which may be 0. */
int ring_submit(Ring *ring);

/* Waits for one of the requests that were handed over: its data, and what it came to. */
int ring_wait(Ring *ring, void **ret_data, int *ret_result);

/* When all of them are over: returns when none keeps its file open any more, so that the descriptors can be closed. The kernel's thread lets go of a file
 * a moment after the request was heard of, and what it has let go of is put away only when ours next waits for the ring: the file cannot be
 * unmounted for as long, nor leased, nor does its space come back (Linux 6.18, io_uring/io_uring.c: io_wq_free_work(); hazard/let-go). For sure only where
 * the kernel keeps to one thread: not where it has one for each NUMA node (Linux 6.1). */
int ring_let_go(Ring *ring);
