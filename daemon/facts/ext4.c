/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ext4 by its super block and by file handles; its inode tables are in ext4_tables.c. */

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/ext4_tables.h"
#include "facts/extent_map.h"
#include "facts/file_system.h"

#define SUPER_BLOCK_OFFSET 1024

/* include/linux/exportfs.h */
#define HANDLE_INO32_GEN 0x01

/* Extents that are looked at to see whether they adjoin; of a file that has more it makes no difference. */
#define RUNS_EXACT_MAX 1024

/* --- the device --- */

/* Returns a read-only descriptor of the block device that a descriptor's file system lies on, -errno; *ret_name: as the kernel calls it,
 * to be freed. */
static int device_open(int fs_fd, char **ret_name)
{
        _cleanup_free_ char *link = NULL, *path = NULL, *name = NULL, *node = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat status;
        char *base;

        if (fstat(fs_fd, &status) < 0)
                return -errno;
        if (asprintf(&link, "/sys/dev/block/%u:%u", major(status.st_dev), minor(status.st_dev)) < 0)
                return -ENOMEM;
        path = realpath(link, NULL);
        if (!path)
                return errno == ENOENT ? -ENODEV : -errno;
        base = strrchr(path, '/');
        name = strdup(base ? base + 1 : path);
        if (!name || asprintf(&node, "/dev/%s", name) < 0)
                return -ENOMEM;
        /* "cciss!c0d0" lies in a directory. */
        for (char *at = node; (at = strchr(at, '!')); at++)
                *at = '/';
        {
                const dev_t device = status.st_dev;

                fd = open(node, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
                if (fd < 0)
                        return -errno;
                if (fstat(fd, &status) < 0)
                        return -errno;
                if (!S_ISBLK(status.st_mode) || status.st_rdev != device)
                        return -ENODEV;
        }
        *ret_name = TAKE_PTR(name);
        return TAKE_FD(fd);
}

/* Whether a line of the options of a mounted file system is that word. */
static int options_read(const char *name, Ext4Facts *facts)
{
        _cleanup_free_ char *path = NULL, *line = NULL;
        _cleanup_fclose_ FILE *stream = NULL;
        size_t room = 0;
        bool any = false;

        if (asprintf(&path, "/proc/fs/ext4/%s/options", name) < 0)
                return -ENOMEM;
        stream = fopen(path, "re");
        if (!stream)
                return -errno;
        facts->has_barriers = true;
        while (getline(&line, &room, stream) > 0) {
                line[strcspn(line, "\n")] = '\0';
                any = true;
                if (strcmp(line, "nobarrier") == 0)
                        facts->has_barriers = false;
                else if (strcmp(line, "data=journal") == 0)
                        facts->journals_data = true;
                else if (strcmp(line, "journal_async_commit") == 0)
                        facts->has_async_commit = true;
                else if (strcmp(line, "norecovery") == 0 || strcmp(line, "noload") == 0)
                        facts->has_journal = false;
        }
        return any ? 0 : -EIO;
}

static int super_block_read(int device_fd, struct ext2_super_block *ret)
{
        ssize_t n = pread(device_fd, ret, sizeof(*ret), SUPER_BLOCK_OFFSET);

        if (n < 0)
                return -errno;
        if (n != sizeof(*ret) || ext2fs_le16_to_cpu(ret->s_magic) != EXT2_SUPER_MAGIC)
                return -EOPNOTSUPP;
        return 0;
}

static int facts_of(const struct ext2_super_block *super, FsFacts *ret)
{
        const uint32_t compat = ext2fs_le32_to_cpu(super->s_feature_compat);
        const uint32_t incompat = ext2fs_le32_to_cpu(super->s_feature_incompat);
        const uint32_t ro_compat = ext2fs_le32_to_cpu(super->s_feature_ro_compat);
        const uint32_t log_block = ext2fs_le32_to_cpu(super->s_log_block_size);
        const uint32_t inodes_per_group = ext2fs_le32_to_cpu(super->s_inodes_per_group);
        const uint32_t n_inodes = ext2fs_le32_to_cpu(super->s_inodes_count);
        uint64_t n_blocks = ext2fs_le32_to_cpu(super->s_blocks_count);
        uint8_t flex_shift = incompat & EXT4_FEATURE_INCOMPAT_FLEX_BG ? super->s_log_groups_per_flex : 0;

        /* The largest blocks that the kernel takes are 64 KiB. */
        if (log_block > 6 || inodes_per_group == 0 || n_inodes == 0)
                return -EIO;
        if (incompat & EXT4_FEATURE_INCOMPAT_64BIT)
                n_blocks |= (uint64_t)ext2fs_le32_to_cpu(super->s_blocks_count_hi) << 32;
        if (flex_shift > 31)
                flex_shift = 0;
        *ret = (FsFacts){
                .type = &file_system_ext4,
                .block_bytes = 1024U << log_block,
                .sector_bytes = 512,
                .n_groups = (((n_inodes - 1) / inodes_per_group) >> flex_shift) + 1,
                .total_bytes = n_blocks << (10 + log_block),
                .ext4 =
                        {
                                .inodes_per_group = inodes_per_group,
                                .first_inode = ext2fs_le32_to_cpu(super->s_rev_level) == 0
                                                       ? EXT2_GOOD_OLD_FIRST_INO
                                                       : ext2fs_le32_to_cpu(super->s_first_ino),
                                .flex_shift = flex_shift,
                                .has_journal = compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL,
                                .has_fast_commits = compat & EXT4_FEATURE_COMPAT_FAST_COMMIT,
                                .has_extents = incompat & EXT3_FEATURE_INCOMPAT_EXTENTS,
                                .has_clusters = ro_compat & EXT4_FEATURE_RO_COMPAT_BIGALLOC,
                        },
        };
        memcpy(ret->uuid, super->s_uuid, sizeof(ret->uuid));
        return 0;
}

static int ext4_read(int fs_fd, FsFacts *ret)
{
        _cleanup_close_ int device_fd = -EBADF;
        _cleanup_free_ char *name = NULL;
        struct ext2_super_block super;
        struct statfs volume;
        FsFacts facts;
        int r;

        if (fstatfs(fs_fd, &volume) < 0)
                return -errno;
        if (volume.f_type != EXT2_SUPER_MAGIC)
                return -EOPNOTSUPP;
        device_fd = device_open(fs_fd, &name);
        if (device_fd < 0)
                return device_fd;
        r = super_block_read(device_fd, &super);
        if (r < 0)
                return r;
        r = facts_of(&super, &facts);
        if (r < 0)
                return r;
        r = options_read(name, &facts.ext4);
        /* The drivers for ext2 and ext3 alone have no such file, and no extents. */
        if (r < 0 && !(r == -ENOENT && !facts.ext4.has_extents))
                return r;
        *ret = facts;
        return 0;
}

/* --- files by identity --- */

static int handle_open(int fs_fd, uint64_t inode, uint32_t generation, int flags)
{
        union {
                struct file_handle header;
                unsigned char room[sizeof(struct file_handle) + 8];
        } handle = {.header = {.handle_bytes = 8, .handle_type = HANDLE_INO32_GEN}};
        uint32_t number = (uint32_t)inode;
        int fd;

        if (inode > UINT32_MAX)
                return -ESTALE;
        memcpy(handle.header.f_handle, &number, 4);
        memcpy(handle.header.f_handle + 4, &generation, 4);
        fd = open_by_handle_at(fs_fd, &handle.header, flags | O_CLOEXEC | O_LARGEFILE);
        if (fd < 0)
                return errno == ENOENT ? -ESTALE : -errno;
        return fd;
}

int ext4_flags_read(int fd, uint32_t *ret)
{
        /* The kernel writes an int, whatever the name of the ioctl says. */
        int flags = 0;

        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
                return -errno;
        *ret = (uint32_t)flags;
        return 0;
}

static int ext4_inode_open(int fs_fd, FileId id, int flags)
{
        _cleanup_close_ int fd = -EBADF;
        FileId now;
        int r;

        /* To the kernel a generation of 0 is any. */
        fd = handle_open(fs_fd, id.inode, PROTECTED_BY(GENERATION) ? id.generation : 0, flags | O_NOATIME);
        if (fd < 0)
                return fd;
        if (id.generation == 0 && PROTECTED_BY(GENERATION)) {
                r = file_id_from_name(fd, "", &now);
                if (r < 0)
                        return r;
                if (!file_id_equal(now, id))
                        return -ESTALE;
        }
        return TAKE_FD(fd);
}

static uint32_t xflags_of_attributes(uint64_t attributes)
{
        return (attributes & STATX_ATTR_IMMUTABLE ? FS_XFLAG_IMMUTABLE : 0) |
               (attributes & STATX_ATTR_APPEND ? FS_XFLAG_APPEND : 0) |
               (attributes & STATX_ATTR_NODUMP ? FS_XFLAG_NODUMP : 0) |
               (attributes & STATX_ATTR_DAX ? FS_XFLAG_DAX : 0);
}

/* In how many runs a file lies, or by how many extents where there are a great many. */
static int runs_count(int fd, uint64_t *ret)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        struct fiemap all = {.fm_length = FIEMAP_MAX_OFFSET};
        int r = extent_map_read(fd, 0, UINT64_MAX, false, RUNS_EXACT_MAX, &map);

        if (r < 0)
                return r;
        if (map.complete) {
                *ret = extent_map_runs(&map);
                return 0;
        }
        if (ioctl(fd, FS_IOC_FIEMAP, &all) < 0)
                return -errno;
        *ret = all.fm_mapped_extents;
        return 0;
}

