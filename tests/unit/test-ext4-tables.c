/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The inode tables of images that mke2fs and libext2fs make, whole and damaged. No root, nothing is mounted. */

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/ext4_tables.h"

#define IMAGE_BYTES   (16 * MIB)
/* Where all the tables lie. */
#define DAMAGED_BYTES (3 * MIB)

#define FIRST_FILE       12   /* 11 is lost+found */
#define N_FILES          3000 /* but for the one in the next group */
#define NEXT_GROUP_FILE  8250
#define N_FRAGMENTS      700 /* of a file whose tree has leaves of 340 extents */
#define N_MANY_FRAGMENTS 8000

typedef struct Seen {
        uint64_t n_inodes, n_files, n_calls, last;
        uint64_t runs[16];
        InodeFacts file;
        uint64_t wanted;
        uint64_t stop_at;
} Seen;

static int on_inode(const InodeFacts *inode, void *userdata)
{
        Seen *seen = userdata;

        if (inode->id.inode == seen->stop_at)
                return 42;
        assert_true(seen->n_inodes == 0 || inode->id.inode > seen->last);
        seen->last = inode->id.inode;
        seen->n_inodes++;
        if ((inode->mode & 0170000) == 0100000)
                seen->n_files++;
        if (inode->id.inode < 16)
                seen->runs[inode->id.inode] = inode->n_extents;
        if (inode->id.inode == seen->wanted)
                seen->file = *inode;
        return 0;
}

/* All of it, however many calls it takes; returns what the last said. */
static int scan_all(int fd, uint64_t from, Seen *seen)
{
        uint64_t cursor = from;
        int r;

        do {
                const uint64_t before = cursor;

                r = ext4_tables_next(fd, &cursor, on_inode, seen);
                seen->n_calls++;
                if (r > 0)
                        assert_true(cursor > before);
        } while (r == 1);
        return r;
}

/* A file whose blocks lie apart from each other: nothing in the bitmaps knows of them, but nobody looks there. */
static void file_add_flagged(ext2_filsys fs, ext2_ino_t number, unsigned n_fragments, bool adjoining,
                             uint32_t flags)
{
        struct ext2_inode inode = {
                .i_mode = LINUX_S_IFREG | 0600,
                .i_links_count = 1,
                .i_flags = EXT4_EXTENTS_FL | flags,
                .i_generation = number * 7,
        };
        ext2_extent_handle_t tree;

        assert_int_equal(ext2fs_inode_size_set(fs, &inode, n_fragments * 1024), 0);
        assert_int_equal(ext2fs_write_new_inode(fs, number, &inode), 0);
        ext2fs_inode_alloc_stats2(fs, number, 1, 0);
        assert_int_equal(ext2fs_extent_open2(fs, number, &inode, &tree), 0);
        for (unsigned i = 0; i < n_fragments; i++)
                assert_int_equal(ext2fs_extent_set_bmap(tree, adjoining ? i * 2 : i,
                                                        100 + i * (adjoining ? 1 : 2), 0),
                                 0);
        ext2fs_extent_free(tree);
        assert_int_equal(ext2fs_read_inode(fs, number, &inode), 0);
        inode.i_generation = number * 7;
        assert_int_equal(ext2fs_write_inode(fs, number, &inode), 0);
}

static void file_add(ext2_filsys fs, ext2_ino_t number, unsigned n_fragments, bool adjoining)
{
        file_add_flagged(fs, number, n_fragments, adjoining, number % 2 ? EXT2_IMMUTABLE_FL : 0);
}

static int image_make(const char *features)
{
        char path[] = "/tmp/test-ext4-tables.XXXXXX", command[256];
        ext2_filsys fs;
        int fd = mkstemp(path), status;

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t)IMAGE_BYTES), 0);
        snprintf(command, sizeof(command), "mke2fs -q -F -b 1024 -N 16384 %s %s >&2", features, path);
        status = system(command);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
                (void)unlink(path);
                skip();
        }
        assert_int_equal(status, 0);
        assert_int_equal(ext2fs_open(path, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs), 0);
        assert_int_equal(ext2fs_read_bitmaps(fs), 0);
        file_add(fs, FIRST_FILE, 3, false);
        file_add(fs, FIRST_FILE + 1, N_FRAGMENTS, false);
        file_add(fs, FIRST_FILE + 2, 4, true);
        file_add(fs, FIRST_FILE + 3, N_MANY_FRAGMENTS, false);
        for (ext2_ino_t i = FIRST_FILE + 4; i < FIRST_FILE + N_FILES; i++)
                file_add(fs, i, 1, false);
        file_add(fs, NEXT_GROUP_FILE, 1, false);
        /* A value of an extended attribute, which is nobody's file. */
        file_add_flagged(fs, NEXT_GROUP_FILE + 1, 3, false, EXT4_EA_INODE_FL);
        assert_int_equal(ext2fs_close(fs), 0);
        assert_int_equal(unlink(path), 0);
        return fd;
}

