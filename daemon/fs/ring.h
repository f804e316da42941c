/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An io_uring for one thread, which never interrupts that thread. */

#include <liburing.h>

/* By default the kernel tells a thread that a request of its is over as it tells it a signal, whatever it does at that time.
 * BTRFS_IOC_DEFRAG_RANGE then stops in the middle and says that all is well (Linux 6.18, fs/btrfs/defrag.c; hazard/btrfs-undisturbed). From
 * this ring nothing is heard before the thread waits for it; before Linux 6.1 there is only the other kind. Only the thread that has made
 * it may submit and wait. Returns 0 or -errno.
 *
 * Some milliseconds after a ring is closed, of either kind, the thread is interrupted once: so it is closed when there is nothing more to do,
 * but for one that does not work any more. */
int ring_new(unsigned n_entries, struct io_uring *ret);