/* A descriptor that opens nothing comes first: a device, a pipe or a socket is not to notice. */
static int ext4_inode_read(const FsFacts *facts, int fs_fd, FileId id, InodeFacts *ret)
{
        _cleanup_close_ int path_fd = -EBADF, fd = -EBADF;
        InodeFacts inode = {0};
        struct statx status;
        int r;

        (void)facts;
        path_fd = handle_open(fs_fd, id.inode, 0, O_PATH);
        if (path_fd < 0)
                return path_fd == -ESTALE ? -ENOENT : path_fd;
        r = file_id_from_name(path_fd, "", &inode.id);
        if (r < 0)
                return r == -ESTALE ? -ENOENT : r;
        if (statx(path_fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &status) < 0)
                return -errno;
        inode.size_bytes = status.stx_size;
        inode.mode = status.stx_mode;
        inode.xflags = xflags_of_attributes(status.stx_attributes & status.stx_attributes_mask);
        if (S_ISREG(inode.mode)) {
                fd = handle_open(fs_fd, id.inode, inode.id.generation, O_RDONLY | O_NONBLOCK | O_NOATIME);
                /* Somebody has a lease. Whoever looks closer finds it busy. */
                if (fd == -EWOULDBLOCK) {
                        inode.n_extents = 2;
                } else {
                        r = fd < 0 ? fd : runs_count(fd, &inode.n_extents);
                        if (r < 0)
                                return r == -ESTALE ? -ENOENT : r;
                }
        }
        *ret = inode;
        return 0;
}

