/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which extents of a file stand for parts of one extent on the disk, and which could not be moved as they are.
 *
 * An extent of 128 MiB in which one block was written anew is still 128 MiB on the disk, and two extents in the file's map with the new
 * block between them. */

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/btrfs_encoding.h"
#include "facts/btrfs_ties.h"
#include "facts/btrfs_tree.h"

/* What comes behind so many parts stays untied: 40 MB of memory. */
#define SPANS_MAX 1000000

/* A place in the file that refers to a part of an extent. */
typedef struct Span {
        uint64_t physical; /* where the whole extent begins */
        uint64_t start, end;
        uint64_t last_end; /* of all places that refer to it, in the first of them; else 0 */
        bool is_one_of_several;
} Span;

typedef struct Spans {
        Span *list; /* owned */
        size_t n, room;
} Spans;

static void spans_done(Spans *spans)
{
        free(spans->list);
}

static int spans_add(Spans *spans, const Span *span)
{
        if (spans->n == spans->room) {
                const size_t room = spans->room ? spans->room * 2 : 64;
                Span *grown = reallocarray(spans->list, room, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                spans->list = grown;
                spans->room = room;
        }
        spans->list[spans->n++] = *span;
        return 0;
}

static int by_physical(const void *a, const void *b)
{
        const Span *left = a, *right = b;

        if (left->physical != right->physical)
                return left->physical < right->physical ? -1 : 1;
        return left->start < right->start ? -1 : left->start > right->start;
}

static int by_start(const void *a, const void *b)
{
        const Span *left = a, *right = b;

        return left->start < right->start ? -1 : left->start > right->start;
}

/* Finds what refers to the same extent. They are in the order of the file again afterwards. */
static void spans_connect(Spans *spans)
{
        Span *first = spans->list;

        if (spans->n == 0)
                return;
        qsort(spans->list, spans->n, sizeof(*spans->list), by_physical);
        for (size_t i = 0; i < spans->n; i++) {
                Span *span = &spans->list[i];

                if (span->physical != first->physical)
                        first = span;
                if (span != first)
                        first->is_one_of_several = span->is_one_of_several = true;
                first->last_end = u64_max(first->last_end, span->end);
        }
        qsort(spans->list, spans->n, sizeof(*spans->list), by_start);
}

/* Takes in one item, if it refers to a part of an extent and not to all of it. */
static int spans_take(Spans *spans, const BtrfsItem *item)
{
        struct btrfs_file_extent_item raw;
        int r;

        r = btrfs_file_extent_read(item, &raw);
        if (r <= 0)
                return r;
        if (raw.disk_bytenr == 0 || (raw.offset == 0 && raw.num_bytes == raw.ram_bytes))
                return 0;
        return spans_add(spans, &(Span){
                                        .physical = le64toh(raw.disk_bytenr),
                                        .start = item->key.offset,
                                        .end = u64_add_saturate(item->key.offset, le64toh(raw.num_bytes)),
                                });
}

static int spans_scan(int fs_fd, FileId id, uint64_t end, Spans *spans)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        const BtrfsKey first = {id.inode, BTRFS_EXTENT_DATA_KEY, 0};
        const BtrfsKey last = {id.inode, BTRFS_EXTENT_DATA_KEY, end};
        BtrfsItem item;
        int r;

        r = btrfs_scan_begin(&scan, fs_fd, id.subvolume, first, last, BTRFS_SCAN_SMALL);
        if (r < 0)
                return r;
        while (spans->n < SPANS_MAX && (r = btrfs_scan_next(&scan, &item)) > 0) {
                r = spans_take(spans, &item);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : 0;
}

/* Where nothing is compressed whoever moves it asks: then it is the file's matter, not the plan's. */
static int encodings_judge(int fd, ExtentMap *map)
{
        BtrfsEncoding would;
        int r;

        if (!map->any_encoded || !PROTECTED_BY(COMPRESSION))
                return 0;
        r = btrfs_encoding_read(fd, &would);
        if (r < 0)
                return r;
        for (size_t i = 0; i < map->n_extents; i++)
                map->extents[i].stays = !btrfs_encoding_keeps(would, &map->extents[i]);
        return 0;
}

int btrfs_map_tie(int fd, FileId id, ExtentMap *map)
{
        _cleanup_(spans_done) Spans spans = {0};
        uint64_t reach = 0;
        int r;

        if (map->n_extents == 0)
                return 0;
        r = spans_scan(fd, id, map->extents[map->n_extents - 1].logical, &spans);
        if (r < 0)
                return r;
        spans_connect(&spans);
        r = encodings_judge(fd, map);
        if (r < 0)
                return r;
        for (size_t i = 0, next = 0; i < map->n_extents; i++) {
                Extent *extent = &map->extents[i];
                const uint64_t end = u64_add_saturate(extent->logical, extent->length);

                /* The one before may reach into this one. */
                if (next > 0 && spans.list[next - 1].end > extent->logical)
                        extent->partial = spans.list[next - 1].is_one_of_several;
                for (; next < spans.n && spans.list[next].start < end; next++) {
                        extent->partial |= spans.list[next].is_one_of_several;
                        reach = u64_max(reach, spans.list[next].last_end);
                }
                extent->tied = i + 1 < map->n_extents && reach > extent[1].logical;
        }
        return 0;
}
