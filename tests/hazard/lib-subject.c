/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files that lie badly on purpose, what should be in them, and everything else that must stay as it was. */

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/extent_map.h"
#include "lib-hazard.h"

#define BLOCK_BYTES ((size_t)4096)

/* splitmix64: no two blocks of a run of the program are alike. Compressible it consists of eight letters. */
static void fill_random(uint8_t *at, size_t n_bytes)
{
        static uint64_t state = 0x9e3779b97f4a7c15;

        for (size_t i = 0; i < n_bytes; i++) {
                static uint64_t word;

                if (i % 8 == 0) {
                        word = (state += 0x9e3779b97f4a7c15);
                        word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
                        word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
                        word ^= word >> 31;
                        if (content_is_compressible())
                                word = (word & 0x0707070707070707) + 0x6161616161616161;
                }
                at[i] = (uint8_t)(word >> (i % 8 * 8));
        }
}

static void write_all(int fd, const uint8_t *from, size_t n_bytes, size_t offset)
{
        must(pwrite(fd, from, n_bytes, (off_t)offset) == (ssize_t)n_bytes);
}

static void hint_set(int fd, uint32_t hint_bytes)
{
        struct fsxattr attributes;

        must(ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0);
        attributes.fsx_xflags |= FS_XFLAG_EXTSIZE;
        attributes.fsx_extsize = hint_bytes;
        must(ioctl(fd, FS_IOC_FSSETXATTR, &attributes) == 0);
}

/* Whole blocks around the page cache; what is left of a last block like any other writer. */
static void write_piece(int direct_fd, int cached_fd, const uint8_t *content, size_t from, size_t to)
{
        size_t whole = to - to % BLOCK_BYTES;

        if (content_is_compressible()) {
                write_all(cached_fd, content + from, to - from, from);
                must(fdatasync(cached_fd) == 0);
                return;
        }
        if (from < whole)
                write_all(direct_fd, content + from, whole - from, from);
        if (whole < to)
                write_all(cached_fd, content + whole, to - whole, whole);
}

/* Of twice as many pieces, which lie one after the other, every second is cut out: its neighbours meet in the file, but not
 * on the disk. Unlike a volume that is filled up with other files this depends on no allocator, and the free space stays
 * whole, so that there is something to gain. */
static void make_fragments(int fd, size_t n_pieces, size_t piece_bytes, bool written)
{
        size_t all_bytes = (2 * n_pieces - 1) * piece_bytes;

        if (written) {
                _cleanup_free_ uint8_t *zeros = NULL;

                must(posix_memalign((void **)&zeros, BLOCK_BYTES, all_bytes) == 0);
                memset(zeros, 0, all_bytes);
                write_all(fd, zeros, all_bytes, 0);
        } else {
                must(fallocate(fd, 0, 0, (off_t)all_bytes) == 0);
        }
        for (size_t i = n_pieces - 1; i > 0; i--)
                must(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, (off_t)((2 * i - 1) * piece_bytes),
                               (off_t)piece_bytes) == 0);
}

#define MAKE_TRIES 3

/* btrfs cannot cut out, but gives new space to each direct write in the order in which they come. */
static bool is_scattered_by_writing(int fd)
{
        struct statfs status;

        must(fstatfs(fd, &status) == 0);
        return status.f_type == BTRFS_SUPER_MAGIC;
}

