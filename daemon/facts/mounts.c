/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libmount over a descriptor that stays open. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libmount/libmount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/mounts.h"

/* Linux 6.8, include/uapi/linux/stat.h: a number that no other mount has had since boot, in stx_mnt_id. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

int mount_table_open(void)
{
        int fd = open("/proc/1/mountinfo", O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static void cleanup_table(struct libmnt_table **table)
{
        mnt_unref_table(*table);
}

static void cleanup_iterator(struct libmnt_iter **iterator)
{
        mnt_free_iter(*iterator);
}

/* Options are comma-separated words. */
static bool option_is_set(const char *options, const char *word)
{
        return options && mnt_optstr_get_option(options, word, NULL, NULL) == 0;
}

static char *copy_of(const char *text)
{
        return text ? strdup(text) : NULL;
}

static int mount_of(struct libmnt_fs *fs, Mount *ret)
{
        Mount mount = {
                .target = copy_of(mnt_fs_get_target(fs)),
                .root = copy_of(mnt_fs_get_root(fs)),
                .type = copy_of(mnt_fs_get_fstype(fs)),
                .source = copy_of(mnt_fs_get_source(fs)),
                .device = mnt_fs_get_devno(fs),
                .writable = !option_is_set(mnt_fs_get_vfs_options(fs), "ro") &&
                            !option_is_set(mnt_fs_get_fs_options(fs), "ro"),
        };

        if (!mount.target || !mount.root || !mount.type || (!mount.source && mnt_fs_get_source(fs))) {
                free(mount.target);
                free(mount.root);
                free(mount.type);
                free(mount.source);
                /* libmount guesses by its first line that a damaged table is an fstab: those have no roots. */
                if (!mnt_fs_get_target(fs) || !mnt_fs_get_root(fs) || !mnt_fs_get_fstype(fs))
                        return -EBADMSG;
                return -ENOMEM;
        }
        *ret = mount;
        return 0;
}

/* libmount would go on behind a line that it cannot read; what it says there must not be lost. What is returned here does
 * not count for a last line that has no end. */
static int on_bad_line(struct libmnt_table *table, const char *name, int line)
{
        bool *any_bad = mnt_table_get_userdata(table);

        (void)name;
        (void)line;
        *any_bad = true;
        return -EBADMSG;
}

int mount_table_read(int table_fd, MountTable *ret)
{
        _cleanup_(cleanup_table) struct libmnt_table *table = NULL;
        _cleanup_(cleanup_iterator) struct libmnt_iter *iterator = NULL;
        _cleanup_fclose_ FILE *stream = NULL;
        MountTable mounts = {0};
        struct libmnt_fs *fs;
        bool any_bad = false;
        int copy, r;

        if (lseek(table_fd, 0, SEEK_SET) < 0)
                return -errno;
        copy = fcntl(table_fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
                return -errno;
        stream = fdopen(copy, "re");
        if (!stream) {
                r = -errno;
                (void)fd_close(copy);
                return r;
        }
        table = mnt_new_table();
        iterator = mnt_new_iter(MNT_ITER_FORWARD);
        if (!table || !iterator)
                return -ENOMEM;
        (void)mnt_table_set_userdata(table, &any_bad);
        (void)mnt_table_set_parser_errcb(table, on_bad_line);
        r = mnt_table_parse_stream(table, stream, "/proc/1/mountinfo");
        if (r != 0 || any_bad)
                return r < 0 ? r : -EBADMSG;

        mounts.mounts = calloc((size_t)mnt_table_get_nents(table) + 1, sizeof(*mounts.mounts));
        if (!mounts.mounts)
                return -ENOMEM;
        while (mnt_table_next_fs(table, iterator, &fs) == 0) {
                r = mount_of(fs, &mounts.mounts[mounts.n_mounts]);
                if (r < 0) {
                        mount_table_done(&mounts);
                        return r;
                }
                mounts.n_mounts++;
        }
        *ret = mounts;
        return 0;
}

void mount_table_done(MountTable *table)
{
        for (size_t i = 0; i < table->n_mounts; i++) {
                free(table->mounts[i].target);
                free(table->mounts[i].root);
                free(table->mounts[i].type);
                free(table->mounts[i].source);
        }
        free(table->mounts);
        *table = (MountTable){0};
}

bool device_is_anonymous(dev_t device)
{
        return major(device) == 0;
}

const Mount *mount_table_find(const MountTable *table, dev_t device)
{
        const Mount *best = NULL;

        for (size_t i = 0; i < table->n_mounts; i++) {
                const Mount *mount = &table->mounts[i];

                if (mount->device == device &&
                    (strcmp(mount->root, "/") == 0 || device_is_anonymous(device)) &&
                    (!best || mount->writable || !best->writable))
                        best = mount;
        }
        return best;
}

/* Is every mount of the device in a also in b? */
static bool has_all_of(const MountTable *a, const MountTable *b, dev_t device)
{
        for (size_t i = 0; i < a->n_mounts; i++) {
                bool found = a->mounts[i].device != device;

                for (size_t j = 0; j < b->n_mounts && !found; j++)
                        found = b->mounts[j].device == device &&
                                strcmp(a->mounts[i].root, b->mounts[j].root) == 0 &&
                                strcmp(a->mounts[i].target, b->mounts[j].target) == 0;
                if (!found)
                        return false;
        }
        return true;
}

bool mount_table_same(const MountTable *a, const MountTable *b, dev_t device)
{
        return has_all_of(a, b, device) && has_all_of(b, a, device);
}

/* Returns 0; -ENOENT when the table has no such mount; -errno. */
static int device_in_table(uint64_t mount_id, dev_t *ret)
{
        _cleanup_fclose_ FILE *table = NULL;
        _cleanup_free_ char *line = NULL;
        size_t room = 0;

        table = fopen("/proc/self/mountinfo", "re");
        if (!table)
                return -errno;
        while (getline(&line, &room, table) >= 0) {
                unsigned number_major, number_minor;
                uint64_t id;

                if (sscanf(line, "%" SCNu64 " %*u %u:%u ", &id, &number_major, &number_minor) == 3 &&
                    id == mount_id) {
                        *ret = makedev(number_major, number_minor);
                        return 0;
                }
        }
        /* A table that was not read to its end says nothing of what is missing in it. */
        return feof(table) ? -ENOENT : -errno;
}

int mount_device(int fd, const struct stat *status, dev_t *ret)
{
        /* The last one that was asked for: a mount never gets another device, nor its unique number another mount. */
        static _Thread_local uint64_t known_id;
        static _Thread_local dev_t known;
        struct statx mount, unique;
        int r;

        *ret = status->st_dev;
        if (!device_is_anonymous(status->st_dev))
                return 0;
        if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID_UNIQUE, &unique) < 0)
                return -errno;
        if (!(unique.stx_mask & STATX_MNT_ID_UNIQUE))
                unique.stx_mnt_id = 0;
        if (unique.stx_mnt_id != 0 && unique.stx_mnt_id == known_id) {
                *ret = known;
                return 0;
        }
        if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &mount) < 0)
                return -errno;
        if (!(mount.stx_mask & STATX_MNT_ID))
                return 0;
        r = device_in_table(mount.stx_mnt_id, ret);
        if (r == 0) {
                known_id = unique.stx_mnt_id;
                known = *ret;
        }
        return r == -ENOENT ? 0 : r;
}
