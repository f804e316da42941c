/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Buffers full of items, one after the other; where one ends the next search begins. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/number.h"
#include "facts/btrfs_tree.h"

static void search_key_set(struct btrfs_ioctl_search_key *key, uint64_t tree, BtrfsKey first, BtrfsKey last)
{
        /* The types belong to the two ends: the kernel compares whole keys, it does not choose among types in between. */
        *key = (struct btrfs_ioctl_search_key){
                .tree_id = tree,
                .min_objectid = first.object,
                .max_objectid = last.object,
                .min_type = first.type,
                .max_type = last.type,
                .min_offset = first.offset,
                .max_offset = last.offset,
                .max_transid = UINT64_MAX,
                .nr_items = UINT32_MAX,
        };
}

int btrfs_scan_begin(BtrfsScan *scan, int fs_fd, uint64_t tree, BtrfsKey first, BtrfsKey last, size_t room)
{
        *scan = (BtrfsScan){.fs_fd = fs_fd, .tree = tree, .next = first, .last = last};
        scan->args = malloc(sizeof(*scan->args) + room);
        if (!scan->args)
                return -ENOMEM;
        scan->room = room;
        return 0;
}

void btrfs_scan_done(BtrfsScan *scan)
{
        free(scan->args);
        *scan = (BtrfsScan){.is_over = true};
}

int btrfs_key_order(BtrfsKey a, BtrfsKey b)
{
        if (a.object != b.object)
                return a.object < b.object ? -1 : 1;
        if (a.type != b.type)
                return a.type < b.type ? -1 : 1;
        return a.offset < b.offset ? -1 : a.offset > b.offset;
}

/* The key right behind; false at the very last one. */
static bool key_advance(BtrfsKey *key)
{
        if (++key->offset != 0)
                return true;
        if (++key->type != 0)
                return true;
        return ++key->object != 0;
}

static int scan_fetch(BtrfsScan *scan)
{
        search_key_set(&scan->args->key, scan->tree, scan->next, scan->last);
        scan->args->buf_size = scan->room;
        if (ioctl(scan->fs_fd, BTRFS_IOC_TREE_SEARCH_V2, scan->args) < 0)
                return -errno;
        scan->n_left = scan->args->key.nr_items;
        scan->at = scan->args->buf;
        scan->end = scan->at + scan->room;
        return 0;
}

int btrfs_scan_next(BtrfsScan *scan, BtrfsItem *ret)
{
        struct btrfs_ioctl_search_header header;
        BtrfsKey key;
        int r;

        if (scan->is_over)
                return 0;
        if (scan->n_left == 0) {
                r = scan_fetch(scan);
                if (r < 0)
                        return r;
                if (scan->n_left == 0) {
                        scan->is_over = true;
                        return 0;
                }
        }
        if ((size_t)(scan->end - scan->at) < sizeof(header))
                return -EIO;
        memcpy(&header, scan->at, sizeof(header));
        scan->at += sizeof(header);
        if (header.len > (size_t)(scan->end - scan->at) || header.type > UINT8_MAX)
                return -EIO;
        key = (BtrfsKey){header.objectid, (uint8_t)header.type, header.offset};
        /* A scan that goes back would never end. */
        if (btrfs_key_order(key, scan->next) < 0 || btrfs_key_order(key, scan->last) > 0)
                return -EIO;

        *ret = (BtrfsItem){.key = key, .data = scan->at, .n_bytes = header.len};
        scan->at += header.len;
        scan->n_left--;
        scan->next = key;
        scan->is_over = !key_advance(&scan->next) || btrfs_key_order(scan->next, scan->last) > 0;
        return 1;
}

bool btrfs_scan_holds_more(const BtrfsScan *scan)
{
        return scan->n_left > 0 && !scan->is_over;
}

int btrfs_item_read(int fs_fd, uint64_t tree, BtrfsKey key, void *data, size_t n_bytes)
{
        struct btrfs_ioctl_search_args args;
        struct btrfs_ioctl_search_header header;
        size_t n;

        search_key_set(&args.key, tree, key, key);
        args.key.nr_items = 1;
        if (ioctl(fs_fd, BTRFS_IOC_TREE_SEARCH, &args) < 0)
                /* Larger than the room of this, the smaller of the two searches. */
                return errno == EOVERFLOW ? -EFBIG : -errno;
        if (args.key.nr_items == 0)
                return -ENOENT;
        memcpy(&header, args.buf, sizeof(header));
        if (header.objectid != key.object || header.type != key.type || header.offset != key.offset ||
            header.len > sizeof(args.buf) - sizeof(header))
                return -EIO;
        n = u64_min(header.len, n_bytes);
        memcpy(data, args.buf + sizeof(header), n);
        return (int)n;
}

int btrfs_file_extent_read(const BtrfsItem *item, struct btrfs_file_extent_item *ret)
{
        const uint8_t *bytes = item->data;

        if (item->n_bytes <= offsetof(struct btrfs_file_extent_item, type))
                return -EIO;
        if (bytes[offsetof(struct btrfs_file_extent_item, type)] == BTRFS_FILE_EXTENT_INLINE)
                return 0;
        if (item->n_bytes < sizeof(*ret))
                return -EIO;
        memcpy(ret, bytes, sizeof(*ret));
        return 1;
}
