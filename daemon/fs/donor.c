/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* O_TMPFILE, prepared and reserved. If we die at any point here, the file system frees the donor: nothing refers to it. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "fs/donor.h"

/* Larger than any extent size hint that XFS takes (2^21 blocks). */
#define PUNCH_BEHIND_BYTES (256 * GIB)

/* How many of the root's subdirectories are tried when everything else refused. */
#define SUBDIRECTORY_TRIES 16

/* What a directory may have passed on to its new file and what would put the donor's blocks elsewhere. */
#define INHERITED_XFLAGS                                                                                    \
        (FS_XFLAG_REALTIME | FS_XFLAG_EXTSIZE | FS_XFLAG_COWEXTSIZE | FS_XFLAG_DAX | FS_XFLAG_FILESTREAM |  \
         FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND)

static int donor_create_in(int dir_fd)
{
        /* O_EXCL: it can never be linked into the file system. */
        const int unlinkable = PROTECTED_BY(DONOR_PRIVATE) ? O_EXCL : 0;
        int fd = openat(dir_fd, ".", O_TMPFILE | unlinkable | O_RDWR | O_DIRECT | O_CLOEXEC | O_LARGEFILE,
                        PROTECTED_BY(DONOR_PRIVATE) ? 0600 : 0666);
        int flags = 0;

        if (fd < 0)
                return -errno;
        /* ext4 passes these on from a directory, and a donor that has them is of no use. */
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & (FS_ENCRYPT_FL | FS_JOURNAL_DATA_FL))) {
                (void)fd_close(fd);
                return -EPERM;
        }
        return fd;
}

/* Is there room, or does this directory just not want new files? */
static bool try_elsewhere(int error)
{
        return error == -EPERM || error == -EACCES || error == -ESTALE || error == -ENOENT ||
               error == -ENOTDIR || error == -ENOKEY;
}

