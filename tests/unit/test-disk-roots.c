/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which disks a device lies on, from a made-up sysfs, laid out as the kernel lays out its own. */

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
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/number.h"
#include "facts/disks.h"

#define SDA  makedev(8, 0)
#define SDA1 makedev(8, 1)
#define SDA2 makedev(8, 2)
#define SDB  makedev(8, 16)
#define SDB1 makedev(8, 17)
#define LOOP makedev(7, 0)
#define DM   makedev(253, 0)
#define MD   makedev(9, 127)

/* The tree has the files of loop devices in it, too. */
static char tree[] = "/tmp/test-disk-roots-XXXXXX";

static const char *path_of(const char *name)
{
        static char path[512];

        snprintf(path, sizeof(path), "%s/%s", tree, name);
        return path;
}

static void directories_make(const char *name)
{
        char path[516];

        snprintf(path, sizeof(path), "%s/", path_of(name));
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(path, 0700) < 0)
                        assert_int_equal(errno, EEXIST);
                *slash = '/';
        }
}

static void file_write(const char *directory, const char *name, const char *line)
{
        char path[256];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        file = fopen(path_of(path), "we");
        assert_non_null(file);
        assert_true(fprintf(file, "%s\n", line) > 0);
        assert_int_equal(fclose(file), 0);
}

/* A device whose directory is devices/NAME. */
static void device_add(const char *name, dev_t device)
{
        char directory[128], link[128], target[160], line[32];

        snprintf(directory, sizeof(directory), "devices/%s", name);
        directories_make(directory);
        snprintf(line, sizeof(line), "%u:%u", major(device), minor(device));
        file_write(directory, "dev", line);
        snprintf(link, sizeof(link), "dev/block/%s", line);
        snprintf(target, sizeof(target), "../../%s", directory);
        directories_make("dev/block");
        assert_int_equal(symlink(target, path_of(link)), 0);
        /* A disk has it, too, with nothing in it. */
        snprintf(directory, sizeof(directory), "devices/%s/slaves", name);
        if (!strchr(name, '/'))
                directories_make(directory);
}

static void partition_add(const char *name, dev_t device)
{
        char directory[128];

        device_add(name, device);
        snprintf(directory, sizeof(directory), "devices/%s", name);
        file_write(directory, "partition", "1");
}

static void member_add(const char *name, const char *member)
{
        const char *slash = strrchr(member, '/');
        char link[160], target[160];

        snprintf(link, sizeof(link), "devices/%s/slaves/%s", name, slash ? slash + 1 : member);
        snprintf(target, sizeof(target), "../../%s", member);
        assert_int_equal(symlink(target, path_of(link)), 0);
}

static void loop_add(const char *name, dev_t device, const char *backing_file)
{
        char directory[128];

        device_add(name, device);
        snprintf(directory, sizeof(directory), "devices/%s/loop", name);
        directories_make(directory);
        file_write(directory, "backing_file", backing_file);
}

/* A file that is itself a device: the only way to choose its number. Not everybody may make one. */
static void node_add(const char *name, dev_t device)
{
        if (mknod(path_of(name), S_IFBLK | 0600, device) < 0) {
                assert_true(errno == EPERM || errno == EACCES);
                skip();
        }
}

static dev_t own_device(void)
{
        struct stat status;

        assert_int_equal(stat(tree, &status), 0);
        return status.st_dev;
}

static int tree_new(void **state)
{
        (void)state;
        memset(tree + strlen(tree) - 6, 'X', 6);
        if (!mkdtemp(tree))
                return -1;
        device_add("sda", SDA);
        partition_add("sda/sda1", SDA1);
        partition_add("sda/sda2", SDA2);
        device_add("sdb", SDB);
        partition_add("sdb/sdb1", SDB1);
        return 0;
}

static int on_leftover(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
        (void)status;
        (void)type;
        (void)ftw;
        return remove(path);
}

static int tree_free(void **state)
{
        (void)state;
        return nftw(tree, on_leftover, 16, FTW_DEPTH | FTW_PHYS);
}

