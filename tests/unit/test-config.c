/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What configuration files say, and what is complained about. Which of them are read: test-config-files.c. */

#include "config-root.h"

#define INI_HANDLER_LINENO 1
#include <ini.h>

static void without_any_file_the_defaults_hold(void **state)
{
        _cleanup_(config_done) Config config = load(0);

        (void)state;
        assert_null(config.defaults.mount_path);
        assert_int_equal(config.defaults.min_file_bytes, 256 * KIB);
        assert_int_equal(config.defaults.min_extents, 0);
        assert_int_equal(config.defaults.n_excludes, 1);
        assert_string_equal(config.defaults.excludes[0], "/boot/**");
        assert_int_equal(config.defaults.solid_state, SOLID_STATE_AUTO);
        assert_false(config.defaults.executables);
        assert_int_equal(config.defaults.max_rate, BYTES_INFINITY);
        assert_true(config.defaults.free_space_reserve.is_permille);
        assert_int_equal(config.defaults.free_space_reserve.value, 50);
        assert_int_equal(config.defaults.enabled, ENABLED_YES);
        assert_int_equal(config.defaults.settle_usec, 600 * USEC_PER_SEC);
        assert_false(config.defaults.shared_extents);
        assert_true(config.defaults.busy_files);
        assert_false(config.defaults.daily_writes_is_set);
        assert_false(config.defaults.on_battery);
        assert_int_equal(schedule_minutes_until_open(&config.defaults.hours, 0), 0);
        assert_int_equal(config.defaults.sweep_usec, 7 * 86400 * USEC_PER_SEC);
        assert_false(config.limits_broken);
        assert_int_equal(config.n_volumes, 0);
        assert_ptr_equal(config_for(&config, "/srv"), &config.defaults);
}

static void every_key_can_be_set(void **state)
{
        _cleanup_(config_done) Config config = {0};
        const VolumeConfig *set = &config.defaults;

        (void)state;
        put(CONF, "# comment\n; comment\n\n"
                  "[Policy]\nMinFileSize=1M\n  MinExtents = 8 \r\nExclude=/srv/cache/**\n"
                  "SolidState=No\nExecutables=on\n"
                  "Enabled=observe\nSettleSec=1min 30s\nSharedExtents=yes\nBusyFiles=0\n"
                  "[Schedule]\nHours=Sat,Sun 00:00-24:00\nSweepSec=infinity\n"
                  "[Budget]\nDailyWrites=20G\nOnBattery=true\nMaxRate=50M\nFreeSpaceReserve=10G");
        config = load(0);
        assert_int_equal(set->min_file_bytes, MIB);
        assert_int_equal(set->min_extents, 8);
        assert_int_equal(set->n_excludes, 2);
        assert_string_equal(set->excludes[1], "/srv/cache/**");
        assert_int_equal(set->solid_state, SOLID_STATE_NO);
        assert_true(set->executables);
        assert_int_equal(set->max_rate, 50 * MIB);
        assert_false(set->free_space_reserve.is_permille);
        assert_int_equal(set->free_space_reserve.value, 10 * GIB);
        assert_int_equal(set->enabled, ENABLED_OBSERVE);
        assert_int_equal(set->settle_usec, 90 * USEC_PER_SEC);
        assert_true(set->shared_extents);
        assert_false(set->busy_files);
        assert_true(set->daily_writes_is_set);
        assert_false(set->daily_writes.is_permille);
        assert_int_equal(set->daily_writes.value, 20 * GIB);
        assert_true(set->on_battery);
        assert_true(schedule_is_open(&set->hours, 0));
        assert_false(schedule_is_open(&set->hours, 1440));
        assert_int_equal(set->sweep_usec, USEC_INFINITY);
}

