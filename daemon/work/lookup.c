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

/* The kernel marks a removed one by " (deleted)", which is also a good
 * name for one that is not; one that still has links afterwards was not marked. */
int name_of_directory(int dir_fd, const char *mount_path, char ret[static PATH_MAX])
{
        char link[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
        struct stat status;
        ssize_t n_bytes;

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
        return status.st_nlink == 0 || !lies_below(ret, mount_path) ? -ENOENT : 0;
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
        r = name_of_directory(dir_fd, volume->mount_path, directory);
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
