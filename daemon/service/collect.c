/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is found by name is held against Exclude= at once, what a sweep finds by work/naming.c; everything after this
 * speaks of identities. A file is excluded by any of its names that we come across. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/log.h"
#include "service/collect.h"
#include "work/naming.h"
#include "work/sweep.h"
#include "work/walk.h"

typedef struct Collect {
        OnceVolume *volume;
        Report *report;
        int fs_fd;

        /* Of the pass over the names of a swept volume. */
        size_t n_found;
        bool any_unnamed; /* there are directories whose names we do not know */
} Collect;

static void report_settled(Collect *collect, const char *path, FileId id, Outcome outcome, Reason reason,
                           int error, uint64_t n_extents)
{
        ReportFile file = once_volume_report(collect->volume, path, id);

        file.outcome = outcome;
        file.reason = reason;
        file.error = error;
        file.extents_before = file.extents_after = n_extents;
        report_file(collect->report, &file);
}

static int add_candidate(OnceVolume *volume, const InodeFacts *inode, FileId parent, const char *path)
{
        Candidate candidate = {
                .id = inode->id,
                .parent = parent,
                .size_bytes = inode->size_bytes,
                .n_extents = inode->n_extents,
        };
        int r;

        candidate.path = strdup(path);
        if (!candidate.path)
                return -ENOMEM;
        r = candidate_list_add(&volume->list, &candidate);
        if (r < 0)
                free(candidate.path);
        return r;
}

/* A regular file below a named directory. */
static int walked_file(Collect *collect, const WalkEntry *entry)
{
        OnceVolume *volume = collect->volume;
        InodeFacts inode;
        int r;

        if (config_excludes(volume->config, entry->path)) {
                r = inode_map_add(&volume->excluded, walk_entry_key(entry), 0);
                if (r >= 0)
                        r = inode_map_add(&volume->seen, walk_entry_key(entry), 0);
                if (r > 0)
                        report_settled(collect, entry->path, walk_entry_key(entry), OUTCOME_SKIPPED,
                                       SKIP_EXCLUDED, 0, 0);
                return r < 0 ? r : 0;
        }
        r = inode_map_add(&volume->seen, walk_entry_key(entry), 0);
        if (r <= 0)
                return r;
        /* Deleted since the directory was read, or something is mounted on it. */
        if (!file_id_is_set(entry->id))
                return 0;
        r = fs_volume_inode_read(&volume->fs, collect->fs_fd, entry->id, &inode);
        if (r == -ENOENT || (r >= 0 && !file_id_equal(inode.id, entry->id)))
                return 0;
        if (r < 0)
                report_settled(collect, entry->path, walk_entry_key(entry), OUTCOME_FAILED, REASON_NONE, -r,
                               0);
        else if (inode.n_extents < 2)
                report_settled(collect, entry->path, walk_entry_key(entry), OUTCOME_OPTIMAL, REASON_NONE, 0,
                               inode.n_extents);
        else if (inode.size_bytes < volume->config->min_file_bytes)
                report_settled(collect, entry->path, walk_entry_key(entry), OUTCOME_SKIPPED, SKIP_TOO_SMALL,
                               0, inode.n_extents);
        else
                return add_candidate(volume, &inode, entry->parent, entry->path);
        return 0;
}

static int on_walked(const WalkEntry *entry, void *userdata)
{
        Collect *collect = userdata;

        report_progress(collect->report, 0, collect->volume->list.n_items, entry->path, 0);
        if (collect->report->error < 0)
                return -ECANCELED;
        if (entry->type == DT_DIR)
                return config_excludes(collect->volume->config, entry->path) ? WALK_PRUNE : 0;
        return entry->type == DT_REG ? walked_file(collect, entry) : 0;
}

static void on_unreadable(const char *path, int error, void *userdata)
{
        Collect *collect = userdata;

        report_settled(collect, path, (FileId){0}, OUTCOME_FAILED, REASON_NONE, error, 0);
}

static int collect_directory(Collect *collect, int path_fd, const char *path, const atomic_bool *cancel)
{
        uint64_t n_dropped = collect->volume->list.n_dropped;
        int r;

        r = walk_directory(path_fd, path, true, on_walked, on_unreadable, cancel, collect);
        if (r < 0)
                return r;
        n_dropped = collect->volume->list.n_dropped - n_dropped;
        if (n_dropped > 0) {
                report_hide_progress(collect->report);
                log_notice("%" PRIu64 " more files, with fewer extents, are left for another run",
                           n_dropped);
        }
        return 0;
}

