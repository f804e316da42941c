/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Buffers of events, sound and broken, and the table of files that settle against a naive model. Buffers are copied to
 * the heap at their exact size: a byte read behind them is the address sanitizer's to find. */

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <time.h>

#include <cmocka.h>

#include "base/number.h"
#include "work/watch.h"

#define FSID      UINT64_C(0x1122334455667788)
#define PID       4711
#define INO64_GEN 0x81
#define INO32_GEN 0x01
#define FOREIGN   0x4d /* a handle type that nobody here knows */

#define BROKEN_ROUNDS 200000
#define TABLE_ROUNDS  200000

static uint64_t seed;

/* xorshift64* */
static uint64_t next_random(uint64_t *state)
{
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t below(uint64_t *state, uint64_t limit)
{
        return (next_random(state) >> 16) % limit;
}

/* --- buffers --- */

typedef struct Buffer {
        unsigned char bytes[4096];
        size_t n_bytes;
        size_t event_at; /* where the last event begins */
} Buffer;

static void put(Buffer *buffer, const void *from, size_t n_bytes)
{
        assert_true(n_bytes <= sizeof(buffer->bytes) - buffer->n_bytes);
        if (n_bytes > 0)
                memcpy(buffer->bytes + buffer->n_bytes, from, n_bytes);
        buffer->n_bytes += n_bytes;
}

/* The last event reaches to the end of the buffer. */
static void end_event(Buffer *buffer)
{
        uint32_t n_bytes = (uint32_t)(buffer->n_bytes - buffer->event_at);

        memcpy(buffer->bytes + buffer->event_at + offsetof(struct fanotify_event_metadata, event_len),
               &n_bytes, sizeof(n_bytes));
}

static void put_event(Buffer *buffer, uint64_t mask)
{
        const struct fanotify_event_metadata metadata = {
                .vers = FANOTIFY_METADATA_VERSION,
                .metadata_len = sizeof(metadata),
                .mask = mask,
                .fd = FAN_NOFD,
                .pid = PID,
        };

        buffer->event_at = buffer->n_bytes;
        put(buffer, &metadata, sizeof(metadata));
        end_event(buffer);
}

static void put_record(Buffer *buffer, uint8_t info_type, int handle_type, uint64_t inode,
                       uint32_t generation, const char *name)
{
        const size_t at = buffer->n_bytes;
        const uint64_t fsid = FSID;
        const uint32_t inode32 = (uint32_t)inode;
        const bool narrow = handle_type == INO32_GEN;
        const uint32_t n_handle = narrow ? 8 : 12;
        const int32_t type = handle_type;
        struct fanotify_event_info_header header = {.info_type = info_type};

        put(buffer, &header, sizeof(header));
        put(buffer, &fsid, sizeof(fsid));
        put(buffer, &n_handle, sizeof(n_handle));
        put(buffer, &type, sizeof(type));
        put(buffer, narrow ? (const void *)&inode32 : &inode, narrow ? 4 : 8);
        put(buffer, &generation, sizeof(generation));
        if (name)
                put(buffer, name, strlen(name) + 1);
        while ((buffer->n_bytes - at) % 4 != 0)
                put(buffer, "", 1);
        header.len = (uint16_t)(buffer->n_bytes - at);
        memcpy(buffer->bytes + at, &header, sizeof(header));
        end_event(buffer);
}

/* What the kernel says of a file that was written. */
static void put_written(Buffer *buffer, uint64_t inode, uint32_t generation, uint64_t parent,
                        const char *name)
{
        put_event(buffer, FAN_CLOSE_WRITE);
        put_record(buffer, FAN_EVENT_INFO_TYPE_DFID_NAME, INO64_GEN, parent, 1, name);
        put_record(buffer, FAN_EVENT_INFO_TYPE_FID, INO64_GEN, inode, generation, NULL);
}

typedef struct Told {
        WatchEvent events[128];
        char names[128][512];
        size_t n_events;
        const unsigned char *buffer;
        size_t n_bytes;
} Told;

static void on_told(const WatchEvent *event, void *userdata)
{
        Told *told = userdata;
        WatchEvent *copy = &told->events[told->n_events];

        assert_true(told->n_events < ELEMENTS(told->events));
        *copy = *event;
        if (event->overflow) {
                assert_false(file_id_is_set(event->id) || file_id_is_set(event->parent));
                assert_null(event->name);
                assert_int_equal(event->fsid, 0);
                assert_int_equal(event->pid, 0);
        } else {
                assert_true(file_id_is_set(event->id));
        }
        if (event->name) {
                const unsigned char *name = (const unsigned char *)event->name;

                assert_true(name > told->buffer && name < told->buffer + told->n_bytes);
                assert_non_null(memchr(name, '\0', (size_t)(told->buffer + told->n_bytes - name)));
                copy->name = NULL;
                if (strlen(event->name) < sizeof(told->names[0]))
                        copy->name = strcpy(told->names[told->n_events], event->name);
        }
        told->n_events++;
}

static int parse(const void *bytes, size_t n_bytes, Told *told)
{
        unsigned char *exact = malloc(n_bytes > 0 ? n_bytes : 1);
        int r;

        assert_non_null(exact);
        memcpy(exact, bytes, n_bytes);
        told->n_events = 0;
        told->buffer = exact;
        told->n_bytes = n_bytes;
        r = watch_parse(exact, n_bytes, on_told, told);
        free(exact);
        return r;
}

static void assert_same_events(const Told *a, const Told *b, size_t n_events)
{
        for (size_t i = 0; i < n_events; i++) {
                const WatchEvent *left = &a->events[i], *right = &b->events[i];

                assert_int_equal(left->fsid, right->fsid);
                assert_true(file_id_equal(left->id, right->id));
                assert_true(file_id_equal(left->parent, right->parent));
                assert_int_equal(left->pid, right->pid);
                assert_int_equal(left->overflow, right->overflow);
                assert_int_equal(!left->name, !right->name);
                if (left->name)
                        assert_string_equal(left->name, right->name);
        }
}

static void an_event_tells_file_directory_name_and_writer(void **state)
{
        Buffer buffer = {0};
        Told told;

        (void)state;
        put_written(&buffer, UINT64_C(0x1234567890), 0xfedcba98, 128, "a name\n\xff");
        assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), 0);
        assert_int_equal(told.n_events, 1);
        assert_int_equal(told.events[0].fsid, FSID);
        assert_int_equal(told.events[0].id.inode, UINT64_C(0x1234567890));
        assert_int_equal(told.events[0].id.generation, 0xfedcba98);
        assert_int_equal(told.events[0].parent.inode, 128);
        assert_int_equal(told.events[0].parent.generation, 1);
        assert_string_equal(told.events[0].name, "a name\n\xff");
        assert_int_equal(told.events[0].pid, PID);
}

