/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names for the candidates of a swept volume, and Exclude= held against them.
 *
 * A sweep knows identities alone. One pass over all names of the volume, without looking at a single file,
 * finds out what its candidates are called and in which directories they lie. A file may have many names;
 * Exclude= takes it out by any of them, so the whole tree is read, excluded directories too. */

#include <stdatomic.h>

#include "facts/config.h"
#include "fs/volume.h"
#include "work/candidate.h"

/* All are called by the thread that runs the pass; each may be NULL. */
typedef struct NamingCallbacks {
        /* Each name that the pass comes to; a few hundred thousand a second. */
        void (*on_name)(const char *path, void *userdata);
        /* A directory whose names nobody knows now. error is positive. */
        void (*on_unreadable)(const char *path, int error, void *userdata);
        /* A candidate that is about to be taken out, in the order of the list: at the end, when the whole
         * pass went well. Its path is the excluded name that was met last, NULL when no name was; whoever
         * wants to keep it takes it and leaves NULL. Returns 0; anything negative ends the run and is
         * returned. */
        int (*on_excluded)(Candidate *candidate, void *userdata);
        void *userdata;
} NamingCallbacks;

/* Fills in path (the name met first) and parent of every candidate of *list whose name is found, each inode
 * being there once, and takes out those that Exclude= covers by any of their names, keeping the order. Where
 * a directory could not be read, those without a name go as well if a pattern could be meant for them.
 * Others that no name was found for stay, path NULL: deleted meanwhile, or below another mount.
 *
 * Returns 0; -ECANCELED once *cancel is true; -ENOMEM; what on_excluded returned. Then *list is empty:
 * nobody shall work on what Exclude= has not been held against. Reads every directory; workers only. */
int naming_run(const FsVolume *volume, int root_fd, const VolumeConfig *config, const atomic_bool *cancel,
               CandidateList *list, const NamingCallbacks *callbacks);

/* Can a pattern of Exclude= be meant for anything on the volume? Pure. */
bool naming_any_pattern(const FsVolume *volume, const VolumeConfig *config);

/* Is a file whose name nobody knows to be left alone? Where a pattern may be meant for it, and where a part of the file system is not
 * the volume's business. Pure. */
bool naming_is_needed(const FsVolume *volume, const VolumeConfig *config);

/* Is the absolute path or a directory on the way to it excluded? Returns 1, 0, or -ENOMEM. */
int naming_is_excluded(const VolumeConfig *config, const char *path);
