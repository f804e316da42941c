/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stretches of free space by their lengths, chunk by chunk, until there is enough. */

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/btrfs_space.h"
#include "facts/btrfs_tree.h"

/* A stretch as long as that is as good as any: it is an eighth of the longest region. */
#define LONG_BYTES  (8 * MIB)
/* The kernel makes chunks of data of 1 GiB, or a tenth of a small file system; a new one can be made of that. */
#define CHUNK_BYTES (256 * MIB)

/* Numbers of devices that are asked for. The kernel counts up from 1. */
#define DEVICE_ID_MAX 65535
/* Of the tree that are looked at: 32 MiB. What a volume is like shows in less. */
#define ITEMS_MAX     1000000
/* The same where a volume of which more would have to be looked at is one whose free space is in pieces. */
#define FEW_ITEMS     10000

typedef struct Stretches {
        uint64_t wanted_bytes;
        uint64_t long_bytes;       /* in stretches of LONG_BYTES and more */
        uint64_t bytes[64], n[64]; /* by the logarithm of the length */
        uint64_t start, end;       /* of the one that may go on; equal: none */
        unsigned n_items, most_items;
} Stretches;

static void stretch_end(Stretches *stretches)
{
        const uint64_t length = stretches->end - stretches->start;

        if (length > 0) {
                const unsigned bucket = 63 - (unsigned)__builtin_clzll(length);

                stretches->bytes[bucket] += length;
                stretches->n[bucket]++;
                if (length >= LONG_BYTES)
                        stretches->long_bytes += length;
        }
        stretches->start = stretches->end = 0;
}

static void stretch_add(Stretches *stretches, uint64_t start, uint64_t length)
{
        if (start != stretches->end) {
                stretch_end(stretches);
                stretches->start = start;
        }
        stretches->end = start + length;
}

static void bitmap_add(Stretches *stretches, const BtrfsItem *item, uint32_t block_bytes)
{
        const uint8_t *bits = item->data;
        const uint64_t n_bits = item->key.offset / block_bytes;

        for (uint64_t i = 0; i < n_bits && i / 8 < item->n_bytes; i++)
                if (bits[i / 8] & (1U << (i % 8)))
                        stretch_add(stretches, item->key.object + i * block_bytes, block_bytes);
}

static bool is_enough(const Stretches *stretches)
{
        return stretches->long_bytes >= stretches->wanted_bytes ||
               stretches->n_items >= stretches->most_items;
}

static int chunk_read(int fs_fd, uint64_t start, uint64_t length, uint32_t block_bytes, Stretches *stretches)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        const BtrfsKey first = {start, 0, 0};
        const BtrfsKey last = {start + length - 1, UINT8_MAX, UINT64_MAX};
        BtrfsItem item;
        int r;

        r = btrfs_scan_begin(&scan, fs_fd, BTRFS_FREE_SPACE_TREE_OBJECTID, first, last, BTRFS_SCAN_SMALL);
        if (r < 0)
                return r;
        while (!is_enough(stretches) && (r = btrfs_scan_next(&scan, &item)) > 0) {
                stretches->n_items++;
                if (item.key.type == BTRFS_FREE_SPACE_EXTENT_KEY)
                        stretch_add(stretches, item.key.object, item.key.offset);
                else if (item.key.type == BTRFS_FREE_SPACE_BITMAP_KEY)
                        bitmap_add(stretches, &item, block_bytes);
        }
        stretch_end(stretches);
        return r < 0 ? r : 0;
}

/* Every chunk of data, and of data and metadata mixed. */
static int chunks_read(int fs_fd, uint32_t block_bytes, Stretches *stretches)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        const BtrfsKey first = {BTRFS_FIRST_CHUNK_TREE_OBJECTID, BTRFS_CHUNK_ITEM_KEY, 0};
        const BtrfsKey last = {BTRFS_FIRST_CHUNK_TREE_OBJECTID, BTRFS_CHUNK_ITEM_KEY, UINT64_MAX};
        BtrfsItem item;
        int r;

        r = btrfs_scan_begin(&scan, fs_fd, BTRFS_CHUNK_TREE_OBJECTID, first, last, BTRFS_SCAN_SMALL);
        if (r < 0)
                return r;
        while (!is_enough(stretches) && (r = btrfs_scan_next(&scan, &item)) > 0) {
                struct btrfs_chunk chunk;

                if (item.n_bytes < sizeof(chunk))
                        return -EIO;
                memcpy(&chunk, item.data, sizeof(chunk));
                if (!(le64toh(chunk.type) & BTRFS_BLOCK_GROUP_DATA) || chunk.length == 0)
                        continue;
                r = chunk_read(fs_fd, item.key.offset, le64toh(chunk.length), block_bytes, stretches);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : 0;
}

/* Can another chunk be made? A profile of several devices takes a part on each. */
static int has_room_for_chunk(int fs_fd, const struct btrfs_ioctl_fs_info_args *fs, bool *ret)
{
        uint64_t n_roomy = 0, n_seen = 0;

        /* The numbers are the disk's, and may be anything. */
        for (uint64_t id = 0; id <= u64_min(fs->max_id, DEVICE_ID_MAX) && n_seen < fs->num_devices; id++) {
                struct btrfs_ioctl_dev_info_args device = {.devid = id};

                if (ioctl(fs_fd, BTRFS_IOC_DEV_INFO, &device) < 0) {
                        if (errno == ENODEV)
                                continue;
                        return -errno;
                }
                n_seen++;
                if (device.total_bytes - u64_min(device.total_bytes, device.bytes_used) >= CHUNK_BYTES)
                        n_roomy++;
        }
        *ret = n_roomy >= u64_min(fs->num_devices, 2);
        return 0;
}

