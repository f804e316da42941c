/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the trees of a btrfs answer. Also for items that make no sense, as of a damaged or a forged volume, what reads them comes back,
 * and keeps to what its header promises. */

#include <endian.h>
#include <errno.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/btrfs_encoding.h"
#include "facts/btrfs_extents.h"
#include "facts/btrfs_inodes.h"
#include "facts/btrfs_space.h"
#include "facts/extent_map.h"

#define CALLS_MAX 70000 /* of devices there may be 65536 */
#include "fuzz-ioctl.h"

/* The longest item that is made up; an item of a tree may have some 16 KiB. */
#define ITEM_BYTES 256

static void fiemap_answer(struct fiemap *request)
{
        uint64_t at = request->fm_start;

        request->fm_mapped_extents = (uint32_t)u64_min(fuzz_take(&answer, 1), request->fm_extent_count);
        for (uint32_t i = 0; i < request->fm_mapped_extents; i++) {
                struct fiemap_extent *extent = &request->fm_extents[i];
                const uint8_t kind = (uint8_t)fuzz_take(&answer, 1);

                *extent = (struct fiemap_extent){
                        .fe_logical = at,
                        .fe_physical = take_number(),
                        .fe_length = take_number(),
                        .fe_flags = (kind & 1 ? FIEMAP_EXTENT_ENCODED : 0) |
                                    (kind & 2 ? FIEMAP_EXTENT_SHARED : 0) |
                                    (kind & 4 ? FIEMAP_EXTENT_UNWRITTEN : 0) |
                                    (kind & 8 ? FIEMAP_EXTENT_LAST : 0),
                };
                at += extent->fe_length + (kind & 16 ? 4096 : 0);
        }
}

/* An extent of a file where one is asked for, and else some bytes. Returns how many. */
static uint32_t item_make(uint8_t type, uint8_t *data)
{
        struct btrfs_file_extent_item extent;
        uint32_t n = (uint32_t)fuzz_take(&answer, 1);
        uint8_t kind;

        memset(data, 0, ITEM_BYTES);
        if (type != BTRFS_EXTENT_DATA_KEY || n > 0xf0) {
                for (uint32_t i = 0; i < n && answer.at < answer.end; i++)
                        data[i] = (uint8_t)fuzz_take(&answer, 1);
                return n;
        }
        kind = (uint8_t)fuzz_take(&answer, 1);
        extent = (struct btrfs_file_extent_item){
                .type = kind & 3,
                .compression = kind >> 2 & 3,
                .disk_bytenr = htole64(take_number()),
                .disk_num_bytes = htole64(take_number()),
                .num_bytes = htole64(take_number()),
                .offset = htole64(kind & 16 ? take_number() : 0),
        };
        extent.ram_bytes = kind & 32 ? htole64(take_number()) : extent.num_bytes;
        memcpy(data, &extent, sizeof(extent));
        return kind & 64 ? n : sizeof(extent);
}

/* What a search brings. The kernel keeps to the keys that it was given; a last byte of 0xff is one that does not. */
static uint32_t items_answer(const struct btrfs_ioctl_search_key *key, uint8_t *room, size_t n_bytes)
{
        const uint32_t n_items = (uint32_t)u64_min(fuzz_take(&answer, 1) & 15, key->nr_items);
        struct btrfs_ioctl_search_header header = {
                .objectid = key->min_objectid, .offset = key->min_offset, .type = key->min_type};
        uint8_t item[ITEM_BYTES], kind;
        size_t at = 0;

        for (uint32_t i = 0; i < n_items; i++) {
                kind = (uint8_t)fuzz_take(&answer, 1);
                if (kind & 1)
                        header.offset += take_number();
                if (kind & 2)
                        header.objectid += fuzz_take(&answer, 1);
                if (kind & 4)
                        header.type = (uint32_t)fuzz_take(&answer, 1);
                if (kind & 8)
                        header.offset = take_number();
                header.len = item_make((uint8_t)header.type, item);
                if (n_bytes - at < sizeof(header) + header.len)
                        return i;
                if (kind == 0xff)
                        header.len = (uint32_t)fuzz_take(&answer, 4);
                memcpy(room + at, &header, sizeof(header));
                at += sizeof(header);
                memcpy(room + at, item, u64_min(header.len, sizeof(item)));
                at += u64_min(header.len, sizeof(item));
        }
        return fuzz_take(&answer, 1) == 0xff ? (uint32_t)fuzz_take(&answer, 4) : n_items;
}

static void fs_answer(struct btrfs_ioctl_fs_info_args *request)
{
        *request = (struct btrfs_ioctl_fs_info_args){
                .max_id = fuzz_take(&answer, 1) == 0xff ? UINT64_MAX : fuzz_take(&answer, 1),
                .num_devices = fuzz_take(&answer, 1),
                .sectorsize = (uint32_t)take_number(),
        };
}