static Subject *subject_try(const Arena *arena, const char *name, const char *layout, size_t n_pieces,
                            size_t piece_bytes, size_t size_bytes, uint32_t hint_bytes)
{
        Subject *subject = calloc(1, sizeof(*subject));
        _cleanup_close_ int direct_fd = -EBADF, cached_fd = -EBADF;
        bool scatters;

        must(subject && piece_bytes % BLOCK_BYTES == 0);
        subject->bytes = size_bytes;
        subject->piece_bytes = piece_bytes;
        subject->room_bytes = n_pieces * piece_bytes;
        must(posix_memalign((void **)&subject->content, BLOCK_BYTES, subject->room_bytes) == 0);
        memset(subject->content, 0, subject->room_bytes);
        must(snprintf(subject->path, sizeof(subject->path), "%s/%s", arena->path, name) <
             (int)sizeof(subject->path));

        direct_fd = open(subject->path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0640);
        cached_fd = open(subject->path, O_RDWR | O_CLOEXEC);
        must(direct_fd >= 0 && cached_fd >= 0);
        if (hint_bytes > 0)
                hint_set(direct_fd, hint_bytes);
        scatters = is_scattered_by_writing(direct_fd);
        if (!scatters)
                make_fragments(direct_fd, n_pieces, piece_bytes, !layout);
        if (scatters || size_bytes < subject->room_bytes)
                must(ftruncate(direct_fd, (off_t)size_bytes) == 0);
        for (size_t k = 0; k < n_pieces; k++) {
                /* Every other one first: none comes to lie in front of the one that follows it in the file. */
                size_t i = !scatters ? k : k < n_pieces / 2 ? 2 * k + 1 : 2 * (k - n_pieces / 2);
                size_t from = i * piece_bytes, to = u64_min(from + piece_bytes, size_bytes);

                if (layout && layout[i] == '.') {
                        must(fallocate(direct_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                                       (off_t)piece_bytes) == 0);
                        continue;
                }
                /* Cutting the file gave back what lay behind its end. */
                if (layout && (from + piece_bytes > size_bytes || (scatters && layout[i] == 'u')))
                        must(fallocate(direct_fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)piece_bytes) ==
                             0);
                if ((!layout || layout[i] == 'w') && from < size_bytes) {
                        fill_random(subject->content + from, to - from);
                        write_piece(direct_fd, cached_fd, subject->content, from, to);
                }
        }
        must(fsync(direct_fd) == 0);
        must(file_id_from_name(AT_FDCWD, subject->path, &subject->id) == 0);
        must(file_id_from_name(AT_FDCWD, arena->path, &subject->parent) == 0);
        return subject;
}

/* On btrfs two pieces may come to lie one behind the other where a piece of free space ends: then in another place once more. */
static Subject *subject_make(const Arena *arena, const char *name, const char *layout, size_t n_pieces,
                             size_t piece_bytes, size_t size_bytes, uint32_t hint_bytes)
{
        for (unsigned n = 1;; n++) {
                Subject *subject =
                        subject_try(arena, name, layout, n_pieces, piece_bytes, size_bytes, hint_bytes);
                const uint64_t n_runs = subject_runs(subject);

                if (layout || n_runs >= n_pieces)
                        return subject;
                hazard_note(arena, "%s lies in %llu runs, %zu were wanted", name, (unsigned long long)n_runs,
                            n_pieces);
                errno = 0;
                if (n == MAKE_TRIES)
                        hazard_die("a file could not be fragmented", __FILE__, __LINE__);
                (void)subject_free(subject);
        }
}

Subject *subject_new(const Arena *arena, const char *name, size_t n_pieces, size_t piece_bytes,
                     size_t cut_bytes)
{
        return subject_make(arena, name, NULL, n_pieces, piece_bytes, n_pieces * piece_bytes - cut_bytes, 0);
}

Subject *subject_new_laid_out(const Arena *arena, const char *name, const char *layout, size_t piece_bytes,
                              size_t size_bytes, uint32_t hint_bytes)
{
        return subject_make(arena, name, layout, strlen(layout), piece_bytes, size_bytes, hint_bytes);
}

Subject *subject_free(Subject *subject)
{
        if (subject) {
                (void)unlink(subject->path);
                free(subject->content);
                free(subject);
        }
        return NULL;
}