static void a_volume_takes_every_key_and_inherits_the_rest_in_any_order(void **state)
{
        _cleanup_(config_done) Config config = {0};
        const VolumeConfig *srv, *home;

        (void)state;
        put(CONF, "[Volume /srv]\nMaxRate=1M\nSolidState=yes\nExclude=/srv/a\n"
                  "[Policy]\nMinExtents=5\nExclude=/tmp/x\n"
                  "[Volume /home]\nMinExtents=9\nFreeSpaceReserve=1%\n"
                  "[Volume /srv/]\nExecutables=yes\n"
                  "[Budget]\nMaxRate=2M\n");
        config = load(0);
        assert_int_equal(config.n_volumes, 2);
        srv = config_for(&config, "/srv");
        home = config_for(&config, "/home/");
        assert_string_equal(srv->mount_path, "/srv");
        assert_int_equal(srv->max_rate, MIB);
        assert_int_equal(srv->solid_state, SOLID_STATE_YES);
        assert_int_equal(srv->min_extents, 5);
        assert_true(srv->executables);
        assert_int_equal(srv->n_excludes, 3); /* adds to what holds for all */
        assert_string_equal(srv->excludes[0], "/boot/**");
        assert_string_equal(srv->excludes[1], "/tmp/x");
        assert_string_equal(srv->excludes[2], "/srv/a");
        assert_string_equal(home->mount_path, "/home");
        assert_int_equal(home->max_rate, 2 * MIB);
        assert_int_equal(home->min_extents, 9);
        assert_int_equal(home->free_space_reserve.value, 10);
        assert_false(home->executables);
        assert_int_equal(home->n_excludes, 2);
        assert_int_equal(config.defaults.n_excludes, 2);
        assert_ptr_equal(config_for(&config, "/srv2"), &config.defaults);
        assert_ptr_equal(config_for(&config, "/sr"), &config.defaults);
        assert_ptr_equal(config_for(&config, "/"), &config.defaults);
}

static void a_section_without_keys_is_a_volume_too(void **state)
{
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put(CONF, "[Volume /]\n[Volume   /srv//data]\n");
        config = load(0);
        assert_int_equal(config.n_volumes, 2);
        assert_string_equal(config_for(&config, "/")->mount_path, "/");
        assert_string_equal(config_for(&config, "/srv/data")->mount_path, "/srv/data");
        assert_int_equal(config_for(&config, "/")->min_file_bytes, 256 * KIB);
}

static void an_empty_exclude_forgets_what_came_before(void **state)
{
        _cleanup_(config_done) Config config = {0};
        const VolumeConfig *srv;

        (void)state;
        put(CONF, "[Policy]\nExclude=/a\nExclude=\nExclude=/b\n"
                  "[Volume /srv]\nExclude=/c\nExclude=\nExclude=/d\n[Volume /home]\nExclude=\n");
        config = load(0);
        assert_int_equal(config.defaults.n_excludes, 1);
        assert_string_equal(config.defaults.excludes[0], "/b");
        srv = config_for(&config, "/srv");
        assert_int_equal(srv->n_excludes, 1);
        assert_string_equal(srv->excludes[0], "/d");
        assert_int_equal(config_for(&config, "/home")->n_excludes, 0);
}

static void patterns_are_cleaned_of_slashes_that_would_never_match(void **state)
{
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put(CONF, "[Policy]\nExclude=\nExclude=/srv//cache/\nExclude=**/*.iso\nExclude=/a;b #c\n");
        config = load(0);
        assert_int_equal(config.defaults.n_excludes, 3);
        assert_string_equal(config.defaults.excludes[0], "/srv/cache");
        assert_string_equal(config.defaults.excludes[1], "**/*.iso");
        assert_string_equal(config.defaults.excludes[2], "/a;b #c"); /* no comments within a line */
}

static void a_wrong_value_is_told_and_the_default_kept(void **state)
{
        static const char *const lines[] = {
                "[Policy]\nMinFileSize=big",
                "[Policy]\nMinFileSize=",
                "[Policy]\nMinFileSize=infinity",
                "[Policy]\nMinExtents=1K",
                "[Policy]\nMinExtents=-1",
                "[Policy]\nMinExtents=99999999999",
                "[Policy]\nExclude=relative",
                "[Policy]\nExclude=/a/../b",
                "[Policy]\nExclude=/a/./b",
                "[Policy]\nExclude=/a[b",
                "[Policy]\nExclude=\"/a b\"",
                "[Policy]\nSolidState=maybe",
                "[Policy]\nExecutables=auto",
                "[Policy]\nExecutables=",
                "[Budget]\nMaxRate=0",
                "[Budget]\nMaxRate=5M/s",
                "[Budget]\nMaxRate==5M",
                "[Budget]\nFreeSpaceReserve=101%",
                "[Budget]\nFreeSpaceReserve=5 %",
                "[Budget]\nFreeSpaceReserve=infinity",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(lines); i++) {
                _cleanup_(config_done) Config config = {0}, plain = {0};

                put(CONF, lines[i]);
                config = load(1);
                assert_complaint(CONF ":2: ");
                put(CONF, "");
                plain = load(0);
                assert_int_equal(config.defaults.n_excludes, 1);
                assert_int_equal(config.defaults.min_file_bytes, plain.defaults.min_file_bytes);
                assert_int_equal(config.defaults.min_extents, plain.defaults.min_extents);
                assert_int_equal(config.defaults.solid_state, plain.defaults.solid_state);
                assert_int_equal(config.defaults.executables, plain.defaults.executables);
                assert_int_equal(config.defaults.max_rate, plain.defaults.max_rate);
                assert_int_equal(config.defaults.free_space_reserve.value, 50);
        }
}