static int ioctl_answer(unsigned long number, void *argument)
{
        switch (number) {
        case FS_IOC_FIEMAP:
                fiemap_answer(argument);
                break;
        case BTRFS_IOC_TREE_SEARCH_V2: {
                struct btrfs_ioctl_search_args_v2 *request = argument;

                request->key.nr_items =
                        items_answer(&request->key, (uint8_t *)request->buf, request->buf_size);
                break;
        }
        case BTRFS_IOC_FS_INFO:
                fs_answer(argument);
                break;
        case BTRFS_IOC_DEV_INFO:
                if (answer.at == answer.end) {
                        errno = ENODEV;
                        return -1;
                }
                ((struct btrfs_ioctl_dev_info_args *)argument)->total_bytes = take_number();
                ((struct btrfs_ioctl_dev_info_args *)argument)->bytes_used = take_number();
                break;
        case BTRFS_IOC_START_SYNC:
        case BTRFS_IOC_WAIT_SYNC:
                break;
        default:
                require(false);
        }
        return 0;
}

/* In their order, from one end to the other, none over the next. Returns how long they are. */
static uint64_t check_order(const ExtentMap *map, uint64_t from, uint64_t to)
{
        uint64_t next = from, n_bytes = 0;

        for (size_t i = 0; i < map->n_extents; i++) {
                const Extent *extent = &map->extents[i];

                require(extent->length > 0 && extent->logical >= next && extent->logical < to);
                require(extent->length <= to - extent->logical);
                next = extent->logical + extent->length;
                n_bytes += extent->length;
        }
        return n_bytes;
}

/* What FIEMAP says, and what the items of the file say of that. */
static void check_decoded(void)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        uint64_t from, to, n_bytes;
        size_t n_before;
        int r;

        if (extent_map_read(-1, 0, UINT64_MAX, false, 64, &map) < 0 || map.n_extents == 0)
                return;
        from = map.extents[0].logical;
        to = map.extents[map.n_extents - 1].logical + map.extents[map.n_extents - 1].length;
        n_before = map.n_extents;
        n_bytes = check_order(&map, from, to);
        r = btrfs_map_decode(-1, (FileId){.inode = 257, .subvolume = 5}, &map);
        require(r <= 0 && map.n_extents >= n_before && map.n_extents <= EXTENT_MAP_MAX);
        require(check_order(&map, from, to) == n_bytes || !map.complete);
}

static void check_region(void)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        const uint64_t offset = take_number(), length = take_number();
        const uint8_t kind = (uint8_t)fuzz_take(&answer, 1);
        BtrfsRegion region = {0};
        int r = btrfs_region_read(-1, (FileId){.inode = 257, .subvolume = 5}, offset, length,
                                  kind & 1 ? MIB : 8 * MIB, kind & 2, &region, &map);

        require(r <= 0);
        if (r < 0) {
                require(map.n_extents == 0);
                return;
        }
        require(map.n_extents <= region.n_items && region.n_items <= BTRFS_REGION_ITEMS_MAX);
        /* Extents that overlap are the volume's mistake; that they go over an end would be ours. */
        for (size_t i = 0; i < map.n_extents; i++) {
                const Extent *extent = &map.extents[i];

                require(extent->length > 0 && extent->logical >= offset);
                require(extent->length <= u64_add_saturate(offset, length) - extent->logical);
        }
}

static void check_space(void)
{
        const uint64_t n_bytes = take_number(), mean_bytes = 1 + take_number();
        BtrfsPlaces places = {0};
        uint64_t value = 0;
        int r;

        r = btrfs_space_runs(-1, n_bytes, &value);
        require(r <= 0);
        r = btrfs_space_places(-1, n_bytes, mean_bytes, mean_bytes * 2, &places);
        require(r <= 0);
        r = btrfs_space_lengths(-1, &value);
        require(r <= 0);
}

static int on_inode(const InodeFacts *inode, void *userdata)
{
        FileId *last = userdata;

        require(inode->id.subvolume > last->subvolume ||
                (inode->id.subvolume == last->subvolume && inode->id.inode > last->inode));
        *last = inode->id;
        return 0;
}

static void check_inodes(void)
{
        const FsFacts facts = {.block_bytes = 4096};
        FileId last = {0};
        InodeCursor cursor = {0};
        InodeFacts inode;
        int r;

        do {
                const InodeCursor before = cursor;

                require(++n_calls < CALLS_MAX);
                r = btrfs_inodes_next(&facts, -1, &cursor, on_inode, &last);
                require(r <= 1);
                require(r < 1 || cursor.subvolume > before.subvolume ||
                        (cursor.subvolume == before.subvolume && cursor.inode > before.inode));
        } while (r == 1);

        r = btrfs_inode_read(&facts, -1, (FileId){.inode = 257, .subvolume = 5}, &inode);
        require(r < 0 || (r == 0 && inode.id.inode == 257));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        static void (*const checks[])(void) = {check_decoded, check_region, check_space, check_inodes};

        answer = (FuzzBytes){data, data + n_bytes};
        n_calls = 0;
        checks[fuzz_take(&answer, 1) % ELEMENTS(checks)]();
        return 0;
}
