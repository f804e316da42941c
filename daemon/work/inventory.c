/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The first pass, and what both passes share: the items, and the slices. The second pass is in inventory_names.c. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "decide/worth.h"
#include "work/inventory.h"
#include "work/inventory_names.h"
#include "work/naming.h"

void inventory_begin(Inventory *inventory)
{
        *inventory = (Inventory){.phase = INVENTORY_FILES};
}

void inventory_resume(Inventory *inventory, InventoryPhase phase, InodeCursor cursor, uint64_t offset)
{
        *inventory = (Inventory){.phase = phase, .cursor = cursor, .offset = offset};
}

static void item_done(InventoryItem *item)
{
        free(item->candidate.path);
        free(item->name);
}

void inventory_done(Inventory *inventory)
{
        for (size_t i = 0; i < inventory->n_items; i++)
                item_done(&inventory->items[i]);
        free(inventory->items);
        *inventory = (Inventory){0};
}

/* --- a heap with the one that is worth least on top --- */

/* Is a worth less than b? Of two that are worth the same the later inode goes first. */
static bool is_less(const InventoryItem *a, const InventoryItem *b)
{
        const int order = worth_order(a->candidate.n_extents, a->candidate.size_bytes,
                                      b->candidate.n_extents, b->candidate.size_bytes);

        return order != 0 ? order > 0 : file_id_order(a->candidate.id, b->candidate.id) > 0;
}

static void swap(InventoryItem *a, InventoryItem *b)
{
        const InventoryItem held = *a;

        *a = *b;
        *b = held;
}

static void sift_up(InventoryItem *items, size_t at)
{
        while (at > 0 && is_less(&items[at], &items[(at - 1) / 2])) {
                swap(&items[at], &items[(at - 1) / 2]);
                at = (at - 1) / 2;
        }
}

static void sift_down(InventoryItem *items, size_t n_items, size_t at)
{
        for (;;) {
                size_t least = at;

                for (size_t below = 2 * at + 1; below <= 2 * at + 2 && below < n_items; below++)
                        if (is_less(&items[below], &items[least]))
                                least = below;
                if (least == at)
                        return;
                swap(&items[at], &items[least]);
                at = least;
        }
}

int inventory_add(Inventory *inventory, const Candidate *candidate)
{
        InventoryItem item = {.candidate = *candidate};
        const char *slash;

        assert(!inventory->is_sorted);
        if (!inventory->items) {
                inventory->items = calloc(INVENTORY_MAX, sizeof(*inventory->items));
                if (!inventory->items)
                        return -ENOMEM;
        }
        if (inventory->phase == INVENTORY_NAMES && candidate->path && file_id_is_set(candidate->parent)) {
                slash = strrchr(candidate->path, '/');
                item.name = strdup(slash ? slash + 1 : candidate->path);
                if (!item.name)
                        return -ENOMEM;
        }
        if (inventory->n_items < INVENTORY_MAX) {
                inventory->items[inventory->n_items] = item;
                sift_up(inventory->items, inventory->n_items++);
                return 0;
        }
        inventory->n_dropped++;
        if (is_less(&inventory->items[0], &item)) {
                item_done(&inventory->items[0]);
                inventory->items[0] = item;
                sift_down(inventory->items, inventory->n_items, 0);
        } else {
                item_done(&item);
        }
        return 0;
}

/* --- the first pass --- */

typedef struct FilesPass {
        Inventory *inventory;
        uint64_t min_bytes;
} FilesPass;

static int on_inode(const InodeFacts *inode, void *userdata)
{
        FilesPass *pass = userdata;
        const Candidate candidate = {
                .id = inode->id,
                .size_bytes = inode->size_bytes,
                .n_extents = inode->n_extents,
        };

        pass->inventory->n_inodes++;
        if (!S_ISREG(inode->mode))
                return 0;
        pass->inventory->n_files++;
        if (inode->size_bytes < pass->min_bytes || inode->n_extents < 2)
                return 0;
        return inventory_add(pass->inventory, &candidate);
}

/* One batch. Returns 1 while there may be more, 0 at the end of the volume, -errno. */
static int step_files(Inventory *inventory, const FsVolume *volume, int root_fd, const VolumeConfig *config)
{
        FilesPass pass = {.inventory = inventory, .min_bytes = config->min_file_bytes};

        return volume->facts.type->inodes_next(&volume->facts, root_fd, &inventory->cursor, on_inode, &pass);
}

static int order_by_id(const void *left, const void *right)
{
        return file_id_order(((const InventoryItem *)left)->candidate.id,
                             ((const InventoryItem *)right)->candidate.id);
}

/* Sorted, and each file once: what an earlier process has found may have been found again. Of two generations of an inode
 * one is dead, but which cannot be told from the numbers: both stay. */
static void sort(Inventory *inventory)
{
        InventoryItem *items = inventory->items;
        size_t n_kept = 0;

        if (inventory->is_sorted)
                return;
        inventory->is_sorted = true;
        if (inventory->n_items == 0)
                return;
        qsort(items, inventory->n_items, sizeof(*items), order_by_id);
        for (size_t i = 1; i < inventory->n_items; i++)
                if (file_id_equal(items[i].candidate.id, items[n_kept].candidate.id))
                        item_done(&items[i]);
                else
                        items[++n_kept] = items[i];
        inventory->n_items = n_kept + 1;
}

int inventory_step(Inventory *inventory, const FsVolume *volume, const VolumeConfig *config,
                   uint64_t deadline_usec, const atomic_bool *cancel)
{
        _cleanup_close_ int root_fd = fs_volume_open(volume);
        int r;

        if (root_fd < 0)
                return root_fd;
        do {
                if (inventory->phase == INVENTORY_FILES) {
                        r = step_files(inventory, volume, root_fd, config);
                        if (r == 0) {
                                inventory->phase = INVENTORY_NAMES;
                                inventory->cursor = (InodeCursor){0};
                                inventory->offset = 0;
                                r = 1;
                        }
                } else {
                        sort(inventory);
                        r = inventory_step_names(inventory, volume, root_fd, config, deadline_usec, cancel);
                }
        } while (r > 0 && !atomic_load(cancel) && clock_monotonic_usec() < deadline_usec);
        return r;
}

void inventory_finish(Inventory *inventory, const FsVolume *volume, const VolumeConfig *config)
{
        const bool all_excluded = naming_is_excluded(config, volume->mount_path) != 0;
        const bool unnamed_too = naming_is_needed(volume, config);
        size_t n_kept = 0;

        for (size_t i = 0; i < inventory->n_items; i++) {
                InventoryItem *item = &inventory->items[i];

                if (all_excluded || item->excluded || (unnamed_too && !item->name))
                        item_done(item);
                else
                        inventory->items[n_kept++] = *item;
        }
        inventory->n_items = n_kept;
}
