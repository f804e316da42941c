/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* inventory [OPTION...] MOUNT
 *
 * Makes an inventory of the XFS mounted there in slices. At its end each candidate is printed in one line, best first:
 * inode, inode of the parent, extents, name, path, separated by tabs ("-" for what is not known). The last line of standard
 * error has the figures.
 *
 *   --exclude=PATTERN   Exclude=, repeatable          --min-size=BYTES   MinFileSize= (4096)
 *   --slice=USEC        deadline of a slice (none)    --cancel           each slice is cancelled before it begins
 *   --steps=N           stop after N slices           --inside=N         stop after the Nth that ended in a directory,
 *                                                     --at=INODE         in this one
 *   --between=COMMAND   run after each slice; must succeed
 *   --state=FILE        go on from FILE if it is there; an inventory that is stopped is written to it and nothing is printed
 *
 * inventory --make=N DIR makes N small files in two extents, DIR/0, DIR/1 ..., each worth less than the one before, in
 * another order than that.
 *
 * inventory --room prints how many candidates an inventory keeps.
 *
 * Status 0: complete; 3: stopped; 1: a slice made no progress or the command between two failed; 2: errors, errno told. */

#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "decide/worth.h"
#include "work/inventory.h"

#define STATUS_WRONG   1
#define STATUS_ERROR   2
#define STATUS_STOPPED 3

static uint64_t arg_slice_usec = UINT64_MAX, arg_steps = UINT64_MAX, arg_inside = UINT64_MAX, arg_at,
                arg_make;
static uint64_t arg_min_bytes = 4096;
static char *arg_excludes[16];
static size_t arg_n_excludes;
static const char *arg_between, *arg_state;
static bool arg_cancel;

static uint64_t number_of(const char *text)
{
        char *end;
        unsigned long long number;

        errno = 0;
        number = strtoull(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0')
                error(STATUS_ERROR, 0, "not a number: %s", text);
        return number;
}

/* A block, a hole of one, a block, and a hole to the end. */
static void make_file(int dir_fd, uint64_t number)
{
        static const char block[4096] = {1};
        char name[24];
        int fd;

        (void)snprintf(name, sizeof(name), "%" PRIu64, number);
        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 || pwrite(fd, block, sizeof(block), 0) != sizeof(block) ||
            pwrite(fd, block, sizeof(block), 8192) != sizeof(block) ||
            ftruncate(fd, (off_t)(12288 + 4096 * number)) < 0)
                error(STATUS_ERROR, errno, "%s", name);
        (void)close(fd);
}

static int make_files(const char *path)
{
        _cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* Has no factor in common with any number of files that is not its multiple. */
        const uint64_t step = 7919;

        if (dir_fd < 0)
                error(STATUS_ERROR, errno, "%s", path);
        for (uint64_t i = 0; i < arg_make; i++)
                make_file(dir_fd, i * step % arg_make);
        if (syncfs(dir_fd) < 0)
                error(STATUS_ERROR, errno, "%s", path);
        return 0;
}

static void state_read(Inventory *inventory)
{
        _cleanup_fclose_ FILE *file = fopen(arg_state, "re");
        InodeCursor cursor;
        uint64_t phase, offset;
        Candidate item = {0};
        int n;

        if (!file)
                return;
        if (fscanf(file, "%" SCNu64 " %" SCNu32 " %" SCNu64 " %" SCNu64, &phase, &cursor.subvolume,
                   &cursor.inode, &offset) != 4)
                error(STATUS_ERROR, 0, "%s", arg_state);
        inventory_resume(inventory, (InventoryPhase)phase, cursor, offset);
        while ((n = fscanf(file,
                           "%" SCNu32 " %" SCNu64 " %" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu64
                           " %" SCNu32 " %m[^\n]",
                           &item.id.subvolume, &item.id.inode, &item.id.generation, &item.size_bytes,
                           &item.n_extents, &item.parent.subvolume, &item.parent.inode,
                           &item.parent.generation, &item.path)) == 9) {
                if (strcmp(item.path, "-") == 0)
                        free(TAKE_PTR(item.path));
                if (inventory_add(inventory, &item) < 0)
                        error(STATUS_ERROR, ENOMEM, "%s", arg_state);
                item = (Candidate){0};
        }
        if (n != EOF)
                error(STATUS_ERROR, 0, "%s: a line with %d fields", arg_state, n);
}

static void state_write(const Inventory *inventory)
{
        FILE *file = fopen(arg_state, "we");

        if (!file)
                error(STATUS_ERROR, errno, "%s", arg_state);
        (void)fprintf(file, "%d %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", (int)inventory->phase,
                      inventory->cursor.subvolume, inventory->cursor.inode, inventory->offset);
        for (size_t i = 0; i < inventory->n_items; i++) {
                const Candidate *item = &inventory->items[i].candidate;

                if (!inventory->items[i].excluded)
                        (void)fprintf(file,
                                      "%" PRIu32 " %" PRIu64 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu32
                                      " %" PRIu64 " %" PRIu32 " %s\n",
                                      item->id.subvolume, item->id.inode, item->id.generation,
                                      item->size_bytes, item->n_extents, item->parent.subvolume,
                                      item->parent.inode, item->parent.generation,
                                      item->path ? item->path : "-");
        }
        if (fclose(file) != 0)
                error(STATUS_ERROR, errno, "%s", arg_state);
}

static int order(const void *left, const void *right)
{
        const Candidate *a = &((const InventoryItem *)left)->candidate;
        const Candidate *b = &((const InventoryItem *)right)->candidate;
        const int by_worth = worth_order(a->n_extents, a->size_bytes, b->n_extents, b->size_bytes);

        return by_worth != 0 ? by_worth : (a->id.inode > b->id.inode) - (a->id.inode < b->id.inode);
}

