/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One value a file. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/sysfs.h"

int sysfs_line_read(int dir_fd, const char *path, char *ret, size_t room)
{
        _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, ret, room - 1);
        if (n < 0)
                return -errno;
        ret[n] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return 0;
}

int sysfs_device_read(int dir_fd, const char *path, dev_t *ret)
{
        unsigned major_number, minor_number;
        char line[32];
        int r = sysfs_line_read(dir_fd, path, line, sizeof(line));

        if (r < 0)
                return r;
        if (sscanf(line, "%u:%u", &major_number, &minor_number) != 2)
                return -EBADMSG;
        *ret = makedev(major_number, minor_number);
        return 0;
}
