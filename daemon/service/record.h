/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One journal record: text for people, fields for programs.
 *
 * Source: sd_journal_sendv(3). Names go through escape_text() before they come here. Where standard error is not the
 * journal (started by hand) the text goes to standard error instead. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "service/mailbox.h"

#define RECORD_FIELDS_MAX 16

typedef struct Record {
        Letter letter;
        int level;
        char *fields[RECORD_FIELDS_MAX]; /* "KEY=value"; owned. The first is MESSAGE= */
        size_t n_fields;
} Record;

/* message_id: 32 hex digits, NULL for none. All return NULL, or do nothing, when memory is short: a record less. */
Record *record_new(int level, const char *message_id, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
void record_add(Record *record, const char *key, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
Record *record_free(Record *record);

/* Blocks while the journal does not answer: the writer thread's. */
void record_send(const Record *record);
