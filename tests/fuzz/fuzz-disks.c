/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A made-up sysfs, a line an entry: "PATH=TEXT" a file, "PATH>TARGET" a link, "PATH" a directory. Which disks does 8:1 lie on, and what
 * kind is it? */

#include <sys/sysmacros.h>

#include "facts/disks.h"
#include "fuzz-tree.h"

#define DISKS_MAX 32

static void make_tree(char *text)
{
        for (char *line; (line = strsep(&text, "\n"));) {
                char *sign = line + strcspn(line, "=>");
                const char kind = *sign;

                *sign = '\0';
                if (kind == '=') {
                        char value[4200];
                        int n = snprintf(value, sizeof(value), "%s\n", sign + 1);

                        /* Where the file of a loop device lies, too. */
                        if (!strstr(value, ".."))
                                (void)tree_file(line, value,
                                                n < (int)sizeof(value) ? (size_t)n : sizeof(value) - 1);
                } else if (kind == '>') {
                        (void)tree_link(line, sign + 1);
                } else {
                        (void)tree_directory(line);
                }
        }
}

static bool has(const dev_t *disks, int n, dev_t disk)
{
        for (int i = 0; i < n; i++)
                if (disks[i] == disk)
                        return true;
        return false;
}

static void check_roots(dev_t device)
{
        dev_t all[DISKS_MAX];
        int n = disk_roots_read_in(tree, tree, device, NULL, all, DISKS_MAX);

        require(n != 0 && n <= DISKS_MAX);
        for (int i = 1; i < n; i++)
                require(all[i - 1] < all[i]);
        /* Less room: some of the same. */
        for (size_t max = 0; max < 3; max++) {
                _cleanup_free_ dev_t *some = fuzz_copy(all, max * sizeof(*some));
                int n_some = disk_roots_read_in(tree, tree, device, NULL, some, max);

                require(n < 0 ? n_some == n : n_some == (n < (int)max ? n : (int)max));
                for (int i = 0; i < n_some; i++)
                        require(has(all, n, some[i]));
        }
        /* What they lie on is themselves; deep below, where the search ends, it goes on from there. */
        for (int i = 0; i < n && n < 4; i++) {
                dev_t own[DISKS_MAX];

                if (disk_roots_read_in(tree, tree, all[i], NULL, own, DISKS_MAX) == 1)
                        require(own[0] == all[i] || major(own[0]) > 0);
        }
}

static void check_facts(dev_t device)
{
        DiskFacts facts, again;
        int r = disk_facts_read_in(tree, device, &facts);

        require(r <= 0 && disk_facts_read_in(tree, device, &again) == r);
        if (r == 0)
                require(facts.rotational == again.rotational && facts.removable == again.removable &&
                        facts.local == again.local);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        _cleanup_free_ char *text = fuzz_text(data, n_bytes);

        tree_begin();
        make_tree(text);
        check_roots(makedev(8, 1));
        check_facts(makedev(8, 1));
        tree_end();
        return 0;
}
