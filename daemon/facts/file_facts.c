/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One descriptor, three system calls and two xattrs. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "facts/file_facts.h"

#define NEEDED_MASK (STATX_BASIC_STATS | STATX_BTIME)

static FileStamp stamp_of(struct statx_timestamp time)
{
        return (FileStamp){.sec = time.tv_sec, .nsec = time.tv_nsec};
}

int file_facts_refresh(int fd, FileFacts *ret)
{
        struct statx status;

        if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, NEEDED_MASK | STATX_DIOALIGN, &status) < 0)
                return -errno;
        if ((status.stx_mask & STATX_BASIC_STATS) != STATX_BASIC_STATS)
                return -EIO;

        ret->inode = status.stx_ino;
        ret->size_bytes = status.stx_size;
        ret->allocated_bytes = status.stx_blocks * UINT64_C(512);
        ret->attributes = status.stx_attributes & status.stx_attributes_mask;
        ret->atime = stamp_of(status.stx_atime);
        ret->mtime = stamp_of(status.stx_mtime);
        ret->ctime = stamp_of(status.stx_ctime);
        ret->btime = stamp_of(status.stx_btime);
        ret->mode = status.stx_mode;
        ret->uid = status.stx_uid;
        ret->gid = status.stx_gid;
        ret->n_links = status.stx_nlink;
        ret->dio_align_bytes = status.stx_mask & STATX_DIOALIGN ? status.stx_dio_offset_align : 0;
        return 0;
}

int file_facts_read(int fd, FileFacts *ret)
{
        FileFacts facts = {0};
        struct fsxattr attributes;
        char value[8];
        ssize_t n;
        int r;

        r = file_facts_refresh(fd, &facts);
        if (r < 0)
                return r;

        if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
                return -errno;
        facts.xflags = attributes.fsx_xflags;
        facts.extent_hint_bytes = attributes.fsx_extsize;
        facts.cow_hint_bytes = attributes.fsx_cowextsize;
        facts.project_id = attributes.fsx_projid;

        /* Any answer but "there is none" counts as having some: then the file is left alone. */
        n = fgetxattr(fd, "security.capability", NULL, 0);
        facts.has_capabilities = n >= 0 || (errno != ENODATA && errno != EOPNOTSUPP);

        n = fgetxattr(fd, "user.defragd", value, sizeof(value));
        facts.opted_out = n == 3 && memcmp(value, "off", 3) == 0;

        *ret = facts;
        return 0;
}

bool file_facts_same(const FileFacts *a, const FileFacts *b)
{
        return a->inode == b->inode && a->size_bytes == b->size_bytes && a->mode == b->mode &&
               a->uid == b->uid && a->gid == b->gid && a->attributes == b->attributes &&
               file_stamp_equal(a->mtime, b->mtime) && file_stamp_equal(a->ctime, b->ctime) &&
               file_stamp_equal(a->btime, b->btime);
}
