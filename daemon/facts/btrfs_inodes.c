/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Inodes by tree search: each one's own item, then, among other things, one item an extent. No directory is walked and no file is opened. */

#include <endian.h>
#include <errno.h>
#include <linux/fs.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/btrfs_inodes.h"
#include "facts/btrfs_tree.h"

/* Flags of an inode item (fs/btrfs/btrfs_inode.h: part of the disk format) that have a meaning for us. */
#define INODE_FLAG_SYNC      (UINT64_C(1) << 5)
#define INODE_FLAG_IMMUTABLE (UINT64_C(1) << 6)
#define INODE_FLAG_APPEND    (UINT64_C(1) << 7)
#define INODE_FLAG_NODUMP    (UINT64_C(1) << 8)
#define INODE_FLAG_NOATIME   (UINT64_C(1) << 9)

/* A batch ends with the buffer, or a little before, so that no other one is fetched for the sake of the last inode. */
#define BATCH_BYTES (BTRFS_SCAN_LARGE - (64 << 10))

static uint32_t xflags_of(uint64_t flags)
{
        static const struct {
                uint64_t flag;
                uint32_t xflag;
        } pairs[] = {
                {INODE_FLAG_SYNC, FS_XFLAG_SYNC},       {INODE_FLAG_IMMUTABLE, FS_XFLAG_IMMUTABLE},
                {INODE_FLAG_APPEND, FS_XFLAG_APPEND},   {INODE_FLAG_NODUMP, FS_XFLAG_NODUMP},
                {INODE_FLAG_NOATIME, FS_XFLAG_NOATIME},
        };
        uint32_t xflags = 0;

        for (size_t i = 0; i < ELEMENTS(pairs); i++)
                if (flags & pairs[i].flag)
                        xflags |= pairs[i].xflag;
        return xflags;
}

/* An inode while its items go by. */
typedef struct Gathering {
        InodeFacts inode;
        bool is_begun;
        bool is_linked;
        uint64_t expected; /* address behind the last extent */
} Gathering;

static int gather_inode(Gathering *gathering, uint32_t subvolume, const BtrfsItem *item)
{
        struct btrfs_inode_item raw;

        if (item->n_bytes < sizeof(raw))
                return -EIO;
        memcpy(&raw, item->data, sizeof(raw));
        *gathering = (Gathering){
                .inode =
                        {
                                .id =
                                        {
                                                .inode = item->key.object,
                                                .subvolume = subvolume,
                                                .generation = (uint32_t)le64toh(raw.generation),
                                        },
                                .size_bytes = le64toh(raw.size),
                                .mode = le32toh(raw.mode),
                                .xflags = xflags_of(le64toh(raw.flags)),
                        },
                .is_begun = true,
                /* Otherwise somebody still has it open, or it waits for the cleaner. */
                .is_linked = le32toh(raw.nlink) > 0,
        };
        return 0;
}

/* Adjacent on the disk counts as one. Data within the inode and holes have no place. */
static int gather_extent(Gathering *gathering, const BtrfsItem *item)
{
        struct btrfs_file_extent_item raw;
        uint64_t physical, length;
        int r;

        r = btrfs_file_extent_read(item, &raw);
        if (r <= 0 || raw.disk_bytenr == 0)
                return r < 0 ? r : 0;
        physical = le64toh(raw.disk_bytenr);
        if (raw.compression == 0) {
                physical += le64toh(raw.offset);
                length = le64toh(raw.num_bytes);
        } else {
                length = le64toh(raw.disk_num_bytes);
        }
        if (physical != gathering->expected)
                gathering->inode.n_extents++;
        gathering->expected = physical + length;
        return 0;
}

static int gather(Gathering *gathering, uint32_t subvolume, const BtrfsItem *item)
{
        if (item->key.type == BTRFS_INODE_ITEM_KEY)
                return gather_inode(gathering, subvolume, item);
        if (item->key.type == BTRFS_EXTENT_DATA_KEY && gathering->is_begun &&
            gathering->inode.id.inode == item->key.object)
                return gather_extent(gathering, item);
        return 0;
}

int btrfs_inode_read(const FsFacts *facts, int fs_fd, FileId id, InodeFacts *ret)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        const BtrfsKey first = {id.inode, BTRFS_INODE_ITEM_KEY, 0};
        const BtrfsKey last = {id.inode, BTRFS_EXTENT_DATA_KEY, UINT64_MAX};
        Gathering gathering = {0};
        BtrfsItem item;
        int r;

        (void)facts;
        r = btrfs_scan_begin(&scan, fs_fd, id.subvolume, first, last, BTRFS_SCAN_SMALL);
        if (r < 0)
                return r;
        while ((r = btrfs_scan_next(&scan, &item)) > 0) {
                r = gather(&gathering, id.subvolume, &item);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (!gathering.is_begun || !gathering.is_linked)
                return -ENOENT;
        *ret = gathering.inode;
        return 0;
}

