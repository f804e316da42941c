/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How would btrfs encode what is written to a file? The order in which the kernel asks (inode_need_compress(), compress_file_range()). And which
 * extents would be encoded as they are. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/fs.h>

#include "base/number.h"
#include "base/units.h"
#include "facts/btrfs_encoding.h"

#define NONE  BTRFS_ENCODING_NONE
#define ZLIB  BTRFS_ENCODING_ZLIB
#define LZO   BTRFS_ENCODING_LZO
#define ZSTD  BTRFS_ENCODING_ZSTD
#define OTHER BTRFS_ENCODING_OTHER

static const struct {
        const char *options;
        unsigned flags;
        const char *property;
        uint8_t type;
        int level;
} cases[] = {
        {"rw,discard=async,space_cache=v2,subvolid=256,subvol=/@", 0, NULL, NONE, 0},
        {"rw", 0, NULL, NONE, 0},
        {"", 0, NULL, NONE, 0},
        {"rw,compress=zstd:3,subvolid=5,subvol=/", 0, NULL, ZSTD, 3},
        {"rw,compress=zstd:-15,subvolid=5", 0, NULL, ZSTD, -15},
        {"compress=zlib:9", 0, NULL, ZLIB, 9},
        {"compress=zlib", 0, NULL, ZLIB, 0},
        {"compress=lzo", 0, NULL, LZO, 0},
        {"rw,compress", 0, NULL, ZLIB, 0},
        {"rw,compress=no", 0, NULL, NONE, 0},
        {"rw,compress=none,ssd", 0, NULL, NONE, 0},
        /* Of a kernel to come. */
        {"rw,compress=lz4:1", 0, NULL, OTHER, 0},
        /* Names that only begin alike, and a subvolume that is called like an option. */
        {"rw,compressed=yes", 0, NULL, NONE, 0},
        {"rw,subvol=/compress=zstd", 0, NULL, NONE, 0},
        /* The inode's word counts against the mount's, but not against force. */
        {"rw,compress=zstd:3", FS_NOCOMP_FL, NULL, NONE, 0},
        {"rw,compress-force=zstd:3", FS_NOCOMP_FL, NULL, ZSTD, 3},
        /* By which algorithm is not said. */
        {"rw", FS_COMPR_FL, NULL, OTHER, 0},
        {"rw,compress=lzo", FS_COMPR_FL, NULL, LZO, 0},
        {"rw", FS_COMPR_FL, "zlib", ZLIB, 0},
        {"rw", FS_COMPR_FL | FS_NOCOMP_FL, NULL, NONE, 0},
        /* The algorithm is the file's own, the level the mount's, as far as there are so many. */
        {"rw", 0, "zstd", ZSTD, 0},
        {"rw,compress=zstd:15", 0, "zlib", ZLIB, 9},
        {"rw,compress=zstd:-3", 0, "zlib", ZLIB, 0},
        {"rw,compress-force=zlib:7", 0, "zstd", ZSTD, 7},
        {"rw,compress-force=zlib:7", 0, "lzo", LZO, 0},
        {"rw", 0, "", NONE, 0},
        {"rw", 0, "none", NONE, 0},
        {"rw", 0, "no", NONE, 0},
        {"rw", 0, "brotli", OTHER, 0},
        {"rw,compress=zstd:3", 0, "none", ZSTD, 3},
        {"rw", FS_NOCOMP_FL, "lzo", NONE, 0},
        /* Not copied on write: never, whatever else is said. */
        {"rw,compress-force=zstd:3", FS_NOCOW_FL, "zstd", NONE, 0},
};

static void what_would_be_written_is_known(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const BtrfsEncoding would =
                        btrfs_encoding_of(cases[i].options, cases[i].flags, cases[i].property);

                if (would.type != cases[i].type || would.level != cases[i].level)
                        fail_msg("case %zu: \"%s\": %u:%d", i, cases[i].options, would.type, would.level);
        }
}

static void what_would_stay_as_it_is_is_known(void **state)
{
        const Extent plain = {.length = 16 * KIB};
        const Extent text = {.length = 16 * KIB, .encoding = ZSTD, .encoded_bytes = 12 * KIB};
        const Extent noise = {.length = 64 * KIB, .encoding = ZSTD, .encoded_bytes = 60 * KIB};
        const Extent part = {.length = 16 * KIB, .encoding = ZSTD, .encoded_bytes = 4 * KIB, .stays = true};
        const Extent unknown = {.length = 16 * KIB, .encoding = EXTENT_ENCODED_SOMEHOW, .unplaced = true};

        (void)state;
        assert_true(btrfs_encoding_keeps((BtrfsEncoding){NONE, 0}, &plain));
        assert_false(btrfs_encoding_keeps((BtrfsEncoding){ZSTD, 3}, &plain));
        assert_true(btrfs_encoding_keeps((BtrfsEncoding){ZSTD, 3}, &text));
        assert_false(btrfs_encoding_keeps((BtrfsEncoding){NONE, 0}, &text));
        assert_false(btrfs_encoding_keeps((BtrfsEncoding){LZO, 0}, &text));
        assert_false(btrfs_encoding_keeps((BtrfsEncoding){OTHER, 0}, &text));
        assert_false(btrfs_encoding_keeps((BtrfsEncoding){ZSTD, 3}, &noise));
        assert_false(btrfs_encoding_keeps((BtrfsEncoding){ZSTD, 3}, &part));
        assert_false(btrfs_encoding_keeps((BtrfsEncoding){OTHER, 0}, &unknown));
        assert_false(btrfs_encoding_keeps((BtrfsEncoding){ZSTD, 3}, &unknown));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_would_be_written_is_known),
                cmocka_unit_test(what_would_stay_as_it_is_is_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
