/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a run prints: words, order of keys, and names that try to be something else. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <json-c/json.h>

#include "base/cleanup.h"
#include "service/report.h"

/* Everything that a report with these options says about file; to be freed. */
static char *told_about(bool json, bool verbose, const ReportFile *file, bool summary)
{
        char *text = NULL;
        size_t n_bytes;
        FILE *out = open_memstream(&text, &n_bytes);
        Report report;

        assert_non_null(out);
        report_init(&report, &(ReportOptions){.out = out, .json = json, .verbose = verbose});
        if (file)
                report_file(&report, file);
        if (summary)
                report_summary(&report);
        assert_int_equal(report.error, 0);
        assert_int_equal(fclose(out), 0);
        return text;
}

static const ReportFile moved = {
        .path = "/srv/db",
        .volume = "/srv",
        .engine = "xfs-exchange",
        .inode = 131,
        .outcome = OUTCOME_MOVED,
        .extents_before = 6703,
        .extents_after = 32,
        .bytes_moved = 536870912,
        .usec = 1080000,
};

static void json_has_the_promised_keys_in_order(void **state)
{
        _cleanup_free_ char *text = told_about(true, false, &moved, false);

        (void)state;
        assert_string_equal(
                text, "{\"path\":\"/srv/db\",\"inode\":131,\"volume\":\"/srv\",\"engine\":\"xfs-exchange\","
                      "\"outcome\":\"moved\",\"reason\":null,\"extents_before\":6703,\"extents_after\":32,"
                      "\"bytes_moved\":536870912,\"usec\":1080000}\n");
}

static void json_of_what_is_unknown_is_null(void **state)
{
        ReportFile file = {.inode = 9, .outcome = OUTCOME_SKIPPED, .reason = SKIP_READ_ONLY};
        _cleanup_free_ char *text = told_about(true, false, &file, false);

        (void)state;
        assert_string_equal(
                text, "{\"path\":null,\"inode\":9,\"volume\":null,\"engine\":null,\"outcome\":\"skipped\","
                      "\"reason\":\"read-only\",\"extents_before\":0,\"extents_after\":0,"
                      "\"bytes_moved\":0,\"usec\":0}\n");
}

static void failed_names_its_errno(void **state)
{
        ReportFile file = {.path = "/f", .outcome = OUTCOME_FAILED, .error = EIO};
        _cleanup_free_ char *json = told_about(true, false, &file, false);
        _cleanup_free_ char *text = told_about(false, false, &file, false);
        _cleanup_free_ char *odd = NULL;

        (void)state;
        assert_non_null(strstr(json, "\"outcome\":\"failed\",\"reason\":\"EIO\""));
        assert_string_equal(text, "/f: failed:EIO\n");
        file.error = 524;
        odd = told_about(true, false, &file, false);
        assert_non_null(strstr(odd, "\"reason\":\"E524\""));
}

static void json_summary_has_the_promised_keys_in_order(void **state)
{
        static const char *const keys[] = {
                "summary",  "files",     "moved",  "optimal",        "skipped",       "changed",     "busy",
                "no_space", "cancelled", "failed", "extents_before", "extents_after", "bytes_moved", "usec"};
        _cleanup_free_ char *text = told_about(true, false, &moved, true);
        char *last = strchr(text, '\n') + 1;
        json_object *object = json_tokener_parse(last);
        size_t i = 0;

        (void)state;
        assert_non_null(object);
        json_object_object_foreach(object, key, value)
        {
                (void)value;
                assert_true(i < sizeof(keys) / sizeof(keys[0]));
                assert_string_equal(key, keys[i++]);
        }
        assert_int_equal(i, sizeof(keys) / sizeof(keys[0]));
        assert_true(json_object_get_boolean(json_object_object_get(object, "summary")));
        assert_int_equal(json_object_get_int(json_object_object_get(object, "moved")), 1);
        assert_int_equal(json_object_get_int(json_object_object_get(object, "extents_before")), 6703);
        json_object_put(object);
}

static const char *const hostile_names[] = {
        "/srv/x\nSTOPPING=1",
        "/srv/\x1b]0;owned\x07",
        "/srv/quote\" and \\ back",
        "/srv/\xc2\x9b"
        "2J", /* C1 control, valid UTF-8 */
        "/srv/\xe2\x80\xae"
        "cod", /* right-to-left override */
        "/srv/gr\xc3\xbc\xc3\x9f"
        "e",
        "/srv/\xf0\x9f\x98\x80",
        "/srv/del\x7f",
        "/srv/tab\ttab",
};

