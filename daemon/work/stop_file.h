/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which file systems the breaker has stopped: a file "stopped-UUID" in the state directory for each.
 *
 * The name alone counts: a file system is stopped as long as there is anything of that name, be it empty, damaged, a directory or
 * unreadable; and when the directory cannot be read, all are. What the file says is for people, a line for each fact. Removing
 * it is how a person says that all is well again. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decide/breaker.h"

#define STOP_FILE_PREFIX    "stopped-"
#define STOP_FILE_VERSION   1
#define STOP_FILE_MAX_BYTES (64U << 10)
/* More is no state directory of ours: then nothing can be said of any volume, and all are stopped. */
#define STOP_MARKS_MAX      1024

/* Strings are borrowed, may hold anything and may be NULL: unknown. */
typedef struct StopReport {
        int64_t when_sec; /* wall clock */
        const char *uuid; /* of the file system, text form */
        const char *volume, *path, *engine;
        uint64_t inode; /* 0: of no file */
        Trip trip;
} StopReport;

/* "the device gave an error (Input/output error)": a clause, or NULL when memory is short. Pure. */
char *stop_seen(const Trip *trip);

/* Returns 0 or -ENOMEM. Pure. */
int stop_file_format(const StopReport *report, char **ret_text);

#define STOP_FILE_DAMAGED 1
#define STOP_FILE_NEWER   2
/* Returns 0, STOP_FILE_* or -ENOMEM; in the first three cases *ret_text is a new line for a person, escaped: when and what was seen, or
 * what is wrong with the file. Pure. */
int stop_file_parse(const char *text, size_t n_bytes, char **ret_text);

typedef struct StopMark {
        char uuid[37];  /* lower case */
        char *text;     /* a line for a person, escaped; NULL when memory was short */
        bool is_stored; /* there is a file; false: only we know of it yet */
} StopMark;

typedef struct StopList {
        StopMark *marks;
        size_t n_marks;
        int error; /* 0, or -errno: the directory could not be read, so that everything counts as stopped */
} StopList;

/* Reads the directory. Never fails: what cannot be known is in ret->error, also that there is no such directory. Blocks. */
void stop_list_read(const char *directory, StopList *ret);
void stop_list_done(StopList *list);

/* What cannot be copied for lack of memory counts as stopped, too. */
StopList stop_list_copy(const StopList *list);
/* Adds a mark that is not stored yet, or leaves the one that is there. Returns 0 or -ENOMEM, and then list->error is set. */
int stop_list_add(StopList *list, const char *uuid, const char *text);

StopMark *stop_list_find(const StopList *list, const char *uuid);
/* Is it stopped? *ret_text (may be NULL): why, for a person; constant or of the list. */
bool stop_list_has(const StopList *list, const char *uuid, const char **ret_text);

/* Makes the file: new file, fsync, rename, fsync of the directory. One that is there already stays: the first reason is the one to look
 * into. Returns 0 or -errno. Blocks. */
int stop_file_store(const char *directory, const char *uuid, const char *text);