static void a_wrong_value_keeps_what_an_earlier_line_set(void **state)
{
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put(CONF, "[Budget]\nMaxRate=5M\nMaxRate=fast\n");
        config = load(1);
        assert_string_equal(complaints, CONF ":3: Invalid value, ignoring: MaxRate=fast\n");
        assert_int_equal(config.defaults.max_rate, 5 * MIB);
}

static void every_mistake_is_told_with_its_own_line(void **state)
{
        static const int bad[] = {1, 4, 5, 6, 7, 8, 9, 10, 13, 15, 16, 17, 18, 20, 21, 22};
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put(CONF, "MinExtents=1\n"          /* 1: outside of a section */
                  "[Policy]\n"              /* 2 */
                  "Enabled=yes\n"           /* 3: good */
                  "no value\n"              /* 4 */
                  "MinExtents: 7\n"         /* 5: not systemd's */
                  "=5\n"                    /* 6 */
                  "MaxRate=1M\n"            /* 7: of another section */
                  "minextents=7\n"          /* 8 */
                  "Exclude=/a\\\n"          /* 9: continued */
                  "[Unknown]\n"             /* 10: told once */
                  "MinExtents=7\nFoo=1\n"   /* 11, 12: belong to nobody */
                  "[Volume srv]\n"          /* 13 */
                  "MinExtents=7\n"          /* 14 */
                  "[Volume]\n"              /* 15 */
                  "[Volumes /srv]\n"        /* 16 */
                  "[Volume /a/../b]\n"      /* 17 */
                  "[Policy\n"               /* 18 */
                  "MinExtents=7\n"          /* 19 */
                  "[Policy] MinExtents=7\n" /* 20 */
                  "[]\n"                    /* 21 */
                  "[\n"                     /* 22 */
                  "[Policy]\n"              /* 23 */
                  "MinExtents=2\n");        /* 24: good */
        config = load(16);
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                char start[64];

                snprintf(start, sizeof(start), CONF ":%d: ", bad[i]);
                assert_complaint(start);
        }
        assert_int_equal(config.defaults.min_extents, 2);
        assert_int_equal(config.n_volumes, 0);
}

static void a_byte_order_mark_is_passed_over(void **state)
{
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put(CONF, "\xef\xbb\xbf[Policy]\nMinExtents=4\n");
        config = load(0);
        assert_int_equal(config.defaults.min_extents, 4);
}

static void long_lines_and_names_are_read_whole_or_refused(void **state)
{
        _cleanup_free_ char *text = calloc(1, 200000);
        _cleanup_(config_done) Config config = {0};
        char path[3000], section[5100];

        (void)state;
        assert_non_null(text);
        memset(path, 'x', sizeof(path));
        path[0] = '/';
        path[sizeof(path) - 1] = '\0';
        snprintf(section, sizeof(section), "[Volume %s]\nMinExtents=5\nExclude=%.2000s\n", path, path);
        put(CONF, section);
        config = load(0);
        assert_int_equal(config_for(&config, path)->min_extents, 5);
        assert_int_equal(strlen(config_for(&config, path)->excludes[1]), 2000);
        config_done(&config);

        /* Refused, with all that may have belonged to it; what comes after counts on. */
        memcpy(text, "[Policy]\n[Volume /", 18);
        memset(text + 18, 'y', 70000);
        strcat(text, "]\nMinExtents=7\n[Policy]\nMinFileSize=x\nExclude=/");
        memset(text + strlen(text), 'z', 65524);
        strcat(text, "\nMinFileSize=1M\n");
        put(CONF, text);
        config = load(2);
        assert_complaint(CONF ":2: Line too long");
        assert_complaint(CONF ":5: Invalid value");
        assert_int_equal(config.defaults.min_extents, 0);
        assert_int_equal(config.defaults.min_file_bytes, MIB);
        /* The longest line there may be. */
        assert_int_equal(strlen(config.defaults.excludes[1]), 65525);
}

