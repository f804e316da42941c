/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Sees which files were written, and tells of each once it has been left alone for a while.
 *
 * Source: fanotify(7) file-system marks with file handles (FAN_REPORT_FID, FAN_REPORT_DFID_NAME; Linux 5.9), FAN_CLOSE_WRITE: a file that is held
 * open all the time cannot be moved by our engines anyway, and a sweep finds it when it is closed. Reading events
 * touches no volume: any thread may. The mark does not keep a volume from being unmounted. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "facts/file_id.h"

/* A new group: non-blocking, close-on-exec, with the kernel's limit of queued events. Returns a descriptor or -errno. */
int watch_group_open(void);

/* Marks the file system that root_fd (its root directory) lies on. Adding twice is fine. *ret_fsid is what its events
 * carry. Returns 0 or -errno. Workers only: may wait for the volume. */
int watch_mark_add(int group_fd, int root_fd, uint64_t *ret_fsid);

/* Takes all marks of the group away; events that wait in it stay. Touches no volume: any thread may. Returns 0 or -errno. */
int watch_marks_clear(int group_fd);

typedef struct WatchEvent {
        uint64_t fsid;
        FileId id;
        FileId parent; /* not set when the kernel does not say */
        /* In parent when the file was closed; "#INODE" for a file made by O_TMPFILE, even if it has a name since. Valid
         * during the call; NULL when unknown. */
        const char *name;
        pid_t pid;     /* of who wrote */
        bool overflow; /* events were lost; nothing else is set */
} WatchEvent;

/* Calls on_event for each event in a buffer that read(2) filled from a group. Events without a handle of a shape that
 * facts/file_id knows are left out. Returns 0; -EBADMSG for a buffer that no kernel fills (nothing of it behind that place is
 * told). Pure. */
int watch_parse(const void *buffer, size_t n_bytes,
                void (*on_event)(const WatchEvent *event, void *userdata), void *userdata);

/* --- files that were written, until they have settled --- */

typedef struct WatchFile {
        uint64_t fsid;
        FileId id, parent;
        char *name; /* owned */
} WatchFile;

typedef struct WatchTable WatchTable;

/* max_files: more are not remembered. Returns NULL when memory is short. */
WatchTable *watch_table_new(size_t max_files);
WatchTable *watch_table_free(WatchTable *table);

/* Written at now_usec (any clock that only goes forward): due settle_usec after the last time. Returns 0, WATCH_FULL, or -ENOMEM,
 * and in both of these cases the file is not remembered: the caller wants a sweep of its volume. */
#define WATCH_FULL 1
int watch_table_note(WatchTable *table, const WatchEvent *event, uint64_t settle_usec, uint64_t now_usec);

/* Takes out a file that is due, into *ret, whose name is the caller's to free. Returns false when none is. */
bool watch_table_take(WatchTable *table, uint64_t now_usec, WatchFile *ret);

/* When the next one is due: a time, or UINT64_MAX. */
uint64_t watch_table_next_usec(const WatchTable *table);
size_t watch_table_n_files(const WatchTable *table);

/* Is the file waiting there? */
bool watch_table_has(const WatchTable *table, uint64_t fsid, FileId id);

/* Forgets the files of a volume. */
void watch_table_forget(WatchTable *table, uint64_t fsid);
