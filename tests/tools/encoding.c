/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* encoding PATH...
 *
 * How the data of a file on btrfs is written, by the file's own items, after it was synced. A line a file:
 *
 *   NONE ZLIB LZO ZSTD BYTES RUNS
 *
 * The numbers of extents by algorithm; how long all of them are on the disk; and in how many runs they lie, where one goes on right behind the one
 * before it in the file on the disk. */

#include <endian.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/stat.h>

#include "tool.h"

#define ITEMS_BYTES (16 << 20)
#define ALGORITHMS  4

typedef struct Count {
        uint64_t n_extents[ALGORITHMS];
        uint64_t n_bytes, n_runs, expected;
} Count;

static void count_item(Count *count, const char *path, const void *data, size_t n_bytes)
{
        struct btrfs_file_extent_item item;

        if (n_bytes < sizeof(item))
                die_plainly("%s: data within the inode", path);
        memcpy(&item, data, sizeof(item));
        if (item.disk_bytenr == 0)
                return;
        if (item.compression >= ALGORITHMS)
                die_plainly("%s: algorithm %u", path, item.compression);
        count->n_extents[item.compression]++;
        count->n_bytes += le64toh(item.disk_num_bytes);
        count->n_runs += count->n_runs == 0 || le64toh(item.disk_bytenr) != count->expected;
        count->expected = le64toh(item.disk_bytenr) + le64toh(item.disk_num_bytes);
}

static void count_file(const char *path, struct btrfs_ioctl_search_args_v2 *search)
{
        struct btrfs_ioctl_ino_lookup_args lookup = {.objectid = BTRFS_FIRST_FREE_OBJECTID};
        const char *at = (const char *)search->buf;
        const int fd = open(path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        Count count = {0};
        struct stat status;

        if (fd < 0 || fsync(fd) < 0 || fstat(fd, &status) < 0)
                die("%s", path);
        if (ioctl(fd, BTRFS_IOC_INO_LOOKUP, &lookup) < 0)
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
        for (uint32_t i = 0; i < search->key.nr_items; i++) {
                struct btrfs_ioctl_search_header header;

                memcpy(&header, at, sizeof(header));
                count_item(&count, path, at + sizeof(header), header.len);
                at += sizeof(header) + header.len;
        }
        (void)close(fd);
        for (size_t i = 0; i < ALGORITHMS; i++)
                printf("%llu ", (unsigned long long)count.n_extents[i]);
        printf("%llu %llu\n", (unsigned long long)count.n_bytes, (unsigned long long)count.n_runs);
}

int main(int argc, char *argv[])
{
        struct btrfs_ioctl_search_args_v2 *search = malloc(sizeof(*search) + ITEMS_BYTES);

        if (argc < 2)
                die_plainly("usage: encoding PATH...");
        if (!search)
                die("memory");
        for (int i = 1; i < argc; i++)
                count_file(argv[i], search);
        free(search);
        return fflush(stdout) == 0 ? 0 : STATUS_ERROR;
}