static int collect_file(Collect *collect, FileId id, const char *path, const struct stat *status)
{
        _cleanup_free_ char *directory = strdup(path);
        struct stat parent_status;
        InodeFacts inode;
        FileId parent = {0};
        char *slash;
        int r;

        if (!directory)
                return -ENOMEM;
        r = inode_map_add(&collect->volume->seen, id, 0);
        if (r <= 0)
                return r;
        r = fs_volume_inode_read(&collect->volume->fs, collect->fs_fd, id, &inode);
        if (r >= 0 && !file_id_equal(inode.id, id))
                r = -ENOENT;
        if (r == -ENOENT || r == -ESTALE) {
                report_settled(collect, path, id, OUTCOME_SKIPPED, SKIP_VANISHED, 0, 0);
                return 0;
        }
        if (r < 0) {
                report_settled(collect, path, id, OUTCOME_FAILED, REASON_NONE, -r, 0);
                return 0;
        }

        /* Only a hint where to make donors, so a rename meanwhile does no harm. */
        slash = strrchr(directory, '/');
        if (slash)
                slash[slash == directory ? 1 : 0] = '\0';
        if (lstat(directory, &parent_status) < 0 || parent_status.st_dev != status->st_dev ||
            file_id_from_name(AT_FDCWD, directory, &parent) < 0)
                parent = (FileId){0};
        return add_candidate(collect->volume, &inode, parent, path);
}

static void on_name(const char *path, void *userdata)
{
        Collect *collect = userdata;

        report_progress(collect->report, 0, collect->n_found, path, 0);
}

static void on_unnamed(const char *path, int error, void *userdata)
{
        Collect *collect = userdata;
        _cleanup_free_ char *name = escape_text(path);

        collect->any_unnamed = true;
        report_hide_progress(collect->report);
        log_warning("%s: cannot read the names in it: %s", name ? name : "directory", strerror(error));
}

/* Moves what was found into the list of the volume, the excluded, too: they have their place in the report. */
static int take_found(Collect *collect, Candidate *candidate, bool excluded)
{
        OnceVolume *volume = collect->volume;
        int r;

        r = inode_map_add(&volume->seen, candidate->id, 0);
        if (r <= 0)
                return r;
        if (excluded) {
                r = inode_map_add(&volume->excluded, candidate->id, 0);
                if (r < 0)
                        return r;
        }
        r = candidate_list_add(&volume->list, candidate);
        if (r < 0)
                return r;
        candidate->path = NULL; /* the list's now */
        return 0;
}

static int on_excluded(Candidate *candidate, void *userdata)
{
        Collect *collect = userdata;
        int r;

        /* It may be in the list already, by a name that no pattern covers. */
        if (candidate->path) {
                r = inode_map_add(&collect->volume->excluded, candidate->id, 0);
                if (r < 0)
                        return r;
        }
        return take_found(collect, candidate, true);
}

static int collect_volume(Collect *collect, const atomic_bool *cancel)
{
        _cleanup_(candidate_list_done) CandidateList found = {0};
        OnceVolume *volume = collect->volume;
        _cleanup_free_ char *name = escape_text(volume->mount_path);
        const NamingCallbacks callbacks = {
                .on_name = on_name,
                .on_unreadable = on_unnamed,
                .on_excluded = on_excluded,
                .userdata = collect,
        };
        SweepCounts counts;
        int r;

        r = sweep_volume(&volume->fs, collect->fs_fd, volume->config->min_file_bytes, cancel, &found,
                         &counts);
        if (r < 0)
                return r;
        report_hide_progress(collect->report);
        log_info("%s: %" PRIu64 " files, %" PRIu64 " to look at", name ? name : "volume", counts.n_files,
                 (uint64_t)found.n_items);
        if (found.n_dropped > 0)
                log_notice("%s: %" PRIu64 " more, with fewer extents, are left for another run",
                           name ? name : "volume", (uint64_t)found.n_dropped);

        collect->n_found = found.n_items;
        r = naming_run(&volume->fs, collect->fs_fd, volume->config, cancel, &found, &callbacks);
        if (r < 0)
                return r;
        /* --once leaves alone what it cannot call by a name when there are names it could not read, even where no
         * pattern could be meant. */
        for (size_t i = 0; i < found.n_items; i++) {
                r = take_found(collect, &found.items[i], !found.items[i].path && collect->any_unnamed);
                if (r < 0)
                        return r;
        }
        return 0;
}

int collect_path(OnceVolume *volume, int path_fd, const char *path, const struct stat *status,
                 Report *report, const atomic_bool *cancel)
{
        _cleanup_close_ int fs_fd = -EBADF;
        Collect collect = {.volume = volume, .report = report};
        FileId id, root;
        int r;

        r = file_id_from_name(path_fd, "", &id);
        if (r >= 0)
                r = inode_map_add(&volume->named, id, 0);
        if (r >= 0)
                r = naming_is_excluded(volume->config, path);
        if (r < 0)
                return r;
        fs_fd = fs_volume_open(&volume->fs);
        if (fs_fd < 0)
                return fs_fd;
        collect.fs_fd = fs_fd;
        if (r > 0) {
                report_settled(&collect, path, id, OUTCOME_SKIPPED, SKIP_EXCLUDED, 0, 0);
                return 0;
        }
        r = file_id_from_name(fs_fd, "", &root);
        if (r < 0)
                return r;

        if (!S_ISDIR(status->st_mode))
                r = collect_file(&collect, id, path, status);
        else if (file_id_equal(id, root))
                r = collect_volume(&collect, cancel);
        else
                r = collect_directory(&collect, path_fd, path, cancel);
        return r;
}
