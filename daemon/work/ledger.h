/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What must outlive this process: a volume's queue, its budget, how far its sweep has come, whether it was stopped.
 *
 * One text file, "ledger" in the state directory, keyed by the UUID of the file system; its first line has the format's
 * version, its last line a checksum of all before it. Replaced atomically: a reader finds the old one or the new one. A file
 * that is damaged or newer than we are is renamed, never deleted ("ledger.set-aside", "ledger.set-aside.1", ...), and the budgets count as spent.
 * Times are seconds of the wall clock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts/file_system.h"

/* A file that a sweep under way has found: it is no member of the queue yet. */
#define LEDGER_FOUND 3

typedef struct LedgerFile {
        FileId id, parent;
        char *name; /* owned; NULL when unknown */
        uint64_t size_bytes, n_extents;
        int64_t not_before_sec; /* 0: now */
        uint32_t n_conflicts;
        uint8_t state; /* QueueState (never RUNNING), or LEDGER_FOUND */
} LedgerFile;

typedef struct LedgerVolume {
        char uuid[37];
        int64_t budget_day;
        uint64_t budget_charged_bytes;
        int64_t sweep_finished_sec; /* 0: never */
        bool sweep_wanted;          /* something may have been missed since */
        uint8_t sweep_phase;        /* InventoryPhase; 0: none is under way */
        InodeCursor sweep_cursor;
        uint64_t sweep_offset;
        LedgerFile *files; /* owned */
        size_t n_files;
} LedgerVolume;

typedef struct Ledger {
        LedgerVolume *volumes; /* owned */
        size_t n_volumes;
} Ledger;

#define LEDGER_VERSION     1
/* Larger is damaged: 64 volumes with full queues are a tenth of it. */
#define LEDGER_MAX_BYTES   (UINT64_C(64) << 20)
#define LEDGER_MAX_VOLUMES 1024

/* A new text with the checksum in its last line. Returns 0 or -ENOMEM. Pure. */
int ledger_format(const Ledger *ledger, char **ret_text, size_t *ret_bytes);

/* Positive results of parsing and reading. */
#define LEDGER_NONE    1 /* there is no file: a first start */
#define LEDGER_DAMAGED 2 /* what is wrong, and in which line, is in *ret_what */
#define LEDGER_NEWER   3 /* a later version's */

/* Strict: anything that ledger_format() would not have written is damage. Returns 0 with *ret (ledger_done()), LEDGER_DAMAGED or LEDGER_NEWER with
 * *ret_what a new string for a person ("line 12: not a number"), -ENOMEM. Pure. */
int ledger_parse(const char *text, size_t n_bytes, Ledger *ret, char **ret_what);

/* Reads the file in the directory. Returns as ledger_parse(), LEDGER_NONE, or -errno. A damaged or newer file has been renamed when this
 * returns; where that fails, -errno of it is returned. Blocks; the writer thread's. */
int ledger_load(const char *directory, Ledger *ret, char **ret_what);

/* Replaces the file: new file, fsync, rename, fsync of the directory. Returns 0; -errno, and then the old one stands, or the
 * new one may be lost in a crash where only the last flush failed. Blocks. */
int ledger_store(const char *directory, const char *text, size_t n_bytes);

void ledger_done(Ledger *ledger);
