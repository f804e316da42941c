/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The thread that may wait for the disk under the state directory, for the configuration's, and for the journal.
 *
 * Everything that we say goes through its queue, which is bounded: when the journal does not answer, records are dropped and
 * counted, and the count is told once it answers again. Ledgers are not dropped: there is at most one waiting, a newer one replaces
 * it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "service/letters.h"
#include "service/record.h"

/* Records that may wait. A busy minute has a few dozen. */
#define WRITER_RECORDS_MAX 512

typedef struct Writer Writer;

/* state_directory and config_file (NULL: the usual files) are borrowed. Returns 0 or -errno. */
int writer_new(Mailbox *replies, const char *state_directory, const char *config_file, Writer **ret);

/* Main thread: asks for REPLY_LEDGER; REPLY_CONFIG; REPLY_STOPS. Return 0 or -ENOMEM. */
int writer_load_ledger(Writer *writer);
int writer_load_config(Writer *writer);
int writer_load_stops(Writer *writer);

/* Main thread: keeps the text as the stop file of that file system; both are copied. REPLY_STOP_STORED. What is asked for first is done
 * first. Returns 0 or -ENOMEM. */
int writer_store_stop(Writer *writer, const char *uuid, const char *text);

/* Main thread: asks for REPLY_DISKS with what volume is told, which may mean looking at the path of a loop device's file. Returns 0 or -ENOMEM. */
int writer_find_disks(Writer *writer, uint64_t volume, dev_t device, const char *source);

/* Main thread: text is taken over. REPLY_STORED comes with the serial number of the newest ledger that is stored, or was tried. Returns 0
 * or -ENOMEM (text is freed). */
int writer_store_ledger(Writer *writer, char *text, size_t n_bytes, uint64_t serial);

/* Any thread: takes the record over, or drops it and counts. */
void writer_record(Writer *writer, Record *record);

/* Since when (CLOCK_MONOTONIC) it has been waiting for one thing; 0 while it has nothing to do. */
uint64_t writer_step_since_usec(const Writer *writer);

/* Asks it to end after what it has; REPLY_ENDED. Then writer_free() joins. */
int writer_stop(Writer *writer);
Writer *writer_free(Writer *writer);
