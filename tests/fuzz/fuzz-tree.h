/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A small tree of files in memory, in a directory of its own below $TMPDIR, else /dev/shm: made, read and emptied once for each input.
 * Nothing in it leads out of it: a parser that follows a made-up link must not open a device of this machine. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fuzz.h"

#define TREE_ENTRIES_MAX 64

static char tree_top[128], tree[160]; /* what is in tree has two directories above it that are ours, too */
static char *tree_entries[TREE_ENTRIES_MAX];
static size_t tree_n_entries;

static void tree_remove(void)
{
        (void)rmdir(tree);
        (void)rmdir(tree_top);
}

/* Before the first entry. */
static void tree_begin(void)
{
        const char *base = getenv("TMPDIR");

        if (tree[0])
                return;
        snprintf(tree_top, sizeof(tree_top), "%s/defragd-fuzz-XXXXXX", base ? base : "/dev/shm");
        require(mkdtemp(tree_top));
        snprintf(tree, sizeof(tree), "%s/tree", tree_top);
        require(mkdir(tree, 0700) == 0);
        require(atexit(tree_remove) == 0);
}

static void tree_end(void)
{
        while (tree_n_entries > 0) {
                char *path = tree_entries[--tree_n_entries];

                require(remove(path) == 0);
                free(path);
        }
}

static void tree_remember(const char *path)
{
        tree_entries[tree_n_entries] = strdup(path);
        require(tree_entries[tree_n_entries]);
        tree_n_entries++;
}

/* Down through real directories only, made where they are missing. *ret_depth: how many there are. */
static bool tree_parents(char *full, size_t *ret_depth)
{
        size_t depth = 0;

        for (char *slash = strchr(full + strlen(tree) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                struct stat status;

                *slash = '\0';
                if (lstat(full, &status) < 0) {
                        if (errno != ENOENT || tree_n_entries + 1 >= TREE_ENTRIES_MAX ||
                            mkdir(full, 0700) < 0)
                                return false;
                        tree_remember(full);
                } else if (!S_ISDIR(status.st_mode)) {
                        return false;
                }
                *slash = '/';
                depth++;
        }
        *ret_depth = depth;
        return true;
}

/* "a/b": no "", "." or "..". */
static bool tree_name_is_plain(const char *path)
{
        for (;;) {
                const size_t n = strcspn(path, "/");

                if (n == 0 || n > 64 || (n <= 2 && strncmp(path, "..", n) == 0))
                        return false;
                if (path[n] == '\0')
                        return true;
                path += n + 1;
        }
}

/* The path below tree, with what leads there; false when it cannot be or is there already. */
static bool tree_place(const char *path, char full[static 512], size_t *ret_depth)
{
        struct stat status;

        if (!tree_name_is_plain(path) || strlen(path) > 256 || tree_n_entries + 1 >= TREE_ENTRIES_MAX)
                return false;
        snprintf(full, 512, "%s/%s", tree, path);
        return tree_parents(full, ret_depth) && lstat(full, &status) < 0;
}

static inline bool tree_file(const char *path, const void *data, size_t n_bytes)
{
        _cleanup_close_ int fd = -EBADF;
        char full[512];
        size_t depth;

        if (!tree_place(path, full, &depth))
                return false;
        fd = open(full, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        require(fd >= 0);
        tree_remember(full);
        require(n_bytes == 0 || write(fd, data, n_bytes) == (ssize_t)n_bytes);
        return true;
}

static inline bool tree_directory(const char *path)
{
        char full[512];
        size_t depth;

        if (!tree_place(path, full, &depth) || mkdir(full, 0700) < 0)
                return false;
        tree_remember(full);
        return true;
}

/* Climbs no further than to the tree, and that only at its beginning. */
static inline bool tree_link(const char *path, const char *target)
{
        const char *at = target;
        char full[512];
        size_t depth, n_up = 0;

        for (; strncmp(at, "../", 3) == 0; at += 3)
                n_up++;
        if (!tree_name_is_plain(at) || !tree_place(path, full, &depth) || n_up > depth ||
            symlink(target, full) < 0)
                return false;
        tree_remember(full);
        return true;
}
