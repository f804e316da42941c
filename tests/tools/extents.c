/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* extents [--total] PATH...
 *
 * Prints for each file the number of runs in which it lies: physically contiguous stretches. A hole does not end a run,
 * nor does the border between written and preallocated. Directories are passed over. --total: one number for all. */

#include "btrfs-items.h"

typedef struct Count {
        uint64_t n_runs;
        uint64_t expected; /* where the run would go on */
        bool any_encoded;  /* FIEMAP does not tell where such an extent ends */
} Count;

static void on_item(const struct btrfs_file_extent_item *item, void *userdata)
{
        const bool is_encoded = item->compression != 0;
        Count *count = userdata;
        const uint64_t place = le64toh(item->disk_bytenr) + (is_encoded ? 0 : le64toh(item->offset));

        count->n_runs += count->n_runs == 0 || place != count->expected;
        count->expected = place + le64toh(is_encoded ? item->disk_num_bytes : item->num_bytes);
}

static void on_extent(const struct fiemap_extent *extent, void *userdata)
{
        Count *count = userdata;

        if (count->n_runs == 0 || extent->fe_physical != count->expected)
                count->n_runs++;
        count->expected = extent->fe_physical + extent->fe_length;
        count->any_encoded |= (extent->fe_flags & FIEMAP_EXTENT_ENCODED) != 0;
}

int main(int argc, char *argv[])
{
        bool only_total = argc > 1 && strcmp(argv[1], "--total") == 0;
        uint64_t n_total = 0;

        for (int i = 1 + only_total; i < argc; i++) {
                int fd = open(argv[i], O_RDONLY | O_NOATIME | O_CLOEXEC);
                Count count = {0};
                struct stat status;

                if (fd < 0 || fstat(fd, &status) < 0)
                        die("%s", argv[i]);
                if (S_ISDIR(status.st_mode)) {
                        (void)close(fd);
                        continue;
                }
                for_each_extent(fd, argv[i], on_extent, &count);
                if (count.any_encoded) {
                        count = (Count){0};
                        for_each_item(fd, argv[i], on_item, &count);
                }
                (void)close(fd);
                if (!only_total)
                        printf("%llu %s\n", (unsigned long long)count.n_runs, argv[i]);
                n_total += count.n_runs;
        }
        if (only_total)
                printf("%llu\n", (unsigned long long)n_total);
        return fflush(stdout) == 0 ? 0 : STATUS_ERROR;
}
