/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Identity by name, out of the handle that the kernel would also put into a fanotify record.
 *
 * The shapes are those of the kernel's include/linux/exportfs.h (FILEID_INO32_GEN; FILEID_BTRFS_*, whose beginning is always
 * object, root and generation) and fs/xfs/xfs_export.h (the first with a 64-bit inode number, type bit 0x80). */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "facts/file_id.h"

#define HANDLE_INO32_GEN 0x01
#define HANDLE_INO64_GEN 0x81

#define HANDLE_BTRFS                  0x4d
#define HANDLE_BTRFS_WITH_PARENT_ROOT 0x4f

int file_id_from_handle(int type, const void *f_handle, size_t n_bytes, FileId *ret)
{
        const unsigned char *bytes = f_handle;
        FileId id = {0};

        if (type == HANDLE_INO64_GEN && n_bytes >= 12) {
                memcpy(&id.inode, bytes, 8);
                memcpy(&id.generation, bytes + 8, 4);
        } else if (type == HANDLE_INO32_GEN && n_bytes >= 8) {
                uint32_t inode;

                memcpy(&inode, bytes, 4);
                memcpy(&id.generation, bytes + 4, 4);
                id.inode = inode;
        } else if (type >= HANDLE_BTRFS && type <= HANDLE_BTRFS_WITH_PARENT_ROOT && n_bytes >= 20) {
                uint64_t root;

                memcpy(&id.inode, bytes, 8);
                memcpy(&root, bytes + 8, 8);
                memcpy(&id.generation, bytes + 16, 4);
                /* Numbers of subvolumes are given out one after the other, and never twice. */
                if (root > UINT32_MAX)
                        return -EOPNOTSUPP;
                id.subvolume = (uint32_t)root;
        } else {
                return -EOPNOTSUPP;
        }
        *ret = id;
        return 0;
}

int file_id_from_name(int dirfd, const char *name, FileId *ret)
{
        union {
                struct file_handle header;
                unsigned char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } handle = {.header.handle_bytes = MAX_HANDLE_SZ};
        int mount_id;

        if (name_to_handle_at(dirfd, name, &handle.header, &mount_id, name[0] == '\0' ? AT_EMPTY_PATH : 0) <
            0)
                return -errno;
        return file_id_from_handle(handle.header.handle_type, handle.header.f_handle,
                                   handle.header.handle_bytes, ret);
}
