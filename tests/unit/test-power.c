/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Battery or mains, from a made-up sysfs. */

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/number.h"
#include "facts/power.h"

static char sysfs[] = "/tmp/test-power-XXXXXX";

/* An attribute that is NULL is one that the kernel does not have. */
typedef struct Supply {
        const char *name, *type, *scope, *status, *online;
} Supply;

static void attribute_write(const char *supply, const char *name, const char *value)
{
        char path[256];
        FILE *file;

        if (!value)
                return;
        snprintf(path, sizeof(path), "%s/class/power_supply/%s/%s", sysfs, supply, name);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fprintf(file, "%s\n", value) > 0);
        assert_int_equal(fclose(file), 0);
}

static void supply_add(const Supply *supply)
{
        char path[256];

        snprintf(path, sizeof(path), "%s/class/power_supply/%s", sysfs, supply->name);
        assert_int_equal(mkdir(path, 0700), 0);
        attribute_write(supply->name, "type", supply->type);
        attribute_write(supply->name, "scope", supply->scope);
        attribute_write(supply->name, "status", supply->status);
        attribute_write(supply->name, "online", supply->online);
}

static int on_leftover(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
        (void)status;
        (void)type;
        (void)ftw;
        return remove(path);
}

static void sysfs_free(void)
{
        assert_int_equal(nftw(sysfs, on_leftover, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void sysfs_new(bool with_class)
{
        char path[256];

        memset(sysfs + strlen(sysfs) - 6, 'X', 6);
        assert_non_null(mkdtemp(sysfs));
        if (!with_class)
                return;
        snprintf(path, sizeof(path), "%s/class", sysfs);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof(path), "%s/class/power_supply", sysfs);
        assert_int_equal(mkdir(path, 0700), 0);
}

static void battery_is_told_from_mains(void **state)
{
        static const struct {
                const char *what;
                Supply supplies[3];
                bool expected;
        } cases[] = {
                {"a desktop", {{0}}, false},
                {"mains only", {{"AC", "Mains", NULL, NULL, "1"}}, false},
                {"a laptop unplugged",
                 {{"AC", "Mains", NULL, NULL, "0"}, {"BAT0", "Battery", NULL, "Discharging", NULL}},
                 true},
                {"the scope said",
                 {{"AC", "Mains", NULL, NULL, "0"}, {"BAT0", "Battery", "System", "Discharging", NULL}},
                 true},
                {"no mains known", {{"BAT0", "Battery", NULL, "Discharging", "1"}}, true},
                {"a laptop that charges",
                 {{"AC", "Mains", NULL, NULL, "1"}, {"BAT0", "Battery", NULL, "Charging", NULL}},
                 false},
                {"plugged in, too weak to charge",
                 {{"AC", "Mains", NULL, NULL, "1"}, {"BAT0", "Battery", NULL, "Discharging", NULL}},
                 false},
                {"by USB",
                 {{"AC", "Mains", NULL, NULL, "0"},
                  {"usb0", "USB", NULL, NULL, "1"},
                  {"BAT0", "Battery", NULL, "Discharging", NULL}},
                 false},
                {"a supply that can be programmed",
                 {{"usb0", "USB", NULL, NULL, "2"}, {"BAT0", "Battery", NULL, "Discharging", NULL}},
                 false},
                {"one of two batteries in use",
                 {{"BAT0", "Battery", NULL, "Not charging", NULL},
                  {"BAT1", "Battery", NULL, "Discharging", NULL}},
                 true},
                {"a full one", {{"BAT0", "Battery", NULL, "Full", NULL}}, false},
                {"one that says nothing", {{"BAT0", "Battery", NULL, NULL, NULL}}, false},
                {"one of an unknown state", {{"BAT0", "Battery", NULL, "Unknown", NULL}}, false},
                {"a desktop's mouse", {{"hid-0", "Battery", "Device", "Discharging", NULL}}, false},
                {"a mouse that charges beside a laptop that does not",
                 {{"BAT0", "Battery", NULL, "Discharging", NULL}, {"hid-0", "USB", "Device", NULL, "1"}},
                 true},
                {"a supply of no kind", {{"odd", NULL, NULL, "Discharging", NULL}}, false},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                bool on_battery = !cases[i].expected;

                sysfs_new(true);
                for (size_t j = 0; j < ELEMENTS(cases[i].supplies) && cases[i].supplies[j].name; j++)
                        supply_add(&cases[i].supplies[j]);
                assert_int_equal(power_on_battery(sysfs, &on_battery), 0);
                if (on_battery != cases[i].expected)
                        fail_msg("wrong about %s", cases[i].what);
                sysfs_free();
        }
}

static void a_kernel_that_knows_no_supplies_runs_on_mains(void **state)
{
        bool on_battery = true;

        (void)state;
        sysfs_new(false);
        assert_int_equal(power_on_battery(sysfs, &on_battery), 0);
        assert_false(on_battery);
        sysfs_free();
}

static void a_sysfs_that_cannot_be_read_is_an_error(void **state)
{
        char path[256];
        bool on_battery = true;
        FILE *file;

        (void)state;
        sysfs_new(false);
        snprintf(path, sizeof(path), "%s/class", sysfs);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(power_on_battery(sysfs, &on_battery), -ENOTDIR);
        assert_true(on_battery);
        sysfs_free();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(battery_is_told_from_mains),
                cmocka_unit_test(a_kernel_that_knows_no_supplies_runs_on_mains),
                cmocka_unit_test(a_sysfs_that_cannot_be_read_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
