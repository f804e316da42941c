/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ioctls by which XFS describes itself. Debian 12's headers end at Linux 6.1; what is newer is declared here. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <xfs/xfs.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/file_system.h"

/* Linux 6.10, fs/xfs/libxfs/xfs_fs.h. */
#ifndef XFS_FSOP_GEOM_FLAGS_EXCHANGE_RANGE
#define XFS_FSOP_GEOM_FLAGS_EXCHANGE_RANGE (1U << 24)
#endif

/* A bulkstat record is 192 bytes: 768 KiB a call. The kernel itself works in pages and may return fewer. */
#define BULKSTAT_BATCH 4096

/* The handle of a file as XFS_IOC_FD_TO_HANDLE lays it out: the file system's 8 bytes, then the file's. */
typedef struct XfsHandle {
        uint8_t fs[8];
        uint16_t fid_bytes; /* of what follows */
        uint16_t fid_pad;
        uint32_t generation;
        uint64_t inode;
} XfsHandle;
_Static_assert(sizeof(XfsHandle) == 24, "layout of xfs_handle_t");

static uint8_t ceil_log2(uint64_t value)
{
        uint8_t bits = 0;

        while (bits < 63 && (UINT64_C(1) << bits) < value)
                bits++;
        return bits;
}

static int xfs_read(int fs_fd, FsFacts *ret)
{
        struct xfs_fsop_geom geometry = {0};
        uint64_t inodes_per_block;

        if (ioctl(fs_fd, XFS_IOC_FSGEOMETRY, &geometry) < 0)
                return errno == ENOTTY ? -EOPNOTSUPP : -errno;
        if (geometry.blocksize == 0 || geometry.agcount == 0 || geometry.inodesize == 0)
                return -EIO;

        inodes_per_block = geometry.blocksize / geometry.inodesize;
        *ret = (FsFacts){
                .type = &file_system_xfs,
                .block_bytes = geometry.blocksize,
                .sector_bytes = geometry.sectsize,
                .n_groups = geometry.agcount,
                .total_bytes = geometry.datablocks * geometry.blocksize,
                .xfs =
                        {
                                /* An inode number is group, block within the group, inode within the block. */
                                .inode_shift = (uint8_t)(ceil_log2(geometry.agblocks) +
                                                         ceil_log2(inodes_per_block)),
                                .has_exchange = geometry.flags & XFS_FSOP_GEOM_FLAGS_EXCHANGE_RANGE,
                                .has_reverse_map = geometry.flags & XFS_FSOP_GEOM_FLAGS_RMAPBT,
                                .has_quota = geometry.flags & XFS_FSOP_GEOM_FLAGS_QUOTA,
                                .has_realtime = geometry.rtblocks > 0,
                        },
        };
        memcpy(ret->uuid, geometry.uuid, sizeof(ret->uuid));
        return 0;
}

/* The file system's part of a handle. It is asked for each time: it is the device number in disguise, and another disk
 * may have got that number since. */
static int fs_handle_read(int fs_fd, uint8_t ret[static 8])
{
        uint8_t handle[sizeof(XfsHandle)];
        uint32_t handle_bytes = sizeof(handle);
        struct xfs_fsop_handlereq request = {
                .fd = (uint32_t)fs_fd,
                .ohandle = handle,
                .ohandlen = &handle_bytes,
        };

        if (ioctl(fs_fd, XFS_IOC_FD_TO_HANDLE, &request) < 0)
                return -errno;
        if (handle_bytes < 8)
                return -EIO;
        memcpy(ret, handle, 8);
        return 0;
}

static InodeFacts inode_of(const struct xfs_bulkstat *raw)
{
        return (InodeFacts){
                .id = {.inode = raw->bs_ino, .generation = raw->bs_gen},
                .size_bytes = raw->bs_size,
                /* One of the two is zero, depending on whether the kernel knows large counters. */
                .n_extents = u64_max(raw->bs_extents, raw->bs_extents64),
                .mode = raw->bs_mode,
                .xflags = (uint32_t)raw->bs_xflags,
        };
}