static void print(Inventory *inventory)
{
        if (inventory->n_items > 0)
                qsort(inventory->items, inventory->n_items, sizeof(*inventory->items), order);
        for (size_t i = 0; i < inventory->n_items; i++) {
                const InventoryItem *item = &inventory->items[i];

                printf("%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\n", item->candidate.id.inode,
                       item->candidate.parent.inode, item->candidate.n_extents,
                       item->name ? item->name : "-", item->candidate.path ? item->candidate.path : "-");
        }
        if (fflush(stdout) != 0)
                error(STATUS_ERROR, errno, "standard output");
}

/* Until it is complete or one of the options says stop. Returns as inventory_step(). */
static int run(Inventory *inventory, const FsVolume *volume, const VolumeConfig *config)
{
        const atomic_bool cancel = arg_cancel;
        uint64_t n_steps = 0, n_inside = 0, longest_usec = 0, spent_usec[INVENTORY_PHASE_MAX_] = {0};
        int r;

        do {
                const InventoryPhase phase = inventory->phase;
                const InodeCursor cursor = inventory->cursor;
                const uint64_t offset = inventory->offset;
                const uint64_t start_usec = clock_monotonic_usec();
                uint64_t usec;

                r = inventory_step(inventory, volume, config,
                                   arg_slice_usec == UINT64_MAX ? UINT64_MAX : start_usec + arg_slice_usec,
                                   &cancel);
                usec = clock_monotonic_usec() - start_usec;
                n_steps++;
                longest_usec = u64_max(longest_usec, usec);
                spent_usec[phase] += usec;
                if (r < 0)
                        error(STATUS_ERROR, -r, "%s", volume->mount_path);
                if (r > 0 && phase == inventory->phase && cursor.inode == inventory->cursor.inode &&
                    cursor.subvolume == inventory->cursor.subvolume && offset == inventory->offset)
                        error(STATUS_WRONG, 0, "a slice without progress");
                n_inside += r > 0 && inventory->offset != 0 &&
                            (arg_at == 0 || arg_at == inventory->cursor.inode);
                if (arg_between && system(arg_between) != 0)
                        error(STATUS_WRONG, 0, "failed after slice %" PRIu64 ": %s", n_steps, arg_between);
        } while (r > 0 && n_steps < arg_steps && n_inside < arg_inside);
        (void)fprintf(stderr,
                      "slices=%" PRIu64 " inside=%" PRIu64 " longest_usec=%" PRIu64 " inodes=%" PRIu64
                      " files=%" PRIu64 " dropped=%" PRIu64 " files_usec=%" PRIu64 " names_usec=%" PRIu64
                      "\n",
                      n_steps, n_inside, longest_usec, inventory->n_inodes, inventory->n_files,
                      inventory->n_dropped, spent_usec[INVENTORY_FILES], spent_usec[INVENTORY_NAMES]);
        return r;
}

static int take_inventory(const char *mount_path)
{
        const VolumeConfig config = {
                .min_file_bytes = arg_min_bytes,
                .excludes = arg_excludes,
                .n_excludes = arg_n_excludes,
        };
        _cleanup_(fs_volume_done) FsVolume volume = {0};
        _cleanup_(inventory_done) Inventory inventory;
        struct stat status;
        int r;

        inventory_begin(&inventory);
        if (stat(mount_path, &status) < 0)
                error(STATUS_ERROR, errno, "%s", mount_path);
        r = fs_volume_init(&volume, mount_path, status.st_dev);
        if (r < 0)
                error(STATUS_ERROR, -r, "%s", mount_path);
        if (arg_state)
                state_read(&inventory);
        r = run(&inventory, &volume, &config);
        if (r > 0) {
                if (arg_state)
                        state_write(&inventory);
                return STATUS_STOPPED;
        }
        inventory_finish(&inventory, &volume, &config);
        print(&inventory);
        return 0;
}

int main(int argc, char *argv[])
{
        static const struct option options[] = {
                {"exclude", required_argument, NULL, 'x'}, {"min-size", required_argument, NULL, 'm'},
                {"slice", required_argument, NULL, 's'},   {"cancel", no_argument, NULL, 'c'},
                {"steps", required_argument, NULL, 'n'},   {"inside", required_argument, NULL, 'i'},
                {"between", required_argument, NULL, 'b'}, {"state", required_argument, NULL, 'f'},
                {"at", required_argument, NULL, 'a'},      {"make", required_argument, NULL, 'M'},
                {"room", no_argument, NULL, 'r'},          {0},
        };
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case 'x':
                        if (arg_n_excludes == ELEMENTS(arg_excludes))
                                error(STATUS_ERROR, 0, "too many patterns");
                        arg_excludes[arg_n_excludes++] = optarg;
                        break;
                case 'm':
                        arg_min_bytes = number_of(optarg);
                        break;
                case 'r':
                        printf("%d\n", INVENTORY_MAX);
                        return fflush(stdout) == 0 ? 0 : STATUS_ERROR;
                case 's':
                        arg_slice_usec = number_of(optarg);
                        break;
                case 'c':
                        arg_cancel = true;
                        break;
                case 'n':
                        arg_steps = number_of(optarg);
                        break;
                case 'i':
                        arg_inside = number_of(optarg);
                        break;
                case 'a':
                        arg_at = number_of(optarg);
                        break;
                case 'b':
                        arg_between = optarg;
                        break;
                case 'f':
                        arg_state = optarg;
                        break;
                case 'M':
                        arg_make = number_of(optarg);
                        break;
                default:
                        return STATUS_ERROR;
                }
        if (optind != argc - 1)
                error(STATUS_ERROR, 0, "one directory, please");
        return arg_make > 0 ? make_files(argv[optind]) : take_inventory(argv[optind]);
}
