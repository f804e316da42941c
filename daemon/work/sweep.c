/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One pass over the inodes. */

#include <errno.h>
#include <stdlib.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "work/sweep.h"

/* Directories remembered in each allocation group: where one refuses a donor or is deleted meanwhile, other files of the
 * group have others. */
#define DIRECTORIES_PER_GROUP 4

typedef struct GroupDirectories {
        FileId ids[DIRECTORIES_PER_GROUP];
        uint32_t n_ids;
        uint32_t next; /* whose turn it is */
} GroupDirectories;

typedef struct Sweep {
        const FsFacts *facts;
        uint64_t min_bytes;
        const atomic_bool *cancel;
        CandidateList *list;
        GroupDirectories *groups; /* facts->n_groups of them */
        SweepCounts counts;
} Sweep;

static GroupDirectories *sweep_group(const Sweep *sweep, uint64_t inode)
{
        return &sweep->groups[file_system_group(sweep->facts, inode)];
}

static int on_inode(const InodeFacts *inode, void *userdata)
{
        Sweep *sweep = userdata;
        Candidate candidate = {
                .id = inode->id,
                .size_bytes = inode->size_bytes,
                .n_extents = inode->n_extents,
        };
        GroupDirectories *group;

        if (sweep->cancel && atomic_load(sweep->cancel))
                return -ECANCELED;
        sweep->counts.n_inodes++;
        if (S_ISDIR(inode->mode)) {
                group = sweep_group(sweep, inode->id.inode);
                /* An immutable directory refuses donors. */
                if (group->n_ids < DIRECTORIES_PER_GROUP && !(inode->xflags & FS_XFLAG_IMMUTABLE))
                        group->ids[group->n_ids++] = inode->id;
                return 0;
        }
        if (!S_ISREG(inode->mode))
                return 0;
        sweep->counts.n_files++;
        if (inode->size_bytes < sweep->min_bytes || inode->n_extents < 2)
                return 0;
        return candidate_list_add(sweep->list, &candidate);
}

int sweep_volume(const FsVolume *volume, int root_fd, uint64_t min_bytes, const atomic_bool *cancel,
                 CandidateList *list, SweepCounts *ret_counts)
{
        _cleanup_free_ GroupDirectories *groups = NULL;
        Sweep sweep = {
                .facts = &volume->facts,
                .min_bytes = min_bytes,
                .cancel = cancel,
                .list = list,
        };
        InodeCursor cursor = {0};
        int r;

        groups = calloc(volume->facts.n_groups, sizeof(*groups));
        if (!groups)
                return -ENOMEM;
        sweep.groups = groups;
        do {
                r = volume->facts.type->inodes_next(&volume->facts, root_fd, &cursor, on_inode, &sweep);
        } while (r > 0);
        if (r < 0)
                return r;

        for (size_t i = 0; i < list->n_items; i++) {
                Candidate *candidate = &list->items[i];
                GroupDirectories *group = sweep_group(&sweep, candidate->id.inode);

                if (!file_id_is_set(candidate->parent) && group->n_ids > 0)
                        candidate->parent = group->ids[group->next++ % group->n_ids];
        }
        candidate_list_sort(list);
        *ret_counts = sweep.counts;
        return 0;
}
