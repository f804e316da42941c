/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names, from the bottom up: what a mount shows of a file depends on where it begins, what the trees say does not. */

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "facts/btrfs.h"
#include "facts/btrfs_tree.h"

/* Subvolumes within subvolumes: a path has no room for more of them. */
#define DEPTH_MAX  2048
/* Longer than any path that can be opened, and a hostile disk cannot make us copy more than that for each step. */
#define LENGTH_MAX 65536

/* head + "/" + tail, without the slash where one of them is empty. NULL: no memory. */
static char *path_join(const char *head, const char *tail)
{
        char *joined = malloc(strlen(head) + 1 + strlen(tail) + 1);

        if (joined) {
                strcpy(joined, head);
                if (head[0] != '\0' && tail[0] != '\0')
                        strcat(joined, "/");
                strcat(joined, tail);
        }
        return joined;
}

/* Puts a name of an inode within its subvolume in front of *path. */
static int prepend_inode(int fs_fd, uint64_t subvolume, uint64_t inode, char **path)
{
        struct btrfs_ioctl_ino_lookup_args request = {.treeid = subvolume, .objectid = inode};
        size_t n_bytes;
        char *joined;

        if (ioctl(fs_fd, BTRFS_IOC_INO_LOOKUP, &request) < 0)
                return -errno;
        n_bytes = strnlen(request.name, sizeof(request.name));
        if (n_bytes == sizeof(request.name))
                return -EIO;
        /* It ends with a slash, unless it is empty. */
        if (n_bytes > 0 && request.name[n_bytes - 1] == '/')
                request.name[n_bytes - 1] = '\0';
        joined = path_join(request.name, *path);
        if (!joined)
                return -ENOMEM;
        free(*path);
        *path = joined;
        return 0;
}

/* Puts the name of a subvolume in front of *path, and tells in which directory of which other one it has it. */
static int prepend_subvolume(int fs_fd, uint64_t subvolume, char **path, uint64_t *ret_parent,
                             uint64_t *ret_directory)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        _cleanup_free_ char *name = NULL;
        const BtrfsKey first = {subvolume, BTRFS_ROOT_BACKREF_KEY, 0};
        const BtrfsKey last = {subvolume, BTRFS_ROOT_BACKREF_KEY, UINT64_MAX};
        struct btrfs_root_ref reference;
        BtrfsItem item;
        char *joined;
        size_t n_bytes;
        int r;

        r = btrfs_scan_begin(&scan, fs_fd, BTRFS_ROOT_TREE_OBJECTID, first, last, BTRFS_SCAN_SMALL);
        if (r < 0)
                return r;
        r = btrfs_scan_next(&scan, &item);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        if (item.n_bytes < sizeof(reference))
                return -EIO;
        memcpy(&reference, item.data, sizeof(reference));
        n_bytes = le16toh(reference.name_len);
        if (n_bytes == 0 || n_bytes > item.n_bytes - sizeof(reference))
                return -EIO;
        name = strndup((const char *)item.data + sizeof(reference), n_bytes);
        joined = name ? path_join(name, *path) : NULL;
        if (!joined)
                return -ENOMEM;
        free(*path);
        *path = joined;
        *ret_parent = item.key.offset;
        *ret_directory = le64toh(reference.dirid);
        return 0;
}

static int path_climb(int fs_fd, uint64_t subvolume, char **path)
{
        for (unsigned depth = 0; subvolume != BTRFS_TOP_SUBVOLUME; depth++) {
                uint64_t directory;
                int r;

                if (depth == DEPTH_MAX)
                        return -ELOOP;
                if (strlen(*path) > LENGTH_MAX)
                        return -ENAMETOOLONG;
                r = prepend_subvolume(fs_fd, subvolume, path, &subvolume, &directory);
                if (r < 0)
                        return r;
                r = prepend_inode(fs_fd, subvolume, directory, path);
                if (r < 0)
                        return r;
        }
        return 0;
}

int btrfs_subvolume_path(int fs_fd, uint32_t subvolume, char **ret)
{
        _cleanup_free_ char *path = strdup("");
        int r;

        if (!path)
                return -ENOMEM;
        r = path_climb(fs_fd, subvolume, &path);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(path);
        return 0;
}

int btrfs_inode_path(int fs_fd, FileId id, char **ret)
{
        _cleanup_free_ char *path = strdup("");
        int r;

        if (!path)
                return -ENOMEM;
        r = prepend_inode(fs_fd, id.subvolume, id.inode, &path);
        if (r < 0)
                return r;
        r = path_climb(fs_fd, id.subvolume, &path);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(path);
        return 0;
}

int btrfs_directory_path(int fs_fd, FileId directory, char ret[static PATH_MAX])
{
        _cleanup_free_ char *path = NULL;
        int r;

        r = btrfs_inode_path(fs_fd, directory, &path);
        if (r < 0)
                return r;
        if (strlen(path) + 2 > PATH_MAX)
                return -ENAMETOOLONG;
        ret[0] = '/';
        strcpy(ret + 1, path);
        return 0;
}
