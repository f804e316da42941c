/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the kernel may do for a file while the caller does something else: read ahead, drop clean pages, begin to write dirty ones. These are
 * hints: no result is told, and who needs one asks for it himself afterwards.
 *
 * Through an io_uring of its own. Its thread is the kernel's, with the nice value, the I/O class and the cgroup of the caller. Where there
 * is no ring, and where a request comes back undone, the caller's thread does it: at once, or in aside_wait(). Never fails; for one thread. */

#include <stdbool.h>
#include <stdint.h>

typedef struct Aside Aside;

/* by_hand: do not even try io_uring. Returns 0 or -ENOMEM. */
int aside_new(bool by_hand, Aside **ret);
Aside *aside_free(Aside *aside); /* waits */

/* They return at once where there is a ring, but for more than 64 MiB of read-ahead, of which some is waited for. The descriptor stays open until
 * aside_let_go() has returned: the kernel may look up its number when a request's turn comes. Lengths in bytes, of any number. */
void aside_read_ahead(Aside *aside, int fd, uint64_t offset, uint64_t n_bytes);
void aside_drop(Aside *aside, int fd, uint64_t offset, uint64_t n_bytes);
void aside_write(Aside *aside, int fd, uint64_t offset, uint64_t n_bytes);

/* Returns when all of them are over: what was to be read or written is on its way then. To be called before the caller lets go of what they
 * need, a lease for example. (Of a ring that does not even tell what is over anything may come later, once.) */
void aside_wait(Aside *aside);

/* The same, and none of them keeps its file open any more. To be called before the descriptor is closed. */
void aside_let_go(Aside *aside);
