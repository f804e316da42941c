/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "facts/btrfs_encoding.h"
#include "facts/btrfs_tree.h"

/* Levels above these are the highest one. */
#define ZLIB_LEVEL_MAX 9
#define ZSTD_LEVEL_MAX 15

/* Part of a list of words. */
typedef struct Word {
        const char *text;
        size_t n_bytes;
} Word;

/* The value of an option in a list "a,b=c,d". An option without a value has an empty one. False: not there. */
static bool option_find(const char *options, const char *name, Word *ret)
{
        const size_t n_name = strlen(name);

        while (*options != '\0') {
                const size_t n_bytes = strcspn(options, ",");

                if (n_bytes >= n_name && strncmp(options, name, n_name) == 0 &&
                    (n_bytes == n_name || options[n_name] == '=')) {
                        const size_t skipped = n_name + (n_bytes > n_name);

                        *ret = (Word){.text = options + skipped, .n_bytes = n_bytes - skipped};
                        return true;
                }
                options += n_bytes + (options[n_bytes] == ',');
        }
        return false;
}

static bool word_is(Word word, const char *text)
{
        return word.n_bytes == strlen(text) && strncmp(word.text, text, word.n_bytes) == 0;
}

static bool word_begins(Word word, const char *text)
{
        return word.n_bytes >= strlen(text) && strncmp(word.text, text, strlen(text)) == 0;
}

static uint8_t type_of(Word word)
{
        if (word_is(word, "no") || word_is(word, "none"))
                return BTRFS_ENCODING_NONE;
        /* A level may follow. */
        if (word_begins(word, "zlib"))
                return BTRFS_ENCODING_ZLIB;
        if (word_begins(word, "lzo"))
                return BTRFS_ENCODING_LZO;
        return word_begins(word, "zstd") ? BTRFS_ENCODING_ZSTD : BTRFS_ENCODING_OTHER;
}

/* The one of an algorithm that was chosen, of the mount's level, which is that of all algorithms. */
static BtrfsEncoding with_level(uint8_t type, Word of_mount)
{
        const char *colon = of_mount.n_bytes > 0 ? memchr(of_mount.text, ':', of_mount.n_bytes) : NULL;
        const int most = type == BTRFS_ENCODING_ZLIB   ? ZLIB_LEVEL_MAX
                         : type == BTRFS_ENCODING_ZSTD ? ZSTD_LEVEL_MAX
                                                       : 0;
        int level = 0;

        if (!colon || sscanf(colon, ":%d", &level) != 1)
                level = 0;
        if (level > most)
                level = most;
        /* Only one has levels below. */
        if (level < (most == ZSTD_LEVEL_MAX ? -ZSTD_LEVEL_MAX : 0))
                level = 0;
        return (BtrfsEncoding){.type = type, .level = (int8_t)level};
}

/* The order of fs/btrfs/inode.c, inode_need_compress() and compress_file_range(); whether the data looks compressible is not asked. */
BtrfsEncoding btrfs_encoding_of(const char *super_options, unsigned flags, const char *property)
{
        static const BtrfsEncoding none = {.type = BTRFS_ENCODING_NONE};
        Word value = {0}, wanted = {.text = property, .n_bytes = property ? strlen(property) : 0};
        const bool is_forced = option_find(super_options, "compress-force", &value);
        const uint8_t own = wanted.n_bytes > 0 ? type_of(wanted) : BTRFS_ENCODING_NONE;
        uint8_t of_mount = BTRFS_ENCODING_NONE;

        /* No checksums, or not copied on write: such data is never compressed. */
        if (flags & FS_NOCOW_FL)
                return none;
        /* Also set when compressing it has been tried in vain. */
        if (!is_forced && (flags & FS_NOCOMP_FL))
                return none;
        if (is_forced || option_find(super_options, "compress", &value))
                of_mount = value.n_bytes > 0 ? type_of(value) : BTRFS_ENCODING_ZLIB;
        if (own != BTRFS_ENCODING_NONE)
                return with_level(own, value);
        if (of_mount != BTRFS_ENCODING_NONE)
                return with_level(of_mount, value);
        return (BtrfsEncoding){.type = flags & FS_COMPR_FL ? BTRFS_ENCODING_OTHER : BTRFS_ENCODING_NONE};
}

/* The super block's options as the mount table shows them, by way of the mount that fd was opened through. Returns 0 with *ret owned by the
 * caller, -ENODEV when it is mounted no more, -errno. */
static int super_options_read(int fd, char **ret)
{
        _cleanup_fclose_ FILE *table = NULL;
        _cleanup_free_ char *line = NULL;
        struct statx status;
        size_t room = 0;

        if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &status) < 0)
                return -errno;
        if (!(status.stx_mask & STATX_MNT_ID))
                return -EOPNOTSUPP;
        table = fopen("/proc/self/mountinfo", "re");
        if (!table)
                return -errno;
        while (getline(&line, &room, table) > 0) {
                unsigned long long mount_id;
                char *rest;
                int n = 0;

                if (sscanf(line, "%llu %n", &mount_id, &n) != 1 || mount_id != status.stx_mnt_id)
                        continue;
                /* ... optional fields - type source options; blanks within are written as \040. */
                rest = strstr(line + n, " - ");
                rest = rest ? strchr(rest + 3, ' ') : NULL;
                rest = rest ? strchr(rest + 1, ' ') : NULL;
                if (!rest)
                        return -EBADMSG;
                rest[strcspn(rest, "\n")] = '\0';
                *ret = strdup(rest + 1);
                return *ret ? 0 : -ENOMEM;
        }
        return -ENODEV;
}

