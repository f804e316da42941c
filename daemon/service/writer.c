/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One errand after the other. While it waits for the journal on a disk that does not answer, or for the state directory,
 * nobody else does. */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/units.h"
#include "facts/disks.h"
#include "service/journal_ids.h"
#include "service/writer.h"

typedef enum ErrandType {
        ERRAND_RECORD,
        ERRAND_LOAD_LEDGER,
        ERRAND_LOAD_CONFIG,
        ERRAND_FIND_DISKS,
        ERRAND_STORE_LEDGER, /* the one in Writer.ledger */
        ERRAND_LOAD_STOPS,
        ERRAND_STORE_STOP, /* text, of the file system in reply->uuid */
        ERRAND_STOP,
} ErrandType;

typedef struct Errand {
        Letter letter;
        ErrandType type;
        Record *record;
        char *text;
        dev_t device;
        Reply *reply; /* room for the answer */
} Errand;

struct Writer {
        pthread_t thread;
        Mailbox errands;
        Mailbox *replies; /* borrowed: the main thread's */
        const char *state_directory, *config_file;
        atomic_ullong step_since_usec;
        atomic_size_t n_records, n_lost;

        /* The newest ledger that waits. */
        pthread_mutex_t ledger_mutex;
        char *ledger;
        size_t ledger_bytes;
        uint64_t ledger_serial;

        int store_said; /* the thread's own */
};

static Errand *errand_new(ErrandType type, ReplyType reply_type)
{
        Errand *errand = calloc(1, sizeof(*errand));

        if (!errand)
                return NULL;
        errand->type = type;
        errand->reply = reply_new(reply_type, 0);
        if (!errand->reply) {
                free(errand);
                return NULL;
        }
        return errand;
}

static void errand_free(Errand *errand)
{
        record_free(errand->record);
        free(errand->text);
        reply_free(errand->reply);
        free(errand);
}

static void writer_reply(Writer *writer, Errand *errand)
{
        Reply *reply = TAKE_PTR(errand->reply);

        mailbox_put(writer->replies, &reply->letter);
}

static void on_complaint(const char *file, unsigned line, const char *text, void *userdata)
{
        _cleanup_free_ char *name = escape_text(file), *before = NULL;
        Reply *reply = userdata;

        before = TAKE_PTR(reply->text);
        if (asprintf(&reply->text, "%s%s%s:%u: %s", before ? before : "", before ? "\n" : "",
                     name ? name : "configuration", line, text) < 0)
                reply->text = NULL;
}

static void load_config(Writer *writer, Reply *reply)
{
        reply->config = calloc(1, sizeof(*reply->config));
        if (!reply->config) {
                reply->said = -ENOMEM;
                return;
        }
        reply->said = config_load("", writer->config_file, on_complaint, reply, reply->config);
        if (reply->said < 0)
                free(TAKE_PTR(reply->config));
}

static void load_ledger(Writer *writer, Reply *reply)
{
        reply->ledger = calloc(1, sizeof(*reply->ledger));
        if (!reply->ledger) {
                reply->said = -ENOMEM;
                return;
        }
        reply->said = ledger_load(writer->state_directory, reply->ledger, &reply->text);
        if (reply->said != 0)
                free(TAKE_PTR(reply->ledger));
}

/* Several errands may have been for the ledger that the first of them stores: they get the same answer. */
static void store_ledger(Writer *writer, Reply *reply)
{
        _cleanup_free_ char *text = NULL;
        size_t n_bytes;

        (void)pthread_mutex_lock(&writer->ledger_mutex);
        text = TAKE_PTR(writer->ledger);
        n_bytes = writer->ledger_bytes;
        reply->serial = writer->ledger_serial;
        (void)pthread_mutex_unlock(&writer->ledger_mutex);
        if (text)
                writer->store_said = ledger_store(writer->state_directory, text, n_bytes);
        reply->said = writer->store_said;
}

static void tell_lost(Writer *writer)
{
        size_t n_lost = atomic_exchange(&writer->n_lost, 0);
        Record *record;

        if (n_lost == 0)
                return;
        record = record_new(LOG_WARNING, JOURNAL_ID_RECORDS_LOST,
                            "%zu records were lost: the journal did not take them in time", n_lost);
        if (record)
                record_send(record);
        record_free(record);
}

/* Returns false at the end. */
static bool writer_do(Writer *writer, Errand *errand)
{
        switch (errand->type) {
        case ERRAND_RECORD:
                record_send(errand->record);
                atomic_fetch_sub(&writer->n_records, 1);
                tell_lost(writer);
                return true;
        case ERRAND_LOAD_LEDGER:
                load_ledger(writer, errand->reply);
                break;
        case ERRAND_LOAD_CONFIG:
                load_config(writer, errand->reply);
                break;
        case ERRAND_FIND_DISKS:
                errand->reply->said = disk_roots_read(errand->device, errand->text, errand->reply->disks,
                                                      LETTERS_DISKS_MAX);
                break;
        case ERRAND_STORE_LEDGER:
                store_ledger(writer, errand->reply);
                break;
        case ERRAND_LOAD_STOPS:
                stop_list_read(writer->state_directory, &errand->reply->stops);
                break;
        case ERRAND_STORE_STOP:
                errand->reply->said =
                        stop_file_store(writer->state_directory, errand->reply->uuid, errand->text);
                break;
        case ERRAND_STOP:
                writer_reply(writer, errand);
                return false;
        }
        writer_reply(writer, errand);
        return true;
}