static int donor_create_below(int root_fd)
{
        _cleanup_closedir_ DIR *root = NULL;
        unsigned tries = 0;
        int copy, r = -EPERM;

        copy = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
        if (copy < 0)
                return -errno;
        root = fdopendir(copy);
        if (!root) {
                r = -errno;
                (void)fd_close(copy);
                return r;
        }
        for (struct dirent *entry; tries < SUBDIRECTORY_TRIES && (entry = readdir(root));) {
                _cleanup_close_ int dir_fd = -EBADF;
                struct stat here, there;

                if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
                        continue;
                tries++;
                dir_fd = openat(root_fd, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (dir_fd < 0 || fstat(root_fd, &here) < 0 || fstat(dir_fd, &there) < 0 ||
                    here.st_dev != there.st_dev)
                        continue;
                r = donor_create_in(dir_fd);
                if (r >= 0 || !try_elsewhere(r))
                        return r;
        }
        return r;
}

int donor_create(const FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents)
{
        int r;

        for (size_t i = 0; i < n_parents; i++) {
                _cleanup_close_ int dir_fd = -EBADF;

                if (!file_id_is_set(parents[i]))
                        continue;
                dir_fd = fs_volume_inode_open(volume, root_fd, parents[i],
                                              O_RDONLY | O_DIRECTORY | O_NOATIME);
                r = dir_fd < 0 ? dir_fd : donor_create_in(dir_fd);
                if (r >= 0 || !try_elsewhere(r))
                        return r;
        }
        r = donor_create_in(root_fd);
        if (r >= 0 || !try_elsewhere(r))
                return r;
        return donor_create_below(root_fd);
}

int donor_wait_thawed(int donor_fd)
{
        if (!PROTECTED_BY(THAWED))
                return 0;
        /* Any change waits; nobody ever sees the donor's stamps. */
        return futimens(donor_fd, NULL) < 0 ? -errno : 0;
}

int donor_prepare(int donor_fd, const FileFacts *target)
{
        struct fsxattr attributes;
        struct statx status;
        uint32_t wanted;

        /* Not asking for the stamps: whoever asks makes the kernel move its clock for stamps forward. */
        if (statx(donor_fd, "", AT_EMPTY_PATH, STATX_MODE | STATX_GID, &status) < 0)
                return -errno;
        if (PROTECTED_BY(DONOR_PRIVATE) && status.stx_gid != 0 && fchown(donor_fd, (uid_t)-1, 0) < 0)
                return -errno;
        /* A setgid directory passes no mode bits on to a plain file, a default ACL may. */
        if (PROTECTED_BY(DONOR_PRIVATE) && (status.stx_mode & 07777) != 0600 && fchmod(donor_fd, 0600) < 0)
                return -errno;

        if (ioctl(donor_fd, FS_IOC_FSGETXATTR, &attributes) < 0)
                return -errno;
        wanted = attributes.fsx_xflags & ~(uint32_t)INHERITED_XFLAGS;
        if (target->xflags & FS_XFLAG_EXTSIZE)
                wanted |= FS_XFLAG_EXTSIZE;
        if (wanted == attributes.fsx_xflags && attributes.fsx_projid == 0 &&
            attributes.fsx_extsize == target->extent_hint_bytes)
                return 0;
        attributes.fsx_xflags = wanted;
        attributes.fsx_extsize = target->xflags & FS_XFLAG_EXTSIZE ? target->extent_hint_bytes : 0;
        attributes.fsx_cowextsize = 0;
        attributes.fsx_projid = 0;
        if (ioctl(donor_fd, FS_IOC_FSSETXATTR, &attributes) < 0)
                return -errno;
        return 0;
}

/* Frees [from, to) of the donor. Returns 0 or -errno. */
static int donor_punch(int donor_fd, uint64_t from, uint64_t to)
{
        if (from < to && fallocate(donor_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                                   (off_t)(to - from)) < 0)
                return -errno;
        return 0;
}

/* With an extent size hint the allocation is rounded out over places that are holes in the target: in front of the first
 * extent, between them and behind the last one, there by no more than a hint. */
static int donor_punch_holes(int donor_fd, const ExtentMap *map, uint64_t shift)
{
        uint64_t at = 0;
        int r;

        for (size_t i = 0; i < map->n_extents; i++) {
                r = donor_punch(donor_fd, at, map->extents[i].logical - shift);
                if (r < 0)
                        return r;
                at = map->extents[i].logical + map->extents[i].length - shift;
        }
        return donor_punch(donor_fd, at, at + PUNCH_BEHIND_BYTES);
}

/* Does the donor have blocks exactly where the target has some? */
static bool same_places(const ExtentMap *target, uint64_t shift, const ExtentMap *donor)
{
        size_t t = 0, d = 0;

        while (t < target->n_extents || d < donor->n_extents) {
                uint64_t target_from, target_to, donor_from, donor_to;

                if (t == target->n_extents || d == donor->n_extents)
                        return false;
                target_from = target->extents[t].logical - shift;
                donor_from = donor->extents[d].logical;
                target_to = target_from + target->extents[t].length;
                donor_to = donor_from + donor->extents[d].length;
                for (t++; t < target->n_extents && target->extents[t].logical - shift == target_to; t++)
                        target_to += target->extents[t].length;
                for (d++; d < donor->n_extents && donor->extents[d].logical == donor_to; d++)
                        donor_to += donor->extents[d].length;
                if (target_from != donor_from || target_to != donor_to)
                        return false;
        }
        return true;
}

/* Allocates what lies behind EOF; blocks that are there already are no trouble. */
int donor_reserve_tail(int donor_fd, const ExtentMap *map, uint64_t shift, uint64_t eof)
{
        for (size_t i = 0; i < map->n_extents; i++) {
                uint64_t to = map->extents[i].logical + map->extents[i].length - shift;
                uint64_t from = u64_max(map->extents[i].logical - shift, eof);

                if (from < to &&
                    fallocate(donor_fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from)) < 0)
                        return -errno;
        }
        return 0;
}

