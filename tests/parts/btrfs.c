/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* part-btrfs COMMAND MOUNT [ARGUMENT...]: what the daemon sees and does of a btrfs, one thing at a time. MOUNT is a directory on it.
 *
 *   facts                       devices, features, sizes
 *   inventory [--batch=N]       every inode: subvolume, inode, generation, type, bytes, extents. --batch: stop after N batches and begin anew
 *                               from where they ended, as after a restart
 *   inode FILE...               the same of single ones
 *   path FILE...                from the top of the file system, by identity
 *   open FILE...                by identity, through MOUNT; prints the first 16 bytes
 *   region FILE OFFSET LENGTH   bytes moved, freed, compressed; runs
 *   compresses FILE...          1 or 0
 *   free                        bytes
 *   lock COMMAND                holds the lock of the file system while the command runs
 *   move FILE...                as the service would; outcome, runs before and after, bytes. --between=COMMAND: run before each commit step
 *
 * Status 2: an error, errno told. */

#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/units.h"
#include "facts/btrfs.h"
#include "facts/btrfs_encoding.h"
#include "facts/btrfs_extents.h"
#include "facts/mounts.h"
#include "fs/copy.h"
#include "fs/engine.h"
#include "fs/lease.h"
#include "work/relocation.h"

static const char *arg_mount, *arg_between;

static FileId id_of(const char *path)
{
        FileId id;
        int r = file_id_from_name(AT_FDCWD, path, &id);

        if (r < 0)
                error(2, -r, "%s", path);
        return id;
}

static int mount_open(void)
{
        int fd = open(arg_mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                error(2, errno, "%s", arg_mount);
        return fd;
}

static void facts_read(int fd, FsFacts *ret)
{
        int r = file_system_read(fd, ret);

        if (r < 0)
                error(2, -r, "%s", arg_mount);
}

static int print_inode(const InodeFacts *inode, void *userdata)
{
        (void)userdata;
        printf("%" PRIu32 " %" PRIu64 " %" PRIu32 " %c %" PRIu64 " %" PRIu64 "\n", inode->id.subvolume,
               inode->id.inode, inode->id.generation,
               S_ISREG(inode->mode) ? 'f' : (S_ISDIR(inode->mode) ? 'd' : '-'), inode->size_bytes,
               inode->n_extents);
        return 0;
}

static void command_facts(void)
{
        _cleanup_close_ int fd = mount_open();
        dev_t devices[16];
        FsFacts facts;
        int n;

        facts_read(fd, &facts);
        printf("type %s\nblock %" PRIu32 "\ntotal %" PRIu64 "\ndegraded %d\nseed %d\nexclusive %d\n",
               facts.type->name, facts.block_bytes, facts.total_bytes, facts.btrfs.is_degraded,
               facts.btrfs.has_seed, facts.type->is_exclusive(&facts));
        n = btrfs_devices_read(fd, devices, ELEMENTS(devices));
        if (n < 0)
                error(2, -n, "devices");
        for (int i = 0; i < n; i++)
                printf("device %u:%u\n", major(devices[i]), minor(devices[i]));
}

static void command_inventory(uint64_t n_batches)
{
        _cleanup_close_ int fd = mount_open();
        InodeCursor cursor = {0};
        uint64_t n = 0;
        FsFacts facts;
        int r;

        facts_read(fd, &facts);
        do {
                r = facts.type->inodes_next(&facts, fd, &cursor, print_inode, NULL);
                if (r < 0)
                        error(2, -r, "inventory");
                if (n_batches > 0 && ++n % n_batches == 0) {
                        (void)close(fd);
                        fd = mount_open();
                }
        } while (r > 0);
}

static void command_inode(char *const *paths)
{
        _cleanup_close_ int fd = mount_open();
        InodeFacts inode;
        FsFacts facts;

        facts_read(fd, &facts);
        for (; *paths; paths++) {
                int r = facts.type->inode_read(&facts, fd, id_of(*paths), &inode);

                if (r < 0)
                        error(2, -r, "%s", *paths);
                (void)print_inode(&inode, NULL);
        }
}

static void command_path(char *const *paths)
{
        _cleanup_close_ int fd = mount_open();

        for (; *paths; paths++) {
                _cleanup_free_ char *path = NULL;
                int r = btrfs_inode_path(fd, id_of(*paths), &path);

                if (r < 0)
                        error(2, -r, "%s", *paths);
                printf("%s\n", path);
        }
}

static void command_open(char *const *paths)
{
        _cleanup_close_ int fd = mount_open();

        for (; *paths; paths++) {
                _cleanup_close_ int file_fd =
                        file_system_btrfs.inode_open(fd, id_of(*paths), O_RDONLY | O_NONBLOCK);
                char content[16] = "";

                if (file_fd < 0)
                        error(2, -file_fd, "%s", *paths);
                if (read(file_fd, content, sizeof(content)) < 0)
                        error(2, errno, "%s", *paths);
                printf("%.16s\n", content);
        }
}

static void command_region(const char *path, const char *offset, const char *length)
{
        _cleanup_close_ int fd = mount_open();
        _cleanup_(extent_map_done) ExtentMap map = {0};
        BtrfsRegion region;
        int r = btrfs_region_read(fd, id_of(path), strtoull(offset, NULL, 0), strtoull(length, NULL, 0),
                                  8 * MIB, true, &region, &map);

        if (r < 0)
                error(2, -r, "%s", path);
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", region.moved_bytes,
               region.freed_bytes, region.held_bytes, region.encoded_bytes, extent_map_runs(&map));
}