static void an_empty_buffer_tells_nothing(void **state)
{
        Told told;

        (void)state;
        assert_int_equal(parse("", 0, &told), 0);
        assert_int_equal(told.n_events, 0);
}

static void records_in_either_order_tell_the_same(void **state)
{
        Buffer buffer = {0};
        Told told;

        (void)state;
        put_event(&buffer, FAN_CLOSE_WRITE);
        put_record(&buffer, FAN_EVENT_INFO_TYPE_FID, INO64_GEN, 7, 8, NULL);
        put_record(&buffer, FAN_EVENT_INFO_TYPE_DFID_NAME, INO64_GEN, 9, 10, "x");
        assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), 0);
        assert_int_equal(told.n_events, 1);
        assert_int_equal(told.events[0].id.inode, 7);
        assert_int_equal(told.events[0].parent.inode, 9);
        assert_string_equal(told.events[0].name, "x");
}

static void narrow_inode_numbers_are_understood(void **state)
{
        Buffer buffer = {0};
        Told told;

        (void)state;
        put_event(&buffer, FAN_CLOSE_WRITE);
        put_record(&buffer, FAN_EVENT_INFO_TYPE_DFID_NAME, INO32_GEN, 9, 10, "x");
        put_record(&buffer, FAN_EVENT_INFO_TYPE_FID, INO32_GEN, 0xfffffff0, 8, NULL);
        assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), 0);
        assert_int_equal(told.n_events, 1);
        assert_int_equal(told.events[0].id.inode, 0xfffffff0);
        assert_int_equal(told.events[0].id.generation, 8);
        assert_int_equal(told.events[0].parent.inode, 9);
}