uint8_t *subject_plan_write(Subject *subject, size_t offset, size_t n_bytes)
{
        must(offset + n_bytes <= subject->room_bytes);
        fill_random(subject->content + offset, n_bytes);
        return subject->content + offset;
}

void subject_write(Subject *subject, size_t offset, size_t n_bytes, int flags)
{
        const uint8_t *from = subject_plan_write(subject, offset, n_bytes);
        _cleanup_close_ int fd = open(subject->path, O_WRONLY | O_CLOEXEC | flags);

        must(fd >= 0);
        write_all(fd, from, n_bytes, offset);
}

static bool same_content(Arena *arena, const Subject *subject, int flags, const char *what)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC | flags);
        _cleanup_free_ uint8_t *seen = NULL;
        size_t n_wrong = 0, first = 0, n_read = 0;
        struct stat status;

        must(fd >= 0 && fstat(fd, &status) == 0);
        must(posix_memalign((void **)&seen, BLOCK_BYTES, subject->room_bytes + BLOCK_BYTES) == 0);
        if ((size_t)status.st_size != subject->bytes) {
                hazard_lost(arena, "%s: %lld bytes long instead of %zu", what, (long long)status.st_size,
                            subject->bytes);
                return false;
        }
        while (n_read < subject->bytes) {
                ssize_t n =
                        pread(fd, seen + n_read, subject->room_bytes + BLOCK_BYTES - n_read, (off_t)n_read);

                must(n > 0);
                n_read += (size_t)n;
        }
        for (size_t i = subject->bytes; i > 0; i--)
                if (seen[i - 1] != subject->content[i - 1]) {
                        n_wrong++;
                        first = i - 1;
                }
        if (n_wrong > 0)
                hazard_lost(arena, "%s: %zu bytes from offset %zu on are not what they should be (%s)", what,
                            n_wrong, first, flags & O_DIRECT ? "on the device" : "as read");
        return n_wrong == 0;
}

bool subject_check(Arena *arena, const Subject *subject, const char *what)
{
        return same_content(arena, subject, 0, what) && same_content(arena, subject, O_DIRECT, what);
}

uint64_t subject_runs(const Subject *subject)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);

        must(fd >= 0 && extent_map_read(fd, 0, UINT64_MAX, true, EXTENT_MAP_MAX, &map) == 0);
        if (map.any_encoded)
                must(file_system_btrfs.map_decode(fd, subject->id, &map) == 0);
        return extent_map_runs(&map);
}

uint64_t subject_shared_bytes(const Subject *subject)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        uint64_t n_bytes = 0;

        must(fd >= 0 && extent_map_read(fd, 0, UINT64_MAX, true, EXTENT_MAP_MAX, &map) == 0);
        for (size_t i = 0; i < map.n_extents; i++)
                if (map.extents[i].shared)
                        n_bytes += map.extents[i].length;
        return n_bytes;
}

typedef struct Place {
        uint64_t from, to;
        bool unwritten;
} Place;

struct Metadata {
        struct statx status;
        struct fsxattr attributes;
        char xattrs[8192]; /* name, NUL, value, for one after the other */
        size_t xattr_bytes;
        Place *places; /* NULL when nobody asked */
        size_t n_places;
};

static void read_xattrs(int fd, Metadata *metadata)
{
        char names[2048];
        ssize_t n_names = flistxattr(fd, names, sizeof(names));

        must(n_names >= 0);
        for (const char *name = names; name < names + n_names; name += strlen(name) + 1) {
                size_t n_name = strlen(name) + 1;
                ssize_t n_value;

                must(metadata->xattr_bytes + n_name < sizeof(metadata->xattrs));
                memcpy(metadata->xattrs + metadata->xattr_bytes, name, n_name);
                metadata->xattr_bytes += n_name;
                n_value = fgetxattr(fd, name, metadata->xattrs + metadata->xattr_bytes,
                                    sizeof(metadata->xattrs) - metadata->xattr_bytes);
                must(n_value >= 0);
                metadata->xattr_bytes += (size_t)n_value;
        }
}