static void command_compresses(char *const *paths)
{
        for (; *paths; paths++) {
                _cleanup_close_ int fd = open(*paths, O_RDONLY | O_CLOEXEC);
                BtrfsEncoding would;
                int r = fd < 0 ? -errno : btrfs_encoding_read(fd, &would);

                if (r < 0)
                        error(2, -r, "%s", *paths);
                printf("%d %d\n", would.type, would.level);
        }
}

static void volume_init(FsVolume *volume)
{
        _cleanup_close_ int fd = mount_open();
        struct stat status;
        dev_t device;
        int r;

        if (fstat(fd, &status) < 0)
                error(2, errno, "%s", arg_mount);
        r = mount_device(fd, &status, &device);
        if (r == 0)
                r = fs_volume_init(volume, arg_mount, device);
        if (r < 0)
                error(2, -r, "%s", arg_mount);
}

static void command_free(void)
{
        _cleanup_(fs_volume_done) FsVolume volume = {0};
        _cleanup_close_ int fd = -EBADF;
        uint64_t n_bytes = 0;
        int r;

        volume_init(&volume);
        fd = fs_volume_open(&volume);
        r = fd < 0 ? fd : fs_volume_free_bytes(&volume, fd, &n_bytes);
        if (r < 0)
                error(2, -r, "free");
        printf("%" PRIu64 "\n", n_bytes);
}

static int command_lock(const char *command)
{
        _cleanup_(fs_volume_done) FsVolume volume = {0};
        _cleanup_close_ int fd = -EBADF;

        volume_init(&volume);
        fd = fs_volume_open_locked(&volume);
        if (fd < 0)
                error(2, -fd, "lock");
        return system(command) == 0 ? 0 : 1;
}

static void move(FsVolume *volume, Copier *copier, const RelocationOptions *options, const char *path)
{
        const Candidate candidate = {.id = id_of(path)};
        const RelocationResult *result;
        Relocation *relocation;
        RelocationStep step;

        if (relocation_new(volume, copier, &candidate, options, &relocation) < 0)
                error(2, ENOMEM, "relocation");
        do {
                uint64_t wait_usec = 0;

                if (arg_between && strcmp(relocation_stage(relocation), "commit") == 0 &&
                    system(arg_between) != 0)
                        error(2, 0, "%s failed", arg_between);
                step = relocation_step(relocation, &wait_usec);
                if (step == RELOCATION_WAIT)
                        (void)usleep((useconds_t)wait_usec);
        } while (step != RELOCATION_DONE);
        result = relocation_result(relocation);
        printf("%s%s%s %" PRIu64 " %" PRIu64 " %" PRIu64 "%s%s\n", outcome_name(result->outcome),
               result->reason == REASON_NONE ? "" : ":", reason_name(result->reason), result->runs_before,
               result->runs_after, result->bytes_moved, result->error ? " " : "",
               result->error ? strerror(result->error) : "");
        if (result->trip.kind != TRIP_NONE)
                printf("TRIP %s at %s: %s\n", trip_text(result->trip.kind), result->trip.step,
                       strerror(result->trip.error));
        (void)relocation_free(relocation);
}

static void command_move(char *const *paths)
{
        _cleanup_(fs_volume_done) FsVolume volume = {0};
        RelocationOptions options = {.max_rate = BYTES_INFINITY, .max_bytes = BYTES_INFINITY};
        Copier *copier;

        volume_init(&volume);
        options.limits = (PlanLimits){
                .max_region_bytes = PLAN_REGION_BYTES,
                .max_region_runs = PLAN_REGION_RUNS,
                .bytes_per_run = plan_bytes_per_run(true),
        };
        lease_ignore_breaks();
        if (copier_new(true, &copier) < 0)
                error(2, ENOMEM, "copier");
        for (; *paths; paths++)
                move(&volume, copier, &options, *paths);
        (void)copier_free(copier);
}

int main(int argc, char *argv[])
{
        const char *command = argc > 2 ? argv[1] : "";
        char **rest = argv + 3;
        int n_rest = argc - 3, status = 0;

        if (argc < 3)
                error(2, 0, "part-btrfs COMMAND MOUNT [ARGUMENT...]");
        arg_mount = argv[2];
        if (n_rest > 0 && strncmp(rest[0], "--between=", 10) == 0) {
                arg_between = rest[0] + 10;
                rest++;
                n_rest--;
        }
        if (strcmp(command, "facts") == 0)
                command_facts();
        else if (strcmp(command, "inventory") == 0)
                command_inventory(n_rest == 1 && strncmp(rest[0], "--batch=", 8) == 0
                                          ? strtoull(rest[0] + 8, NULL, 10)
                                          : 0);
        else if (strcmp(command, "inode") == 0)
                command_inode(rest);
        else if (strcmp(command, "path") == 0)
                command_path(rest);
        else if (strcmp(command, "open") == 0)
                command_open(rest);
        else if (strcmp(command, "region") == 0 && n_rest == 3)
                command_region(rest[0], rest[1], rest[2]);
        else if (strcmp(command, "compresses") == 0)
                command_compresses(rest);
        else if (strcmp(command, "free") == 0)
                command_free();
        else if (strcmp(command, "lock") == 0 && n_rest == 1)
                status = command_lock(rest[0]);
        else if (strcmp(command, "move") == 0)
                command_move(rest);
        else
                error(2, 0, "no such command: %s", command);
        return fflush(stdout) == 0 ? status : 2;
}
