/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a volume is reached, each time anew. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/protection.h"
#include "fs/volume.h"

static void uuid_format(const uint8_t uuid[static 16], char ret[static 37])
{
        char *at = ret;

        for (unsigned i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *at++ = '-';
                at += snprintf(at, 3, "%02x", uuid[i]);
        }
}

/* O_PATH first: it does not wake an automount, and what is there can be looked at before it is opened. */
static int root_open(const char *mount_path, dev_t device)
{
        _cleanup_close_ int path_fd = -EBADF;
        struct stat status;
        int fd;

        path_fd = open(mount_path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (path_fd < 0)
                return errno == ENOENT || errno == ENOTDIR ? -ENODEV : -errno;
        if (fstat(path_fd, &status) < 0)
                return -errno;
        if (status.st_dev != device)
                return -ENODEV;
        fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int fs_volume_init(FsVolume *ret, const char *mount_path, dev_t device)
{
        _cleanup_close_ int root_fd = -EBADF;
        FsVolume volume = {.device = device};
        int r;

        root_fd = root_open(mount_path, device);
        if (root_fd < 0)
                return root_fd;
        r = xfs_geometry_read(root_fd, &volume.xfs);
        if (r < 0)
                return r == -ENOTTY ? -EOPNOTSUPP : r;
        r = disk_facts_read(device, &volume.disk);
        if (r < 0)
                return r;
        volume.mount_path = strdup(mount_path);
        if (!volume.mount_path)
                return -ENOMEM;
        uuid_format(volume.xfs.uuid, volume.uuid);
        *ret = volume;
        return 0;
}

void fs_volume_done(FsVolume *volume)
{
        free(volume->mount_path);
        *volume = (FsVolume){0};
}

int fs_volume_open(const FsVolume *volume)
{
        _cleanup_close_ int root_fd = -EBADF;
        XfsGeometry now;
        int r;

        root_fd = root_open(volume->mount_path, volume->device);
        if (root_fd < 0)
                return root_fd;
        /* The device number may have been given to another disk since. */
        r = xfs_geometry_read(root_fd, &now);
        if (r < 0)
                return r == -ENOTTY ? -ENODEV : r;
        if (PROTECTED_BY(UUID) && memcmp(now.uuid, volume->xfs.uuid, sizeof(now.uuid)) != 0)
                return -ENODEV;
        return TAKE_FD(root_fd);
}

int fs_volume_open_locked(const FsVolume *volume)
{
        _cleanup_close_ int root_fd = -EBADF;

        root_fd = fs_volume_open(volume);
        if (root_fd < 0)
                return root_fd;
        if (PROTECTED_BY(VOLUME_LOCK) && flock(root_fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;
        return TAKE_FD(root_fd);
}

int fs_volume_free_bytes(const FsVolume *volume, int root_fd, uint64_t *ret_free)
{
        uint64_t n_blocks;
        int r;

        r = xfs_free_blocks(root_fd, &n_blocks);
        if (r < 0)
                return r;
        *ret_free = n_blocks * volume->xfs.block_bytes;
        return 0;
}
