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
#include "base/number.h"
#include "base/protection.h"
#include "facts/mounts.h"
#include "fs/driver.h"

static void uuid_format(const uint8_t uuid[static 16], char ret[static 37])
{
        char *at = ret;

        for (unsigned i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *at++ = '-';
                at += snprintf(at, 3, "%02x", uuid[i]);
        }
}

/* O_PATH first: it does not wake an automount, and what is there can be looked at before it is opened. Returns the top directory. */
static int root_open(const char *mount_path, dev_t device, FsFacts *ret)
{
        _cleanup_close_ int path_fd = -EBADF, fd = -EBADF;
        struct stat status;
        dev_t now;
        int r;

        path_fd = open(mount_path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (path_fd < 0)
                return errno == ENOENT || errno == ENOTDIR ? -ENODEV : -errno;
        if (fstat(path_fd, &status) < 0)
                return -errno;
        r = mount_device(path_fd, &status, &now);
        if (r < 0)
                return r;
        if (now != device)
                return -ENODEV;
        fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = file_system_read(fd, ret);
        if (r < 0)
                return r;
        return ret->type->root_open ? ret->type->root_open(fd) : TAKE_FD(fd);
}

/* What holds for one of its disks holds for all of it. */
static int disks_read(FsVolume *volume, int root_fd)
{
        dev_t devices[FS_VOLUME_DEVICES_MAX] = {volume->device};
        int n = 1, r;

        if (volume->facts.type->devices_read)
                n = volume->facts.type->devices_read(root_fd, devices, FS_VOLUME_DEVICES_MAX);
        if (n <= 0)
                return n < 0 ? n : -ENODEV;
        volume->disk = (DiskFacts){.local = true};
        for (int i = 0; i < n; i++) {
                DiskFacts one;

                r = disk_facts_read(devices[i], &one);
                if (r < 0)
                        return r;
                volume->disk.rotational |= one.rotational;
                volume->disk.removable |= one.removable;
                volume->disk.copies_on_write |= one.copies_on_write;
                volume->disk.local &= one.local;
        }
        volume->devices = calloc((size_t)n, sizeof(*volume->devices));
        if (!volume->devices)
                return -ENOMEM;
        memcpy(volume->devices, devices, (size_t)n * sizeof(*devices));
        volume->n_devices = (size_t)n;
        return 0;
}

int fs_volume_init(FsVolume *ret, const char *mount_path, dev_t device)
{
        _cleanup_close_ int root_fd = -EBADF;
        _cleanup_(fs_volume_done) FsVolume volume = {.device = device};
        int r;

        root_fd = root_open(mount_path, device, &volume.facts);
        if (root_fd < 0)
                return root_fd;
        r = disks_read(&volume, root_fd);
        if (r < 0)
                return r;
        volume.mount_path = strdup(mount_path);
        volume.notes = calloc(1, sizeof(*volume.notes));
        if (!volume.mount_path || !volume.notes)
                return -ENOMEM;
        uuid_format(volume.facts.uuid, volume.uuid);
        *ret = TAKE(volume, (FsVolume){0});
        return 0;
}

void fs_volume_done(FsVolume *volume)
{
        for (size_t i = 0; i < volume->n_mounts; i++) {
                free(volume->mounts[i].root);
                free(volume->mounts[i].target);
        }
        free(volume->mounts);
        free(volume->devices);
        free(volume->notes);
        free(volume->mount_path);
        *volume = (FsVolume){0};
}

int fs_volume_add_mount(FsVolume *volume, const char *root, const char *target, bool served)
{
        FsMount mount = {.root = strdup(root), .target = strdup(target), .served = served};
        FsMount *grown = reallocarray(volume->mounts, volume->n_mounts + 1, sizeof(*grown));

        if (grown)
                volume->mounts = grown;
        if (!grown || !mount.root || !mount.target) {
                free(mount.root);
                free(mount.target);
                return -ENOMEM;
        }
        grown[volume->n_mounts++] = mount;
        return 0;
}

bool fs_volume_disk_is_gone(const FsVolume *volume)
{
        for (size_t i = 0; i < volume->n_devices; i++)
                if (disk_is_gone(volume->devices[i]))
                        return true;
        return false;
}

int fs_volume_open(const FsVolume *volume)
{
        _cleanup_close_ int root_fd = -EBADF;
        FsFacts now;

        root_fd = root_open(volume->mount_path, volume->device, &now);
        if (root_fd < 0)
                return root_fd == -EOPNOTSUPP ? -ENODEV : root_fd;
        /* The device number may have been given to another disk since. */
        if (now.type != volume->facts.type ||
            (PROTECTED_BY(UUID) && memcmp(now.uuid, volume->facts.uuid, sizeof(now.uuid)) != 0))
                return -ENODEV;
        return TAKE_FD(root_fd);
}

int fs_volume_open_locked(const FsVolume *volume)
{
        _cleanup_close_ int root_fd = -EBADF;
        int r;

        r = fs_volume_is_exclusive(volume);
        if (r != 0)
                return r < 0 ? r : -EBUSY;
        root_fd = fs_volume_open(volume);
        if (root_fd < 0)
                return root_fd;
        if (PROTECTED_BY(VOLUME_LOCK) && flock(root_fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;
        return TAKE_FD(root_fd);
}

int fs_volume_free_bytes(const FsVolume *volume, int root_fd, uint64_t *ret_free)
{
        return volume->facts.type->free_bytes(&volume->facts, root_fd, ret_free);
}

int fs_volume_inode_open(const FsVolume *volume, int root_fd, FileId id, int flags)
{
        return volume->facts.type->inode_open(root_fd, id, flags);
}

int fs_volume_inode_read(const FsVolume *volume, int root_fd, FileId id, InodeFacts *ret)
{
        return volume->facts.type->inode_read(&volume->facts, root_fd, id, ret);
}

int fs_volume_map_read(const FsVolume *volume, int fd, FileId id, uint64_t offset, uint64_t length,
                       bool sync, size_t max_extents, ExtentMap *ret)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        const FileSystemType *type = volume->facts.type;
        int r;

        r = extent_map_read(fd, offset, length, sync, max_extents, &map);
        if (r == 0 && map.any_encoded && type->map_decode)
                r = type->map_decode(fd, id, &map);
        if (r < 0)
                return r;
        *ret = TAKE(map, (ExtentMap){0});
        return 0;
}

int fs_volume_is_exclusive(const FsVolume *volume)
{
        const FileSystemType *type = volume->facts.type;

        return type->is_exclusive && PROTECTED_BY(EXCLUSIVE_OPERATION) ? type->is_exclusive(&volume->facts)
                                                                       : 0;
}

static const FsDriver *driver_of(const FsVolume *volume)
{
        static const FsDriver *const drivers[] = {&fs_driver_xfs, &fs_driver_ext4, &fs_driver_btrfs};

        for (size_t i = 0; i < ELEMENTS(drivers); i++)
                if (drivers[i]->type == volume->facts.type)
                        return drivers[i];
        /* Whatever has facts has a driver. */
        abort();
}

Reason fs_volume_refusal(const FsVolume *volume)
{
        return driver_of(volume)->refusal(volume);
}

int fs_volume_file_refusal(const FsVolume *volume, int fd, Reason *ret)
{
        const FsDriver *driver = driver_of(volume);

        *ret = REASON_NONE;
        return driver->file_refusal ? driver->file_refusal(fd, ret) : 0;
}

const Engine *fs_volume_promised_engine(const FsVolume *volume)
{
        return driver_of(volume)->promised(volume);
}

int fs_volume_probe(FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents, int *ret_error)
{
        int r;

        volume->engine = NULL;
        r = driver_of(volume)->probe(volume, root_fd, parents, n_parents);
        if (r > 0)
                return 0;
        *ret_error = r;
        return 1;
}
