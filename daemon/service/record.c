/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fields are made where the event is known and sent where it is allowed to wait. */

#define SD_JOURNAL_SUPPRESS_LOCATION 1

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "service/record.h"

static void add_field(Record *record, const char *key, const char *format, va_list arguments)
        __attribute__((format(printf, 3, 0)));

static void add_field(Record *record, const char *key, const char *format, va_list arguments)
{
        _cleanup_free_ char *value = NULL;
        char *field;

        if (!record || record->n_fields == RECORD_FIELDS_MAX)
                return;
        if (vasprintf(&value, format, arguments) < 0) {
                value = NULL;
                return;
        }
        if (asprintf(&field, "%s=%s", key, value) >= 0)
                record->fields[record->n_fields++] = field;
}

void record_add(Record *record, const char *key, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        add_field(record, key, format, arguments);
        va_end(arguments);
}

Record *record_new(int level, const char *message_id, const char *format, ...)
{
        Record *record = calloc(1, sizeof(*record));
        va_list arguments;

        if (!record)
                return NULL;
        record->level = level;
        va_start(arguments, format);
        add_field(record, "MESSAGE", format, arguments);
        va_end(arguments);
        if (record->n_fields == 0)
                return record_free(record);
        record_add(record, "PRIORITY", "%d", level);
        record_add(record, "SYSLOG_IDENTIFIER", "defragd");
        if (message_id)
                record_add(record, "MESSAGE_ID", "%s", message_id);
        return record;
}

Record *record_free(Record *record)
{
        if (!record)
                return NULL;
        for (size_t i = 0; i < record->n_fields; i++)
                free(record->fields[i]);
        free(record);
        return NULL;
}

void record_send(const Record *record)
{
        struct iovec parts[RECORD_FIELDS_MAX];

        if (!getenv("JOURNAL_STREAM")) {
                /* Nobody to tell when standard error itself is broken. */
                (void)dprintf(STDERR_FILENO, "defragd: %s\n", record->fields[0] + strlen("MESSAGE="));
                return;
        }
        for (size_t i = 0; i < record->n_fields; i++)
                parts[i] =
                        (struct iovec){.iov_base = record->fields[i], .iov_len = strlen(record->fields[i])};
        (void)sd_journal_sendv(parts, (int)record->n_fields);
}
