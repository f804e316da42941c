/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A few one-line files of sysfs. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/power.h"

/* First line of NAME/attribute; "" when the kernel does not say. */
static void line_read(int dir_fd, const char *name, const char *attribute, char *ret, size_t room)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        ssize_t n = 0;

        ret[0] = '\0';
        if (asprintf(&path, "%s/%s", name, attribute) < 0) {
                path = NULL;
                return;
        }
        fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
                n = read(fd, ret, room - 1);
        ret[n > 0 ? n : 0] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
}

int power_on_battery(const char *sysfs, bool *ret)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_closedir_ DIR *supplies = NULL;
        bool discharging = false, online = false;
        struct dirent *entry;

        if (asprintf(&path, "%s/class/power_supply", sysfs) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        supplies = opendir(path);
        if (!supplies) {
                if (errno != ENOENT)
                        return -errno;
                *ret = false;
                return 0;
        }
        while (errno = 0, (entry = readdir(supplies))) {
                char type[32], line[32];

                if (entry->d_name[0] == '.')
                        continue;
                line_read(dirfd(supplies), entry->d_name, "scope", line, sizeof(line));
                if (strcmp(line, "Device") == 0) /* a mouse's */
                        continue;
                line_read(dirfd(supplies), entry->d_name, "type", type, sizeof(type));
                if (strcmp(type, "Battery") == 0) {
                        line_read(dirfd(supplies), entry->d_name, "status", line, sizeof(line));
                        discharging = discharging || strcmp(line, "Discharging") == 0;
                } else {
                        line_read(dirfd(supplies), entry->d_name, "online", line, sizeof(line));
                        /* 2: a supply that others can be programmed to share. */
                        online = online || (line[0] && strcmp(line, "0") != 0);
                }
        }
        if (errno != 0)
                return -errno;
        *ret = discharging && !online;
        return 0;
}
