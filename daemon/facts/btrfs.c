/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file system as a whole, and its files by identity. Inodes one after the other are in btrfs_inodes.c. */

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/protection.h"
#include "facts/btrfs_encoding.h"
#include "facts/btrfs_inodes.h"
#include "facts/btrfs_ties.h"
#include "facts/btrfs_tree.h"
#include "facts/file_system.h"
#include "facts/sysfs.h"

/* A handle as name_to_handle_at(2) gives it for a file of a btrfs (fs/btrfs/export.h): enough to find it through any mount. */
typedef struct __attribute__((packed)) BtrfsHandle {
        uint64_t object;
        uint64_t root;
        uint32_t generation;
} BtrfsHandle;
_Static_assert(sizeof(BtrfsHandle) == 20, "layout of struct btrfs_fid without a parent");

#define HANDLE_BTRFS 0x4d

static int fs_info_read(int fs_fd, struct btrfs_ioctl_fs_info_args *ret)
{
        *ret = (struct btrfs_ioctl_fs_info_args){0};
        if (ioctl(fs_fd, BTRFS_IOC_FS_INFO, ret) < 0)
                /* Other file systems may have the number for something else. */
                return errno == ENOTTY || errno == EINVAL || errno == EOPNOTSUPP ? -EOPNOTSUPP : -errno;
        return 0;
}

/* Returns 0, -EOPNOTSUPP for another file system, -errno. */
static int check_btrfs(int fs_fd)
{
        struct statfs status;

        if (fstatfs(fs_fd, &status) < 0)
                return -errno;
        return status.f_type == BTRFS_SUPER_MAGIC ? 0 : -EOPNOTSUPP;
}

#define SYSFS_PATH_MAX 128

/* /sys/fs/btrfs/UUID/NAME */
static void sysfs_path(const uint8_t uuid[static 16], const char *name, char ret[static SYSFS_PATH_MAX])
{
        int n = snprintf(ret, SYSFS_PATH_MAX, "/sys/fs/btrfs/");

        for (unsigned i = 0; i < 16; i++)
                n += snprintf(ret + n, SYSFS_PATH_MAX - (size_t)n, "%s%02x",
                              i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
        (void)snprintf(ret + n, SYSFS_PATH_MAX - (size_t)n, "/%s", name);
}

/* The kernel shows a missing device by no name, by one that is no path, or by the one that it had; where sysfs tells (Linux 5.6) it is asked. */
static bool device_is_missing(int fs_fd, const uint8_t *uuid, uint64_t device)
{
        struct btrfs_ioctl_dev_info_args info = {.devid = device};
        char path[SYSFS_PATH_MAX], name[64], what[8];

        if (ioctl(fs_fd, BTRFS_IOC_DEV_INFO, &info) < 0)
                return true;
        (void)snprintf(name, sizeof(name), "devinfo/%llu/missing", (unsigned long long)device);
        sysfs_path(uuid, name, path);
        if (sysfs_line_read(AT_FDCWD, path, what, sizeof(what)) >= 0)
                return strcmp(what, "0") != 0;
        return info.path[0] == '\0' || info.path[0] == '<';
}

/* Looks at every device: is it there, and is it of this file system or of a seed? */
static int devices_judge(int fs_fd, const uint8_t *uuid, uint64_t n_devices, BtrfsFacts *facts)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        const BtrfsKey first = {BTRFS_DEV_ITEMS_OBJECTID, BTRFS_DEV_ITEM_KEY, 0};
        const BtrfsKey last = {BTRFS_DEV_ITEMS_OBJECTID, BTRFS_DEV_ITEM_KEY, UINT64_MAX};
        uint8_t own[BTRFS_FSID_SIZE];
        uint64_t n_seen = 0;
        BtrfsItem item;
        int r;

        r = btrfs_scan_begin(&scan, fs_fd, BTRFS_CHUNK_TREE_OBJECTID, first, last, BTRFS_SCAN_SMALL);
        if (r < 0)
                return r;
        while ((r = btrfs_scan_next(&scan, &item)) > 0) {
                struct btrfs_dev_item device;

                if (item.n_bytes < sizeof(device))
                        return -EIO;
                memcpy(&device, item.data, sizeof(device));
                /* All of a file system's own have the same identity here, which is not the one that is shown when that was changed. */
                if (n_seen++ == 0)
                        memcpy(own, device.fsid, sizeof(own));
                else if (memcmp(own, device.fsid, sizeof(own)) != 0)
                        facts->has_seed = true;
                if (device_is_missing(fs_fd, uuid, item.key.offset))
                        facts->is_degraded = true;
        }
        if (r < 0)
                return r;
        /* Seeds are in the tree of chunks, too, and not counted. */
        if (n_seen > n_devices)
                facts->has_seed = true;
        return 0;
}