/* Where the pieces lie is what a move changes; which places have blocks, and which of them were written, is not. */
static void read_places(int fd, Metadata *metadata)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};

        must(extent_map_read(fd, 0, UINT64_MAX, true, EXTENT_MAP_MAX, &map) == 0);
        metadata->places = calloc(map.n_extents + 1, sizeof(*metadata->places));
        must(metadata->places);
        for (size_t i = 0; i < map.n_extents; i++) {
                const Extent *extent = &map.extents[i];
                Place *last = metadata->n_places > 0 ? &metadata->places[metadata->n_places - 1] : NULL;

                if (last && last->to == extent->logical && last->unwritten == extent->unwritten)
                        last->to += extent->length;
                else
                        metadata->places[metadata->n_places++] =
                                (Place){.from = extent->logical,
                                        .to = extent->logical + extent->length,
                                        .unwritten = extent->unwritten};
        }
}

Metadata *metadata_read(const char *path, bool with_map)
{
        Metadata *metadata = calloc(1, sizeof(*metadata));
        _cleanup_close_ int fd = open(path, O_RDONLY | O_NOATIME | O_CLOEXEC);

        must(metadata && fd >= 0);
        must(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &metadata->status) == 0);
        must(ioctl(fd, FS_IOC_FSGETXATTR, &metadata->attributes) == 0);
        read_xattrs(fd, metadata);
        if (with_map)
                read_places(fd, metadata);
        return metadata;
}

Metadata *metadata_free(Metadata *metadata)
{
        if (metadata) {
                free(metadata->places);
                free(metadata);
        }
        return NULL;
}

static bool same_stamp(struct statx_timestamp a, struct statx_timestamp b)
{
        return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_places(const Metadata *a, const Metadata *b)
{
        if (!a->places || !b->places)
                return true;
        if (a->n_places != b->n_places)
                return false;
        for (size_t i = 0; i < a->n_places; i++)
                if (a->places[i].from != b->places[i].from || a->places[i].to != b->places[i].to ||
                    a->places[i].unwritten != b->places[i].unwritten)
                        return false;
        return true;
}

bool metadata_check(Arena *arena, const Metadata *before, const Metadata *after, const char *what)
{
        const struct statx *a = &before->status, *b = &after->status;
        const struct {
                const char *name;
                bool same;
        } fields[] = {
                {"inode", a->stx_ino == b->stx_ino},
                {"size", a->stx_size == b->stx_size},
                {"mode", a->stx_mode == b->stx_mode},
                {"owner", a->stx_uid == b->stx_uid && a->stx_gid == b->stx_gid},
                {"links", a->stx_nlink == b->stx_nlink},
                {"attributes", a->stx_attributes == b->stx_attributes},
                {"mtime", same_stamp(a->stx_mtime, b->stx_mtime)},
                {"ctime", same_stamp(a->stx_ctime, b->stx_ctime)},
                {"atime", same_stamp(a->stx_atime, b->stx_atime)},
                {"btime", same_stamp(a->stx_btime, b->stx_btime)},
                {"flags", before->attributes.fsx_xflags == after->attributes.fsx_xflags},
                {"project id", before->attributes.fsx_projid == after->attributes.fsx_projid},
                {"extent size hint", before->attributes.fsx_extsize == after->attributes.fsx_extsize},
                {"extended attributes",
                 before->xattr_bytes == after->xattr_bytes &&
                         memcmp(before->xattrs, after->xattrs, after->xattr_bytes) == 0},
                {"map of holes and unwritten places", same_places(before, after)},
        };
        bool all = true;

        for (size_t i = 0; i < ELEMENTS(fields); i++)
                if (!fields[i].same) {
                        hazard_lost(arena, "%s: %s changed", what, fields[i].name);
                        all = false;
                }
        return all;
}
