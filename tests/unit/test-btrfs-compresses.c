/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Would btrfs compress what is written to a file? The order in which the kernel asks (inode_need_compress()). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/fs.h>

#include "base/number.h"
#include "facts/btrfs_extents.h"

static const struct {
        const char *options;
        unsigned flags;
        const char *property;
        bool compresses;
} cases[] = {
        {"rw,discard=async,space_cache=v2,subvolid=256,subvol=/@", 0, NULL, false},
        {"rw", 0, NULL, false},
        {"", 0, NULL, false},
        {"rw,compress=zstd:3,subvolid=5,subvol=/", 0, NULL, true},
        {"compress=lzo", 0, NULL, true},
        {"rw,compress", 0, NULL, true},
        {"rw,compress=no", 0, NULL, false},
        {"rw,compress=none,ssd", 0, NULL, false},
        /* Names that only begin alike, and a subvolume that is called like an option. */
        {"rw,compressed=yes", 0, NULL, false},
        {"rw,subvol=/compress=zstd", 0, NULL, false},
        /* The inode's word counts against the mount's, but not against force. */
        {"rw,compress=zstd", FS_NOCOMP_FL, NULL, false},
        {"rw,compress-force=zstd", FS_NOCOMP_FL, NULL, true},
        {"rw", FS_COMPR_FL, NULL, true},
        {"rw", FS_COMPR_FL | FS_NOCOMP_FL, NULL, false},
        {"rw", 0, "zstd", true},
        {"rw", 0, "", false},
        {"rw", 0, "none", false},
        {"rw", 0, "no", false},
        {"rw,compress=zstd", 0, "none", true},
        {"rw", FS_NOCOMP_FL, "lzo", false},
        /* Not copied on write: never, whatever else is said. */
        {"rw,compress-force=zstd", FS_NOCOW_FL, "zstd", false},
};

static void what_would_be_compressed_is_known(void **state)
{
        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (btrfs_compresses(cases[i].options, cases[i].flags, cases[i].property) !=
                    cases[i].compresses)
                        fail_msg("case %zu: \"%s\"", i, cases[i].options);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_would_be_compressed_is_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
