/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What this process is allowed to do, and what it gives up before it touches anybody's file.
 *
 * The order is: mount_table_open(), privilege_own_namespace(), the copier (its ring is made while memory may still be
 * locked), privilege_drop(), then privilege_open_volume() for each volume that is worked on. All of it in the only
 * thread there is. Failures are not logged here; the functions name what was refused in *ret_what, a constant string. */

#include <stdbool.h>
#include <sys/types.h>

/* Returns 0, or -EPERM with *ret_what the first capability that is missing ("CAP_LEASE"). */
int privilege_check(const char **ret_what);

/* Is the process in a sandbox already that is what privilege_own_namespace() makes: a mount namespace of its own in which the root
 * directory is read-only? table_fd: of mount_table_open(). */
bool privilege_is_sandboxed(int table_fd);

/* Moves the process into a mount namespace of its own, a slave of the one it came from, in which everything is
 * read-only. Mounts and unmounts of the administrator still reach it; nothing of it reaches the administrator.
 * Source: unshare(2), mount_setattr(2) (Linux 5.12). Paths are resolved and descriptors opened after it, not before: a
 * descriptor keeps the mount that it came through. Returns 0 or -errno. */
int privilege_own_namespace(const char **ret_what);

/* After privilege_own_namespace(): directory can be written again, as a mount of its own in our namespace. Returns 0 or -errno. */
int privilege_keep_writable(const char *directory);

/* Lets go of a mount that the host has no more, where its umount did not reach our namespace (private propagation). Does
 * nothing when another file system than device is there. */
void privilege_release_volume(const char *mount_path, dev_t device);

/* Makes what is mounted at mount_path writable for us: this one mount, in our namespace alone, with noatime, nosuid,
 * nodev and noexec. Whether the administrator wants it written is for the caller to find out in the host's mount table.
 * Returns 0; -ENODEV when another file system than device is there; -errno. */
int privilege_open_volume(const char *mount_path, dev_t device);

/* Cuts the capabilities down to what moving files needs and closes the ways back. Returns 0 or -errno. */
int privilege_drop(const char **ret_what);

/* Steps behind everybody else at the processor and at the disk. Best effort: a scheduler that has no priorities is no
 * reason not to work. */
void privilege_lower_priority(void);
