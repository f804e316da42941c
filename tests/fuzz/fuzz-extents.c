/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What FIEMAP and BULKSTAT answer. Also for an answer that makes no sense, the calls come back, and keep to what their headers promise. */

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <xfs/xfs.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/extent_map.h"
#include "facts/file_system.h"

#define CALLS_MAX 4096
#include "fuzz-ioctl.h"

static bool endless; /* when there are no more bytes, one empty extent after the other, else none */

static void fiemap_answer(struct fiemap *request)
{
        const uint32_t room = request->fm_extent_count;

        request->fm_mapped_extents = (uint32_t)u64_min(fuzz_take(&answer, 1), room);
        if (answer.at == answer.end && endless)
                request->fm_mapped_extents = 1;
        for (uint32_t i = 0; i < request->fm_mapped_extents; i++) {
                struct fiemap_extent *extent = &request->fm_extents[i];
                const uint8_t kind = (uint8_t)fuzz_take(&answer, 1);

                *extent = (struct fiemap_extent){
                        .fe_logical = (kind & 1 ? request->fm_start : 0) + take_number(),
                        .fe_physical = take_number(),
                        .fe_length = take_number(),
                        .fe_flags = (kind & 2 ? FIEMAP_EXTENT_LAST : 0) |
                                    (kind & 4 ? FIEMAP_EXTENT_UNWRITTEN : 0) |
                                    (kind & 8 ? FIEMAP_EXTENT_SHARED : 0) |
                                    (kind & 16 ? FIEMAP_EXTENT_DELALLOC : 0),
                };
        }
        if (fuzz_take(&answer, 1) == 0xff)
                request->fm_mapped_extents = (uint32_t)fuzz_take(&answer, 4);
}

static void bulkstat_answer(struct xfs_bulkstat_req *request)
{
        const uint32_t room = request->hdr.icount;

        request->hdr.ocount = (uint32_t)u64_min(fuzz_take(&answer, 1), room);
        for (uint32_t i = 0; i < request->hdr.ocount; i++) {
                memset(&request->bulkstat[i], 0, sizeof(request->bulkstat[i]));
                request->bulkstat[i].bs_ino = take_number();
                request->bulkstat[i].bs_gen = (uint32_t)fuzz_take(&answer, 1);
                request->bulkstat[i].bs_size = take_number();
                request->bulkstat[i].bs_extents = (uint32_t)fuzz_take(&answer, 1);
        }
        request->hdr.ino = take_number();
        if (fuzz_take(&answer, 1) == 0xff)
                request->hdr.ocount = (uint32_t)fuzz_take(&answer, 4);
}

static int ioctl_answer(unsigned long number, void *argument)
{
        if (number == FS_IOC_FIEMAP)
                fiemap_answer(argument);
        else if (number == XFS_IOC_BULKSTAT)
                bulkstat_answer(argument);
        else
                require(false);
        return 0;
}

static void check_map(void)
{
        _cleanup_(extent_map_done) ExtentMap map = {.n_extents = 77};
        const uint64_t offset = take_number();
        const uint64_t length = fuzz_take(&answer, 1) & 1 ? UINT64_MAX : take_number();
        const uint64_t end = u64_add_saturate(offset, length);
        const size_t max = fuzz_take(&answer, 2);
        uint64_t next = offset;
        int r = extent_map_read(-1, offset, length, false, max, &map);

        require(r <= 0);
        if (r < 0) {
                require(map.n_extents == 77);
                map = (ExtentMap){0};
                return;
        }
        require(map.n_extents <= max);
        for (size_t i = 0; i < map.n_extents; i++) {
                const Extent *extent = &map.extents[i];

                require(extent->length > 0 && extent->logical >= next && extent->logical < end);
                require(extent->length <= end - extent->logical);
                next = extent->logical + extent->length;
        }
        require(extent_map_runs(&map) <= map.n_extents);
}

static int on_inode(const InodeFacts *inode, void *userdata)
{
        uint64_t *next = userdata;

        require(inode->id.inode >= *next);
        *next = inode->id.inode == UINT64_MAX ? UINT64_MAX : inode->id.inode + 1;
        return 0;
}

static void check_inodes(void)
{
        InodeCursor cursor = {0};
        uint64_t next = 0;
        InodeFacts inode;
        int r;

        do {
                const uint64_t before = cursor.inode;

                require(++n_calls < CALLS_MAX);
                r = file_system_xfs.inodes_next(NULL, -1, &cursor, on_inode, &next);
                require(r <= 1 && cursor.inode >= before);
        } while (r == 1);

        cursor.inode = take_number();
        r = file_system_xfs.inode_read(NULL, -1, (FileId){.inode = cursor.inode}, &inode);
        require(r < 0 || (r == 0 && inode.id.inode == cursor.inode));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        uint8_t kind;

        answer = (FuzzBytes){data, data + n_bytes};
        n_calls = 0;
        kind = (uint8_t)fuzz_take(&answer, 1);
        endless = kind & 2;
        if (kind & 1)
                check_map();
        else
                check_inodes();
        return 0;
}
