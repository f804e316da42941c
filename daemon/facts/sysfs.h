/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Small files of sysfs. Reading them touches no disk. */

#include <stddef.h>
#include <sys/types.h>

/* The first line of a file, as far as there is room, without its newline. Returns 0; -ENOENT where the kernel has no such file; -errno. */
int sysfs_line_read(int dir_fd, const char *path, char *ret, size_t room);

/* A device's number, "8:16". Returns 0; -EBADMSG; -errno. */
int sysfs_device_read(int dir_fd, const char *path, dev_t *ret);