static void a_file_without_a_directory_is_told_without(void **state)
{
        Buffer buffer = {0};
        Told told;

        (void)state;
        put_event(&buffer, FAN_CLOSE_WRITE);
        put_record(&buffer, FAN_EVENT_INFO_TYPE_FID, INO64_GEN, 7, 8, NULL);
        put_event(&buffer, FAN_CLOSE_WRITE);
        put_record(&buffer, FAN_EVENT_INFO_TYPE_DFID, INO64_GEN, 9, 1, NULL);
        put_record(&buffer, FAN_EVENT_INFO_TYPE_FID, INO64_GEN, 10, 1, NULL);
        assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), 0);
        assert_int_equal(told.n_events, 2);
        assert_false(file_id_is_set(told.events[0].parent));
        assert_null(told.events[0].name);
        assert_int_equal(told.events[1].parent.inode, 9);
        assert_null(told.events[1].name);
}

static void lost_events_are_told_between_others(void **state)
{
        Buffer buffer = {0};
        Told told;

        (void)state;
        put_written(&buffer, 1, 1, 128, "a");
        put_event(&buffer, FAN_Q_OVERFLOW);
        put_written(&buffer, 2, 1, 128, "b");
        assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), 0);
        assert_int_equal(told.n_events, 3);
        assert_false(told.events[0].overflow);
        assert_true(told.events[1].overflow);
        assert_false(told.events[2].overflow);
        assert_int_equal(told.events[2].id.inode, 2);
}

static void foreign_handles_and_records_are_left_out(void **state)
{
        Buffer buffer = {0};
        Told told;

        (void)state;
        put_event(&buffer, FAN_CLOSE_WRITE);
        put_record(&buffer, FAN_EVENT_INFO_TYPE_DFID_NAME, INO64_GEN, 128, 1, "directory known, file not");
        put_record(&buffer, FAN_EVENT_INFO_TYPE_FID, FOREIGN, 7, 8, NULL);
        put_event(&buffer, FAN_CLOSE_WRITE);
        put_record(&buffer, FAN_EVENT_INFO_TYPE_DFID_NAME, FOREIGN, 128, 1, "file known, directory not");
        put_record(&buffer, FAN_EVENT_INFO_TYPE_FID, INO64_GEN, 9, 8, NULL);
        put_event(&buffer, FAN_CLOSE_WRITE);
        put_record(&buffer, 0xee, INO64_GEN, 666, 1, NULL);
        put_record(&buffer, FAN_EVENT_INFO_TYPE_FID, INO64_GEN, 10, 8, NULL);
        put_event(&buffer, FAN_CLOSE_WRITE);
        assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), 0);
        assert_int_equal(told.n_events, 2);
        assert_int_equal(told.events[0].id.inode, 9);
        assert_false(file_id_is_set(told.events[0].parent));
        assert_null(told.events[0].name);
        assert_int_equal(told.events[1].id.inode, 10);
        assert_false(file_id_is_set(told.events[1].parent));
}

