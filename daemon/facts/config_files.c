/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The main file of the strongest directory that has one, then the drop-ins of all directories by file name: what
 * `systemd-analyze cat-config defragd/defragd.conf` shows. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/config_files.h"

/* Strongest first. */
static const char *const directories[] = {"/etc/defragd", "/run/defragd", "/usr/lib/defragd"};

/* gcc 12's -fanalyzer takes the copy for lost in the moment that it is put into the list; the leak
 * sanitizer finds nothing lost, with every allocation failing in turn. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
static int files_add(ConfigFiles *files, const char *path)
{
        char **grown = reallocarray(files->paths, files->n_paths + 1, sizeof(*grown)), *copy;

        if (!grown)
                return -ENOMEM;
        files->paths = grown;
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        files->paths[files->n_paths++] = copy;
        return 0;
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

void config_files_done(ConfigFiles *files)
{
        for (size_t i = 0; i < files->n_paths; i++)
                free(files->paths[i]);
        free(files->paths);
        *files = (ConfigFiles){0};
}

/* An empty file and a link to /dev/null both say: nothing here, and nothing weaker of this name. */
static bool is_mask(const char *path)
{
        struct stat status;

        return stat(path, &status) == 0 &&
               (S_ISCHR(status.st_mode) || (S_ISREG(status.st_mode) && status.st_size == 0));
}

static const char *base_name(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static bool is_known(const ConfigFiles *files, const char *name)
{
        for (size_t i = 0; i < files->n_paths; i++)
                if (strcmp(base_name(files->paths[i]), name) == 0)
                        return true;
        return false;
}

static int by_base_name(const void *a, const void *b)
{
        return strcmp(base_name(*(char *const *)a), base_name(*(char *const *)b));
}

/* Adds the drop-ins of one directory whose names no stronger one has. */
static int drop_ins_add(ConfigFiles *files, const char *root, const char *directory)
{
        _cleanup_closedir_ DIR *listing = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s%s/defragd.conf.d", root, directory) < 0)
                return -ENOMEM;
        listing = opendir(path);
        if (!listing) {
                _cleanup_free_ char *unreadable = NULL;

                if (errno == ENOENT)
                        return 0;
                if (errno == ENOMEM || asprintf(&unreadable, "%s/", path) < 0)
                        return -ENOMEM;
                /* Whoever reads it as a file finds out what is wrong, and says so. */
                return files_add(files, unreadable);
        }
        for (;;) {
                _cleanup_free_ char *file = NULL;
                struct dirent *entry;
                size_t length;

                errno = 0;
                entry = readdir(listing);
                if (!entry)
                        return -errno;
                length = strlen(entry->d_name);
                if (entry->d_name[0] == '.' || length < 6 ||
                    strcmp(entry->d_name + length - 5, ".conf") != 0 || is_known(files, entry->d_name))
                        continue;
                if (asprintf(&file, "%s/%s", path, entry->d_name) < 0)
                        return -ENOMEM;
                r = files_add(files, file);
                if (r < 0)
                        return r;
        }
}

int config_files_find(const char *root, const char *file, ConfigFiles *ret)
{
        _cleanup_(config_files_done) ConfigFiles files = {0}, drop_ins = {0};
        int r;

        if (file) {
                if (access(file, F_OK) < 0 && errno == ENOENT)
                        return -ENOENT;
                r = is_mask(file) ? 0 : files_add(&files, file);
                if (r < 0)
                        return r;
                *ret = TAKE(files, (ConfigFiles){0});
                return 0;
        }

        for (size_t i = 0; i < ELEMENTS(directories); i++) {
                _cleanup_free_ char *path = NULL;
                struct stat status;

                if (asprintf(&path, "%s%s/defragd.conf", root, directories[i]) < 0)
                        return -ENOMEM;
                /* A link that leads nowhere is a mistake to be told, no reason to obey a weaker file. */
                if (lstat(path, &status) < 0 && errno == ENOENT)
                        continue;
                if (!is_mask(path)) {
                        r = files_add(&files, path);
                        if (r < 0)
                                return r;
                }
                break;
        }
        for (size_t i = 0; i < ELEMENTS(directories); i++) {
                r = drop_ins_add(&drop_ins, root, directories[i]);
                if (r < 0)
                        return r;
        }
        if (drop_ins.n_paths > 1)
                qsort(drop_ins.paths, drop_ins.n_paths, sizeof(*drop_ins.paths), by_base_name);
        for (size_t i = 0; i < drop_ins.n_paths; i++) {
                if (is_mask(drop_ins.paths[i]))
                        continue;
                r = files_add(&files, drop_ins.paths[i]);
                if (r < 0)
                        return r;
        }
        *ret = TAKE(files, (ConfigFiles){0});
        return 0;
}
