/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which configuration files are read, in which order, and what is told of those that cannot be. */

#include "config-root.h"

static void the_main_file_is_that_of_the_strongest_directory(void **state)
{
        Config config;

        (void)state;
        put("/usr/lib/defragd/defragd.conf", "[Policy]\nMinExtents=1\nMinFileSize=1M\n");
        config = load(0);
        assert_int_equal(config.defaults.min_extents, 1);
        config_done(&config);

        put("/run/defragd/defragd.conf", "[Policy]\nMinExtents=2\n");
        config = load(0);
        assert_int_equal(config.defaults.min_extents, 2);
        assert_int_equal(config.defaults.min_file_bytes, 256 * KIB);
        config_done(&config);

        put(CONF, "[Policy]\nMinExtents=3\n");
        config = load(0);
        assert_int_equal(config.defaults.min_extents, 3);
        config_done(&config);

        /* An empty one says that nothing holds, and so does a link to /dev/null. */
        put(CONF, "");
        config = load(0);
        assert_int_equal(config.defaults.min_extents, 0);
        config_done(&config);
        assert_int_equal(unlink(path_in_root(CONF)), 0);
        assert_int_equal(symlink("/dev/null", path_in_root(CONF)), 0);
        config = load(0);
        assert_int_equal(config.defaults.min_extents, 0);
        config_done(&config);

        /* A link that leads nowhere is a mistake, and no reason to obey a weaker file. */
        assert_int_equal(unlink(path_in_root(CONF)), 0);
        assert_int_equal(symlink("nowhere", path_in_root(CONF)), 0);
        config = load(1);
        assert_complaint(CONF ":0: Cannot be opened: No such file");
        assert_int_equal(config.defaults.min_extents, 0);
        config_done(&config);
}

static void drop_ins_come_by_name_and_the_stronger_directory_wins(void **state)
{
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put(CONF, "[Policy]\nMinExtents=1\nExclude=\n");
        put("/usr/lib/defragd/defragd.conf.d/10-a.conf", "[Policy]\nMinExtents=2\nExclude=/10\n");
        put("/run/defragd/defragd.conf.d/30-c.conf", "[Policy]\nExclude=/30\n");
        put("/etc/defragd/defragd.conf.d/20-b.conf", "[Policy]\nMinExtents=3\nExclude=/20\n");
        /* The same name: the weaker is not read at all. */
        put("/usr/lib/defragd/defragd.conf.d/30-c.conf", "[Policy]\nMinExtents=99\nExclude=/99\n");
        /* Masked by a link and by an empty file. */
        put("/usr/lib/defragd/defragd.conf.d/40-d.conf", "[Policy]\nMinExtents=99\n");
        assert_int_equal(symlink("/dev/null", path_in_root("/etc/defragd/defragd.conf.d/40-d.conf")), 0);
        put("/run/defragd/defragd.conf.d/50-e.conf", "[Policy]\nMinExtents=99\n");
        put("/etc/defragd/defragd.conf.d/50-e.conf", "");
        /* Not drop-ins. */
        put("/etc/defragd/defragd.conf.d/60-f.conf.bak", "[Policy]\nMinExtents=99\n");
        put("/etc/defragd/defragd.conf.d/.61-g.conf", "[Policy]\nMinExtents=99\n");
        put("/etc/defragd/defragd.conf.d/.conf", "[Policy]\nMinExtents=99\n");
        config = load(0);
        assert_int_equal(config.defaults.min_extents, 3);
        assert_int_equal(config.defaults.n_excludes, 3);
        assert_string_equal(config.defaults.excludes[0], "/10");
        assert_string_equal(config.defaults.excludes[1], "/20");
        assert_string_equal(config.defaults.excludes[2], "/30");
}

