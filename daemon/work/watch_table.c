/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A table of files by identity, and a heap of the times at which they have settled. A file that is written all the time
 * costs one entry, however many events there are. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A table that cannot grow says so instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/heap.h"
#include "base/number.h"
#include "work/watch.h"

/* No padding: it is compared byte by byte. */
typedef struct WatchKey {
        uint64_t fsid;
        FileId id;
} WatchKey;
_Static_assert(sizeof(WatchKey) == sizeof(uint64_t) + sizeof(FileId) && sizeof(FileId) == 16, "no padding");

typedef struct WatchEntry {
        WatchKey key;
        WatchFile file;
        uint64_t due_usec;
        size_t place;
        UT_hash_handle hh;
} WatchEntry;

struct WatchTable {
        WatchEntry *entries;
        Heap due;
        size_t max_files;
};

static int order_due(const void *left, const void *right)
{
        const WatchEntry *a = left, *b = right;

        return a->due_usec < b->due_usec ? -1 : a->due_usec > b->due_usec;
}

static WatchKey key_of(uint64_t fsid, FileId id)
{
        return (WatchKey){.fsid = fsid, .id = id};
}

static WatchEntry *find(const WatchTable *table, uint64_t fsid, FileId id)
{
        const WatchKey key = key_of(fsid, id);
        WatchEntry *entry;

        HASH_FIND(hh, table->entries, &key, sizeof(key), entry);
        return entry;
}

WatchTable *watch_table_new(size_t max_files)
{
        WatchTable *table = calloc(1, sizeof(*table));

        if (!table)
                return NULL;
        table->max_files = max_files;
        table->due = (Heap){.order = order_due, .place_offset = offsetof(WatchEntry, place)};
        return table;
}

/* Out of the table; its name goes with it. */
static void drop(WatchTable *table, WatchEntry *entry)
{
        heap_remove(&table->due, entry);
        HASH_DEL(table->entries, entry);
        free(entry->file.name);
        free(entry);
}

WatchTable *watch_table_free(WatchTable *table)
{
        WatchEntry *entry, *next;

        if (!table)
                return NULL;
        HASH_ITER(hh, table->entries, entry, next)
        {
                drop(table, entry);
        }
        heap_done(&table->due);
        free(table);
        return NULL;
}

static int add(WatchTable *table, const WatchEvent *event, uint64_t due_usec, WatchEntry **ret)
{
        WatchEntry *entry;
        int r;

        if (HASH_COUNT(table->entries) >= table->max_files)
                return WATCH_FULL;
        entry = calloc(1, sizeof(*entry));
        if (!entry)
                return -ENOMEM;
        entry->key = key_of(event->fsid, event->id);
        entry->file = (WatchFile){.fsid = event->fsid, .id = event->id};
        entry->due_usec = due_usec;
        entry->place = HEAP_NOWHERE;
        HASH_ADD(hh, table->entries, key, sizeof(entry->key), entry);
        if (!entry->hh.tbl) {
                free(entry);
                return -ENOMEM;
        }
        r = heap_add(&table->due, entry);
        if (r < 0) {
                drop(table, entry);
                return r;
        }
        *ret = entry;
        return 0;
}

int watch_table_note(WatchTable *table, const WatchEvent *event, uint64_t settle_usec, uint64_t now_usec)
{
        const uint64_t due_usec = u64_add_saturate(now_usec, settle_usec);
        WatchEntry *entry = find(table, event->fsid, event->id);
        char *name;
        int r;

        if (entry) {
                entry->due_usec = due_usec;
                heap_moved(&table->due, entry);
        } else {
                r = add(table, event, due_usec, &entry);
                if (r != 0)
                        return r;
        }
        if (file_id_is_set(event->parent))
                entry->file.parent = event->parent;
        if (event->name && (!entry->file.name || strcmp(entry->file.name, event->name) != 0)) {
                name = strdup(event->name);
                if (name) { /* only something to be shown */
                        free(entry->file.name);
                        entry->file.name = name;
                }
        }
        return 0;
}

bool watch_table_take(WatchTable *table, uint64_t now_usec, WatchFile *ret)
{
        WatchEntry *entry = heap_first(&table->due);

        if (!entry || entry->due_usec > now_usec)
                return false;
        *ret = entry->file;
        entry->file.name = NULL;
        drop(table, entry);
        return true;
}

uint64_t watch_table_next_usec(const WatchTable *table)
{
        const WatchEntry *entry = heap_first(&table->due);

        return entry ? entry->due_usec : UINT64_MAX;
}

size_t watch_table_n_files(const WatchTable *table)
{
        return HASH_COUNT(table->entries);
}

bool watch_table_has(const WatchTable *table, uint64_t fsid, FileId id)
{
        return find(table, fsid, id) != NULL;
}

void watch_table_forget(WatchTable *table, uint64_t fsid)
{
        WatchEntry *entry, *next;

        HASH_ITER(hh, table->entries, entry, next)
        {
                if (entry->file.fsid == fsid)
                        drop(table, entry);
        }
}
