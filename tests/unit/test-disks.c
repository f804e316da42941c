/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Facts about disks from a made-up sysfs, laid out as the kernel lays out its own. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "facts/disks.h"

static char sysfs[] = "/tmp/test-disks-XXXXXX";

static void directories_make(char *path)
{
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(path, 0700) < 0)
                        assert_int_equal(errno, EEXIST);
                *slash = '/';
        }
}

/* The file name below the device's directory, with one line in it. */
static void sysfs_write(const char *device_path, const char *name, const char *value)
{
        char path[512];
        FILE *file;

        snprintf(path, sizeof(path), "%s/devices/%s/%s", sysfs, device_path, name);
        directories_make(path);
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fprintf(file, "%s\n", value) > 0);
        assert_int_equal(fclose(file), 0);
}

/* A disk, or with rotational NULL a partition. */
static void sysfs_add(unsigned minor_number, const char *device_path, const char *rotational,
                      const char *removable)
{
        char link[512], target[512];

        if (rotational) {
                sysfs_write(device_path, "queue/rotational", rotational);
                sysfs_write(device_path, "removable", removable);
        } else {
                sysfs_write(device_path, "partition", "1");
        }
        snprintf(link, sizeof(link), "%s/dev/block/8:%u", sysfs, minor_number);
        snprintf(target, sizeof(target), "../../devices/%s", device_path);
        directories_make(link);
        assert_int_equal(symlink(target, link), 0);
}

static int sysfs_new(void **state)
{
        (void)state;
        memset(sysfs + strlen(sysfs) - 6, 'X', 6);
        return mkdtemp(sysfs) ? 0 : -1;
}

static int on_leftover(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
        (void)status;
        (void)type;
        (void)ftw;
        return remove(path);
}

static int sysfs_free(void **state)
{
        (void)state;
        return nftw(sysfs, on_leftover, 16, FTW_DEPTH | FTW_PHYS);
}

static DiskFacts facts_of(unsigned minor_number)
{
        DiskFacts facts;

        assert_int_equal(disk_facts_read_in(sysfs, makedev(8, minor_number), &facts), 0);
        return facts;
}

static void a_partition_is_looked_up_as_its_disk(void **state)
{
        (void)state;
        sysfs_add(0, "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", "0", "1");
        sysfs_add(1, "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda/sda1", NULL, NULL);
        for (unsigned i = 0; i < 2; i++) {
                assert_false(facts_of(i).rotational);
                assert_true(facts_of(i).removable);
                assert_true(facts_of(i).local);
        }
}

static void virtual_disks_answer_for_themselves(void **state)
{
        static const char *const names[] = {"loop0", "dm-0", "md127", "zram0"};

        (void)state;
        for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                char path[64];

                snprintf(path, sizeof(path), "virtual/block/%s", names[i]);
                sysfs_add(i, path, i == 1 ? "0" : "1", "0");
                assert_int_equal(facts_of(i).rotational, i != 1);
                assert_false(facts_of(i).removable);
                assert_true(facts_of(i).local);
        }
}

static void disks_behind_a_network_are_not_local(void **state)
{
        static const char *const paths[] = {
                "virtual/block/nbd3",
                "rbd/0/block/rbd0",
                "virtual/block/drbd1000",
                "virtual/block/etherd!e1.0",
                "platform/host2/session1/target2:0:0/2:0:0:1/block/sdc",
                "virtual/nvme-fabrics/ctl/nvme0/nvme0n1",
        };

        (void)state;
        for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
                sysfs_add(i, paths[i], "0", "0");
                assert_false(facts_of(i).local);
        }
        sysfs_add(20, "virtual/block/nbd3/nbd3p1", NULL, NULL);
        assert_false(facts_of(20).local);
        sysfs_add(21, "pci0000:00/0000:00:03.0/host7/rport-7:0-1/target7:0:0/7:0:0:0/block/sdd", "1", "0");
        assert_true(facts_of(21).local);
        sysfs_add(22, "pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1", "0", "0");
        assert_true(facts_of(22).local);
}

static void an_nvme_disk_of_several_controllers_is_as_remote_as_one_of_them(void **state)
{
        (void)state;
        sysfs_add(0, "virtual/nvme-subsystem/nvme-subsys0/nvme0n1", "0", "0");
        sysfs_write("virtual/nvme-subsystem/nvme-subsys0/nvme0", "transport", "pcie");
        sysfs_write("virtual/nvme-subsystem/nvme-subsys0/nvme1", "transport", "pcie");
        sysfs_add(1, "virtual/nvme-subsystem/nvme-subsys1/nvme2n1", "0", "0");
        sysfs_add(2, "virtual/nvme-subsystem/nvme-subsys1/nvme2n1/nvme2n1p1", NULL, NULL);
        sysfs_write("virtual/nvme-subsystem/nvme-subsys1/nvme2", "transport", "pcie");
        sysfs_write("virtual/nvme-subsystem/nvme-subsys1/nvme3", "transport", "tcp");
        assert_true(facts_of(0).local);
        assert_false(facts_of(1).local);
        assert_false(facts_of(2).local);
}