/* The first subvolume from this number on in which files can be moved. Returns 1, 0 when there is none, -errno. */
static int subvolume_find(int fs_fd, uint32_t from, uint32_t *ret)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        const BtrfsKey first = {from, 0, 0};
        const BtrfsKey last = {UINT32_MAX, BTRFS_ROOT_ITEM_KEY, UINT64_MAX};
        BtrfsItem item;
        int r;

        r = btrfs_scan_begin(&scan, fs_fd, BTRFS_ROOT_TREE_OBJECTID, first, last, BTRFS_SCAN_SMALL);
        if (r < 0)
                return r;
        while ((r = btrfs_scan_next(&scan, &item)) > 0) {
                struct btrfs_root_item root;

                if (item.key.type != BTRFS_ROOT_ITEM_KEY ||
                    (item.key.object != BTRFS_TOP_SUBVOLUME && item.key.object < BTRFS_FIRST_FREE_OBJECTID))
                        continue;
                /* Old ones are shorter, but not by what we look at. */
                if (item.n_bytes < offsetof(struct btrfs_root_item, drop_progress))
                        return -EIO;
                memset(&root, 0, sizeof(root));
                memcpy(&root, item.data, u64_min(item.n_bytes, sizeof(root)));
                if (root.refs == 0 || (le64toh(root.flags) & BTRFS_ROOT_SUBVOL_RDONLY))
                        continue;
                *ret = (uint32_t)item.key.object;
                return 1;
        }
        return r;
}

/* A batch from one subvolume. Returns 1 while there may be more in it, else as inodes_next(). */
static int subvolume_inodes(int fs_fd, uint32_t subvolume, uint64_t from, uint64_t *ret_next,
                            int (*on_inode)(const InodeFacts *inode, void *userdata), void *userdata)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        const BtrfsKey first = {u64_max(from, BTRFS_FIRST_FREE_OBJECTID), BTRFS_INODE_ITEM_KEY, 0};
        const BtrfsKey last = {BTRFS_LAST_FREE_OBJECTID, BTRFS_EXTENT_DATA_KEY, UINT64_MAX};
        Gathering gathering = {0};
        size_t n_bytes = 0;
        BtrfsItem item;
        int r;

        r = btrfs_scan_begin(&scan, fs_fd, subvolume, first, last, BTRFS_SCAN_LARGE);
        if (r < 0)
                return r;
        for (;;) {
                r = btrfs_scan_next(&scan, &item);
                if (r < 0)
                        /* The subvolume was deleted since it was found. */
                        return r == -ENOENT ? 0 : r;
                /* The one that was gathered is complete. */
                if (gathering.is_begun && (r == 0 || item.key.object != gathering.inode.id.inode)) {
                        int said = gathering.is_linked ? on_inode(&gathering.inode, userdata) : 0;

                        if (said != 0)
                                return said;
                        gathering.is_begun = false;
                }
                if (r == 0)
                        return 0;
                if (n_bytes >= BATCH_BYTES && item.key.type == BTRFS_INODE_ITEM_KEY) {
                        *ret_next = item.key.object;
                        return 1;
                }
                n_bytes += sizeof(struct btrfs_ioctl_search_header) + item.n_bytes;
                r = gather(&gathering, subvolume, &item);
                if (r < 0)
                        return r;
        }
}

int btrfs_inodes_next(const FsFacts *facts, int fs_fd, InodeCursor *cursor,
                      int (*on_inode)(const InodeFacts *inode, void *userdata), void *userdata)
{
        uint32_t subvolume;
        uint64_t inode;
        int r;

        (void)facts;
        r = subvolume_find(fs_fd, cursor->subvolume, &subvolume);
        if (r <= 0)
                return r;
        inode = subvolume == cursor->subvolume ? cursor->inode : 0;
        r = subvolume_inodes(fs_fd, subvolume, inode, &inode, on_inode, userdata);
        if (r == 1) {
                *cursor = (InodeCursor){.inode = inode, .subvolume = subvolume};
        } else if (r == 0 && subvolume < UINT32_MAX) {
                *cursor = (InodeCursor){.subvolume = subvolume + 1};
                r = 1;
        }
        return r;
}
