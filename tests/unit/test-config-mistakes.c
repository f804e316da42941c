/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A mistake never widens what is touched: which ones stop everything, which one volume, and which nothing. */

#include "config-root.h"

static void what_may_have_been_a_limit_stops_everything(void **state)
{
        static const char *const texts[] = {
                "[Policy]\nEnabled=nope",
                "[Policy]\nMinFileSize=big",
                "[Policy]\nMinExtents=many",
                "[Policy]\nExclude=relative",
                "[Policy]\nSolidState=perhaps",
                "[Policy]\nBusyFiles=never",
                "[Budget]\nMaxRate=slow",
                "[Budget]\nDailyWrites=little",
                "[Budget]\nDailyWrites=",
                "[Budget]\nFreeSpaceReserve=much",
                "[Budget]\nOnBattery=rarely",
                "[Schedule]\nHours=night",
                "[Policy]\nNoSuchKey=1",
                "[Policy]\nHours=always",
                "[NoSuchSection]\nEnabled=no",
                "[Policy]\nEnabled no",
                "[Policy]\nEnabled: no",
                "Enabled=no",
                "[Volume srv]\nEnabled=no",
                "[Volume /srv\nEnabled=no",
                "[Volume /srv] # here\nEnabled=no",
                "[Volume]\nEnabled=no",
                "[volume /srv]\nEnabled=no",
                "[Volume /a/../srv]\nEnabled=no",
                /* Not the default, but what an earlier line said would hold. */
                "[Policy]\nExecutables=yes\nExecutables=nope",
                "[Policy]\nSettleSec=0\nSettleSec=long",
                /* The head of [Budget] without its bracket. */
                "[Volume /srv]\nBudget]\nMaxRate=1M",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_(config_done) Config config = {0};

                put(CONF, texts[i]);
                config = load(1);
                if (!config.limits_broken)
                        fail_msg("not broken by:\n%s", texts[i]);
        }
}

static void a_file_that_cannot_be_read_stops_everything(void **state)
{
        _cleanup_(config_done) Config config = {0};

        (void)state;
        path_in_root("/etc/defragd/defragd.conf.d/a.conf");
        assert_int_equal(symlink("nowhere", path_in_root("/etc/defragd/defragd.conf.d/a.conf")), 0);
        config = load(1);
        assert_complaint("/etc/defragd/defragd.conf.d/a.conf:0: ");
        assert_true(config.limits_broken);
}

static void what_only_says_when_or_is_narrowest_by_default_stops_nothing(void **state)
{
        static const char *const texts[] = {
                "[Policy]\nSettleSec=long",     "[Policy]\nSettleSec=infinity", "[Policy]\nExecutables=nope",
                "[Policy]\nSharedExtents=nope", "[Schedule]\nSweepSec=1s",      "[Schedule]\nSweepSec=often",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                _cleanup_(config_done) Config config = {0};

                put(CONF, texts[i]);
                config = load(1);
                if (config.limits_broken)
                        fail_msg("broken by:\n%s", texts[i]);
                assert_false(config.defaults.executables);
                assert_false(config.defaults.shared_extents);
                assert_int_equal(config.defaults.settle_usec, 600 * USEC_PER_SEC);
                assert_int_equal(config.defaults.sweep_usec, 7 * 86400 * USEC_PER_SEC);
        }
}

static void a_harmless_mistake_does_not_mend_an_earlier_one(void **state)
{
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put(CONF, "[Budget]\nMaxRate=slow\n[Policy]\nSettleSec=long\n");
        config = load(2);
        assert_true(config.limits_broken);
}

static void any_mistake_in_its_section_breaks_that_volume_alone(void **state)
{
        static const char *const lines[] = {
                "Enabled=nope",      "SettleSec=long", "MinFileSize=big", "Executables=nope",
                "SharedExtents=2",   "MaxRate=slow",   "Hours=night",     "SweepSec=1s",
                "Exclude=relative",  "NoSuchKey=1",    "enabled=no",      "DailyWrites=lot",
                "OnBattery=perhaps",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(lines); i++) {
                _cleanup_(config_done) Config config = {0};
                char text[256];

                snprintf(text, sizeof(text),
                         "[Volume /srv]\n%s\nEnabled=yes\n[Volume /home]\nEnabled=yes\n[Volume /srv]\n"
                         "MinExtents=3\n",
                         lines[i]);
                put(CONF, text);
                config = load(1);
                if (!config_for(&config, "/srv")->broken)
                        fail_msg("not broken by %s", lines[i]);
                assert_false(config_for(&config, "/home")->broken);
                assert_false(config.defaults.broken);
                assert_false(config.limits_broken);
        }
}

static void only_a_volumes_own_section_enables_it_here(void **state)
{
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put(CONF, "[Policy]\nEnabled=no\n[Volume /srv]\nEnabled=yes\n[Volume /home]\nMinExtents=3\n"
                  "[Volume /tmp]\nEnabled=no\n");
        config = load(0);
        assert_int_equal(config_for(&config, "/srv")->enabled, ENABLED_YES);
        assert_true(config_for(&config, "/srv")->enabled_here);
        assert_int_equal(config_for(&config, "/home")->enabled, ENABLED_NO);
        assert_false(config_for(&config, "/home")->enabled_here);
        assert_true(config_for(&config, "/tmp")->enabled_here);
        assert_false(config_for(&config, "/other")->enabled_here);
}

static void a_volume_inherits_the_daily_writes(void **state)
{
        _cleanup_(config_done) Config config = {0};

        (void)state;
        put(CONF, "[Volume /srv]\nMinExtents=3\n[Volume /home]\nDailyWrites=1G\n");
        config = load(0);
        assert_false(config_for(&config, "/srv")->daily_writes_is_set);
        assert_true(config_for(&config, "/home")->daily_writes_is_set);
        assert_false(config.defaults.daily_writes_is_set);
        config_done(&config);
        put(CONF, "[Volume /srv]\nMinExtents=3\n[Budget]\nDailyWrites=2.5%\n");
        config = load(0);
        assert_true(config_for(&config, "/srv")->daily_writes_is_set);
        assert_true(config_for(&config, "/srv")->daily_writes.is_permille);
        assert_int_equal(config_for(&config, "/srv")->daily_writes.value, 25);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_ROOT(what_may_have_been_a_limit_stops_everything),
                WITH_ROOT(a_file_that_cannot_be_read_stops_everything),
                WITH_ROOT(what_only_says_when_or_is_narrowest_by_default_stops_nothing),
                WITH_ROOT(a_harmless_mistake_does_not_mend_an_earlier_one),
                WITH_ROOT(any_mistake_in_its_section_breaks_that_volume_alone),
                WITH_ROOT(only_a_volumes_own_section_enables_it_here),
                WITH_ROOT(a_volume_inherits_the_daily_writes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