/* A later kernel may put more into an event's head than we know. */
static void a_longer_head_is_stepped_over(void **state)
{
        Buffer buffer = {0};
        const uint16_t n_head = sizeof(struct fanotify_event_metadata) + 8;
        Told told;

        (void)state;
        put_event(&buffer, FAN_CLOSE_WRITE);
        put(&buffer, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
        memcpy(buffer.bytes + offsetof(struct fanotify_event_metadata, metadata_len), &n_head,
               sizeof(n_head));
        put_record(&buffer, FAN_EVENT_INFO_TYPE_FID, INO64_GEN, 7, 8, NULL);
        assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), 0);
        assert_int_equal(told.n_events, 1);
        assert_int_equal(told.events[0].id.inode, 7);
}

static void a_directory_itself_has_no_name(void **state)
{
        static const char *const names[] = {".", ""};

        (void)state;
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                Buffer buffer = {0};
                Told told;

                put_written(&buffer, 7, 1, 128, names[i]);
                assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), 0);
                assert_int_equal(told.n_events, 1);
                assert_int_equal(told.events[0].parent.inode, 128);
                assert_null(told.events[0].name);
        }
}

/* The last word of the head would pass for a record of four bytes. */
static void a_head_that_is_too_short_is_refused(void **state)
{
        Buffer buffer = {0};
        const uint16_t n_head = sizeof(struct fanotify_event_metadata) - 4;
        const int32_t pid = 4 << 16;
        Told told;

        (void)state;
        put_written(&buffer, 7, 1, 128, "abc");
        memcpy(buffer.bytes + offsetof(struct fanotify_event_metadata, metadata_len), &n_head,
               sizeof(n_head));
        memcpy(buffer.bytes + offsetof(struct fanotify_event_metadata, pid), &pid, sizeof(pid));
        assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), -EBADMSG);
        assert_int_equal(told.n_events, 0);
}

/* Offsets into an event that put_written() makes. */
#define AT_RECORD sizeof(struct fanotify_event_metadata)
#define AT_HANDLE (AT_RECORD + sizeof(struct fanotify_event_info_header) + sizeof(uint64_t))

static void what_no_kernel_writes_is_refused(void **state)
{
        static const struct {
                const char *what;
                size_t offset;
                unsigned char bytes[4];
                size_t n_bytes;
        } cases[] = {
                {"event_len 0", 0, {0, 0, 0, 0}, 4},
                {"event_len of a head less one",
                 0,
                 {sizeof(struct fanotify_event_metadata) - 1, 0, 0, 0},
                 4},
                {"event_len behind the buffer", 0, {0xff, 0xff, 0, 0}, 4},
                {"event_len of 4 GiB", 0, {0xff, 0xff, 0xff, 0xff}, 4},
                {"another version", 4, {FANOTIFY_METADATA_VERSION + 1}, 1},
                {"metadata_len 0", 6, {0, 0}, 2},
                {"metadata_len behind the event", 6, {0xff, 0xff}, 2},
                {"record of no length", AT_RECORD + 2, {0, 0}, 2},
                {"record shorter than its header", AT_RECORD + 2, {3, 0}, 2},
                {"record too short for a handle", AT_RECORD + 2, {16, 0}, 2},
                {"record behind the event", AT_RECORD + 2, {0xff, 0xff}, 2},
                {"record that leaves half a header", AT_RECORD + 2, {66, 0}, 2},
                {"handle behind its record", AT_HANDLE, {64, 0, 0, 0}, 4},
                {"handle of 4 GiB", AT_HANDLE, {0xff, 0xff, 0xff, 0xff}, 4},
                {"no room for a name", AT_HANDLE, {16, 0, 0, 0}, 4},
                {"name without an end", AT_HANDLE + 8 + 12, {'a', 'b', 'c', 'd'}, 4},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Buffer buffer = {0};
                Told told;

                put_written(&buffer, 1, 1, 128, "abc");
                put_written(&buffer, 2, 1, 128, "abc");
                put_written(&buffer, 3, 1, 128, "abc");
                assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &told), 0);
                assert_int_equal(told.n_events, 3);
                memcpy(buffer.bytes + buffer.n_bytes / 3 + cases[i].offset, cases[i].bytes,
                       cases[i].n_bytes);
                if (parse(buffer.bytes, buffer.n_bytes, &told) != -EBADMSG || told.n_events != 1)
                        fail_msg("%s: %zu events were told", cases[i].what, told.n_events);
        }
}

