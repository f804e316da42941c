/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the hazard programs share.
 *
 * Each drives the product's own relocation on a real file system and acts as somebody else between the steps. It is called with
 * mount points of fresh scratch volumes (lib/with-volumes) and runs its scenario on the engine of each: of XFS those of one with the
 * exchange feature and of one without. Programs that other file systems are good for, too, name them after "FILE_SYSTEMS:" in their
 * first comment ("xfs ext4 btrfs"), or after "WHOLE_FILE_SYSTEMS:" if that is worth it only where the tests are asked for by name, and
 * run once for each. Its exit status: 0 nothing was lost and the outcomes were right; 99 data was lost; 77 skipped, the last line
 * says why; 1 anything else. What a file means is data, too, and so is what its owner was promised. The first comment of a
 * program that proves a protection names it after "MUTANTS:": built without that protection it has to end with 99 (on XFS, or on ext4
 * where it is called NAME:ext4).
 *
 * Everything here ends the program on trouble with the test itself, so that a scenario reads as a story. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/number.h"
#include "work/relocation.h"

#define HAZARD_KEPT  0
#define HAZARD_WRONG 1
#define HAZARD_SKIP  77
#define HAZARD_LOST  99

/* One volume with its engine, ready to move files. */
typedef struct Arena {
        char path[256]; /* a scratch directory on the volume, removed at the end with all that is in it */
        FsVolume volume;
        Copier *copier;
        RelocationOptions options; /* as the command makes them for a disk that seeks */
        unsigned n_lost, n_wrong, n_skipped;
} Arena;

/* Runs the scenario on all volumes and returns the exit status. */
int hazard_main(int argc, char **argv, void (*scenario)(Arena *arena));

/* Is the volume of this type, as the mount table calls it? */
bool arena_is(const Arena *arena, const char *type);
/* After an umount: what has no block device of its own may have got another number (btrfs does where others mount meanwhile). */
void arena_mounted_anew(Arena *arena);
/* A block device that it lies on. */
dev_t arena_disk(const Arena *arena);
/* The volume compresses: what is written can be, and goes through the page cache, because only then it is. */
bool content_is_compressible(void);

/* What a move may come to while somebody has the file: on btrfs, whose kernel copies under its own locks, it may also be
 * done. */
const char *arena_outcomes(const Arena *arena, const char *outcomes);

/* Verdicts; each prints a line with the engine's name. */
void hazard_lost(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hazard_wrong(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hazard_skip(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* News that is no verdict. */
void hazard_note(const Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The test itself cannot go on: errno is printed, status 1. */
_Noreturn void hazard_die(const char *what, const char *file, int line);
#define must(condition)                                                                                     \
        do {                                                                                                \
                if (!(condition))                                                                           \
                        hazard_die(#condition, __FILE__, __LINE__);                                         \
        } while (0)

/* Undoes something outside the scratch directory at exit, also at exit by a signal; the last one first. The strings
 * are copied. Calls only what signal-safety(7) allows. */
typedef void (*UndoFunction)(const char *path, const char *text);
void hazard_undo(UndoFunction undo, const char *path, const char *text);
/* Of a child process: undoes nothing. */
void hazard_undo_forget(void);
/* Writes text into the file, as of /proc and of control groups; returns success. An UndoFunction, too. */
bool write_text(const char *path, const char *text);

void pause_usec(uint64_t usec);

/* A file in many pieces, and what must be in it. Nobody has it open unless a scenario does. */
typedef struct Subject {
        char path[320];
        FileId id, parent;
        size_t bytes;       /* size of the file as it should be */
        size_t piece_bytes; /* of its fragments */
        uint8_t *content;   /* what should be in it; room for room_bytes */
        size_t room_bytes;
} Subject;

/* n_pieces written pieces, none beside the next, with random content; the size is shorter by cut_bytes, at most a piece. */
Subject *subject_new(const Arena *arena, const char *name, size_t n_pieces, size_t piece_bytes,
                     size_t cut_bytes);
/* A letter a piece: w written, u unwritten (preallocated), '.' hole. Pieces behind size_bytes stay allocated. hint_bytes:
 * extent size hint of the file, 0 for none. */
Subject *subject_new_laid_out(const Arena *arena, const char *name, const char *layout, size_t piece_bytes,
                              size_t size_bytes, uint32_t hint_bytes);
/* Unlinks the file. */
Subject *subject_free(Subject *subject);

/* New random bytes in the model alone; returns where they are. */
uint8_t *subject_plan_write(Subject *subject, size_t offset, size_t n_bytes);
/* The same, and writes them like any program: open, pwrite, close. flags: O_DIRECT, O_SYNC or 0. */
void subject_write(Subject *subject, size_t offset, size_t n_bytes, int flags);

/* Compares the file with the model as a reader sees it (page cache) and as the device has it, and its size. A difference
 * is hazard_lost(). what: said in the message. */
bool subject_check(Arena *arena, const Subject *subject, const char *what);

/* How many runs the file lies in now. */
uint64_t subject_runs(const Subject *subject);

/* How much of it other files have as well. */
uint64_t subject_shared_bytes(const Subject *subject);

/* Everything about a file but its content, asked for without moving atime. */
typedef struct Metadata Metadata;
Metadata *metadata_read(const char *path, bool with_map);
Metadata *metadata_free(Metadata *metadata);
/* Says what differs as hazard_lost(). The map of holes, unwritten and written places counts when both have one. */
bool metadata_check(Arena *arena, const Metadata *before, const Metadata *after, const char *what);

/* One relocation in progress. */
typedef struct Move {
        Candidate candidate;
        Relocation *relocation;
        unsigned n_waits; /* how often the machine let go and waited */
} Move;

void move_begin(Arena *arena, const Subject *subject, Move *ret);
/* Steps, and waits where it is told to, until the named stage is the next to be taken (true) or it is over (false). NULL: to the
 * end. */
bool move_until(Move *move, const char *stage);
/* The stage must come: an end before it is told with its outcome, and the test cannot go on. */
void move_reach(Move *move, const char *stage);
/* As move_until(), but ends at a wait, too (false); nothing is held then. */
bool move_until_wait(Move *move, const char *stage);
/* To the end, then holds the outcome against a list like "moved changed busy:open", where a word without a reason takes
 * any; else it is hazard_wrong(). Frees the relocation. Returns true when it was right. */
bool move_expect(Arena *arena, Move *move, const char *what, const char *outcomes);
void move_end(Move *move);
/* The same where a move would itself be the harm: "moved" is hazard_lost() if it is not in the list. */
bool move_refused(Arena *arena, Move *move, const char *what, const char *outcomes);
/* All of it at once. */
bool move_whole(Arena *arena, const Subject *subject, const char *what, const char *outcomes);