int btrfs_encoding_read(int fd, BtrfsEncoding *ret)
{
        _cleanup_free_ char *options = NULL;
        char property[32] = "";
        unsigned flags = 0;
        ssize_t n;
        int r;

        r = super_options_read(fd, &options);
        if (r < 0)
                return r;
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
                return -errno;
        n = fgetxattr(fd, "btrfs.compression", property, sizeof(property) - 1);
        if (n < 0 && errno != ENODATA && errno != ERANGE)
                return -errno;
        property[n < 0 ? 0 : n] = '\0';
        /* Longer than any that says what it means. */
        *ret = btrfs_encoding_of(options, flags, n < 0 && errno == ERANGE ? "?" : property);
        return 0;
}

/* What only just saves a block may save none when it is compressed together with what lies beside it, and the kernel then writes all of that
 * uncompressed. What is a quarter shorter still saves some then, but in a file that was made to show otherwise. */
static bool is_well_compressed(const Extent *extent)
{
        return extent->encoded_bytes <= extent->length / 4 * 3;
}

bool btrfs_encoding_keeps(BtrfsEncoding would, const Extent *extent)
{
        if (extent->stays || extent->encoding != would.type)
                return false;
        if (would.type == BTRFS_ENCODING_NONE)
                return true;
        return would.type != BTRFS_ENCODING_OTHER &&
               (is_well_compressed(extent) || !PROTECTED_BY(COMPRESSIBLE));
}

/* A file's items in their order. */
typedef struct Items {
        BtrfsScan scan;
        BtrfsItem item;
        bool any;
} Items;

static void items_done(Items *items)
{
        btrfs_scan_done(&items->scan);
}

/* Goes on to the first one that begins at offset or behind it. */
static int items_seek(Items *items, uint64_t offset)
{
        while (items->any && items->item.key.offset < offset) {
                const int r = btrfs_scan_next(&items->scan, &items->item);

                if (r < 0)
                        return r;
                items->any = r > 0;
        }
        return 0;
}

void btrfs_encoded_extent(uint64_t logical, const struct btrfs_file_extent_item *raw, uint64_t end,
                          Extent *ret)
{
        const uint64_t length = u64_min(le64toh(raw->num_bytes), end - logical);
        const uint64_t encoded_bytes = u64_min(le64toh(raw->disk_num_bytes), UINT32_MAX);

        *ret = (Extent){
                .logical = logical,
                .physical = le64toh(raw->disk_bytenr),
                .length = length,
                .encoding = raw->compression,
                .encoded_bytes = (uint32_t)encoded_bytes,
                /* To read a part of it all of it is read and uncompressed, and its space does not come back before all of its parts are gone. */
                .stays = raw->offset != 0 || raw->num_bytes != raw->ram_bytes ||
                         length != le64toh(raw->num_bytes) || encoded_bytes != le64toh(raw->disk_num_bytes),
        };
}

/* As an item of the file has it now. False: what FIEMAP saw there is there no more. */
static bool item_decode(const BtrfsItem *item, const Extent *seen, uint64_t end, Extent *ret)
{
        struct btrfs_file_extent_item raw;

        if (btrfs_file_extent_read(item, &raw) <= 0 || raw.type != BTRFS_FILE_EXTENT_REG ||
            raw.disk_bytenr == 0 || raw.num_bytes == 0 || raw.compression == BTRFS_ENCODING_NONE)
                return false;
        btrfs_encoded_extent(item->key.offset, &raw, end, ret);
        ret->shared = seen->shared;
        return true;
}

/* Puts what an encoded extent of FIEMAP consists of behind the others, as long as there are not too many. What has no item stays without a place. */
static int extent_decode(Items *items, const Extent *seen, ExtentMap *map, size_t *room)
{
        const uint64_t end = seen->logical + seen->length;

        for (uint64_t at = seen->logical; at < end && map->n_extents < EXTENT_MAP_MAX;) {
                Extent extent = *seen;
                int r;

                r = items_seek(items, at);
                if (r < 0)
                        return r;
                extent.logical = at;
                extent.length = end - at;
                if (items->any && items->item.key.offset < end) {
                        if (items->item.key.offset > at)
                                extent.length = items->item.key.offset - at;
                        else
                                (void)item_decode(&items->item, seen, end, &extent);
                }
                r = extent_map_append(map, room, &extent);
                if (r < 0)
                        return r;
                at += extent.length;
        }
        return 0;
}

int btrfs_map_decode(int fs_fd, FileId id, ExtentMap *map)
{
        _cleanup_(items_done) Items items = {0};
        BtrfsKey first = {id.inode, BTRFS_EXTENT_DATA_KEY, 0}, last = first;
        ExtentMap decoded = *map;
        size_t room = 0;
        int r;

        if (map->n_extents == 0)
                return 0;
        first.offset = map->extents[0].logical;
        last.offset = map->extents[map->n_extents - 1].logical + map->extents[map->n_extents - 1].length - 1;
        r = btrfs_scan_begin(&items.scan, fs_fd, id.subvolume, first, last, BTRFS_SCAN_SMALL);
        if (r < 0)
                return r;
        r = btrfs_scan_next(&items.scan, &items.item);
        if (r < 0)
                return r;
        items.any = r > 0;

        decoded.extents = NULL;
        decoded.n_extents = 0;
        for (size_t i = 0; i < map->n_extents && decoded.n_extents < EXTENT_MAP_MAX; i++) {
                const Extent *extent = &map->extents[i];

                r = extent->encoding == BTRFS_ENCODING_NONE ? extent_map_append(&decoded, &room, extent)
                                                            : extent_decode(&items, extent, &decoded, &room);
                if (r < 0) {
                        extent_map_done(&decoded);
                        return r;
                }
        }
        decoded.complete = decoded.complete && decoded.n_extents < EXTENT_MAP_MAX;
        extent_map_done(map);
        *map = decoded;
        return 0;
}
