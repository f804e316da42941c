/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Buffers of fanotify events, three times from the same bytes: as they are; as a description of events that are then laid out as the
 * kernel does, so that what must be told is known; and that with some bytes changed. Everything lies in memory of exactly its size. */

#include <errno.h>
#include <fcntl.h>
#include <sys/fanotify.h>

#include "base/cleanup.h"
#include "fuzz.h"
#include "work/watch.h"

#define EVENTS_MAX 32
#define NAME_MAX_  80

typedef struct Told {
        uint64_t fsid;
        FileId id, parent;
        pid_t pid;
        bool overflow;
        char name[NAME_MAX_]; /* "" for none, cut */
} Told;

typedef struct Listener {
        const char *buffer;
        size_t n_bytes;
        Told told[EVENTS_MAX];
        size_t n_told; /* of all, also of those that there was no room for */
} Listener;

static void on_event(const WatchEvent *event, void *userdata)
{
        Listener *listener = userdata;
        Told told = {.fsid = event->fsid,
                     .id = event->id,
                     .parent = event->parent,
                     .pid = event->pid,
                     .overflow = event->overflow};

        if (event->overflow)
                require(!event->name && !file_id_is_set(event->id) && !file_id_is_set(event->parent));
        else
                require(file_id_is_set(event->id));
        if (event->name) {
                const size_t at = (size_t)(event->name - listener->buffer);

                require(event->name >= listener->buffer && at < listener->n_bytes);
                require(memchr(event->name, '\0', listener->n_bytes - at));
                require(event->name[0] && strcmp(event->name, ".") != 0);
                snprintf(told.name, sizeof(told.name), "%s", event->name);
        }
        if (listener->n_told < EVENTS_MAX)
                listener->told[listener->n_told] = told;
        listener->n_told++;
}

static int parse(const void *data, size_t n_bytes, Listener *ret)
{
        _cleanup_free_ char *buffer = fuzz_copy(data, n_bytes);
        int r;

        *ret = (Listener){.buffer = buffer, .n_bytes = n_bytes};
        r = watch_parse(buffer, n_bytes, on_event, ret);
        ret->buffer = NULL;
        require(r == 0 || r == -EBADMSG);
        return r;
}

static void check_same(const Told *a, const Told *b, size_t n)
{
        for (size_t i = 0; i < n && i < EVENTS_MAX; i++)
                require(a[i].fsid == b[i].fsid && file_id_equal(a[i].id, b[i].id) &&
                        file_id_equal(a[i].parent, b[i].parent) && a[i].pid == b[i].pid &&
                        a[i].overflow == b[i].overflow && strcmp(a[i].name, b[i].name) == 0);
}

static void check_bytes(const uint8_t *data, size_t n_bytes)
{
        static Listener whole, part;
        _cleanup_free_ uint8_t *twice = NULL;
        int r = parse(data, n_bytes, &whole);

        /* What is told of a part is the beginning of what is told of all. */
        (void)parse(data, n_bytes / 2, &part);
        require(part.n_told <= whole.n_told);
        check_same(part.told, whole.told, part.n_told);
        if (r != 0)
                return;

        /* Buffers can be joined. */
        twice = malloc(2 * n_bytes + 1);
        require(twice);
        if (n_bytes > 0) {
                memcpy(twice, data, n_bytes);
                memcpy(twice + n_bytes, data, n_bytes);
        }
        require(parse(twice, 2 * n_bytes, &part) == 0 && part.n_told == 2 * whole.n_told);
        check_same(part.told, whole.told, whole.n_told);
}

/* --- as the kernel lays it out --- */

typedef struct Layout {
        uint8_t bytes[16384];
        size_t n_bytes;
} Layout;

static void put(Layout *layout, const void *data, size_t n_bytes)
{
        require(layout->n_bytes + n_bytes <= sizeof(layout->bytes));
        memcpy(layout->bytes + layout->n_bytes, data, n_bytes);
        layout->n_bytes += n_bytes;
}

static void put_record(Layout *layout, uint8_t type, uint64_t fsid, FileId id, int handle_type,
                       const char *name)
{
        struct fanotify_event_info_fid info = {.hdr.info_type = type};
        struct file_handle handle = {.handle_type = handle_type};
        const size_t at = layout->n_bytes;
        uint16_t n_bytes;

        handle.handle_bytes = handle_type == 0x81 ? 12 : 8;
        memcpy(&info.fsid, &fsid, sizeof(fsid));
        put(layout, &info, offsetof(struct fanotify_event_info_fid, handle));
        put(layout, &handle, offsetof(struct file_handle, f_handle));
        put(layout, &id.inode, handle_type == 0x81 ? 8 : 4);
        put(layout, &id.generation, 4);
        if (name)
                put(layout, name, strlen(name) + 1);
        while (layout->n_bytes % 4 != 0)
                put(layout, "", 1);
        n_bytes = (uint16_t)(layout->n_bytes - at);
        memcpy(layout->bytes + at + offsetof(struct fanotify_event_info_header, len), &n_bytes,
               sizeof(n_bytes));
}