static int ext4_inodes_next(const FsFacts *facts, int fs_fd, InodeCursor *cursor,
                            int (*on_inode)(const InodeFacts *inode, void *userdata), void *userdata)
{
        _cleanup_close_ int device_fd = -EBADF;
        _cleanup_free_ char *name = NULL;

        (void)facts;
        device_fd = device_open(fs_fd, &name);
        if (device_fd < 0)
                return device_fd;
        return ext4_tables_next(device_fd, &cursor->inode, on_inode, userdata);
}

static int ext4_free_bytes(const FsFacts *facts, int fs_fd, uint64_t *ret)
{
        struct statfs volume;

        (void)facts;
        /* Sums up counters. What is reserved for root is not ours. */
        if (fstatfs(fs_fd, &volume) < 0)
                return -errno;
        *ret = (uint64_t)volume.f_bavail * (uint64_t)volume.f_bsize;
        return 0;
}

static uint32_t ext4_group_of(const FsFacts *facts, uint64_t inode)
{
        return inode == 0
                       ? 0
                       : (uint32_t)(((inode - 1) / facts->ext4.inodes_per_group) >> facts->ext4.flex_shift);
}

const FileSystemType file_system_ext4 = {
        .name = "ext4",
        .stale_read_ahead = true,
        .read = ext4_read,
        .inode_open = ext4_inode_open,
        .inode_read = ext4_inode_read,
        .inodes_next = ext4_inodes_next,
        .free_bytes = ext4_free_bytes,
        .group_of = ext4_group_of,
};