static int xfs_inode_read(const FsFacts *facts, int fs_fd, FileId id, InodeFacts *ret)
{
        union {
                struct xfs_bulkstat_req request;
                unsigned char room[sizeof(struct xfs_bulkstat_req) + sizeof(struct xfs_bulkstat)];
        } bulk = {.request.hdr = {.ino = id.inode, .icount = 1}};

        (void)facts;
        if (ioctl(fs_fd, XFS_IOC_BULKSTAT, &bulk.request) < 0)
                return -errno;
        /* A free inode is passed over: the answer is then the next one that lives. */
        if (bulk.request.hdr.ocount != 1 || bulk.request.bulkstat[0].bs_ino != id.inode)
                return -ENOENT;
        *ret = inode_of(&bulk.request.bulkstat[0]);
        return 0;
}

static int xfs_inode_open(int fs_fd, FileId id, int flags)
{
        XfsHandle handle = {
                .fid_bytes = sizeof(XfsHandle) - offsetof(XfsHandle, fid_pad),
                .generation = id.generation,
                .inode = id.inode,
        };
        struct xfs_fsop_handlereq request = {
                .oflags = (uint32_t)(flags | O_LARGEFILE),
                .ihandle = &handle,
                .ihandlen = sizeof(handle),
        };
        int fd, r;

        r = fs_handle_read(fs_fd, handle.fs);
        if (r < 0)
                return r;
        if (!PROTECTED_BY(GENERATION)) {
                /* Whatever has the number now. */
                InodeFacts now;

                r = xfs_inode_read(NULL, fs_fd, id, &now);
                if (r < 0)
                        return r;
                handle.generation = now.id.generation;
        }
        fd = ioctl(fs_fd, XFS_IOC_OPEN_BY_HANDLE, &request);
        if (fd < 0)
                return errno == ENOENT ? -ESTALE : -errno;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
                r = -errno;
                (void)fd_close(fd);
                return r;
        }
        return fd;
}

static int xfs_inodes_next(const FsFacts *facts, int fs_fd, InodeCursor *cursor,
                           int (*on_inode)(const InodeFacts *inode, void *userdata), void *userdata)
{
        _cleanup_free_ struct xfs_bulkstat_req *request = NULL;
        uint64_t next = cursor->inode;
        int r;

        (void)facts;
        request = calloc(1, sizeof(*request) + BULKSTAT_BATCH * sizeof(request->bulkstat[0]));
        if (!request)
                return -ENOMEM;
        request->hdr.ino = cursor->inode;
        request->hdr.icount = BULKSTAT_BATCH;
        if (ioctl(fs_fd, XFS_IOC_BULKSTAT, request) < 0)
                return -errno;
        if (request->hdr.ocount > BULKSTAT_BATCH)
                return -EIO;

        for (uint32_t i = 0; i < request->hdr.ocount; i++) {
                InodeFacts inode = inode_of(&request->bulkstat[i]);

                /* A sweep that goes back would never end. */
                if (inode.id.inode < next || inode.id.inode == UINT64_MAX)
                        return -EIO;
                next = inode.id.inode + 1;
                r = on_inode(&inode, userdata);
                if (r != 0)
                        return r;
        }
        if (request->hdr.ocount == 0)
                return 0;
        if (request->hdr.ino < next)
                return -EIO;
        cursor->inode = request->hdr.ino;
        return 1;
}

/* XFS_IOC_FSCOUNTS only reads counters, unlike statfs(2), which took six milliseconds here because it pushes the inactivation of
 * deleted files. */
static int xfs_free_bytes(const FsFacts *facts, int fs_fd, uint64_t *ret)
{
        struct xfs_fsop_counts counts;

        if (ioctl(fs_fd, XFS_IOC_FSCOUNTS, &counts) < 0)
                return -errno;
        *ret = counts.freedata * facts->block_bytes;
        return 0;
}

static uint32_t xfs_group_of(const FsFacts *facts, uint64_t inode)
{
        return (uint32_t)(inode >> facts->xfs.inode_shift);
}

const FileSystemType file_system_xfs = {
        .name = "xfs",
        .read = xfs_read,
        .inode_open = xfs_inode_open,
        .inode_read = xfs_inode_read,
        .inodes_next = xfs_inodes_next,
        .free_bytes = xfs_free_bytes,
        .group_of = xfs_group_of,
};
