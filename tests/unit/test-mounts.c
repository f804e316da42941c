/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mount table from a made-up mountinfo and from the machine's own. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "facts/mounts.h"

static int table_of(const char *text)
{
        int fd = memfd_create("mountinfo", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        return fd;
}

static const char plain[] =
        "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,errors=remount-ro\n"
        "30 27 8:1 / /srv rw,noatime shared:1 master:2 - xfs /dev/sda1 rw,attr2,inode64\n"
        "31 27 8:2 / /mnt/a\\040b\\134c\\011d rw - xfs /dev/sda2 rw\n"
        "32 27 8:1 /sub /bind rw - xfs /dev/sda1 rw\n"
        "33 27 8:3 / /ro-mount ro,relatime - xfs /dev/sda3 rw\n"
        "34 27 8:4 / /ro-volume rw,relatime - xfs /dev/sda4 ro\n"
        "35 27 0:40 / /proc rw - proc proc rw\n";

static void each_line_is_a_mount_in_the_kernels_order(void **state)
{
        _cleanup_close_ int fd = table_of(plain);
        _cleanup_(mount_table_done) MountTable table = {0};

        (void)state;
        assert_int_equal(mount_table_read(fd, &table), 0);
        assert_int_equal(table.n_mounts, 7);
        assert_string_equal(table.mounts[1].target, "/srv");
        assert_string_equal(table.mounts[1].root, "/");
        assert_string_equal(table.mounts[1].type, "xfs");
        assert_string_equal(table.mounts[1].source, "/dev/sda1");
        assert_int_equal(table.mounts[1].device, makedev(8, 1));
        assert_string_equal(table.mounts[2].target, "/mnt/a b\\c\td");
        assert_string_equal(table.mounts[3].root, "/sub");
}

static void a_mount_is_writable_when_neither_it_nor_its_super_block_is_read_only(void **state)
{
        _cleanup_close_ int fd = table_of(plain);
        _cleanup_(mount_table_done) MountTable table = {0};

        (void)state;
        assert_int_equal(mount_table_read(fd, &table), 0);
        assert_true(table.mounts[0].writable); /* errors=remount-ro is another option */
        assert_true(table.mounts[1].writable);
        assert_false(table.mounts[4].writable);
        assert_false(table.mounts[5].writable);
}

static void the_same_descriptor_can_be_read_again(void **state)
{
        _cleanup_close_ int fd = table_of(plain);

        (void)state;
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_(mount_table_done) MountTable table = {0};

                assert_int_equal(mount_table_read(fd, &table), 0);
                assert_int_equal(table.n_mounts, 7);
        }
        assert_true(fcntl(fd, F_GETFD) >= 0);
}

static void an_empty_table_has_no_mounts(void **state)
{
        _cleanup_close_ int fd = table_of("");
        _cleanup_(mount_table_done) MountTable table = {0};

        (void)state;
        assert_int_equal(mount_table_read(fd, &table), 0);
        assert_int_equal(table.n_mounts, 0);
        assert_null(mount_table_find(&table, makedev(8, 1)));
}

static void a_line_that_cannot_be_read_spoils_the_table(void **state)
{
        static const char *const lines[] = {
                "30 27 8:1 / /srv rw,noatime\n",
                "not a line of mountinfo\n",
                "30 27 8:1 / /srv rw - xfs\n",
                "30 27 8:1 / /srv rw - xfs /dev/sd",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                char text[sizeof(plain) + 64];
                _cleanup_close_ int fd = -EBADF;
                MountTable table = {.n_mounts = 99};

                snprintf(text, sizeof(text), "%s%s", plain, lines[i]);
                fd = table_of(text);
                assert_int_equal(mount_table_read(fd, &table), -EBADMSG);
                assert_int_equal(table.n_mounts, 99);
        }
}

static void a_descriptor_that_is_none_is_refused(void **state)
{
        MountTable table;

        (void)state;
        assert_int_equal(mount_table_read(-1, &table), -EBADF);
}

static void a_device_is_reached_by_its_last_writable_mount_of_the_whole(void **state)
{
        static const char text[] = "30 27 8:1 / /first rw - xfs /dev/sda1 rw\n"
                                   "31 27 8:1 / /second rw - xfs /dev/sda1 rw\n"
                                   "32 27 8:1 / /read-only ro - xfs /dev/sda1 rw\n"
                                   "33 27 8:1 /sub /part rw - xfs /dev/sda1 rw\n"
                                   "34 27 8:2 / /one ro - xfs /dev/sda2 rw\n"
                                   "35 27 8:2 / /two ro - xfs /dev/sda2 rw\n"
                                   "36 27 8:3 /sub /only-a-part rw - xfs /dev/sda3 rw\n";
        _cleanup_close_ int fd = table_of(text);
        _cleanup_(mount_table_done) MountTable table = {0};

        (void)state;
        assert_int_equal(mount_table_read(fd, &table), 0);
        assert_string_equal(mount_table_find(&table, makedev(8, 1))->target, "/second");
        assert_string_equal(mount_table_find(&table, makedev(8, 2))->target, "/two");
        assert_null(mount_table_find(&table, makedev(8, 3)));
        assert_null(mount_table_find(&table, makedev(8, 4)));
}

static void the_machines_own_table_has_a_root(void **state)
{
        _cleanup_close_ int fd = mount_table_open();
        _cleanup_(mount_table_done) MountTable table = {0};
        bool found = false;

        (void)state;
        if (fd == -EACCES)
                skip();
        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        for (unsigned i = 0; i < 2; i++) {
                mount_table_done(&table);
                assert_int_equal(mount_table_read(fd, &table), 0);
                assert_true(table.n_mounts > 0);
        }
        for (size_t i = 0; i < table.n_mounts; i++)
                found |= strcmp(table.mounts[i].target, "/") == 0;
        assert_true(found);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_line_is_a_mount_in_the_kernels_order),
                cmocka_unit_test(a_mount_is_writable_when_neither_it_nor_its_super_block_is_read_only),
                cmocka_unit_test(the_same_descriptor_can_be_read_again),
                cmocka_unit_test(an_empty_table_has_no_mounts),
                cmocka_unit_test(a_line_that_cannot_be_read_spoils_the_table),
                cmocka_unit_test(a_descriptor_that_is_none_is_refused),
                cmocka_unit_test(a_device_is_reached_by_its_last_writable_mount_of_the_whole),
                cmocka_unit_test(the_machines_own_table_has_a_root),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
