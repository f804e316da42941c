/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A few one-line files of sysfs, and what the path of a device there gives away. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/disks.h"
#include "facts/sysfs.h"

/* Block devices whose other end is a network, by the start of their kernel name. */
static const char *const network_names[] = {"nbd", "rbd", "drbd", "etherd!"};

/* The same by a part of their path: iSCSI disks hang below a session of their host adapter, NVMe over fabrics has no
 * bus. */
static const char *const network_paths[] = {"/session", "/nvme-fabrics/"};

/* "" where the kernel has no such file. */
static int line_read(int dir_fd, const char *name, char *ret, size_t room)
{
        int r = sysfs_line_read(dir_fd, name, ret, room);

        if (r == -ENOENT)
                ret[0] = '\0';
        return r == -ENOENT ? 0 : r;
}

/* A number that is 0 or something else; missing stands in where there is none. */
static int flag_read(int dir_fd, const char *name, bool missing, bool *ret)
{
        char line[16];
        int r = line_read(dir_fd, name, line, sizeof(line));

        if (r < 0)
                return r;
        *ret = line[0] ? strcmp(line, "0") != 0 : missing;
        return 0;
}

/* An NVMe disk that several controllers lead to belongs to none of them but to a virtual subsystem, which has them as
 * links: is one of them not on the machine's own bus? */
static int any_controller_remote(const char *subsystem, bool *ret)
{
        _cleanup_closedir_ DIR *listing = opendir(subsystem);
        struct dirent *entry;
        bool remote = false;

        if (!listing)
                return -errno;
        while (errno = 0, (entry = readdir(listing))) {
                _cleanup_free_ char *name = NULL;
                char transport[16];
                int r;

                if (strncmp(entry->d_name, "nvme", 4) != 0)
                        continue;
                if (asprintf(&name, "%s/transport", entry->d_name) < 0)
                        return -ENOMEM;
                r = line_read(dirfd(listing), name, transport, sizeof(transport));
                if (r < 0)
                        return r;
                /* Disks lie here, too, and have no transport of their own. */
                if (transport[0] && strcmp(transport, "pcie") != 0 && strcmp(transport, "apple-nvme") != 0)
                        remote = true;
        }
        if (errno != 0)
                return -errno;
        *ret = remote;
        return 0;
}

/* path: the disk's own directory, without symbolic links. */
static int local_read(const char *path, bool *ret)
{
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        bool remote = true;
        int r;

        for (size_t i = 0; i < ELEMENTS(network_names); i++)
                if (strncmp(name, network_names[i], strlen(network_names[i])) == 0) {
                        *ret = false;
                        return 0;
                }
        for (size_t i = 0; i < ELEMENTS(network_paths); i++)
                if (strstr(path, network_paths[i])) {
                        *ret = false;
                        return 0;
                }
        *ret = true;
        if (slash && strstr(path, "/nvme-subsystem/")) {
                _cleanup_free_ char *subsystem = strndup(path, (size_t)(slash - path));

                if (!subsystem)
                        return -ENOMEM;
                r = any_controller_remote(subsystem, &remote);
                if (r < 0)
                        return r;
                *ret = !remote;
        }
        return 0;
}

/* --- layers of device mapper --- */

/* Deeper than anybody stacks. */
#define LAYERS_MAX 16

/* What LVM appends to the name of a layer that only copy on write has: a pool of thin volumes, of deduplicated ones, the
 * blocks of a snapshot and the origin that they are kept from. */
static const char *const layer_names[] = {"-tpool", "-vpool", "-cow", "-real"};

static bool is_copying_layer(const char *uuid)
{
        const size_t n_bytes = strlen(uuid);

        if (strncmp(uuid, "LVM-", strlen("LVM-")) != 0)
                return false;
        for (size_t i = 0; i < ELEMENTS(layer_names); i++) {
                const size_t n_name = strlen(layer_names[i]);

                if (n_bytes > n_name && strcmp(uuid + n_bytes - n_name, layer_names[i]) == 0)
                        return true;
        }
        return false;
}

/* Is one of the layers below a device (dir_fd: its directory) such a layer? Also through encryption. Returns 1, 0 or -errno. */
static int any_copying_layer(int dir_fd, unsigned depth)
{
        _cleanup_closedir_ DIR *layers = NULL;
        struct dirent *entry;
        int fd, r;

        fd = depth >= LAYERS_MAX ? -1 : openat(dir_fd, "slaves", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return depth >= LAYERS_MAX || errno == ENOENT ? 0 : -errno;
        layers = fdopendir(fd);
        if (!layers) {
                r = -errno;
                (void)fd_close(fd);
                return r;
        }
        while (errno = 0, (entry = readdir(layers))) {
                _cleanup_close_ int layer_fd = -EBADF;
                char uuid[160];

                if (entry->d_name[0] == '.')
                        continue;
                layer_fd = openat(dirfd(layers), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (layer_fd < 0)
                        return -errno;
                r = line_read(layer_fd, "dm/uuid", uuid, sizeof(uuid));
                if (r >= 0)
                        r = is_copying_layer(uuid) ? 1 : any_copying_layer(layer_fd, depth + 1);
                if (r != 0)
                        return r;
        }
        return -errno;
}

int disk_facts_read_in(const char *sysfs, dev_t device, DiskFacts *ret)
{
        _cleanup_free_ char *link = NULL, *path = NULL;
        _cleanup_close_ int dir_fd = -EBADF;
        DiskFacts facts;
        char *slash;
        int r;

        if (asprintf(&link, "%s/dev/block/%u:%u", sysfs, major(device), minor(device)) < 0)
                return -ENOMEM;
        path = realpath(link, NULL);
        if (!path)
                return errno == ENOENT ? -ENODEV : -errno;
        dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        /* A partition lies in its disk's directory. */
        if (faccessat(dir_fd, "partition", F_OK, 0) == 0) {
                slash = strrchr(path, '/');
                if (!slash || slash == path)
                        return -ENODEV;
                *slash = '\0';
                (void)fd_close(dir_fd);
                dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (dir_fd < 0)
                        return -errno;
        }

        /* A queue that does not say is taken for one that seeks. */
        r = flag_read(dir_fd, "queue/rotational", true, &facts.rotational);
        if (r < 0)
                return r;
        r = flag_read(dir_fd, "removable", false, &facts.removable);
        if (r < 0)
                return r;
        r = local_read(path, &facts.local);
        if (r < 0)
                return r;
        r = any_copying_layer(dir_fd, 0);
        if (r < 0)
                return r;
        facts.copies_on_write = r > 0;
        *ret = facts;
        return 0;
}

bool disk_is_gone_in(const char *sysfs, dev_t device)
{
        _cleanup_free_ char *directory = NULL, *link = NULL;

        if (asprintf(&directory, "%s/dev/block", sysfs) < 0) {
                directory = NULL;
                return false;
        }
        if (asprintf(&link, "%s/%u:%u", directory, major(device), minor(device)) < 0) {
                link = NULL;
                return false;
        }
        /* A sandbox without sysfs has no disk, and none that is gone. */
        return access(directory, F_OK) == 0 && faccessat(AT_FDCWD, link, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
               errno == ENOENT;
}

bool disk_is_gone(dev_t device)
{
        return disk_is_gone_in("/sys", device);
}

int disk_facts_read(dev_t device, DiskFacts *ret)
{
        return disk_facts_read_in("/sys", device, ret);
}
