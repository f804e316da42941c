/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stop file counts by its name, whatever is in it; and when nobody can say, everything is stopped. */

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "work/stop_file.h"

#define UUID  "01234567-89ab-cdef-0123-456789abcdef"
#define OTHER "01234567-89ab-cdef-0123-456789abcde0"

static char directory[] = "/tmp/test-stop-file-XXXXXX";

static const StopReport report = {
        .when_sec = 1767225600,
        .uuid = UUID,
        .volume = "/srv",
        .path = "/srv/db/events",
        .engine = "xfs-exchange",
        .inode = 133,
        .trip = {.kind = TRIP_DEVICE, .error = EIO, .step = "copy", .offset = 4096, .length = 65536},
};

static char *path_of(const char *name)
{
        char *path;

        assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
        return path;
}

static void write_file(const char *name, const void *text, size_t n_bytes)
{
        _cleanup_free_ char *path = path_of(name);
        _cleanup_fclose_ FILE *out = fopen(path, "we");

        assert_non_null(out);
        assert_int_equal(fwrite(text, 1, n_bytes, out), n_bytes);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
        (void)status, (void)type;
        return place->level == 0 ? 0 : remove(path);
}

static int empty_directory(void **state)
{
        (void)state;
        return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Parses a copy of exactly that many bytes, so that a sanitizer sees a step behind its end. */
static void expect_parse(const char *text, size_t n_bytes, int said, const char *line)
{
        _cleanup_free_ char *copy = malloc(n_bytes ? n_bytes : 1), *got = NULL;

        assert_non_null(copy);
        memcpy(copy, text, n_bytes);
        assert_int_equal(stop_file_parse(copy, n_bytes, &got), said);
        assert_string_equal(got, line);
}

static void what_was_written_is_read(void **state)
{
        _cleanup_free_ char *text = NULL;

        (void)state;
        assert_int_equal(stop_file_format(&report, &text), 0);
        assert_non_null(strstr(text, "\nVolume: /srv\n"));
        assert_non_null(
                strstr(text, "\nInode: 133\nPath: /srv/db/events\nEngine: xfs-exchange\nStep: copy\n"));
        assert_non_null(strstr(text, "\nRegion: 65536 bytes from 4096\n"));
        expect_parse(text, strlen(text), 0,
                     "the device gave an error (Input/output error), on 2026-01-01 00:00:00 UTC");
}

static void what_is_not_known_is_left_out(void **state)
{
        const StopReport little = {.trip = {.kind = TRIP_CONTENT}};
        _cleanup_free_ char *text = NULL;

        (void)state;
        assert_int_equal(stop_file_format(&little, &text), 0);
        assert_null(strstr(text, "Volume:"));
        assert_null(strstr(text, "Inode:"));
        assert_null(strstr(text, "Region:"));
        expect_parse(text, strlen(text), 0,
                     "after the move something else is read than was copied, on 1970-01-01 00:00:00 UTC");
}

static void a_hostile_name_stays_on_its_line(void **state)
{
        StopReport hostile = report;
        _cleanup_free_ char *text = NULL, *line = NULL;

        (void)state;
        hostile.path = "/srv/x\nSeen: nothing at all\n\x1b[2J\xff";
        hostile.volume = "/srv\nWhen: never";
        assert_int_equal(stop_file_format(&hostile, &text), 0);
        assert_null(strstr(text, "\nSeen: nothing"));
        assert_null(strstr(text, "\nWhen: never"));
        assert_null(strchr(text, '\x1b'));
        assert_int_equal(stop_file_parse(text, strlen(text), &line), 0);
        assert_non_null(strstr(line, "the device gave an error"));
}

static void damage_is_told_and_escaped(void **state)
{
        static const struct {
                const char *text;
                int said;
        } cases[] = {
                {"garbage", STOP_FILE_DAMAGED},
                {"defragd-stopped", STOP_FILE_DAMAGED},
                {"defragd-stopped ", STOP_FILE_DAMAGED},
                {"defragd-stopped \n", STOP_FILE_DAMAGED},
                {"defragd-stopped 0\nWhen: a\nSeen: b\n", STOP_FILE_DAMAGED},
                {"defragd-stopped 1", STOP_FILE_DAMAGED},
                {"defragd-stopped 1\n", STOP_FILE_DAMAGED},
                {"defragd-stopped 1\nWhen: a\n", STOP_FILE_DAMAGED},
                {"defragd-stopped 1\nSeen: a\n", STOP_FILE_DAMAGED},
                {"defragd-stopped 1x\nWhen: a\nSeen: b\n", STOP_FILE_DAMAGED},
                {"defragd-stopped -1\nWhen: a\nSeen: b\n", STOP_FILE_DAMAGED},
                {"defragd-stopped 2\nWhatever: b\n", STOP_FILE_NEWER},
                {"defragd-stopped 99999999999999999999999\nWhen: a\n", STOP_FILE_DAMAGED},
        };

        (void)state;
        expect_parse("", 0, STOP_FILE_DAMAGED, "its file in the state directory is empty");
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                expect_parse(cases[i].text, strlen(cases[i].text), cases[i].said,
                             cases[i].said == STOP_FILE_NEWER
                                     ? "a later version has stopped it"
                                     : "its file in the state directory is damaged");
        expect_parse("defragd-stopped 1\nWhen: a\nSeen: b\0\n", 35, STOP_FILE_DAMAGED,
                     "its file in the state directory is damaged");
        expect_parse("defragd-stopped 1\nWhen: now\nSeen: \x1b[2J", 38, 0, "\\x1b[2J, on now");
}

static void cut_anywhere_it_is_never_more_than_damaged(void **state)
{
        _cleanup_free_ char *text = NULL;

        (void)state;
        assert_int_equal(stop_file_format(&report, &text), 0);
        for (size_t n = 0; n <= strlen(text); n++) {
                _cleanup_free_ char *copy = malloc(n ? n : 1), *line = NULL;
                int r;

                assert_non_null(copy);
                memcpy(copy, text, n);
                r = stop_file_parse(copy, n, &line);
                assert_true(r == 0 || r == STOP_FILE_DAMAGED);
                assert_non_null(line);
        }
}

static void stored_and_found(void **state)
{
        _cleanup_(stop_list_done) StopList list = {0};
        _cleanup_free_ char *text = NULL;
        const char *why = NULL;

        (void)state;
        assert_int_equal(stop_file_format(&report, &text), 0);
        assert_int_equal(stop_file_store(directory, UUID, text), 0);
        stop_list_read(directory, &list);
        assert_int_equal(list.error, 0);
        assert_int_equal(list.n_marks, 1);
        assert_true(list.marks[0].is_stored);
        assert_true(stop_list_has(&list, UUID, &why));
        assert_non_null(strstr(why, "the device gave an error"));
        assert_false(stop_list_has(&list, OTHER, NULL));
}

static void the_first_reason_stays(void **state)
{
        _cleanup_(stop_list_done) StopList list = {0};
        StopReport second = report;
        _cleanup_free_ char *first_text = NULL, *second_text = NULL;

        (void)state;
        second.trip = (Trip){.kind = TRIP_CONTENT};
        assert_int_equal(stop_file_format(&report, &first_text), 0);
        assert_int_equal(stop_file_format(&second, &second_text), 0);
        assert_int_equal(stop_file_store(directory, UUID, first_text), 0);
        assert_int_equal(stop_file_store(directory, UUID, second_text), 0);
        stop_list_read(directory, &list);
        assert_int_equal(list.n_marks, 1);
        assert_non_null(strstr(list.marks[0].text, "the device gave an error"));
}

static void whatever_has_the_name_counts(void **state)
{
        static const char *const upper = "stopped-01234567-89AB-CDEF-0123-456789ABCDEF";
        _cleanup_free_ char *sub = path_of("stopped-" OTHER), *link = path_of("stopped-" UUID);
        _cleanup_(stop_list_done) StopList list = {0}, more = {0};
        _cleanup_free_ char *big = calloc(1, STOP_FILE_MAX_BYTES + 1);

        (void)state;
        write_file(upper, "", 0);
        assert_int_equal(mkdir(sub, 0700), 0);
        stop_list_read(directory, &list);
        assert_int_equal(list.n_marks, 2);
        assert_true(stop_list_has(&list, UUID, NULL));
        assert_true(stop_list_has(&list, OTHER, NULL));

        (void)empty_directory(NULL);
        assert_int_equal(symlink("/nowhere", link), 0);
        assert_int_equal(mkfifo(sub, 0600), 0);
        stop_list_read(directory, &more);
        assert_true(stop_list_has(&more, UUID, NULL) && stop_list_has(&more, OTHER, NULL));
        stop_list_done(&more);

        (void)empty_directory(NULL);
        assert_non_null(big);
        write_file("stopped-" UUID, big, STOP_FILE_MAX_BYTES + 1);
        stop_list_read(directory, &more);
        assert_true(stop_list_has(&more, UUID, NULL));
}

static void other_names_stop_nothing(void **state)
{
        static const char *const names[] = {
                "stopped-",
                "stopped",
                "ledger",
                "stopped-01234567-89ab-cdef-0123-456789abcde",
                "stopped-01234567-89ab-cdef-0123-456789abcdef0",
                "stopped-01234567x89ab-cdef-0123-456789abcdef",
                "stopped-01234567-89ab-cdef-0123-456789abcdeg",
                "new-stopped-01234567-89ab-cdef-0123-456789abcdef.17",
        };
        _cleanup_(stop_list_done) StopList list = {0};

        (void)state;
        for (size_t i = 0; i < ELEMENTS(names); i++)
                write_file(names[i], "x", 1);
        stop_list_read(directory, &list);
        assert_int_equal(list.error, 0);
        assert_int_equal(list.n_marks, 0);
}

static void a_directory_that_cannot_be_read_stops_everything(void **state)
{
        _cleanup_free_ char *file = path_of("file");
        _cleanup_(stop_list_done) StopList list = {0}, none = {0};
        const char *why = NULL;

        (void)state;
        write_file("file", "", 0);
        stop_list_read(file, &list);
        assert_int_equal(list.error, -ENOTDIR);
        assert_true(stop_list_has(&list, UUID, &why));
        assert_string_equal(why, "the state directory cannot be read");
        stop_list_read("/tmp/no-such-directory-of-defragd", &none);
        assert_int_equal(none.error, -ENOENT);
        assert_true(stop_list_has(&none, UUID, NULL));
        assert_int_equal(stop_file_store(file, UUID, "x"), -ENOTDIR);
}

static void too_many_files_stop_everything(void **state)
{
        _cleanup_(stop_list_done) StopList list = {0};
        char name[64];

        (void)state;
        for (unsigned i = 0; i <= STOP_MARKS_MAX; i++) {
                (void)snprintf(name, sizeof(name), "stopped-%08x-89ab-cdef-0123-456789abcdef", i);
                write_file(name, "", 0);
        }
        stop_list_read(directory, &list);
        assert_true(list.error < 0);
        assert_true(stop_list_has(&list, OTHER, NULL));
}

static void copies_and_additions(void **state)
{
        _cleanup_(stop_list_done) StopList list = {0}, copy = {0};

        (void)state;
        assert_int_equal(stop_list_add(&list, UUID, "one"), 0);
        assert_int_equal(stop_list_add(&list, UUID, "two"), 0);
        assert_int_equal(list.n_marks, 1);
        assert_false(list.marks[0].is_stored);
        copy = stop_list_copy(&list);
        assert_string_equal(stop_list_find(&copy, UUID)->text, "one");
        assert_ptr_not_equal(copy.marks[0].text, list.marks[0].text);
}

static int group_setup(void **state)
{
        (void)state;
        return mkdtemp(directory) ? 0 : -1;
}

static int group_teardown(void **state)
{
        (void)empty_directory(state);
        return rmdir(directory);
}

#define in_directory(test) cmocka_unit_test_teardown(test, empty_directory)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_written_is_read),
                cmocka_unit_test(what_is_not_known_is_left_out),
                cmocka_unit_test(a_hostile_name_stays_on_its_line),
                cmocka_unit_test(damage_is_told_and_escaped),
                cmocka_unit_test(cut_anywhere_it_is_never_more_than_damaged),
                in_directory(stored_and_found),
                in_directory(the_first_reason_stays),
                in_directory(whatever_has_the_name_counts),
                in_directory(other_names_stop_nothing),
                in_directory(a_directory_that_cannot_be_read_stops_everything),
                in_directory(too_many_files_stop_everything),
                cmocka_unit_test(copies_and_additions),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