static void nul_bytes_are_told(void **state)
{
        static const char text[] =
                "[Policy]\nMinExtents=1\0 2\nMinFileSize=1M\n\0[Budget]\nMinFileSize=2M\n";
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put_bytes(CONF, text, sizeof(text) - 1);
        config = load(2);
        assert_complaint(CONF ":2: NUL byte");
        assert_complaint(CONF ":4: NUL byte");
        assert_int_equal(config.defaults.min_extents, 0);
        assert_int_equal(config.defaults.min_file_bytes, MIB);
}

static void complaints_are_fit_to_be_shown(void **state)
{
        char text[1200];
        Config config;

        (void)state;
        put(CONF, "[Policy]\nMinFileSize=\x1b[2J\xff\\x\n\x1b]0;x=1\n[\a\u202e]\n[Volume \a]\nA\aB\n");
        config = load(5);
        assert_string_equal(complaints,
                            CONF ":2: Invalid value, ignoring: MinFileSize=\\x1b[2J\\xff\\x5cx\n" CONF
                                 ":3: Unknown key, ignoring: \\x1b]0;x\n" CONF
                                 ":4: Unknown section, ignoring: \\x07\\xe2\\x80\\xae\n" CONF
                                 ":5: Not an absolute path in section, ignoring: Volume \\x07\n" CONF
                                 ":6: Neither a section nor KEY=VALUE, ignoring\n");
        config_done(&config);
        memset(text, 'v', sizeof(text));
        memcpy(text, "[Policy]\nMinExtents=", 20);
        text[sizeof(text) - 1] = '\0';
        put(CONF, text);
        config = load(1);
        assert_true(strlen(complaints) < 512);
        config_done(&config);
}

static void random_files_neither_crash_nor_leak(void **state)
{
        static const char *const pieces[] = {
                "[",
                "]",
                "\n",
                "\n",
                "=",
                ":",
                "Policy",
                "Volume",
                " ",
                "/",
                "/srv",
                "MinExtents",
                "Exclude",
                "\\",
                "\xff",
                "\xef\xbb\xbf",
                "#",
                ";",
                "7",
                "*",
                "[Policy]\n",
                "[Volume /srv]\n",
                "Exclude=/a\n",
        };
        const unsigned seed = 3;

        (void)state;
        print_message("seed %u\n", seed);
        srandom(seed);
        for (unsigned round = 0; round < 3000; round++) {
                size_t n_pieces = (size_t)random() % 40;
                char text[1024] = "";
                Config config = {0};

                for (size_t i = 0; i < n_pieces; i++)
                        strncat(text, pieces[(size_t)random() % ELEMENTS(pieces)], 20);
                put(CONF, text);
                complaints[0] = '\0';
                assert_true(config_load(root, NULL, on_complaint, complaints, &config) >= 0);
                for (size_t i = 0; i < config.n_volumes; i++)
                        assert_ptr_equal(config_for(&config, config.volumes[i].mount_path),
                                         &config.volumes[i]);
                config_done(&config);
        }
}

static int on_pair(void *userdata, const char *section, const char *name, const char *value, int line)
{
        (void)section;
        (void)name;
        (void)value;
        *(int *)userdata = *(int *)userdata * 10 + line;
        return 1;
}

/* The header of Debian 12's libinih declares a handler of four arguments unless told otherwise; the library was built to
 * call one of five. */
static void libinih_tells_line_numbers(void **state)
{
        int lines = 0;

        (void)state;
        assert_int_equal(ini_parse_string("[a]\nb=1\n\nc=2\n", on_pair, &lines), 0);
        assert_int_equal(lines, 24);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_ROOT(without_any_file_the_defaults_hold),
                WITH_ROOT(every_key_can_be_set),
                WITH_ROOT(a_volume_takes_every_key_and_inherits_the_rest_in_any_order),
                WITH_ROOT(a_section_without_keys_is_a_volume_too),
                WITH_ROOT(an_empty_exclude_forgets_what_came_before),
                WITH_ROOT(patterns_are_cleaned_of_slashes_that_would_never_match),
                WITH_ROOT(a_wrong_value_is_told_and_the_default_kept),
                WITH_ROOT(a_wrong_value_keeps_what_an_earlier_line_set),
                WITH_ROOT(every_mistake_is_told_with_its_own_line),
                WITH_ROOT(a_byte_order_mark_is_passed_over),
                WITH_ROOT(long_lines_and_names_are_read_whole_or_refused),
                WITH_ROOT(nul_bytes_are_told),
                WITH_ROOT(complaints_are_fit_to_be_shown),
                WITH_ROOT(random_files_neither_crash_nor_leak),
                cmocka_unit_test(libinih_tells_line_numbers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