static void put_random_event(Buffer *buffer, uint64_t *random)
{
        char name[64] = "";
        const size_t n_name = 1 + below(random, sizeof(name) - 1);

        for (size_t i = 0; i < n_name; i++)
                name[i] = (char)(1 + below(random, 255));
        name[n_name] = '\0';
        if (below(random, 8) == 0)
                put_event(buffer, FAN_Q_OVERFLOW);
        else
                put_written(buffer, 1 + below(random, UINT64_C(1) << 40), (uint32_t)next_random(random),
                            1 + below(random, 1 << 20), name);
}

static void a_buffer_cut_anywhere_tells_all_whole_events(void **state)
{
        uint64_t random = seed;

        (void)state;
        for (int round = 0; round < 20; round++) {
                Buffer buffer = {0};
                size_t ends[8], n_whole = 0;
                Told whole, cut;

                for (size_t i = 0; i < ELEMENTS(ends); i++) {
                        put_random_event(&buffer, &random);
                        ends[i] = buffer.n_bytes;
                }
                assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &whole), 0);
                assert_int_equal(whole.n_events, ELEMENTS(ends));
                for (size_t n_bytes = 0; n_bytes <= buffer.n_bytes; n_bytes++) {
                        bool between;
                        int r;

                        while (n_whole < ELEMENTS(ends) && ends[n_whole] <= n_bytes)
                                n_whole++;
                        between = n_bytes == (n_whole == 0 ? 0 : ends[n_whole - 1]);
                        r = parse(buffer.bytes, n_bytes, &cut);
                        assert_int_equal(r, between ? 0 : -EBADMSG);
                        assert_int_equal(cut.n_events, n_whole);
                        assert_same_events(&whole, &cut, n_whole);
                }
        }
}

/* Whatever is wrong, what lies before it is told as it was, and nothing is read that is not there. */
static void a_corrupted_buffer_spoils_nothing_before(void **state)
{
        uint64_t random = seed;
        size_t n_refused = 0;

        (void)state;
        for (int round = 0; round < BROKEN_ROUNDS; round++) {
                Buffer buffer = {0};
                const size_t n_events = 1 + below(&random, 6);
                size_t ends[6], n_before = 0, first = SIZE_MAX;
                Told whole, broken;
                int r;

                for (size_t i = 0; i < n_events; i++) {
                        put_random_event(&buffer, &random);
                        ends[i] = buffer.n_bytes;
                }
                assert_int_equal(parse(buffer.bytes, buffer.n_bytes, &whole), 0);
                for (uint64_t n = 1 + below(&random, 4); n > 0; n--) {
                        const size_t at = below(&random, buffer.n_bytes);

                        buffer.bytes[at] = (unsigned char)next_random(&random);
                        first = at < first ? at : first;
                }
                if (below(&random, 4) == 0)
                        buffer.n_bytes = below(&random, buffer.n_bytes + 1);
                while (n_before < n_events && ends[n_before] <= u64_min(first, buffer.n_bytes))
                        n_before++;
                r = parse(buffer.bytes, buffer.n_bytes, &broken);
                assert_true(r == 0 || r == -EBADMSG);
                assert_true(broken.n_events >= n_before);
                assert_same_events(&whole, &broken, n_before);
                n_refused += r < 0;
        }
        assert_in_range(n_refused, BROKEN_ROUNDS / 100, BROKEN_ROUNDS - 1);
}