static void json_gives_every_valid_name_back_exactly(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(hostile_names) / sizeof(hostile_names[0]); i++) {
                ReportFile file = moved;
                _cleanup_free_ char *text = NULL;
                json_object *object;

                file.path = hostile_names[i];
                text = told_about(true, false, &file, false);
                for (const char *at = text; *at; at++)
                        assert_true((*at >= 0x20 && *at < 0x7f) || (*at == '\n' && at[1] == '\0'));
                object = json_tokener_parse(text);
                assert_non_null(object);
                assert_string_equal(json_object_get_string(json_object_object_get(object, "path")),
                                    hostile_names[i]);
                json_object_put(object);
        }
}

static void json_escapes_names_that_are_not_utf8(void **state)
{
        static const char *const names[] = {
                "/srv/\xff\xfe",         /* no such bytes */
                "/srv/\xc0\xaf",         /* overlong */
                "/srv/\xed\xa0\x80",     /* surrogate */
                "/srv/\xf4\x90\x80\x80", /* above U+10FFFF */
                "/srv/cut\xe2\x82",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                ReportFile file = moved;
                _cleanup_free_ char *text = NULL;
                json_object *object;

                file.path = names[i];
                text = told_about(true, false, &file, false);
                object = json_tokener_parse(text);
                assert_non_null(object);
                assert_non_null(
                        strstr(json_object_get_string(json_object_object_get(object, "path")), "\\x"));
                json_object_put(object);
        }
}

static void text_of_hostile_names_stays_on_its_line(void **state)
{
        (void)state;
        for (size_t i = 0; i < sizeof(hostile_names) / sizeof(hostile_names[0]); i++) {
                ReportFile file = moved;
                _cleanup_free_ char *text = NULL;

                file.path = hostile_names[i];
                text = told_about(false, false, &file, false);
                assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
                for (const char *at = text; *at; at++)
                        assert_true((unsigned char)*at >= 0x20 || *at == '\n');
                assert_null(strchr(text, 0x7f));
                assert_null(strstr(text, "\xc2\x9b"));
        }
}

static void text_keeps_quiet_about_what_needs_nobody(void **state)
{
        ReportFile file = {
                .path = "/f", .outcome = OUTCOME_OPTIMAL, .extents_before = 1, .extents_after = 1};
        _cleanup_free_ char *quiet = told_about(false, false, &file, false);
        _cleanup_free_ char *verbose = told_about(false, true, &file, false);

        (void)state;
        assert_string_equal(quiet, "");
        assert_string_equal(verbose, "/f: optimal, 1 extent\n");
}

static void text_of_a_dry_run_says_what_would_be_moved(void **state)
{
        ReportFile file = {
                .path = "/f",
                .outcome = OUTCOME_SKIPPED,
                .reason = SKIP_DRY_RUN,
                .extents_before = 7,
                .extents_after = 1,
                .bytes_planned = 64 << 20,
        };
        _cleanup_free_ char *text = told_about(false, false, &file, false);

        (void)state;
        assert_string_equal(text, "/f: skipped:dry-run, 7 -> 1 extents, 64.0 MiB to move\n");
}

static void a_full_disk_below_the_output_is_remembered(void **state)
{
        FILE *out = fopen("/dev/full", "w");
        Report report;

        (void)state;
        if (!out)
                skip();
        report_init(&report, &(ReportOptions){.out = out, .json = true});
        report_file(&report, &moved);
        assert_int_equal(report.error, -ENOSPC);
        report_file(&report, &moved);
        report_summary(&report);
        assert_int_equal(report.totals.files, 2);
        (void)fclose(out);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(json_has_the_promised_keys_in_order),
                cmocka_unit_test(json_of_what_is_unknown_is_null),
                cmocka_unit_test(failed_names_its_errno),
                cmocka_unit_test(json_summary_has_the_promised_keys_in_order),
                cmocka_unit_test(json_gives_every_valid_name_back_exactly),
                cmocka_unit_test(json_escapes_names_that_are_not_utf8),
                cmocka_unit_test(text_of_hostile_names_stays_on_its_line),
                cmocka_unit_test(text_keeps_quiet_about_what_needs_nobody),
                cmocka_unit_test(text_of_a_dry_run_says_what_would_be_moved),
                cmocka_unit_test(a_full_disk_below_the_output_is_remembered),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