/* One event; returns whether it must be told, as *ret. */
static bool put_event(Layout *layout, FuzzBytes *bytes, Told *ret)
{
        const uint8_t kind = (uint8_t)fuzz_take(bytes, 1);
        const int handle_type = kind & 1 ? 0x01 : 0x81;
        const size_t at = layout->n_bytes;
        struct fanotify_event_metadata metadata = {
                .vers = FANOTIFY_METADATA_VERSION,
                .metadata_len = FAN_EVENT_METADATA_LEN,
                .mask = kind & 2 ? FAN_Q_OVERFLOW : FAN_CLOSE_WRITE,
                .fd = FAN_NOFD,
                .pid = (int32_t)fuzz_take(bytes, 2),
        };

        *ret = (Told){.overflow = kind & 2};
        put(layout, &metadata, sizeof(metadata));
        if (!ret->overflow) {
                ret->pid = metadata.pid;
                ret->fsid = fuzz_take(bytes, 2);
                if (kind & 4) {
                        size_t n = fuzz_take(bytes, 1) % (NAME_MAX_ - 1);

                        ret->parent = (FileId){.inode = fuzz_take(bytes, 3),
                                               .generation = (uint32_t)fuzz_take(bytes, 2)};
                        for (size_t i = 0; i < n; i++)
                                ret->name[i] = (char)fuzz_take(bytes, 1);
                        put_record(layout, FAN_EVENT_INFO_TYPE_DFID_NAME, ret->fsid, ret->parent,
                                   handle_type, ret->name);
                        if (strcmp(ret->name, ".") == 0)
                                ret->name[0] = '\0';
                }
                if (kind & 8)
                        put_record(layout, 0x77, 1, (FileId){0}, handle_type, NULL);
                if (kind & 16) {
                        ret->id = (FileId){.inode = fuzz_take(bytes, 4),
                                           .generation = (uint32_t)fuzz_take(bytes, 4)};
                        put_record(layout, FAN_EVENT_INFO_TYPE_FID, ret->fsid, ret->id, handle_type, NULL);
                }
        }
        metadata.event_len = (uint32_t)(layout->n_bytes - at);
        memcpy(layout->bytes + at, &metadata, sizeof(metadata));
        return ret->overflow || file_id_is_set(ret->id);
}

/* Some bytes of it changed: what random bytes alone hardly ever are, nearly right. */
static void check_damaged(Layout *layout, FuzzBytes *damage)
{
        while (damage->at < damage->end && layout->n_bytes > 0) {
                const size_t place = (size_t)fuzz_take(damage, 2) % layout->n_bytes;

                layout->bytes[place] = (uint8_t)(layout->bytes[place] + fuzz_take(damage, 1));
        }
        check_bytes(layout->bytes, layout->n_bytes);
}

/* The first byte says how many bytes are to be changed. */
static void check_events(const uint8_t *data, size_t n_bytes)
{
        static Layout layout;
        static Listener listener;
        static Told expected[EVENTS_MAX];
        FuzzBytes bytes = {data, data + n_bytes}, damage;
        size_t n_damage = fuzz_take(&bytes, 1) % 8 * 3, n = 0;

        if (n_damage > (size_t)(bytes.end - bytes.at))
                n_damage = (size_t)(bytes.end - bytes.at);
        damage = (FuzzBytes){bytes.at, bytes.at + n_damage};
        bytes.at += n_damage;
        layout.n_bytes = 0;
        for (unsigned i = 0; i < EVENTS_MAX && bytes.at < bytes.end; i++)
                if (put_event(&layout, &bytes, &expected[n]))
                        n++;
        require(parse(layout.bytes, layout.n_bytes, &listener) == 0);
        require(listener.n_told == n);
        for (size_t i = 0; i < n; i++)
                expected[i].name[NAME_MAX_ - 1] = '\0';
        check_same(listener.told, expected, n);
        check_damaged(&layout, &damage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        check_bytes(data, n_bytes);
        check_events(data, n_bytes);
        return 0;
}