static void noise_is_survived(void **state)
{
        uint64_t random = seed;

        (void)state;
        for (int round = 0; round < BROKEN_ROUNDS; round++) {
                Buffer buffer = {0};
                Told told;
                const size_t n_bytes = below(&random, 256);

                for (size_t i = 0; i < n_bytes; i++)
                        buffer.bytes[i] = (unsigned char)(next_random(&random) >> 32);
                /* Mostly with a head that gets it past the first look. */
                if (n_bytes >= sizeof(struct fanotify_event_metadata) && round % 8 != 0) {
                        put_event(&buffer, FAN_CLOSE_WRITE);
                        buffer.n_bytes = n_bytes;
                        end_event(&buffer);
                }
                if (parse(buffer.bytes, n_bytes, &told) == 0)
                        continue;
                assert_int_equal(parse(buffer.bytes, n_bytes, &told), -EBADMSG);
        }
}

/* --- the table --- */

static int note(WatchTable *table, uint64_t fsid, uint64_t inode, const char *name, uint64_t settle_usec,
                uint64_t now_usec)
{
        const WatchEvent event = {
                .fsid = fsid,
                .id = {.inode = inode, .generation = 1},
                .parent = {.inode = name ? 128 : 0, .generation = name ? 1 : 0},
                .name = name,
        };

        return watch_table_note(table, &event, settle_usec, now_usec);
}

static void a_file_is_due_when_it_was_left_alone_for_long_enough(void **state)
{
        WatchTable *table = watch_table_new(10);
        WatchFile file;

        (void)state;
        assert_non_null(table);
        assert_int_equal(watch_table_next_usec(table), UINT64_MAX);
        assert_int_equal(note(table, 1, 7, "a", 100, 1000), 0);
        assert_int_equal(watch_table_next_usec(table), 1100);
        assert_false(watch_table_take(table, 1099, &file));
        assert_int_equal(note(table, 1, 7, NULL, 100, 1050), 0);
        assert_false(watch_table_take(table, 1149, &file));
        assert_int_equal(watch_table_n_files(table), 1);
        assert_true(watch_table_take(table, 1150, &file));
        assert_int_equal(file.fsid, 1);
        assert_int_equal(file.id.inode, 7);
        assert_int_equal(file.id.generation, 1);
        assert_int_equal(file.parent.inode, 128);
        assert_string_equal(file.name, "a");
        free(file.name);
        assert_int_equal(watch_table_n_files(table), 0);
        assert_false(watch_table_take(table, UINT64_MAX, &file));
        assert_null(watch_table_free(table));
        assert_null(watch_table_free(NULL));
}

static void a_shorter_settle_time_overtakes(void **state)
{
        WatchTable *table = watch_table_new(10);
        WatchFile file;

        (void)state;
        assert_int_equal(note(table, 1, 1, NULL, 1000, 0), 0);
        assert_int_equal(note(table, 1, 2, NULL, 10, 5), 0);
        assert_true(watch_table_take(table, 15, &file));
        assert_int_equal(file.id.inode, 2);
        /* And makes a file due earlier than it was. */
        assert_int_equal(note(table, 1, 1, NULL, 10, 20), 0);
        assert_int_equal(watch_table_next_usec(table), 30);
        watch_table_free(table);
}

static void a_settle_time_without_end_is_never_over(void **state)
{
        WatchTable *table = watch_table_new(10);
        WatchFile file;

        (void)state;
        assert_int_equal(note(table, 1, 1, NULL, UINT64_MAX, 1000), 0);
        assert_int_equal(watch_table_next_usec(table), UINT64_MAX);
        assert_false(watch_table_take(table, UINT64_MAX - 1, &file));
        assert_true(watch_table_has(table, 1, (FileId){.inode = 1, .generation = 1}));
        watch_table_free(table);
}

