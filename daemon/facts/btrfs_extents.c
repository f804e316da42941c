/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Extent items of one file against the tree of extents. */

#include <endian.h>
#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/units.h"
#include "facts/btrfs_encoding.h"
#include "facts/btrfs_extents.h"
#include "facts/btrfs_tree.h"

/* An extent on the disk of which the region refers to parts, and how often. */
typedef struct Reference {
        uint64_t physical;
        uint64_t n_bytes;
        uint64_t n_references;
        bool is_held; /* one of them may stay where it is */
} Reference;

typedef struct References {
        Reference *list; /* owned */
        size_t n, room;
} References;

static int references_add(References *references, uint64_t physical, uint64_t n_bytes)
{
        if (references->n == references->room) {
                const size_t room = references->room ? references->room * 2 : 256;
                Reference *grown;

                if (references->n >= BTRFS_REGION_ITEMS_MAX)
                        return -EFBIG;
                grown = reallocarray(references->list, room, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                references->list = grown;
                references->room = room;
        }
        references->list[references->n++] =
                (Reference){.physical = physical, .n_bytes = n_bytes, .n_references = 1};
        return 0;
}

static int by_address(const void *a, const void *b)
{
        const Reference *left = a, *right = b;

        return left->physical < right->physical ? -1 : left->physical > right->physical;
}

/* One entry an extent, ascending. */
static void references_merge(References *references)
{
        size_t n = 0;

        if (references->n == 0)
                return;
        qsort(references->list, references->n, sizeof(*references->list), by_address);
        for (size_t i = 0; i < references->n; i++) {
                const Reference *reference = &references->list[i];

                if (n > 0 && references->list[n - 1].physical == reference->physical) {
                        references->list[n - 1].n_references++;
                        references->list[n - 1].is_held |= reference->is_held;
                } else {
                        references->list[n++] = *reference;
                }
        }
        references->n = n;
}

/* Puts an extent behind the others, or makes the last one longer if it goes on there, as FIEMAP does. */
static int map_append(ExtentMap *map, size_t *room, const Extent *extent)
{
        Extent *last = map->n_extents > 0 ? &map->extents[map->n_extents - 1] : NULL;

        if (last && !extent->unplaced && !last->unplaced && !extent->encoding && !last->encoding &&
            last->unwritten == extent->unwritten && last->logical + last->length == extent->logical &&
            last->physical + last->length == extent->physical) {
                last->length += extent->length;
                return 0;
        }
        return extent_map_append(map, room, extent);
}

/* Written extents as the kernel may see them before it moves anything: what lies together in the file and on the disk is one. */
typedef struct Joined {
        uint64_t from, to; /* in the file */
        uint64_t expected; /* address of what would go on with it */
        bool has_predecessor;
        size_t first_reference, end_reference; /* those to parts of extents */
} Joined;

typedef struct Gathered {
        uint64_t offset, end; /* of the region */
        BtrfsRegion region;
        References references;
        ExtentMap map;
        size_t room; /* of map */
        uint64_t slice_bytes;
        uint64_t together_from; /* what is written without a hole, up to the last one */
        Joined last, before;    /* of what is written; without length: there is none */
} Gathered;

/* As the kernel goes through what it is handed. */
#define EXTENT_BYTES_MAX (128 * MIB)

/* Has it the greatest length? Such a one is left where it is, and nothing is joined with it. */
static bool is_full(const Joined *joined)
{
        return joined->to - joined->from >= EXTENT_BYTES_MAX;
}

/* None of the extents comes back of which it holds parts. */
static void joined_hold(Gathered *gathered, const Joined *joined)
{
        for (size_t i = joined->first_reference; i < joined->end_reference; i++)
                gathered->references.list[i].is_held = true;
}

/* The same where nothing follows that it could be joined with, but for what is in one cluster with the one before. */
static void joined_hold_end(Gathered *gathered, const Joined *joined)
{
        const uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
        const uint64_t within =
                (joined->from - u64_align_down(gathered->together_from, page_bytes)) % BTRFS_CLUSTER_BYTES;

        if (joined->to - gathered->together_from > gathered->slice_bytes || !joined->has_predecessor ||
            within == 0 || joined->to > joined->from - within + BTRFS_CLUSTER_BYTES)
                joined_hold(gathered, joined);
}

/* The last one is over. is_followed: by another one, without a hole. */
static void joined_end(Gathered *gathered, bool is_followed)
{
        Joined *last = &gathered->last;

        last->end_reference = gathered->references.n;
        if (is_full(last)) {
                joined_hold(gathered, last);
                if (gathered->before.to == last->from)
                        joined_hold_end(gathered, &gathered->before);
        } else if (!is_followed) {
                joined_hold_end(gathered, last);
        }
        gathered->before = *last;
}

static void joined_add(Gathered *gathered, const Extent *extent)
{
        Joined *last = &gathered->last;
        const uint64_t end = extent->logical + extent->length;
        const bool is_adjacent = last->to > last->from && last->to == extent->logical;

        if (is_adjacent && last->expected == extent->physical) {
                last->to = end;
                last->expected += extent->length;
                return;
        }
        joined_end(gathered, is_adjacent);
        if (!is_adjacent)
                gathered->together_from = extent->logical;
        *last = (Joined){
                .from = extent->logical,
                .to = end,
                .expected = extent->physical + extent->length,
                .has_predecessor = is_adjacent && !is_full(last),
                .first_reference = gathered->references.n,
        };
}

static void gathered_done(Gathered *gathered)
{
        free(gathered->references.list);
        extent_map_done(&gathered->map);
}

/* Takes in what is compressed. The kernel leaves none of it where it is (Linux 5.18, fs/btrfs/defrag.c, defrag_collect_targets()). */
static int region_take_encoded(Gathered *gathered, const BtrfsItem *item,
                               const struct btrfs_file_extent_item *raw)
{
        BtrfsRegion *region = &gathered->region;
        Extent extent;

        btrfs_encoded_extent(item->key.offset, raw, gathered->end, &extent);
        region->moved_bytes += extent.encoded_bytes;
        region->encoded_bytes += extent.encoded_bytes;
        if (!extent.stays)
                region->freed_bytes += extent.encoded_bytes;
        return map_append(&gathered->map, &gathered->room, &extent);
}

/* Takes in one item. One that reaches over an end of the region stays where it is in part, so it refers from outside, too. */
static int region_take(Gathered *gathered, const BtrfsItem *item)
{
        BtrfsRegion *region = &gathered->region;
        struct btrfs_file_extent_item raw;
        Extent extent = {.unplaced = true};
        uint64_t end;
        int r;

        r = btrfs_file_extent_read(item, &raw);
        if (r < 0)
                return r;
        region->n_items++;
        if (r == 0) {
                extent.logical = item->key.offset;
                extent.length = gathered->end - item->key.offset;
                return map_append(&gathered->map, &gathered->room, &extent);
        }
        end = u64_min(u64_add_saturate(item->key.offset, le64toh(raw.num_bytes)), gathered->end);
        /* A hole. */
        if (raw.disk_bytenr == 0 || end <= item->key.offset)
                return 0;
        if (raw.compression != BTRFS_ENCODING_NONE)
                return region_take_encoded(gathered, item, &raw);
        extent = (Extent){
                .logical = item->key.offset,
                .physical = le64toh(raw.disk_bytenr) + le64toh(raw.offset),
                .length = end - item->key.offset,
                .unwritten = raw.type == BTRFS_FILE_EXTENT_PREALLOC,
        };
        r = map_append(&gathered->map, &gathered->room, &extent);
        /* Preallocated places are not moved. They count as references by not being counted here. */
        if (r < 0 || extent.unwritten)
                return r;
        joined_add(gathered, &extent);
        region->moved_bytes += extent.length;
        if (extent.length != le64toh(raw.num_bytes))
                return 0;
        /* Refers to all of it: whoever else refers to it shares it, which the map of FIEMAP shows, also within one file (measured on Linux 6.18). */
        if (raw.offset == 0 && raw.num_bytes == raw.ram_bytes) {
                region->freed_bytes += le64toh(raw.disk_num_bytes);
                return 0;
        }
        return references_add(&gathered->references, le64toh(raw.disk_bytenr), le64toh(raw.disk_num_bytes));
}

/* Takes in what is written right behind the region. False: this is not. */
static bool follower_add(Joined *follower, const BtrfsItem *item)
{
        struct btrfs_file_extent_item raw;
        uint64_t physical;

        if (item->key.offset != follower->to || btrfs_file_extent_read(item, &raw) <= 0)
                return false;
        physical = le64toh(raw.disk_bytenr) + le64toh(raw.offset);
        if (raw.type != BTRFS_FILE_EXTENT_REG || raw.disk_bytenr == 0 || raw.compression != 0 ||
            (follower->to > follower->from && physical != follower->expected))
                return false;
        follower->to = u64_add_saturate(follower->to, le64toh(raw.num_bytes));
        follower->expected = physical + le64toh(raw.num_bytes);
        return true;
}

/* An extent that begins before the region is not seen; regions begin with an extent. */
static int region_scan(int fs_fd, FileId id, Gathered *gathered)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        const BtrfsKey first = {id.inode, BTRFS_EXTENT_DATA_KEY, gathered->offset};
        const BtrfsKey last = {id.inode, BTRFS_EXTENT_DATA_KEY, UINT64_MAX};
        Joined follower = {.from = gathered->end, .to = gathered->end};
        BtrfsItem item;
        int r;

        r = btrfs_scan_begin(&scan, fs_fd, id.subvolume, first, last, BTRFS_SCAN_SMALL);
        if (r < 0)
                return r;
        while ((r = btrfs_scan_next(&scan, &item)) > 0) {
                if (item.key.offset >= gathered->end) {
                        if (!follower_add(&follower, &item) || is_full(&follower))
                                break;
                        continue;
                }
                r = region_take(gathered, &item);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        gathered->map.goes_on =
                gathered->last.to == gathered->end && follower.to > follower.from && !is_full(&follower);
        joined_end(gathered, gathered->map.goes_on);
        return 0;
}

/* Items of the tree of extents in the order of their addresses: a search brings some hundred, so that neighbours need none of their own. */
#define NEIGHBOURS_BYTES ((size_t)16 << 10)

typedef struct ExtentTree {
        BtrfsScan scan;
        BtrfsItem item; /* the last that came */
        bool has_item;
} ExtentTree;

static void extent_tree_done(ExtentTree *tree)
{
        btrfs_scan_done(&tree->scan);
}

/* How many references there are to an extent: the first number of its item. Asked in ascending order. -ENOENT: not there yet. */
static int extent_references(int fs_fd, ExtentTree *tree, const Reference *reference, uint64_t *ret)
{
        const BtrfsKey key = {reference->physical, BTRFS_EXTENT_ITEM_KEY, reference->n_bytes};
        const BtrfsKey last = {UINT64_MAX, UINT8_MAX, UINT64_MAX};
        struct btrfs_extent_item extent;
        int r;

        while (tree->has_item && btrfs_key_order(tree->item.key, key) < 0) {
                tree->has_item = btrfs_scan_holds_more(&tree->scan);
                if (!tree->has_item)
                        break;
                r = btrfs_scan_next(&tree->scan, &tree->item);
                if (r < 0)
                        return r;
        }
        if (!tree->has_item) {
                btrfs_scan_done(&tree->scan);
                r = btrfs_scan_begin(&tree->scan, fs_fd, BTRFS_EXTENT_TREE_OBJECTID, key, last,
                                     NEIGHBOURS_BYTES);
                if (r < 0)
                        return r;
                r = btrfs_scan_next(&tree->scan, &tree->item);
                if (r < 0)
                        return r;
                tree->has_item = r > 0;
        }
        if (!tree->has_item || btrfs_key_order(tree->item.key, key) != 0)
                return -ENOENT;
        if (tree->item.n_bytes < sizeof(extent))
                return -EIO;
        memcpy(&extent, tree->item.data, sizeof(extent));
        *ret = le64toh(extent.refs);
        return 0;
}

/* Has the running transaction committed, so that the tree of extents tells of all that was done until now. */
static int transaction_commit(int fs_fd)
{
        uint64_t transaction = 0;

        if (ioctl(fs_fd, BTRFS_IOC_START_SYNC, &transaction) < 0 ||
            ioctl(fs_fd, BTRFS_IOC_WAIT_SYNC, &transaction) < 0)
                return -errno;
        return 0;
}

/* Adds up what is given back. */
static int references_judge(int fs_fd, const References *references, BtrfsRegion *ret)
{
        _cleanup_(extent_tree_done) ExtentTree tree = {0};

        for (size_t i = 0; i < references->n; i++) {
                const Reference *reference = &references->list[i];
                uint64_t n_references;
                int r;

                r = extent_references(fs_fd, &tree, reference, &n_references);
                if (r < 0)
                        return r;
                if (n_references > reference->n_references)
                        continue;
                if (reference->is_held)
                        ret->held_bytes += reference->n_bytes;
                else
                        ret->freed_bytes += reference->n_bytes;
        }
        return 0;
}

int btrfs_region_read(int fs_fd, FileId id, uint64_t offset, uint64_t length, uint64_t slice_bytes,
                      bool is_young, BtrfsRegion *ret, ExtentMap *ret_map)
{
        _cleanup_(gathered_done) Gathered gathered = {
                .offset = offset,
                .end = u64_add_saturate(offset, length),
                .map = {.complete = true},
                .slice_bytes = slice_bytes,
        };
        BtrfsRegion given = {0};
        int r;

        if (length == 0)
                return -EINVAL;
        r = region_scan(fs_fd, id, &gathered);
        if (r < 0)
                return r;
        references_merge(&gathered.references);
        if (is_young && gathered.references.n > 0) {
                r = transaction_commit(fs_fd);
                if (r < 0)
                        return r;
        }
        r = references_judge(fs_fd, &gathered.references, &given);
        if (r == -ENOENT) {
                r = transaction_commit(fs_fd);
                given = (BtrfsRegion){0};
                if (r == 0)
                        r = references_judge(fs_fd, &gathered.references, &given);
                /* Moved or deleted meanwhile. */
                if (r == -ENOENT)
                        r = -EAGAIN;
        }
        if (r < 0)
                return r;
        *ret = gathered.region;
        ret->has_parts = gathered.references.n > 0;
        ret->freed_bytes += given.freed_bytes;
        ret->held_bytes = given.held_bytes;
        *ret_map = TAKE(gathered.map, (ExtentMap){0});
        return 0;
}

int btrfs_range_settle(int fd, uint64_t offset, uint64_t length)
{
        /* Asked to count alone, it does not look who shares. */
        struct fiemap request = {.fm_start = offset, .fm_length = length, .fm_flags = FIEMAP_FLAG_SYNC};

        return ioctl(fd, FS_IOC_FIEMAP, &request) < 0 ? -errno : 0;
}
