/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An io_uring for one thread, which never interrupts that thread. */

#include <liburing.h>

/* By default the kernel tells a thread that a request of its is over as it tells it a signal, whatever it does at that time.
 * BTRFS_IOC_DEFRAG_RANGE then stops in the middle and says that all is well (Linux 6.18, fs/btrfs/defrag.c; hazard/btrfs-undisturbed). From
 * this ring nothing is heard before the thread waits for it; before Linux 6.1 there is only the other kind. Only the thread that has made
 * it may submit and wait. Returns 0 or -errno, also of a kernel that
 * cannot be told to use one thread for it (before 5.15).
 *
 * Some milliseconds after a ring is closed, of either kind, the thread is interrupted once: so it is closed when there is nothing more to do,
 * but for one that does not work any more. */
int ring_new(unsigned n_entries, struct io_uring *ret);

/* Returns when no request keeps a file open any more; for when all of them are over and before their descriptors are closed. A request that a
 * thread of the kernel has done may be over before that thread has let go of its file, and what it lets go of then is put away only when ours
 * next waits for the ring: the file cannot be unmounted for as long, nor leased, nor does its space come back (Linux 6.18,
 * io_uring/io_uring.c: io_wq_free_work(); hazard/let-go). Returns 0, or -errno: give up the ring. */
int ring_let_go(struct io_uring *ring);