static void *writer_run(void *userdata)
{
        Writer *writer = userdata;
        bool go_on = true;

        while (go_on) {
                Errand *errand = (Errand *)mailbox_wait(&writer->errands, USEC_INFINITY);

                atomic_store(&writer->step_since_usec, clock_monotonic_usec());
                go_on = writer_do(writer, errand);
                atomic_store(&writer->step_since_usec, 0);
                errand_free(errand);
        }
        return NULL;
}

int writer_new(Mailbox *replies, const char *state_directory, const char *config_file, Writer **ret)
{
        Writer *writer = calloc(1, sizeof(*writer));
        int r;

        if (!writer)
                return -ENOMEM;
        writer->replies = replies;
        writer->state_directory = state_directory;
        writer->config_file = config_file;
        atomic_init(&writer->step_since_usec, 0);
        atomic_init(&writer->n_records, 0);
        atomic_init(&writer->n_lost, 0);
        (void)pthread_mutex_init(&writer->ledger_mutex, NULL);
        r = mailbox_init(&writer->errands, false);
        if (r >= 0) {
                r = -pthread_create(&writer->thread, NULL, writer_run, writer);
                if (r < 0)
                        mailbox_done(&writer->errands);
        }
        if (r < 0) {
                free(writer);
                return r;
        }
        *ret = writer;
        return 0;
}

static int writer_send(Writer *writer, ErrandType type, ReplyType reply_type)
{
        Errand *errand = errand_new(type, reply_type);

        if (!errand)
                return -ENOMEM;
        mailbox_put(&writer->errands, &errand->letter);
        return 0;
}

int writer_load_ledger(Writer *writer)
{
        return writer_send(writer, ERRAND_LOAD_LEDGER, REPLY_LEDGER);
}

int writer_load_config(Writer *writer)
{
        return writer_send(writer, ERRAND_LOAD_CONFIG, REPLY_CONFIG);
}

int writer_load_stops(Writer *writer)
{
        return writer_send(writer, ERRAND_LOAD_STOPS, REPLY_STOPS);
}

int writer_store_stop(Writer *writer, const char *uuid, const char *text)
{
        Errand *errand = errand_new(ERRAND_STORE_STOP, REPLY_STOP_STORED);

        if (!errand)
                return -ENOMEM;
        errand->text = strdup(text);
        if (!errand->text) {
                errand_free(errand);
                return -ENOMEM;
        }
        (void)snprintf(errand->reply->uuid, sizeof(errand->reply->uuid), "%s", uuid);
        mailbox_put(&writer->errands, &errand->letter);
        return 0;
}

int writer_find_disks(Writer *writer, uint64_t volume, dev_t device, const char *source)
{
        Errand *errand = errand_new(ERRAND_FIND_DISKS, REPLY_DISKS);

        if (!errand)
                return -ENOMEM;
        errand->text = source ? strdup(source) : NULL;
        if (source && !errand->text) {
                errand_free(errand);
                return -ENOMEM;
        }
        errand->device = device;
        errand->reply->volume = volume;
        mailbox_put(&writer->errands, &errand->letter);
        return 0;
}

int writer_store_ledger(Writer *writer, char *text, size_t n_bytes, uint64_t serial)
{
        Errand *errand = errand_new(ERRAND_STORE_LEDGER, REPLY_STORED);

        if (!errand) {
                free(text);
                return -ENOMEM;
        }
        (void)pthread_mutex_lock(&writer->ledger_mutex);
        free(writer->ledger);
        writer->ledger = text;
        writer->ledger_bytes = n_bytes;
        writer->ledger_serial = serial;
        (void)pthread_mutex_unlock(&writer->ledger_mutex);
        mailbox_put(&writer->errands, &errand->letter);
        return 0;
}

void writer_record(Writer *writer, Record *record)
{
        Errand *errand;

        if (!record)
                return;
        if (atomic_fetch_add(&writer->n_records, 1) >= WRITER_RECORDS_MAX) {
                atomic_fetch_sub(&writer->n_records, 1);
                atomic_fetch_add(&writer->n_lost, 1);
                record_free(record);
                return;
        }
        errand = calloc(1, sizeof(*errand));
        if (!errand) {
                atomic_fetch_sub(&writer->n_records, 1);
                atomic_fetch_add(&writer->n_lost, 1);
                record_free(record);
                return;
        }
        errand->type = ERRAND_RECORD;
        errand->record = record;
        mailbox_put(&writer->errands, &errand->letter);
}

uint64_t writer_step_since_usec(const Writer *writer)
{
        return atomic_load(&writer->step_since_usec);
}

int writer_stop(Writer *writer)
{
        return writer_send(writer, ERRAND_STOP, REPLY_ENDED);
}

Writer *writer_free(Writer *writer)
{
        Letter *letter;

        if (!writer)
                return NULL;
        (void)pthread_join(writer->thread, NULL);
        while ((letter = mailbox_take(&writer->errands)))
                errand_free((Errand *)letter);
        mailbox_done(&writer->errands);
        (void)pthread_mutex_destroy(&writer->ledger_mutex);
        free(writer->ledger);
        free(writer);
        return NULL;
}