static void a_full_table_says_so_and_goes_on_with_what_it_knows(void **state)
{
        WatchTable *table = watch_table_new(2);
        WatchFile file;

        (void)state;
        assert_int_equal(note(table, 1, 1, "a", 10, 0), 0);
        assert_int_equal(note(table, 1, 2, "b", 10, 0), 0);
        assert_int_equal(note(table, 1, 3, "c", 10, 0), WATCH_FULL);
        assert_false(watch_table_has(table, 1, (FileId){.inode = 3, .generation = 1}));
        assert_int_equal(note(table, 1, 1, "a", 10, 5), 0);
        assert_int_equal(watch_table_n_files(table), 2);
        assert_true(watch_table_take(table, 10, &file));
        assert_int_equal(file.id.inode, 2);
        free(file.name);
        assert_int_equal(note(table, 1, 3, "c", 10, 10), 0);
        watch_table_free(table);
        table = watch_table_new(0);
        assert_int_equal(note(table, 1, 1, "a", 10, 0), WATCH_FULL);
        watch_table_free(table);
}

/* What a table should hold, in the most stupid way. */
typedef struct Model {
        struct {
                WatchFile file;
                uint64_t due_usec;
        } items[64];
        size_t n_items;
} Model;

#define N_FSIDS       3
#define N_INODES      12
#define N_GENERATIONS 2
#define MODEL_MAX     40 /* fewer than there are files */

static size_t model_find(const Model *model, uint64_t fsid, FileId id)
{
        for (size_t i = 0; i < model->n_items; i++)
                if (model->items[i].file.fsid == fsid && file_id_equal(model->items[i].file.id, id))
                        return i;
        return SIZE_MAX;
}

static void model_remove(Model *model, size_t i)
{
        free(model->items[i].file.name);
        model->items[i] = model->items[--model->n_items];
}

static uint64_t model_next(const Model *model)
{
        uint64_t next_usec = UINT64_MAX;

        for (size_t i = 0; i < model->n_items; i++)
                next_usec = u64_min(next_usec, model->items[i].due_usec);
        return next_usec;
}

static void assert_same_file(const WatchFile *a, const WatchFile *b)
{
        assert_int_equal(a->fsid, b->fsid);
        assert_true(file_id_equal(a->id, b->id));
        assert_true(file_id_equal(a->parent, b->parent));
        assert_int_equal(!a->name, !b->name);
        if (a->name)
                assert_string_equal(a->name, b->name);
}

static void note_both(WatchTable *table, Model *model, uint64_t *random, uint64_t now_usec)
{
        char name[8];
        const uint64_t settle_usec = below(random, 16) == 0 ? UINT64_MAX : below(random, 200);
        const bool named = below(random, 3) != 0;
        const WatchEvent event = {
                .fsid = 1 + below(random, N_FSIDS),
                .id = {.inode = 1 + below(random, N_INODES),
                       .generation = (uint32_t)below(random, N_GENERATIONS)},
                .parent = {.inode = below(random, 3), .generation = 5},
                .name = named ? name : NULL,
        };
        size_t i = model_find(model, event.fsid, event.id);
        int r;

        snprintf(name, sizeof(name), "n%u", (unsigned)below(random, 4));
        r = watch_table_note(table, &event, settle_usec, now_usec);
        if (i == SIZE_MAX && model->n_items == MODEL_MAX) {
                assert_int_equal(r, WATCH_FULL);
                return;
        }
        assert_int_equal(r, 0);
        if (i == SIZE_MAX) {
                i = model->n_items++;
                model->items[i].file = (WatchFile){.fsid = event.fsid, .id = event.id};
        }
        model->items[i].due_usec = settle_usec == UINT64_MAX ? UINT64_MAX : now_usec + settle_usec;
        if (event.parent.inode != 0)
                model->items[i].file.parent = event.parent;
        if (named) {
                free(model->items[i].file.name);
                model->items[i].file.name = strdup(name);
        }
}

