/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bounded part of an inventory: which items it keeps, and which are left at the end. What it finds on a volume is
 * fs/inventory.sh's to test. Leaks are the sanitizer's to find. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/number.h"
#include "decide/worth.h"
#include "work/inventory.h"

#define N_OFFERED (3 * INVENTORY_MAX + 7)

static uint64_t random_state;

/* splitmix64 */
static uint64_t random_next(void)
{
        uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static char *copy_of(const char *text)
{
        char *copy = text ? strdup(text) : NULL;

        assert_true(!text == !copy);
        return copy;
}

static void add(Inventory *inventory, uint64_t inode, uint64_t n_extents, uint64_t size_bytes,
                const char *path)
{
        const Candidate candidate = {
                .id = {.inode = inode, .generation = 1},
                .parent = {.inode = 128, .generation = 1},
                .size_bytes = size_bytes,
                .n_extents = n_extents,
                .path = copy_of(path),
        };

        assert_int_equal(inventory_add(inventory, &candidate), 0);
}

static int order(const void *left, const void *right)
{
        const Candidate *a = left, *b = right;
        const int by_worth = worth_order(a->n_extents, a->size_bytes, b->n_extents, b->size_bytes);

        if (by_worth != 0)
                return by_worth;
        return a->id.inode < b->id.inode ? -1 : a->id.inode > b->id.inode;
}

static bool has(const Inventory *inventory, uint64_t inode)
{
        for (size_t i = 0; i < inventory->n_items; i++)
                if (inventory->items[i].candidate.id.inode == inode)
                        return true;
        return false;
}

static void an_inventory_begins_with_the_files(void **state)
{
        Inventory inventory;

        (void)state;
        inventory_begin(&inventory);
        assert_int_equal(inventory.phase, INVENTORY_FILES);
        assert_int_equal(inventory.cursor.inode, 0);
        assert_int_equal(inventory.n_items, 0);
        inventory_done(&inventory);
        inventory_done(&inventory);
}

static void it_keeps_everything_up_to_its_bound(void **state)
{
        Inventory inventory;

        (void)state;
        inventory_begin(&inventory);
        for (uint64_t i = 0; i < INVENTORY_MAX; i++)
                add(&inventory, i + 1, 2 + i % 5, MIB, i % 100 == 0 ? "/srv/file" : NULL);
        assert_int_equal(inventory.n_items, INVENTORY_MAX);
        assert_int_equal(inventory.n_dropped, 0);
        inventory_done(&inventory);
}

/* Against sorting all of them. Few different figures, so that many are worth the same. */
static void it_keeps_exactly_the_best(void **state)
{
        static Candidate offered[N_OFFERED];

        (void)state;
        for (int round = 0; round < 8; round++) {
                const bool many_equal = round % 2 == 0;
                Inventory inventory;

                inventory_begin(&inventory);
                for (uint64_t i = 0; i < N_OFFERED; i++) {
                        /* A permutation: 5 has no factor in common with 12295 + 1. */
                        offered[i] = (Candidate){
                                .id = {.inode = 1 + i * 5 % (N_OFFERED + 1), .generation = 1},
                                .parent = {.inode = 128, .generation = 1},
                                .n_extents = 2 + random_next() % (many_equal ? 4 : 1000000),
                                .size_bytes = many_equal ? MIB * (1 + random_next() % 4)
                                                         : 1 + random_next() % (64 * GIB),
                        };
                        add(&inventory, offered[i].id.inode, offered[i].n_extents, offered[i].size_bytes,
                            i % 3 == 0 ? "/srv/file" : NULL);
                }
                assert_int_equal(inventory.n_items, INVENTORY_MAX);
                assert_int_equal(inventory.n_dropped, N_OFFERED - INVENTORY_MAX);
                qsort(offered, N_OFFERED, sizeof(offered[0]), order);
                for (size_t i = 0; i < INVENTORY_MAX; i++)
                        assert_true(has(&inventory, offered[i].id.inode));
                inventory_done(&inventory);
        }
}

static void names_met_before_are_kept_by_the_second_pass_alone(void **state)
{
        static const struct {
                InventoryPhase phase;
                const char *path, *name;
        } rows[] = {
                {INVENTORY_NAMES, "/srv/a/file", "file"},
                {INVENTORY_NAMES, "/file", "file"},
                {INVENTORY_NAMES, NULL, NULL},
                {INVENTORY_FILES, "/srv/a/file", NULL},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                Inventory inventory;

                inventory_resume(&inventory, rows[i].phase, (InodeCursor){.inode = 4711}, 42);
                assert_int_equal(inventory.phase, rows[i].phase);
                assert_int_equal(inventory.cursor.inode, 4711);
                assert_int_equal(inventory.offset, 42);
                add(&inventory, 5000, 3, MIB, rows[i].path);
                if (rows[i].name)
                        assert_string_equal(inventory.items[0].name, rows[i].name);
                else
                        assert_null(inventory.items[0].name);
                inventory_done(&inventory);
        }
}

/* What a path alone cannot tell: without its directory it is no name. */
static void a_path_without_a_parent_is_no_name(void **state)
{
        const Candidate candidate = {.id = {.inode = 7, .generation = 1}, .path = copy_of("/srv/file")};
        Inventory inventory;

        (void)state;
        inventory_resume(&inventory, INVENTORY_NAMES, (InodeCursor){0}, 0);
        assert_int_equal(inventory_add(&inventory, &candidate), 0);
        assert_null(inventory.items[0].name);
        inventory_done(&inventory);
}

/* Inode 1 has a name, 2 has none, 3 is excluded by one of its names. */
static void make_three(Inventory *inventory)
{
        inventory_resume(inventory, INVENTORY_NAMES, (InodeCursor){0}, 0);
        add(inventory, 1, 3, MIB, "/srv/named");
        add(inventory, 2, 3, MIB, NULL);
        add(inventory, 3, 3, MIB, "/srv/secret/other");
        for (size_t i = 0; i < inventory->n_items; i++)
                inventory->items[i].excluded = inventory->items[i].candidate.id.inode == 3;
}

static void what_may_be_excluded_is_taken_out_at_the_end(void **state)
{
        static const struct {
                const char *mount_path, *pattern;
                const char *left;
        } rows[] = {
                {"/srv", NULL, "12"},      {"/srv", "/boot/**", "12"}, {"/srv", "/srv/secret/**", "1"},
                {"/srv", "**/*.iso", "1"}, {"/srv", "/srv", ""},       {"/srv/data", "/srv", ""},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                char *mount_path = copy_of(rows[i].mount_path), *pattern = copy_of(rows[i].pattern);
                const FsVolume volume = {.mount_path = mount_path, .facts.type = &file_system_xfs};
                const VolumeConfig config = {.excludes = &pattern, .n_excludes = pattern ? 1 : 0};
                Inventory inventory;

                make_three(&inventory);
                inventory_finish(&inventory, &volume, &config);
                assert_int_equal(inventory.n_items, strlen(rows[i].left));
                for (const char *inode = rows[i].left; *inode; inode++)
                        assert_true(has(&inventory, (uint64_t)(*inode - '0')));
                inventory_done(&inventory);
                free(mount_path);
                free(pattern);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_inventory_begins_with_the_files),
                cmocka_unit_test(it_keeps_everything_up_to_its_bound),
                cmocka_unit_test(it_keeps_exactly_the_best),
                cmocka_unit_test(names_met_before_are_kept_by_the_second_pass_alone),
                cmocka_unit_test(a_path_without_a_parent_is_no_name),
                cmocka_unit_test(what_may_be_excluded_is_taken_out_at_the_end),
        };
        const char *seed = getenv("DEFRAGD_SEED");

        random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
        print_message("DEFRAGD_SEED=%llu\n", (unsigned long long)random_state);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