/* From the longest on. */
static uint64_t runs_of(const Stretches *stretches)
{
        uint64_t left = stretches->wanted_bytes, n_runs = 0;

        for (unsigned bucket = 64; bucket-- > 0 && left > 0;) {
                if (stretches->n[bucket] == 0)
                        continue;
                if (stretches->bytes[bucket] >= left) {
                        const uint64_t mean = stretches->bytes[bucket] / stretches->n[bucket];

                        return n_runs + (left + mean - 1) / mean;
                }
                n_runs += stretches->n[bucket];
                left -= stretches->bytes[bucket];
        }
        /* There is not so much. */
        return left > 0 ? UINT64_MAX : n_runs;
}

int btrfs_space_runs(int fs_fd, uint64_t n_bytes, uint64_t *ret_runs)
{
        Stretches stretches = {.wanted_bytes = n_bytes, .most_items = ITEMS_MAX};
        struct btrfs_ioctl_fs_info_args fs = {0};
        bool roomy = false;
        int r;

        if (ioctl(fs_fd, BTRFS_IOC_FS_INFO, &fs) < 0)
                return -errno;
        if (fs.sectorsize == 0)
                return -EIO;
        r = has_room_for_chunk(fs_fd, &fs, &roomy);
        if (r < 0)
                return r;
        if (roomy) {
                *ret_runs = 1;
                return 0;
        }
        r = chunks_read(fs_fd, fs.sectorsize, &stretches);
        if (r < 0)
                return r;
        *ret_runs = runs_of(&stretches);
        return 0;
}

/* All of them, as long as they are few. */
static int stretches_read(int fs_fd, struct btrfs_ioctl_fs_info_args *ret_fs, Stretches *ret)
{
        *ret = (Stretches){.wanted_bytes = UINT64_MAX, .most_items = FEW_ITEMS};
        *ret_fs = (struct btrfs_ioctl_fs_info_args){0};
        if (ioctl(fs_fd, BTRFS_IOC_FS_INFO, ret_fs) < 0)
                return -errno;
        if (ret_fs->sectorsize == 0)
                return -EIO;
        return chunks_read(fs_fd, ret_fs->sectorsize, ret);
}

/* From the shortest on that can hold a piece of half the mean length. */
static uint64_t most_runs_of(const Stretches *stretches, uint64_t n_bytes, uint64_t mean_bytes)
{
        uint64_t left = n_bytes, n_runs = 0;

        for (unsigned bucket = 0; bucket < 64 && left > 0; bucket++) {
                const uint64_t n = stretches->n[bucket], length = n > 0 ? stretches->bytes[bucket] / n : 0;
                const uint64_t held = length >= mean_bytes ? length / mean_bytes * mean_bytes : length / 2;

                if (n == 0 || length < mean_bytes / 2 || held == 0)
                        continue;
                if (n >= left / held + 1)
                        return n_runs + left / held + 1;
                n_runs += n;
                left -= n * held;
        }
        /* A chunk that is made anew. */
        return n_runs + (left > 0);
}

int btrfs_space_places(int fs_fd, uint64_t n_bytes, uint64_t mean_bytes, uint64_t most_bytes,
                       BtrfsPlaces *ret)
{
        struct btrfs_ioctl_fs_info_args fs;
        Stretches stretches;
        bool roomy = false;
        int r;

        if (mean_bytes == 0 || most_bytes == 0)
                return -EINVAL;
        r = stretches_read(fs_fd, &fs, &stretches);
        if (r == 0)
                r = has_room_for_chunk(fs_fd, &fs, &roomy);
        if (r < 0)
                return r;
        *ret = (BtrfsPlaces){
                .most_runs = stretches.n_items >= stretches.most_items
                                     ? UINT64_MAX
                                     : most_runs_of(&stretches, n_bytes, mean_bytes),
                .sure_bytes = roomy ? CHUNK_BYTES : 0,
        };
        for (unsigned bucket = 0; bucket < 64; bucket++) {
                const uint64_t shortest = UINT64_C(1) << bucket;

                if (shortest >= most_bytes)
                        ret->sure_bytes += stretches.n[bucket] * (shortest / most_bytes * most_bytes);
        }
        return 0;
}

int btrfs_space_lengths(int fs_fd, uint64_t *ret)
{
        struct btrfs_ioctl_fs_info_args fs;
        Stretches stretches;
        uint64_t lengths = 0;
        int r;

        r = stretches_read(fs_fd, &fs, &stretches);
        if (r < 0)
                return r;
        for (unsigned bucket = 0; bucket < 64; bucket++)
                if (stretches.n[bucket] > 0)
                        lengths |= UINT64_C(1) << bucket;
        *ret = stretches.n_items >= stretches.most_items ? UINT64_MAX : lengths;
        return 0;
}
