/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The items of a file's data on btrfs: what FIEMAP does not tell of compressed extents. */

#include <endian.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/stat.h>

#include "tool.h"

#define ITEMS_BYTES (16 << 20)

/* Calls on_item for each extent that the file has on the disk, in their order; the numbers are in the order of bytes of the disk. */
static inline void for_each_item(int fd, const char *path,
                                 void (*on_item)(const struct btrfs_file_extent_item *item, void *userdata),
                                 void *userdata)
{
        struct btrfs_ioctl_search_args_v2 *search = malloc(sizeof(*search) + ITEMS_BYTES);
        struct btrfs_ioctl_ino_lookup_args lookup = {.objectid = BTRFS_FIRST_FREE_OBJECTID};
        struct stat status;
        const char *at;

        if (!search)
                die("memory");
        if (fstat(fd, &status) < 0 || ioctl(fd, BTRFS_IOC_INO_LOOKUP, &lookup) < 0)
                die("%s: subvolume", path);
        search->buf_size = ITEMS_BYTES;
        search->key = (struct btrfs_ioctl_search_key){
                .tree_id = lookup.treeid,
                .min_objectid = status.st_ino,
                .max_objectid = status.st_ino,
                .min_type = BTRFS_EXTENT_DATA_KEY,
                .max_type = BTRFS_EXTENT_DATA_KEY,
                .max_offset = UINT64_MAX,
                .max_transid = UINT64_MAX,
                .nr_items = UINT32_MAX,
        };
        if (ioctl(fd, BTRFS_IOC_TREE_SEARCH_V2, search) < 0)
                die("%s: items", path);
        at = (const char *)search->buf;
        for (uint32_t i = 0; i < search->key.nr_items; i++) {
                struct btrfs_ioctl_search_header header;
                struct btrfs_file_extent_item item = {0};

                memcpy(&header, at, sizeof(header));
                at += sizeof(header);
                memcpy(&item, at, header.len < sizeof(item) ? header.len : sizeof(item));
                at += header.len;
                if (item.type != BTRFS_FILE_EXTENT_INLINE && item.disk_bytenr != 0)
                        on_item(&item, userdata);
        }
        free(search);
}