static void every_inode_in_use_is_seen_once(void **state)
{
        static const char *const features[] = {"-t ext4 -I 256",
                                               "-t ext4 -I 128 -O ^metadata_csum,^64bit,^flex_bg",
                                               "-t ext4 -O uninit_bg,^metadata_csum"};

        (void)state;
        for (size_t i = 0; i < ELEMENTS(features); i++) {
                _cleanup_close_ int fd = image_make(features[i]);
                Seen seen = {.wanted = FIRST_FILE + 1};

                assert_int_equal(scan_all(fd, 0, &seen), 0);
                assert_int_equal(seen.n_files, N_FILES + 1);
                /* The root directory and lost+found. */
                assert_int_equal(seen.n_inodes, N_FILES + 1 + 2);
                /* A group that is read to its end makes a batch. */
                if (i == 1)
                        assert_int_equal(seen.n_calls, 2);
                assert_int_equal(seen.file.id.generation, (FIRST_FILE + 1) * 7);
                assert_int_equal(seen.file.size_bytes, N_FRAGMENTS * 1024);
                assert_int_equal(seen.file.mode, 0100600);
                assert_int_equal(seen.file.xflags, FS_XFLAG_IMMUTABLE);
        }
}

static void runs_are_counted_and_guessed_in_large_trees(void **state)
{
        _cleanup_close_ int fd = image_make("-t ext4");
        Seen seen = {0};

        (void)state;
        assert_int_equal(scan_all(fd, 0, &seen), 0);
        assert_int_equal(seen.runs[FIRST_FILE], 3);
        assert_int_equal(seen.runs[FIRST_FILE + 1], N_FRAGMENTS);
        /* Holes do not end a run. */
        assert_int_equal(seen.runs[FIRST_FILE + 2], 1);
        assert_in_range(seen.runs[FIRST_FILE + 3], N_MANY_FRAGMENTS / 2, N_MANY_FRAGMENTS * 2);
}

static void it_goes_on_at_any_inode(void **state)
{
        _cleanup_close_ int fd = image_make("-t ext4");
        uint64_t cursor = 0;
        Seen seen;

        (void)state;
        for (uint64_t from = FIRST_FILE; from < FIRST_FILE + N_FILES; from += 311) {
                seen = (Seen){0};
                assert_int_equal(scan_all(fd, from, &seen), 0);
                assert_int_equal(seen.n_files, FIRST_FILE + N_FILES - from + 1);
        }
        seen = (Seen){0};
        assert_int_equal(scan_all(fd, 1000000, &seen), 0);
        assert_int_equal(scan_all(fd, UINT64_MAX, &seen), 0);
        assert_int_equal(seen.n_inodes, 0);
        /* Who is told to stop begins again where he began. */
        seen.stop_at = FIRST_FILE + 20;
        assert_int_equal(ext4_tables_next(fd, &cursor, on_inode, &seen), 42);
        assert_int_equal(cursor, 0);
}

/* What comes of damage is anybody's guess, but it comes, and nothing else does. */
static void damage_neither_crashes_nor_goes_on_for_ever(void **state)
{
        _cleanup_close_ int fd = image_make("-t ext4");
        _cleanup_free_ unsigned char *image = malloc(DAMAGED_BYTES);
        const unsigned seed = (unsigned)getpid();
        unsigned n_good = 0;

        (void)state;
        assert_non_null(image);
        assert_int_equal(pread(fd, image, DAMAGED_BYTES, 0), DAMAGED_BYTES);
        printf("seed %u\n", seed);
        srandom(seed);
        for (unsigned round = 0; round < 200; round++) {
                /* The beginning, where all the tables are, gets most of it; every other time the super block is spared. */
                for (unsigned i = 0; i < 1 + round; i++) {
                        const unsigned char byte =
                                (unsigned char)(random() % 3 ? random() : 255 * (random() % 2));
                        const off_t at =
                                (off_t)((round % 2 ? 2048 : 1024) +
                                        random() % (long)(round % 4 < 2 ? 4096 : (DAMAGED_BYTES - 2048)));

                        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
                }
                {
                        uint64_t cursor = 0, n_calls = 0;
                        Seen seen;
                        int r;

                        do {
                                const uint64_t before = cursor;

                                seen = (Seen){0};
                                r = ext4_tables_next(fd, &cursor, on_inode, &seen);
                                if (r > 0)
                                        assert_true(cursor > before);
                                assert_true(n_calls++ < 100000);
                        } while (r == 1);
                        assert_true(r <= 0);
                        n_good += r == 0;
                }
                assert_int_equal(pwrite(fd, image, DAMAGED_BYTES, 0), DAMAGED_BYTES);
        }
        /* Else nothing was tried. */
        assert_true(n_good > 20);
}

static void no_ext4_is_an_error(void **state)
{
        char path[] = "/tmp/test-ext4-tables.XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);
        uint64_t cursor = 0;
        Seen seen = {0};

        (void)state;
        assert_int_equal(unlink(path), 0);
        assert_true(ext4_tables_next(fd, &cursor, on_inode, &seen) < 0);
        assert_int_equal(ftruncate(fd, 1 << 20), 0);
        assert_true(ext4_tables_next(fd, &cursor, on_inode, &seen) < 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_inode_in_use_is_seen_once),
                cmocka_unit_test(runs_are_counted_and_guessed_in_large_trees),
                cmocka_unit_test(it_goes_on_at_any_inode),
                cmocka_unit_test(damage_neither_crashes_nor_goes_on_for_ever),
                cmocka_unit_test(no_ext4_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