static void one_volume_in_several_files_is_one_volume(void **state)
{
        _cleanup_(config_done) Config config = {0};
        const VolumeConfig *srv;

        (void)state;
        put(CONF, "[Volume /srv]\nMinExtents=1\nMaxRate=1M\n");
        put("/etc/defragd/defragd.conf.d/a.conf", "[Volume /srv]\nMinExtents=2\n");
        config = load(0);
        assert_int_equal(config.n_volumes, 1);
        srv = config_for(&config, "/srv");
        assert_int_equal(srv->min_extents, 2);
        assert_int_equal(srv->max_rate, MIB);
}

static void what_is_no_file_is_told(void **state)
{
        Config config;

        (void)state;
        assert_int_equal(mkdir(path_in_root("/etc/defragd/defragd.conf.d/a.conf"), 0700), 0);
        assert_int_equal(mkdir(path_in_root("/etc/defragd/defragd.conf.d/b.conf"), 0700), 0);
        assert_int_equal(mkfifo(path_in_root("/etc/defragd/defragd.conf.d/c.conf"), 0600), 0);
        assert_int_equal(symlink("c.conf.gone", path_in_root("/etc/defragd/defragd.conf.d/d.conf")), 0);
        put("/run/defragd/defragd.conf.d", "[Policy]\nMinExtents=7\n");
        config = load(5);
        assert_complaint("/etc/defragd/defragd.conf.d/a.conf:0: Not a regular file");
        assert_complaint("/etc/defragd/defragd.conf.d/b.conf:0: Not a regular file");
        assert_complaint("/etc/defragd/defragd.conf.d/c.conf:0: Not a regular file");
        assert_complaint("/etc/defragd/defragd.conf.d/d.conf:0: Cannot be opened: No such file");
        assert_complaint("/run/defragd/defragd.conf.d/:0: Cannot be opened: Not a directory");
        assert_int_equal(config.defaults.min_extents, 0);
        config_done(&config);
}

static void a_file_that_is_too_large_is_told(void **state)
{
        Config config;

        (void)state;
        put(CONF, "[Policy]\nMinExtents=7\n");
        assert_int_equal(truncate(path_in_root(CONF), 8 * (off_t)MIB), 0);
        config = load(1);
        assert_complaint(CONF ":0: Larger than 1048576 bytes");
        assert_int_equal(config.defaults.min_extents, 0);
        config_done(&config);
}

static void a_named_file_is_read_alone(void **state)
{
        Config config = {0};

        (void)state;
        put(CONF, "[Policy]\nMinExtents=99\n");
        put("/etc/defragd/defragd.conf.d/a.conf", "[Policy]\nMinExtents=98\n");
        put("/own.conf", "[Policy]\nMinFileSize=1M\nFoo=1\n");
        assert_int_equal(config_load(root, path_in_root("/own.conf"), on_complaint, complaints, &config), 1);
        assert_complaint("/own.conf:3: Unknown key, ignoring: Foo");
        assert_int_equal(config.defaults.min_extents, 0);
        assert_int_equal(config.defaults.min_file_bytes, MIB);
        config_done(&config);
        assert_int_equal(config_load(root, path_in_root("/gone"), on_complaint, complaints, &config),
                         -ENOENT);
        assert_int_equal(config_load(root, root, on_complaint, complaints, &config), 1);
        config_done(&config);
        assert_int_equal(config_load(root, "/dev/null", on_complaint, complaints, &config), 0);
        config_done(&config);
        assert_int_equal(config_load(root, path_in_root("/own.conf"), NULL, NULL, &config), 1);
        config_done(&config);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_ROOT(the_main_file_is_that_of_the_strongest_directory),
                WITH_ROOT(drop_ins_come_by_name_and_the_stronger_directory_wins),
                WITH_ROOT(one_volume_in_several_files_is_one_volume),
                WITH_ROOT(what_is_no_file_is_told),
                WITH_ROOT(a_file_that_is_too_large_is_told),
                WITH_ROOT(a_named_file_is_read_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
