/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* exchange-bit on|off|show DEVICE_OR_FILE
 *
 * Sets, clears or shows the exchange-range feature of an unmounted XFS. mkfs.xfs before 6.10 cannot set it, and
 * xfs_repair before 6.10 refuses a volume that has it. Only for scratch volumes.
 *
 * Every allocation group begins with a copy of the superblock; the bit is set in all of them and each checksum
 * (CRC32C over the sector, the field itself zeroed) is made anew. Source: fs/xfs/libxfs/xfs_format.h, struct xfs_dsb. */

#include "tool.h"

#define MAGIC            0x58465342U /* "XFSB" */
#define FEATURE_EXCHANGE 0x40U

/* Offsets in struct xfs_dsb. */
#define AT_BLOCKSIZE    4
#define AT_AGBLOCKS     84
#define AT_AGCOUNT      88
#define AT_VERSION      100
#define AT_SECTSIZE     102
#define AT_INCOMPATIBLE 216
#define AT_CRC          224

#define SECTOR_MAX 32768

static uint32_t get_be32(const unsigned char *bytes)
{
        return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_be32(unsigned char *bytes, uint32_t value)
{
        for (int i = 0; i < 4; i++)
                bytes[i] = (unsigned char)(value >> (24 - 8 * i));
}

static uint32_t get_le32(const unsigned char *bytes)
{
        return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

static void put_le32(unsigned char *bytes, uint32_t value)
{
        for (int i = 0; i < 4; i++)
                bytes[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t crc32c(const unsigned char *bytes, size_t n_bytes)
{
        uint32_t crc = UINT32_MAX;

        for (size_t i = 0; i < n_bytes; i++) {
                crc ^= bytes[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
        }
        return ~crc;
}

static uint32_t superblock_crc(const unsigned char *sector, size_t n_bytes)
{
        unsigned char copy[SECTOR_MAX];

        memcpy(copy, sector, n_bytes);
        memset(copy + AT_CRC, 0, 4);
        return crc32c(copy, n_bytes);
}

/* Returns the sector size. */
static size_t superblock_read(int fd, const char *name, uint64_t offset,
                              unsigned char sector[static SECTOR_MAX])
{
        size_t n_bytes;

        if (pread(fd, sector, 512, (off_t)offset) != 512)
                die("%s: cannot read at %llu", name, (unsigned long long)offset);
        if (get_be32(sector) != MAGIC || (sector[AT_VERSION + 1] & 0xf) != 5)
                die_plainly("%s: no XFS of version 5 at %llu", name, (unsigned long long)offset);
        n_bytes = (size_t)sector[AT_SECTSIZE] << 8 | sector[AT_SECTSIZE + 1];
        if (n_bytes < 512 || n_bytes > SECTOR_MAX)
                die_plainly("%s: sectors of %zu bytes", name, n_bytes);
        if (pread(fd, sector, n_bytes, (off_t)offset) != (ssize_t)n_bytes)
                die("%s: cannot read at %llu", name, (unsigned long long)offset);
        if (get_le32(sector + AT_CRC) != superblock_crc(sector, n_bytes))
                die_plainly("%s: wrong checksum at %llu", name, (unsigned long long)offset);
        return n_bytes;
}

int main(int argc, char *argv[])
{
        unsigned char sector[SECTOR_MAX];
        uint64_t group_bytes;
        uint32_t n_groups;
        bool on, show;
        int fd;

        if (argc != 3)
                die_plainly("usage: exchange-bit on|off|show DEVICE_OR_FILE");
        on = strcmp(argv[1], "on") == 0;
        show = strcmp(argv[1], "show") == 0;
        if (!on && !show && strcmp(argv[1], "off") != 0)
                die_plainly("on, off or show, not %s", argv[1]);
        /* O_EXCL: a block device that is mounted is refused. */
        fd = open(argv[2], (show ? O_RDONLY : O_RDWR | O_EXCL) | O_CLOEXEC);
        if (fd < 0)
                die("%s", argv[2]);

        (void)superblock_read(fd, argv[2], 0, sector);
        if (show) {
                puts(get_be32(sector + AT_INCOMPATIBLE) & FEATURE_EXCHANGE ? "on" : "off");
                return 0;
        }
        n_groups = get_be32(sector + AT_AGCOUNT);
        group_bytes = (uint64_t)get_be32(sector + AT_AGBLOCKS) * get_be32(sector + AT_BLOCKSIZE);

        /* All are looked at before the first is written. */
        for (uint32_t i = 0; i < n_groups; i++)
                (void)superblock_read(fd, argv[2], i * group_bytes, sector);
        for (uint32_t i = 0; i < n_groups; i++) {
                size_t n_bytes = superblock_read(fd, argv[2], i * group_bytes, sector);
                uint32_t features = get_be32(sector + AT_INCOMPATIBLE);

                features = on ? features | FEATURE_EXCHANGE : features & ~FEATURE_EXCHANGE;
                put_be32(sector + AT_INCOMPATIBLE, features);
                put_le32(sector + AT_CRC, superblock_crc(sector, n_bytes));
                if (pwrite(fd, sector, n_bytes, (off_t)(i * group_bytes)) != (ssize_t)n_bytes)
                        die("%s: cannot write", argv[2]);
        }
        if (fsync(fd) < 0)
                die("%s", argv[2]);
        return 0;
}