/* Piece by piece where it belongs. With holes in between the allocator leaves gaps as wide as the holes. */
static int reserve_in_place(int donor_fd, const ExtentMap *map, uint64_t shift, uint64_t donor_size_bytes)
{
        if (ftruncate(donor_fd, (off_t)donor_size_bytes) < 0)
                return -errno;
        for (size_t i = 0; i < map->n_extents;) {
                uint64_t from = map->extents[i].logical, to = from + map->extents[i].length;

                for (i++; i < map->n_extents && map->extents[i].logical == to; i++)
                        to += map->extents[i].length;
                if (fallocate(donor_fd, FALLOC_FL_KEEP_SIZE, (off_t)(from - shift), (off_t)(to - from)) < 0)
                        return -errno;
        }
        return 0;
}

/* Everything inside eof as one piece first, then the holes inserted, from the first to the last: each insertion has only
 * the rest of that one piece to shift, and what was contiguous on the volume stays so. */
static int reserve_packed(int donor_fd, const ExtentMap *map, uint64_t shift, uint64_t eof,
                          uint64_t donor_size_bytes)
{
        uint64_t packed = 0, at = 0;

        for (size_t i = 0; i < map->n_extents; i++) {
                uint64_t from = map->extents[i].logical - shift;

                if (from < eof)
                        packed += u64_min(map->extents[i].length, eof - from);
        }
        if (ftruncate(donor_fd, (off_t)packed) < 0 || fallocate(donor_fd, 0, 0, (off_t)packed) < 0)
                return -errno;
        for (size_t i = 0; i < map->n_extents; i++) {
                uint64_t from = map->extents[i].logical - shift;

                if (from >= eof)
                        break;
                if (from > at &&
                    fallocate(donor_fd, FALLOC_FL_INSERT_RANGE, (off_t)at, (off_t)(from - at)) < 0)
                        return -errno;
                at = from + map->extents[i].length;
        }
        if (ftruncate(donor_fd, (off_t)donor_size_bytes) < 0)
                return -errno;
        return donor_reserve_tail(donor_fd, map, shift, eof);
}

static bool has_holes(const ExtentMap *map, uint64_t shift, uint64_t eof)
{
        uint64_t at = 0;

        for (size_t i = 0; i < map->n_extents && map->extents[i].logical - shift < eof; i++) {
                if (map->extents[i].logical - shift != at)
                        return true;
                at = map->extents[i].logical - shift + map->extents[i].length;
        }
        return false;
}

int donor_reserve(int donor_fd, const ExtentMap *map, uint64_t shift, uint64_t donor_size_bytes,
                  uint32_t block_bytes, uint64_t *ret_runs)
{
        _cleanup_(extent_map_done) ExtentMap donor = {0};
        uint64_t eof = u64_align_up(donor_size_bytes, block_bytes);
        int r;

        r = has_holes(map, shift, eof) ? reserve_packed(donor_fd, map, shift, eof, donor_size_bytes)
                                       : reserve_in_place(donor_fd, map, shift, donor_size_bytes);
        if (r < 0)
                return r;
        r = extent_map_read(donor_fd, 0, UINT64_MAX, false, EXTENT_MAP_MAX, &donor);
        if (r < 0)
                return r;
        if (PROTECTED_BY(SAME_MAP) && !same_places(map, shift, &donor)) {
                r = donor_punch_holes(donor_fd, map, shift);
                if (r < 0)
                        return r;
                extent_map_done(&donor);
                r = extent_map_read(donor_fd, 0, UINT64_MAX, false, EXTENT_MAP_MAX, &donor);
                if (r < 0)
                        return r;
                if (!same_places(map, shift, &donor))
                        return DONOR_DIFFERS;
        }
        *ret_runs = extent_map_runs(&donor);
        return 0;
}