static void assert_roots(dev_t device, int n, dev_t first, dev_t second)
{
        dev_t disks[8];

        assert_int_equal(disk_roots_read_in(tree, tree, device, NULL, disks, ELEMENTS(disks)), n);
        assert_true(disks[0] == first);
        if (n > 1)
                assert_true(disks[1] == second);
}

static void a_disk_is_its_own(void **state)
{
        (void)state;
        assert_roots(SDA, 1, SDA, 0);
        assert_roots(SDB, 1, SDB, 0);
}

static void a_partition_is_looked_up_as_its_disk(void **state)
{
        (void)state;
        assert_roots(SDA1, 1, SDA, 0);
        assert_roots(SDA2, 1, SDA, 0);
}

static void a_mapping_lies_on_the_disks_of_all_its_members_each_once(void **state)
{
        (void)state;
        device_add("dm-0", DM);
        member_add("dm-0", "sdb/sdb1");
        member_add("dm-0", "sda/sda1");
        member_add("dm-0", "sda/sda2");
        assert_roots(DM, 2, SDA, SDB);
}

static void a_mapping_over_an_array_lies_on_the_disks_of_the_array(void **state)
{
        (void)state;
        device_add("md127", MD);
        member_add("md127", "sdb");
        member_add("md127", "sda");
        assert_roots(MD, 2, SDA, SDB);
        device_add("dm-0", DM);
        member_add("dm-0", "md127");
        assert_roots(DM, 2, SDA, SDB);
}

static void a_partition_of_an_array_lies_on_its_disks(void **state)
{
        (void)state;
        device_add("md127", MD);
        member_add("md127", "sdb");
        member_add("md127", "sda");
        partition_add("md127/md127p1", makedev(259, 0));
        assert_roots(makedev(259, 0), 2, SDA, SDB);
}

static void no_more_than_there_is_room_for_is_given(void **state)
{
        dev_t disks[2] = {1, 1};

        (void)state;
        device_add("md127", MD);
        member_add("md127", "sda");
        member_add("md127", "sdb");
        assert_int_equal(disk_roots_read_in(tree, tree, MD, NULL, disks, 1), 1);
        assert_true(disks[0] == SDA || disks[0] == SDB);
        assert_true(disks[1] == 1);
}

static void a_loop_device_lies_where_the_file_system_of_its_file_lies(void **state)
{
        const dev_t device = own_device();

        (void)state;
        if (major(device) == 0)
                skip();
        partition_add("sda/sda9", device);
        file_write(".", "image", "");
        loop_add("loop0", LOOP, "/image");
        assert_roots(LOOP, 1, SDA, 0);
}

static void a_loop_device_lies_on_the_device_that_is_its_file(void **state)
{
        (void)state;
        node_add("node", SDB1);
        loop_add("loop0", LOOP, "/node");
        assert_roots(LOOP, 1, SDB, 0);
}

static void a_loop_device_over_another_lies_on_the_disk_below_both(void **state)
{
        (void)state;
        node_add("node", SDA2);
        node_add("node of a loop", LOOP);
        loop_add("loop0", LOOP, "/node");
        loop_add("loop1", makedev(7, 1), "/node of a loop");
        assert_roots(makedev(7, 1), 1, SDA, 0);
}

static void a_file_that_is_gone_leaves_the_loop_device_alone(void **state)
{
        (void)state;
        file_write(".", "image", "");
        loop_add("loop0", LOOP, "/image (deleted)");
        loop_add("loop1", makedev(7, 1), "/never");
        /* One that has been detached has no such file at all. */
        device_add("loop2", makedev(7, 2));
        for (unsigned i = 0; i < 3; i++)
                assert_roots(makedev(7, i), 1, makedev(7, i), 0);
}

