/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is a file quiet? Asked of the kernel by asking for a lease.
 *
 * A write lease is granted only when nobody else has the file open, mapped, as a loop device, as swap, below an
 * overlay, as an io_uring fixed file, or in flight on a closed descriptor (fcntl(2), F_SETLEASE). It does not see
 * O_PATH descriptors. While it is held, a foreign open() waits for us, so it is held for microseconds, or whoever holds it for longer
 * asks now and then whether it is wanted. */

#include <stdbool.h>

/* Positive results. */
#define LEASE_REFUSED 1 /* somebody has the file */
#define LEASE_OFF     2 /* fs.leases-enable=0, or the file system has no leases */

/* The signal of a lease break must not kill us: call once, before the first lease, in any thread. */
void lease_ignore_breaks(void);

/* fd must be the only descriptor of this process on the file, O_RDWR for the write lease and O_RDONLY for the read
 * lease (which says that nobody has it open for writing). Returns 0, LEASE_*, or -errno (-EACCES without CAP_LEASE). */
int lease_take_write(int fd);
int lease_take_read(int fd);

/* Does somebody wait in open() for the write lease of fd to go? */
bool lease_is_wanted(int fd);

/* Returns 0, or LEASE_REFUSED when the lease was no longer there: the kernel takes it from whoever does not answer a foreign
 * open() within fs.lease-break-time, be it because he was stopped. Keeps errno. */
int lease_release(int fd);
