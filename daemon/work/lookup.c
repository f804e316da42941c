/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a directory's identity and an inode number to a path. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "work/lookup.h"

static bool lies_below(const char *path, const char *mount_path)
{
        size_t n_bytes = strlen(mount_path);

        if (n_bytes > 0 && mount_path[n_bytes - 1] == '/')
                n_bytes--;
        return strncmp(path, mount_path, n_bytes) == 0 && (path[n_bytes] == '/' || path[n_bytes] == '\0');
}

/* Of all mounts of the file system the one that shows most of the way down to it decides, whomever it belongs to. */
static int visible_path(const FsVolume *volume, const char *from_top, char ret[static PATH_MAX])
{
        const FsMount *best = NULL;
        const char *rest;
        int n;

        for (size_t i = 0; i < volume->n_mounts; i++) {
                const FsMount *mount = &volume->mounts[i];

                if (lies_below(from_top, mount->root) &&
                    (!best || strlen(mount->root) > strlen(best->root) ||
                     (strcmp(mount->root, best->root) == 0 && mount->served)))
                        best = mount;
        }
        if (!best || !best->served)
                return -ENOENT;
        rest = from_top + (strcmp(best->root, "/") == 0 ? 0 : strlen(best->root));
        if (strcmp(rest, "/") == 0)
                rest = "";
        n = snprintf(ret, PATH_MAX, "%s%s", rest[0] && strcmp(best->target, "/") == 0 ? "" : best->target,
                     rest);
        return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* The kernel marks a removed one by " (deleted)", which is also a good
 * name for one that is not; one that still has links afterwards was not marked. */
int name_of_directory(const FsVolume *volume, int root_fd, FileId directory, int dir_fd,
                      char ret[static PATH_MAX])
{
        char link[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
        struct stat status;
        ssize_t n_bytes;

        if (volume->facts.type->directory_path) {
                char from_top[PATH_MAX];
                int r = volume->facts.type->directory_path(root_fd, directory, from_top);

                return r < 0 ? r : visible_path(volume, from_top, ret);
        }
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
        n_bytes = readlink(link, ret, PATH_MAX);
        if (n_bytes < 0)
                return -errno;
        if (n_bytes >= PATH_MAX)
                return -ENAMETOOLONG;
        ret[n_bytes] = '\0';
        if (fstat(dir_fd, &status) < 0)
                return -errno;
        if (!S_ISDIR(status.st_mode))
                return -ENOTDIR;
        /* Not below: "(unreachable)..." behind a mount of a part, or moved to where we are not to look. */
        return status.st_nlink == 0 || !lies_below(ret, volume->mount_path) ? -ENOENT : 0;
}

/* The result is valid until dir is closed. */
static int directory_find(DIR *dir, uint64_t inode, const char **ret_name)
{
        for (unsigned n = 0; n < LOOKUP_ENTRIES_MAX; n++) {
                const struct dirent *entry;

                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        return errno != 0 ? -errno : -ENOENT;
                if (entry->d_ino != inode || strcmp(entry->d_name, ".") == 0 ||
                    strcmp(entry->d_name, "..") == 0)
                        continue;
                *ret_name = entry->d_name;
                return 0;
        }
        return -ENOENT;
}

int name_lookup(const FsVolume *volume, int root_fd, FileId parent, uint64_t inode, char **ret_path)
{
        _cleanup_close_ int dir_fd = -EBADF;
        _cleanup_closedir_ DIR *dir = NULL;
        char directory[PATH_MAX];
        const char *name = NULL, *slash;
        char *path;
        int r;

        dir_fd = fs_volume_inode_open(volume, root_fd, parent, O_RDONLY | O_DIRECTORY | O_NOATIME);
        if (dir_fd < 0)
                return dir_fd;
        r = name_of_directory(volume, root_fd, parent, dir_fd, directory);
        if (r < 0)
                return r;
        dir = fdopendir(dir_fd);
        if (!dir)
                return -errno;
        (void)TAKE_FD(dir_fd);
        r = directory_find(dir, inode, &name);
        if (r < 0)
                return r;
        slash = directory[strlen(directory) - 1] == '/' ? "" : "/";
        if (asprintf(&path, "%s%s%s", directory, slash, name) < 0)
                return -ENOMEM;
        *ret_path = path;
        return 0;
}