static void take_both(WatchTable *table, Model *model, uint64_t now_usec)
{
        const uint64_t next_usec = model_next(model);
        WatchFile file;
        size_t i;

        if (!watch_table_take(table, now_usec, &file)) {
                assert_true(next_usec > now_usec);
                return;
        }
        i = model_find(model, file.fsid, file.id);
        assert_true(i < model->n_items);
        assert_int_equal(model->items[i].due_usec, next_usec);
        assert_true(next_usec <= now_usec);
        assert_same_file(&file, &model->items[i].file);
        free(file.name);
        model_remove(model, i);
}

static void a_table_does_what_a_list_would(void **state)
{
        WatchTable *table = watch_table_new(MODEL_MAX);
        Model model = {0};
        uint64_t random = seed, now_usec = 1, n_full = 0;

        (void)state;
        assert_non_null(table);
        for (int round = 0; round < TABLE_ROUNDS; round++) {
                const uint64_t fsid = 1 + below(&random, N_FSIDS);
                const FileId id = {.inode = 1 + below(&random, N_INODES),
                                   .generation = (uint32_t)below(&random, N_GENERATIONS)};

                /* Whether it fills or drains changes now and then. */
                if (below(&random, 10) < (round / 500 % 2 == 0 ? 8U : 3U))
                        note_both(table, &model, &random, now_usec);
                else
                        take_both(table, &model, now_usec);
                if (below(&random, 3) == 0)
                        now_usec += below(&random, 10);
                if (below(&random, 500) == 0) {
                        watch_table_forget(table, fsid);
                        for (size_t i = model.n_items; i-- > 0;)
                                if (model.items[i].file.fsid == fsid)
                                        model_remove(&model, i);
                }
                assert_int_equal(watch_table_n_files(table), model.n_items);
                assert_int_equal(watch_table_next_usec(table), model_next(&model));
                assert_int_equal(watch_table_has(table, fsid, id), model_find(&model, fsid, id) != SIZE_MAX);
                for (size_t i = 0; i < model.n_items && round % 16 == 0; i++)
                        assert_true(
                                watch_table_has(table, model.items[i].file.fsid, model.items[i].file.id));
                n_full += model.n_items == MODEL_MAX;
        }
        assert_true(n_full > 0);
        while (model.n_items > 0)
                model_remove(&model, 0);
        watch_table_free(table);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_event_tells_file_directory_name_and_writer),
                cmocka_unit_test(an_empty_buffer_tells_nothing),
                cmocka_unit_test(records_in_either_order_tell_the_same),
                cmocka_unit_test(narrow_inode_numbers_are_understood),
                cmocka_unit_test(a_file_without_a_directory_is_told_without),
                cmocka_unit_test(lost_events_are_told_between_others),
                cmocka_unit_test(foreign_handles_and_records_are_left_out),
                cmocka_unit_test(a_longer_head_is_stepped_over),
                cmocka_unit_test(a_directory_itself_has_no_name),
                cmocka_unit_test(a_head_that_is_too_short_is_refused),
                cmocka_unit_test(what_no_kernel_writes_is_refused),
                cmocka_unit_test(a_buffer_cut_anywhere_tells_all_whole_events),
                cmocka_unit_test(a_corrupted_buffer_spoils_nothing_before),
                cmocka_unit_test(noise_is_survived),
                cmocka_unit_test(a_file_is_due_when_it_was_left_alone_for_long_enough),
                cmocka_unit_test(a_shorter_settle_time_overtakes),
                cmocka_unit_test(a_settle_time_without_end_is_never_over),
                cmocka_unit_test(a_full_table_says_so_and_goes_on_with_what_it_knows),
                cmocka_unit_test(a_table_does_what_a_list_would),
        };
        const char *text = getenv("DEFRAGD_SEED");

        seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
        if (seed == 0)
                seed = 1; /* of zero the generator makes nothing but zeros */
        print_message("DEFRAGD_SEED=%" PRIu64 "\n", seed);
        return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