static int btrfs_read(int fs_fd, FsFacts *ret)
{
        struct btrfs_ioctl_fs_info_args info;
        struct btrfs_ioctl_feature_flags features = {0};
        struct statfs status;
        FsFacts facts = {.type = &file_system_btrfs, .n_groups = 1};
        int r;

        r = check_btrfs(fs_fd);
        if (r < 0)
                return r;
        r = fs_info_read(fs_fd, &info);
        if (r < 0)
                return r;
        if (ioctl(fs_fd, BTRFS_IOC_GET_FEATURES, &features) < 0 || fstatfs(fs_fd, &status) < 0)
                return -errno;
        if (info.sectorsize == 0 || status.f_bsize <= 0)
                return -EIO;
        memcpy(facts.uuid, info.fsid, sizeof(facts.uuid));
        facts.block_bytes = facts.sector_bytes = info.sectorsize;
        /* As statfs counts free space, too: copies of RAID profiles count once. */
        facts.total_bytes = (uint64_t)status.f_blocks * (uint64_t)status.f_bsize;
        facts.btrfs = (BtrfsFacts){.n_devices = info.num_devices, .incompat = features.incompat_flags};
        r = devices_judge(fs_fd, facts.uuid, info.num_devices, &facts.btrfs);
        if (r < 0)
                return r;
        *ret = facts;
        return 0;
}

static int handle_open(int fs_fd, FileId id, int flags)
{
        const BtrfsHandle handle = {.object = id.inode, .root = id.subvolume, .generation = id.generation};
        union {
                struct file_handle header;
                unsigned char room[sizeof(struct file_handle) + sizeof(BtrfsHandle)];
        } request = {.header = {.handle_bytes = sizeof(handle), .handle_type = HANDLE_BTRFS}};
        int fd;

        memcpy(request.header.f_handle, &handle, sizeof(handle));
        fd = open_by_handle_at(fs_fd, &request.header, flags | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESTALE : -errno;
        return fd;
}

/* To read through it moves no time stamp, as with the handles of XFS. */
static int btrfs_inode_open(int fs_fd, FileId id, int flags)
{
        if (!PROTECTED_BY(GENERATION)) {
                /* Whatever has the number now. */
                InodeFacts now;
                int r = btrfs_inode_read(NULL, fs_fd, id, &now);

                if (r < 0)
                        return r;
                id.generation = now.id.generation;
        }
        return handle_open(fs_fd, id, flags | O_NOATIME);
}

int btrfs_top_open(int fs_fd)
{
        FileId top = {.inode = BTRFS_SUBVOLUME_ROOT, .subvolume = BTRFS_TOP_SUBVOLUME};
        const BtrfsKey key = {BTRFS_SUBVOLUME_ROOT, BTRFS_INODE_ITEM_KEY, 0};
        struct btrfs_inode_item inode;
        int r;

        r = check_btrfs(fs_fd);
        if (r < 0)
                return r;
        r = btrfs_item_read(fs_fd, BTRFS_TOP_SUBVOLUME, key, &inode, sizeof(inode));
        if (r < 0)
                return r;
        if ((size_t)r < sizeof(inode))
                return -EIO;
        top.generation = (uint32_t)le64toh(inode.generation);
        return handle_open(fs_fd, top, O_RDONLY | O_DIRECTORY | O_NOATIME);
}

static int btrfs_free_bytes(const FsFacts *facts, int fs_fd, uint64_t *ret)
{
        struct statfs status;

        (void)facts;
        if (fstatfs(fs_fd, &status) < 0)
                return -errno;
        *ret = (uint64_t)status.f_bavail * (uint64_t)status.f_bsize;
        return 0;
}

/* Balance, replace, resize, adding and removing of devices, activation of swap; a paused balance does not count. While a balance
 * runs, all that it may move looks shared. */
static int btrfs_is_exclusive(const FsFacts *facts)
{
        char path[SYSFS_PATH_MAX], what[64];
        int r;

        sysfs_path(facts->uuid, "exclusive_operation", path);
        r = sysfs_line_read(AT_FDCWD, path, what, sizeof(what));
        /* Before Linux 5.11 nobody tells. */
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return strcmp(what, "none") != 0 && strcmp(what, "balance paused") != 0;
}

int btrfs_devices_read(int fs_fd, dev_t *ret, size_t max)
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct btrfs_ioctl_fs_info_args info;
        char path[SYSFS_PATH_MAX];
        const struct dirent *entry;
        size_t n = 0;
        int r;

        r = fs_info_read(fs_fd, &info);
        if (r < 0)
                return r;
        /* Names of devices mean nothing where /dev is private; sysfs has the numbers. */
        sysfs_path(info.fsid, "devices", path);
        dir = opendir(path);
        if (!dir)
                return -errno;
        while (n < max && (entry = readdir(dir))) {
                char name[NAME_MAX + 8];

                if (entry->d_name[0] == '.')
                        continue;
                (void)snprintf(name, sizeof(name), "%s/dev", entry->d_name);
                r = sysfs_device_read(dirfd(dir), name, &ret[n]);
                if (r < 0)
                        return r;
                n++;
        }
        return (int)n;
}

const FileSystemType file_system_btrfs = {
        .name = "btrfs",
        .root_open = btrfs_top_open,
        .devices_read = btrfs_devices_read,
        .directory_path = btrfs_directory_path,
        .read = btrfs_read,
        .inode_open = btrfs_inode_open,
        .inode_read = btrfs_inode_read,
        .inodes_next = btrfs_inodes_next,
        .map_decode = btrfs_map_decode,
        .map_tie = btrfs_map_tie,
        .free_bytes = btrfs_free_bytes,
        .is_exclusive = btrfs_is_exclusive,
};