/* procfs has no disk below it, as tmpfs, overlay and btrfs have none. */
static void a_file_on_a_file_system_without_a_device_leaves_the_loop_device_alone(void **state)
{
        struct stat status;

        (void)state;
        assert_int_equal(stat("/proc/self/status", &status), 0);
        assert_int_equal(major(status.st_dev), 0);
        assert_int_equal(symlink("/proc/self/status", path_of("image")), 0);
        /* Were it looked up, it would be found. */
        device_add("zero", status.st_dev);
        loop_add("loop0", LOOP, "/image");
        assert_roots(LOOP, 1, LOOP, 0);
}

static void a_file_on_a_device_that_sysfs_does_not_know_is_that_device(void **state)
{
        (void)state;
        node_add("node", makedev(8, 200));
        loop_add("loop0", LOOP, "/node");
        assert_roots(LOOP, 1, makedev(8, 200), 0);
}

static void a_ring_of_devices_ends(void **state)
{
        dev_t disks[4];

        (void)state;
        device_add("dm-0", DM);
        device_add("dm-1", makedev(253, 1));
        member_add("dm-0", "dm-1");
        member_add("dm-1", "dm-0");
        assert_int_equal(disk_roots_read_in(tree, tree, DM, NULL, disks, ELEMENTS(disks)), 1);
        assert_int_equal(major(disks[0]), 253);
}

/* Three ways from each of sixteen to the next: 43 million, if each were gone. */
static void many_ways_to_a_device_are_one(void **state)
{
        dev_t disks[4];

        (void)state;
        for (unsigned i = 0; i < 16; i++) {
                char name[16], link[64], target[32];

                snprintf(name, sizeof(name), "dm-%u", i);
                device_add(name, makedev(253, i));
                for (unsigned way = 0; way < 3; way++) {
                        snprintf(link, sizeof(link), "devices/%s/slaves/way%u", name, way);
                        snprintf(target, sizeof(target), "../../dm-%u", (i + 1) % 16);
                        assert_int_equal(symlink(target, path_of(link)), 0);
                }
        }
        assert_int_equal(disk_roots_read_in(tree, tree, DM, NULL, disks, ELEMENTS(disks)), 1);
        assert_int_equal(major(disks[0]), 253);
}

static void a_loop_device_on_itself_ends(void **state)
{
        (void)state;
        node_add("node", LOOP);
        loop_add("loop0", LOOP, "/node");
        assert_roots(LOOP, 1, LOOP, 0);
}

static void what_is_no_block_device_is_told_so(void **state)
{
        dev_t disks[2] = {1, 1};

        (void)state;
        assert_int_equal(disk_roots_read_in(tree, tree, makedev(8, 99), NULL, disks, 2), -ENODEV);
        assert_int_equal(disk_roots_read(makedev(0, 0), NULL, disks, 2), -ENODEV);
        assert_true(disks[0] == 1 && disks[1] == 1);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, tree_new, tree_free)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_TREE(a_disk_is_its_own),
                WITH_TREE(a_partition_is_looked_up_as_its_disk),
                WITH_TREE(a_mapping_lies_on_the_disks_of_all_its_members_each_once),
                WITH_TREE(a_mapping_over_an_array_lies_on_the_disks_of_the_array),
                WITH_TREE(a_partition_of_an_array_lies_on_its_disks),
                WITH_TREE(no_more_than_there_is_room_for_is_given),
                WITH_TREE(a_loop_device_lies_where_the_file_system_of_its_file_lies),
                WITH_TREE(a_loop_device_lies_on_the_device_that_is_its_file),
                WITH_TREE(a_loop_device_over_another_lies_on_the_disk_below_both),
                WITH_TREE(a_file_that_is_gone_leaves_the_loop_device_alone),
                WITH_TREE(a_file_on_a_file_system_without_a_device_leaves_the_loop_device_alone),
                WITH_TREE(a_file_on_a_device_that_sysfs_does_not_know_is_that_device),
                WITH_TREE(a_ring_of_devices_ends),
                WITH_TREE(many_ways_to_a_device_are_one),
                WITH_TREE(a_loop_device_on_itself_ends),
                WITH_TREE(what_is_no_block_device_is_told_so),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
