/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The call that moves. */

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>

#include "fs/btrfs_defrag.h"

/* Linux 6.17, include/uapi/linux/btrfs.h. With it every written extent is written anew, be there one next to it or not; the data are not
 * compressed, which we hand over none of that would be. */
#ifndef BTRFS_DEFRAG_RANGE_NOCOMPRESS
#define BTRFS_DEFRAG_RANGE_NOCOMPRESS 8
#endif

int btrfs_range_move(int fd, uint64_t offset, uint64_t end, bool singles, bool start_io)
{
        struct btrfs_ioctl_defrag_range_args range = {
                .start = offset,
                .len = end - offset,
                .flags = (start_io ? BTRFS_DEFRAG_RANGE_START_IO : 0) |
                         (singles ? BTRFS_DEFRAG_RANGE_NOCOMPRESS : 0),
                /* Everything in it: which extents are good was decided when the region was planned. */
                .extent_thresh = UINT32_MAX,
        };

        if (ioctl(fd, BTRFS_IOC_DEFRAG_RANGE, &range) < 0)
                return -errno;
        return 0;
}

int btrfs_range_wait(int fd, uint64_t offset, uint64_t end)
{
        if (sync_file_range(fd, (off_t)offset, (off_t)(end - offset),
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                    SYNC_FILE_RANGE_WAIT_AFTER) < 0)
                return -errno;
        return 0;
}
