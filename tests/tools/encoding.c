/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* encoding PATH...
 *
 * How the data of a file on btrfs is written, by the file's own items, after it was synced. A line a file:
 *
 *   NONE ZLIB LZO ZSTD BYTES RUNS
 *
 * The numbers of extents by algorithm; how long all of them are on the disk; and in how many runs they lie, where one goes on right behind the one
 * before it in the file on the disk. */

#include "btrfs-items.h"

#define ALGORITHMS 4

typedef struct Count {
        uint64_t n_extents[ALGORITHMS];
        uint64_t n_bytes, n_runs, expected;
} Count;

static void on_item(const struct btrfs_file_extent_item *item, void *userdata)
{
        Count *count = userdata;

        if (item->compression >= ALGORITHMS)
                die_plainly("algorithm %u", item->compression);
        count->n_extents[item->compression]++;
        count->n_bytes += le64toh(item->disk_num_bytes);
        count->n_runs += count->n_runs == 0 || le64toh(item->disk_bytenr) != count->expected;
        count->expected = le64toh(item->disk_bytenr) + le64toh(item->disk_num_bytes);
}

int main(int argc, char *argv[])
{
        if (argc < 2)
                die_plainly("usage: encoding PATH...");
        for (int i = 1; i < argc; i++) {
                const int fd = open(argv[i], O_RDONLY | O_NOATIME | O_CLOEXEC);
                Count count = {0};

                if (fd < 0 || fsync(fd) < 0)
                        die("%s", argv[i]);
                for_each_item(fd, argv[i], on_item, &count);
                (void)close(fd);
                for (size_t k = 0; k < ALGORITHMS; k++)
                        printf("%llu ", (unsigned long long)count.n_extents[k]);
                printf("%llu %llu\n", (unsigned long long)count.n_bytes, (unsigned long long)count.n_runs);
        }
        return fflush(stdout) == 0 ? 0 : STATUS_ERROR;
}