static void a_queue_that_does_not_say_is_taken_for_one_that_seeks(void **state)
{
        (void)state;
        sysfs_write("virtual/block/odd0", "size", "1");
        sysfs_add(0, "virtual/block/odd0/odd0p1", NULL, NULL);
        assert_true(facts_of(0).rotational);
        assert_false(facts_of(0).removable);
}

static void what_is_no_block_device_is_told_so(void **state)
{
        DiskFacts facts = {.rotational = true, .removable = true, .local = true};

        (void)state;
        assert_int_equal(disk_facts_read_in(sysfs, makedev(8, 77), &facts), -ENODEV);
        assert_int_equal(disk_facts_read(makedev(0, 0), &facts), -ENODEV);
        assert_true(facts.rotational && facts.removable && facts.local);
}

static void layer_add(unsigned minor_number, const char *uuid, int below)
{
        char path[64], link[512], target[64];

        snprintf(path, sizeof(path), "virtual/block/dm-%u", minor_number);
        sysfs_add(minor_number, path, "0", "0");
        sysfs_write(path, "dm/uuid", uuid);
        snprintf(link, sizeof(link), "%s/devices/%s/slaves/dm-%d", sysfs, path, below);
        snprintf(target, sizeof(target), "../../dm-%d", below);
        directories_make(link);
        if (below >= 0)
                assert_int_equal(symlink(target, link), 0);
}

static void a_volume_above_a_pool_or_a_snapshot_copies_on_write(void **state)
{
        static const char *const layers[] = {"LVM-vgAlvB-tpool", "LVM-vgAlvB-vpool", "LVM-vgAlvB-cow",
                                             "LVM-vgAlvB-real"};
        static const char *const plain[] = {"LVM-vgAlvB", "mpath-3600-cow", "CRYPT-LUKS2-ab-tpool", "-cow"};
        unsigned number = 0;

        (void)state;
        for (unsigned i = 0; i < sizeof(layers) / sizeof(layers[0]); i++, number += 3) {
                layer_add(number, layers[i], -1);
                layer_add(number + 1, "LVM-vgAlvC", (int)number);
                layer_add(number + 2, "CRYPT-LUKS2-ab", (int)number + 1);
                assert_true(facts_of(number + 1).copies_on_write);
                assert_true(facts_of(number + 2).copies_on_write);
                layer_add(number + 20, plain[i], -1);
                layer_add(number + 21, "LVM-vgAlvD", (int)number + 20);
                assert_false(facts_of(number + 21).copies_on_write);
        }
}

static void a_disk_is_gone_when_sysfs_has_forgotten_it(void **state)
{
        (void)state;
        sysfs_add(0, "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda", "0", "0");
        assert_false(disk_is_gone_in(sysfs, makedev(8, 0)));
        assert_true(disk_is_gone_in(sysfs, makedev(8, 1)));
        /* Nothing is known where there is no sysfs. */
        assert_false(disk_is_gone_in("/nonexistent", makedev(8, 0)));
}

static void a_loop_device_of_this_machine_is_local(void **state)
{
        DiskFacts facts;
        int r = disk_facts_read(makedev(7, 0), &facts);

        (void)state;
        if (r == -ENODEV)
                skip();
        assert_int_equal(r, 0);
        assert_false(facts.removable);
        assert_true(facts.local);
}

#define WITH_SYSFS(test) cmocka_unit_test_setup_teardown(test, sysfs_new, sysfs_free)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_SYSFS(a_partition_is_looked_up_as_its_disk),
                WITH_SYSFS(virtual_disks_answer_for_themselves),
                WITH_SYSFS(disks_behind_a_network_are_not_local),
                WITH_SYSFS(an_nvme_disk_of_several_controllers_is_as_remote_as_one_of_them),
                WITH_SYSFS(a_queue_that_does_not_say_is_taken_for_one_that_seeks),
                WITH_SYSFS(what_is_no_block_device_is_told_so),
                WITH_SYSFS(a_volume_above_a_pool_or_a_snapshot_copies_on_write),
                WITH_SYSFS(a_disk_is_gone_when_sysfs_has_forgotten_it),
                cmocka_unit_test(a_loop_device_of_this_machine_is_local),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
