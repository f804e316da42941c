/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* filestate [--no-content] PATH...
 *
 * Prints everything that has to be the same after a file was moved; two outputs are compared with diff(1). Directories
 * are descended, on one file system; only regular files are printed. Nothing is changed by looking: content is read
 * with O_DIRECT and O_NOATIME, so it is what lies on the disk after the page cache was written back. */

#include <ctype.h>
#include <fts.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <xxhash.h>

#include "tool.h"

#define READ_BYTES (UINT64_C(1) << 20)

static bool with_content = true;

static void print_escaped(const char *text)
{
        for (const unsigned char *c = (const unsigned char *)text; *c; c++)
                if (isgraph(*c) && *c != '\\')
                        putchar(*c);
                else
                        printf("\\%03o", *c);
}

static void print_stamp(const char *name, const struct statx_timestamp *stamp)
{
        printf("  %s %lld.%09u\n", name, (long long)stamp->tv_sec, stamp->tv_nsec);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_xattrs(int fd, const char *path)
{
        enum { MAX_BYTES = 65536, MAX_NAMES = 1024 };
        static char names[MAX_BYTES];
        static unsigned char value[MAX_BYTES];
        char *sorted[MAX_NAMES];
        size_t n_names = 0;
        ssize_t n_bytes = flistxattr(fd, names, sizeof(names));

        if (n_bytes < 0)
                die("%s: xattrs", path);
        for (char *name = names; name < names + n_bytes; name += strlen(name) + 1) {
                if (n_names == MAX_NAMES)
                        die_plainly("%s: too many xattrs", path);
                sorted[n_names++] = name;
        }
        qsort(sorted, n_names, sizeof(sorted[0]), compare_names);
        for (size_t i = 0; i < n_names; i++) {
                n_bytes = fgetxattr(fd, sorted[i], value, sizeof(value));
                if (n_bytes < 0)
                        die("%s: %s", path, sorted[i]);
                printf("  xattr ");
                print_escaped(sorted[i]);
                putchar(' ');
                for (ssize_t k = 0; k < n_bytes; k++)
                        printf("%02x", value[k]);
                putchar('\n');
        }
}

/* What a reader of the map sees, whatever the extents are: neighbours of one kind are one. What is shared with others is shared
 * only as long as it stays where it is. */
typedef struct LogicalMap {
        uint64_t start, end;
        uint64_t shared_bytes, shared_start, shared_end, shared_at;
        const char *kind;
} LogicalMap;

static void print_stretch(const LogicalMap *map)
{
        if (map->kind && map->end > map->start)
                printf("  map %llu-%llu %s\n", (unsigned long long)map->start, (unsigned long long)map->end,
                       map->kind);
}

static void print_shared(const LogicalMap *map)
{
        if (map->shared_end > map->shared_start)
                printf("  shared at %llu %llu-%llu\n", (unsigned long long)map->shared_at,
                       (unsigned long long)map->shared_start, (unsigned long long)map->shared_end);
}

/* An extent that is compressed is the same for its readers as one that is not, but not for its owner. */
static const char *kind_of(const struct fiemap_extent *extent)
{
        if (extent->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
                return "unwritten";
        if (extent->fe_flags & FIEMAP_EXTENT_DATA_INLINE)
                return "inline";
        return extent->fe_flags & FIEMAP_EXTENT_ENCODED ? "encoded" : "written";
}

static void on_extent(const struct fiemap_extent *extent, void *userdata)
{
        LogicalMap *map = userdata;
        const char *kind = kind_of(extent);

        if (map->kind != kind || extent->fe_logical != map->end) {
                print_stretch(map);
                map->start = extent->fe_logical;
                map->kind = kind;
        }
        map->end = extent->fe_logical + extent->fe_length;
        if (!(extent->fe_flags & FIEMAP_EXTENT_SHARED))
                return;
        if (extent->fe_logical != map->shared_end ||
            extent->fe_physical != map->shared_at + (map->shared_end - map->shared_start)) {
                print_shared(map);
                map->shared_start = extent->fe_logical;
                map->shared_at = extent->fe_physical;
        }
        map->shared_end = extent->fe_logical + extent->fe_length;
        map->shared_bytes += extent->fe_length;
}

static void print_content(int fd, const char *path)
{
        static void *buffer;
        XXH3_state_t *state = XXH3_createState();
        XXH128_hash_t hash;
        uint64_t offset = 0;
        ssize_t n_bytes;

        if (!buffer)
                buffer = aligned_buffer(READ_BYTES);
        if (!state || XXH3_128bits_reset(state) == XXH_ERROR)
                die_plainly("hash");
        while ((n_bytes = pread(fd, buffer, READ_BYTES, (off_t)offset)) > 0) {
                if (XXH3_128bits_update(state, buffer, (size_t)n_bytes) == XXH_ERROR)
                        die_plainly("hash");
                offset += (uint64_t)n_bytes;
        }
        if (n_bytes < 0)
                die("%s: read", path);
        hash = XXH3_128bits_digest(state);
        printf("  content %llu bytes %016llx%016llx\n", (unsigned long long)offset,
               (unsigned long long)hash.high64, (unsigned long long)hash.low64);
        (void)XXH3_freeState(state);
}

static void print_file(const char *path)
{
        LogicalMap map = {0};
        struct fsxattr attributes;
        struct statx status;
        unsigned flags = 0; /* the kernel writes four bytes, whatever the request's name says */
        int fd, generation;

        fd = open(path, O_RDONLY | O_NOATIME | O_DIRECT | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                die("%s", path);
        if (fsync(fd) < 0 && errno != EROFS)
                die("%s: fsync", path);
        if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status) < 0)
                die("%s: statx", path);
        if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0)
                die("%s: FSGETXATTR", path);
        if (ioctl(fd, FS_IOC_GETVERSION, &generation) < 0)
                generation = 0;
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
                die("%s: GETFLAGS", path);

        printf("file ");
        print_escaped(path);
        printf("\n  size %llu\n", (unsigned long long)status.stx_size);
        printf("  inode %llu generation %d\n", (unsigned long long)status.stx_ino, generation);
        printf("  mode %o owner %u:%u links %u\n", status.stx_mode, status.stx_uid, status.stx_gid,
               status.stx_nlink);
        print_stamp("mtime", &status.stx_mtime);
        print_stamp("ctime", &status.stx_ctime);
        print_stamp("atime", &status.stx_atime);
        print_stamp("btime", &status.stx_btime);
        printf("  flags %#x xflags %#x project %u extsize %u cowextsize %u\n", flags, attributes.fsx_xflags,
               attributes.fsx_projid, attributes.fsx_extsize, attributes.fsx_cowextsize);
        print_xattrs(fd, path);
        for_each_extent(fd, path, on_extent, &map);
        print_stretch(&map);
        print_shared(&map);
        printf("  shared %llu\n", (unsigned long long)map.shared_bytes);
        if (with_content)
                print_content(fd, path);
        (void)close(fd);
}

static int compare_entries(const FTSENT **a, const FTSENT **b)
{
        return strcmp((*a)->fts_name, (*b)->fts_name);
}

int main(int argc, char *argv[])
{
        FTSENT *entry;
        FTS *tree;

        if (argc > 1 && strcmp(argv[1], "--no-content") == 0) {
                with_content = false;
                argv++;
                argc--;
        }
        if (argc < 2)
                die_plainly("usage: filestate [--no-content] PATH...");
        tree = fts_open(argv + 1, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, compare_entries);
        if (!tree)
                die("fts");
        while ((entry = fts_read(tree))) {
                switch (entry->fts_info) {
                case FTS_F:
                        if (S_ISREG(entry->fts_statp->st_mode))
                                print_file(entry->fts_accpath);
                        break;
                case FTS_ERR:
                case FTS_DNR:
                case FTS_NS:
                        errno = entry->fts_errno;
                        die("%s", entry->fts_path);
                        break;
                default:
                        break;
                }
        }
        (void)fts_close(tree);
        return fflush(stdout) == 0 ? 0 : STATUS_ERROR;
}
