/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names meet policy here: Exclude= speaks of paths, everything after this of identities. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "work/inode_map.h"
#include "work/naming.h"
#include "work/walk.h"

typedef struct Naming {
        const VolumeConfig *config;
        const NamingCallbacks *callbacks;
        CandidateList *list;
        InodeMap positions;    /* in *list, by inode */
        bool *excluded;        /* one an item of *list */
        char *excluded_prefix; /* the excluded directory that the walk is in, with a slash */
        bool any_unreadable;
} Naming;

static void naming_done(Naming *naming)
{
        inode_map_done(&naming->positions);
        free(naming->excluded);
        free(naming->excluded_prefix);
}

bool naming_any_pattern(const FsVolume *volume, const VolumeConfig *config)
{
        for (size_t i = 0; i < volume->n_mounts; i++)
                if (volume->mounts[i].served && config_may_exclude_below(config, volume->mounts[i].target))
                        return true;
        return config_may_exclude_below(config, volume->mount_path);
}

bool naming_is_needed(const FsVolume *volume, const VolumeConfig *config)
{
        return volume->facts.type->directory_path || naming_any_pattern(volume, config);
}

int naming_is_excluded(const VolumeConfig *config, const char *path)
{
        _cleanup_free_ char *part = strdup(path);

        if (!part)
                return -ENOMEM;
        for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (config_excludes(config, part))
                        return true;
                *slash = '/';
        }
        return config_excludes(config, part);
}

/* Is the entry below the excluded directory that the walk went into last? The walk is done with a directory
 * before it goes to the next, so one is enough to remember. */
static bool below_excluded(Naming *naming, const char *path)
{
        if (naming->excluded_prefix &&
            strncmp(path, naming->excluded_prefix, strlen(naming->excluded_prefix)) == 0)
                return true;
        free(TAKE_PTR(naming->excluded_prefix));
        return false;
}

static int enter_directory(Naming *naming, const char *path)
{
        if (below_excluded(naming, path) || !config_excludes(naming->config, path))
                return 0;
        if (asprintf(&naming->excluded_prefix, "%s/", path) < 0) {
                naming->excluded_prefix = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int candidate_name(Candidate *candidate, const WalkEntry *entry)
{
        free(TAKE_PTR(candidate->path));
        if (asprintf(&candidate->path, "%s", entry->path) < 0) {
                candidate->path = NULL;
                return -ENOMEM;
        }
        if (file_id_is_set(entry->parent))
                candidate->parent = entry->parent;
        return 0;
}

static int on_entry(const WalkEntry *entry, void *userdata)
{
        Naming *naming = userdata;
        Candidate *candidate;
        uint32_t position;
        bool excluded;

        if (naming->callbacks->on_name)
                naming->callbacks->on_name(entry->path, naming->callbacks->userdata);
        if (entry->type == DT_DIR)
                return enter_directory(naming, entry->path);
        if (entry->type != DT_REG || !inode_map_find(&naming->positions, walk_entry_key(entry), &position))
                return 0;

        candidate = &naming->list->items[position];
        excluded = below_excluded(naming, entry->path) || config_excludes(naming->config, entry->path);
        if (excluded)
                naming->excluded[position] = true;
        if (candidate->path && !excluded)
                return 0;
        return candidate_name(candidate, entry);
}

static void on_unreadable(const char *path, int error, void *userdata)
{
        Naming *naming = userdata;

        naming->any_unreadable = true;
        if (naming->callbacks->on_unreadable)
                naming->callbacks->on_unreadable(path, error, naming->callbacks->userdata);
}

/* unnamed_too: a file that nobody knows the name of may be one that Exclude= was meant for. */
static int take_out_excluded(Naming *naming, bool unnamed_too)
{
        CandidateList *list = naming->list;
        int r;

        for (size_t i = 0; i < list->n_items; i++) {
                naming->excluded[i] = naming->excluded[i] || (unnamed_too && !list->items[i].path);
                if (!naming->excluded[i] || !naming->callbacks->on_excluded)
                        continue;
                r = naming->callbacks->on_excluded(&list->items[i], naming->callbacks->userdata);
                if (r < 0)
                        return r;
        }
        candidate_list_remove(list, naming->excluded);
        return 0;
}

static int naming_pass(Naming *naming, const FsVolume *volume, int root_fd, const atomic_bool *cancel)
{
        CandidateList *list = naming->list;
        int r, all_excluded;

        naming->excluded = calloc(list->n_items, sizeof(*naming->excluded));
        if (!naming->excluded)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_items; i++) {
                r = inode_map_add(&naming->positions, list->items[i].id, (uint32_t)i);
                if (r < 0)
                        return r;
        }
        /* The walk begins at the mount point and never sees what leads there. */
        all_excluded = naming_is_excluded(naming->config, volume->mount_path);
        if (all_excluded < 0)
                return all_excluded;
        if (all_excluded) {
                memset(naming->excluded, true, list->n_items * sizeof(*naming->excluded));
                return take_out_excluded(naming, true);
        }
        r = walk_directory(root_fd, volume->mount_path, false, on_entry, on_unreadable, cancel, naming);
        if (r < 0)
                return r;
        return take_out_excluded(naming,
                                 naming->any_unreadable && naming_any_pattern(volume, naming->config));
}

int naming_run(const FsVolume *volume, int root_fd, const VolumeConfig *config, const atomic_bool *cancel,
               CandidateList *list, const NamingCallbacks *callbacks)
{
        _cleanup_(naming_done) Naming naming = {
                .config = config,
                .callbacks = callbacks,
                .list = list,
        };
        int r;

        if (list->n_items == 0)
                return 0;
        r = naming_pass(&naming, volume, root_fd, cancel);
        if (r < 0)
                candidate_list_done(list);
        return r;
}
