/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Down through partitions, loop devices, device mapper and md to what they lie on, by what sysfs says of each. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/disks.h"
#include "facts/sysfs.h"

/* Deeper than anybody stacks. */
#define DEPTH_MAX 16

typedef struct Roots {
        const char *sysfs, *file_root;
        dev_t *disks;
        size_t n_disks, max;
        /* Whom we have asked: many ways may lead to one of them, and from a loop device, by way of its own file system, to itself. */
        dev_t *seen; /* owned */
        size_t n_seen;
} Roots;

static int add_device(Roots *roots, dev_t device, unsigned depth);

/* Ascending, each once; what is too much is left out. */
static void add_root(Roots *roots, dev_t device)
{
        size_t at = 0;

        while (at < roots->n_disks && roots->disks[at] < device)
                at++;
        if ((at < roots->n_disks && roots->disks[at] == device) || roots->n_disks == roots->max)
                return;
        memmove(&roots->disks[at + 1], &roots->disks[at], (roots->n_disks - at) * sizeof(*roots->disks));
        roots->disks[at] = device;
        roots->n_disks++;
}

/* Returns 1, 0 when we have been there, -ENOMEM. */
static int note_seen(Roots *roots, dev_t device)
{
        dev_t *grown;

        for (size_t i = 0; i < roots->n_seen; i++)
                if (roots->seen[i] == device)
                        return 0;
        grown = reallocarray(roots->seen, roots->n_seen + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        roots->seen = grown;
        roots->seen[roots->n_seen++] = device;
        return 1;
}

/* Is it the member that the mount table names? By number, or by name where there is no node to ask. */
static bool is_source(const char *source, const char *name, dev_t member)
{
        const char *last = strrchr(source, '/');
        struct stat status;

        if (stat(source, &status) == 0 && S_ISBLK(status.st_mode))
                return status.st_rdev == member;
        return strcmp(last ? last + 1 : source, name) == 0;
}

/* The devices that a directory of sysfs has as links. source: whether it is among them goes to *ret_found; NULL: not asked. Returns how many
 * there were, or -errno. */
static int add_members(Roots *roots, int dir_fd, const char *path, unsigned depth, const char *source,
                       bool *ret_found)
{
        _cleanup_closedir_ DIR *members = NULL;
        struct dirent *entry;
        int fd, r, n = 0;

        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        members = fdopendir(fd);
        if (!members) {
                r = -errno;
                (void)fd_close(fd);
                return r;
        }
        while (errno = 0, (entry = readdir(members))) {
                _cleanup_free_ char *number = NULL;
                dev_t member;

                if (entry->d_name[0] == '.')
                        continue;
                if (asprintf(&number, "%s/dev", entry->d_name) < 0) {
                        number = NULL;
                        return -ENOMEM;
                }
                r = sysfs_device_read(dirfd(members), number, &member);
                if (r >= 0)
                        r = add_device(roots, member, depth);
                if (r < 0)
                        return r;
                if (source && is_source(source, entry->d_name, member))
                        *ret_found = true;
                n++;
        }
        return errno != 0 ? -errno : n;
}

/* The disk of the file that a loop device shows. Returns 1, 0 when nothing can be found, -errno. */
static int add_file(Roots *roots, int dir_fd, unsigned depth)
{
        _cleanup_close_ int fd = openat(dir_fd, "loop/backing_file", O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *path = NULL;
        char line[4096];
        struct stat status;
        ssize_t n;
        int r;

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        n = read(fd, line, sizeof(line) - 1);
        if (n < 0)
                return errno == ENXIO ? 0 : -errno;
        line[n] = '\0';
        line[strcspn(line, "\n")] = '\0';
        if (asprintf(&path, "%s%s", roots->file_root, line) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        /* Deleted, or in another mount namespace. */
        if (fstatat(AT_FDCWD, path, &status, AT_NO_AUTOMOUNT) < 0)
                return 0;
        if (S_ISBLK(status.st_mode))
                status.st_dev = status.st_rdev;
        /* tmpfs and the like have no disk. */
        if (major(status.st_dev) == 0)
                return 0;
        r = add_device(roots, status.st_dev, depth + 1);
        return r < 0 ? r : 1;
}

/* A partition is its disk. */
static int directory_open(const char *sysfs, dev_t *device)
{
        _cleanup_free_ char *link = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (asprintf(&link, "%s/dev/block/%u:%u", sysfs, major(*device), minor(*device)) < 0) {
                link = NULL;
                return -ENOMEM;
        }
        fd = open(link, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ENODEV : -errno;
        if (faccessat(fd, "partition", F_OK, 0) < 0)
                return TAKE_FD(fd);
        r = sysfs_device_read(fd, "../dev", device);
        if (r < 0)
                return r;
        r = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return r < 0 ? -errno : r;
}

static int add_device(Roots *roots, dev_t device, unsigned depth)
{
        _cleanup_close_ int dir_fd = directory_open(roots->sysfs, &device);
        int n, r;

        if (dir_fd < 0 && (depth == 0 || dir_fd != -ENODEV))
                return dir_fd;
        r = note_seen(roots, device);
        if (r <= 0)
                return r;
        n = dir_fd < 0 || depth >= DEPTH_MAX ? 0
                                             : add_members(roots, dir_fd, "slaves", depth + 1, NULL, NULL);
        if (n == 0 && dir_fd >= 0 && depth < DEPTH_MAX)
                n = add_file(roots, dir_fd, depth);
        if (n == 0)
                add_root(roots, device);
        return n < 0 ? n : 0;
}

/* btrfs lists its pools by UUID. Returns 0 or -errno; -ENODEV when source is in none. */
static int find_pool(Roots *roots, const char *source)
{
        _cleanup_closedir_ DIR *pools = NULL;
        _cleanup_free_ char *path = NULL;
        struct dirent *entry;
        int r;

        if (asprintf(&path, "%s/fs/btrfs", roots->sysfs) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        pools = opendir(path);
        if (!pools)
                return errno == ENOENT ? -ENODEV : -errno;
        while (errno = 0, (entry = readdir(pools))) {
                _cleanup_free_ char *devices = NULL;
                bool found = false;

                if (entry->d_name[0] == '.')
                        continue;
                if (asprintf(&devices, "%s/devices", entry->d_name) < 0) {
                        devices = NULL;
                        return -ENOMEM;
                }
                /* "features" is no pool, and has none. */
                r = add_members(roots, dirfd(pools), devices, 1, source, &found);
                if (r < 0 || found)
                        return r < 0 ? r : 0;
                roots->n_disks = roots->n_seen = 0;
        }
        return errno != 0 ? -errno : -ENODEV;
}

int disk_roots_read_in(const char *sysfs, const char *file_root, dev_t device, const char *source,
                       dev_t *ret_disks, size_t max)
{
        Roots roots = {.sysfs = sysfs, .file_root = file_root, .disks = ret_disks, .max = max};
        int r;

        r = major(device) == 0 && source ? find_pool(&roots, source) : add_device(&roots, device, 0);
        free(roots.seen);
        if (r < 0)
                return r;
        /* It lies on nothing but itself. */
        if (roots.n_disks == 0)
                add_root(&roots, device);
        return (int)roots.n_disks;
}

int disk_roots_read(dev_t device, const char *source, dev_t *ret_disks, size_t max)
{
        return disk_roots_read_in("/sys", "", device, source, ret_disks, max);
}
