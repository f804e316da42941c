/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* versions make DIR SIZE                          the files there, all of SIZE bytes, become version 0 in place
 * versions write DIR DISK OFFSET [--pause=MSEC]   until SIGTERM: one version after the other, each made durable
 * versions check DIR DISK OFFSET SIZE [--lie] [--unit=BYTES]
 *                                                  is every file a version that it may be after a power cut?
 *
 * A program that is told by fsync() that its data is safe, and the judge of whether it was. Which versions were begun
 * and which are acknowledged is written past the file system to DISK at OFFSET, always between two versions: a file is
 * then that of the last acknowledged version or, where the next one was begun, on the way to that one.
 *
 * A file's number decides how it is written:
 *   0, 3, ...  overwritten in place: each 4 KiB is of the old or of the new version
 *   1, 4, ...  a new file that is renamed over the old one: the one or the other
 *   2, 5, ...  appended to: as long as one of the two or anything between, and right as far as it goes
 * Owner, mode and mtime belong to the version; while one is written, mtime may be that of the writing.
 *
 * A block of a file that is written in place is old or new as a whole, or, where the file system's blocks are smaller, each unit of it.
 *
 * --lie is for the test of the test: it takes one more version to be acknowledged than is. */

#include <dirent.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "tool.h"

#define BLOCK_BYTES  4096
#define FILES_MAX    64
#define APPEND_BYTES 12345 /* a version */
#define MARK_MAGIC   UINT64_C(0x6465667261676d6b)
#define MTIME_SEC    1000000000 /* of version 0; 2001: nothing that happens now can be meant */

typedef struct Mark {
        uint64_t magic;
        uint64_t begun[FILES_MAX];
        uint64_t acknowledged[FILES_MAX];
} Mark;

_Static_assert(sizeof(Mark) <= BLOCK_BYTES, "one block says it all");

static char names[FILES_MAX][256];
static uint64_t n_files;
static uint64_t arg_pause_msec;
static bool arg_lie;
static uint64_t arg_unit = BLOCK_BYTES;
static volatile sig_atomic_t stop;

static void on_stop(int signal_number)
{
        (void)signal_number;
        stop = 1;
}

static int is_visible(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

static int open_directory(const char *path)
{
        struct dirent **entries;
        int fd, n;

        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                die("%s", path);
        n = scandir(path, &entries, is_visible, alphasort);
        if (n < 0)
                die("%s", path);
        if (n == 0 || n > FILES_MAX)
                die_plainly("%s: %d files", path, n);
        for (int i = 0; i < n; i++) {
                (void)snprintf(names[i], sizeof(names[i]), "%s", entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        n_files = (uint64_t)n;
        return fd;
}

/* --- what a version is --- */

typedef enum Way {
        WAY_OVERWRITE,
        WAY_REPLACE,
        WAY_APPEND,
} Way;

static Way way_of(uint64_t file)
{
        return (Way)(file % 3);
}

static void block_of(uint64_t file, uint64_t version, uint64_t block, unsigned char ret[static BLOCK_BYTES])
{
        /* What was appended once stays. */
        if (way_of(file) == WAY_APPEND)
                version = 0;
        random_fill(ret, BLOCK_BYTES, file << 56 ^ version << 32 ^ block);
}

static mode_t mode_of(uint64_t version)
{
        return version % 2 == 0 ? 0644 : 0600;
}

static uid_t owner_of(uint64_t version)
{
        return (uid_t)(1000 + version % 3);
}

static time_t mtime_of(uint64_t version)
{
        return (time_t)(MTIME_SEC + version);
}

static void write_range(int fd, uint64_t file, uint64_t version, uint64_t from, uint64_t to)
{
        unsigned char block[BLOCK_BYTES];

        while (from < to) {
                uint64_t skip = from % BLOCK_BYTES,
                         n = BLOCK_BYTES - skip < to - from ? BLOCK_BYTES - skip : to - from;

                block_of(file, version, from / BLOCK_BYTES, block);
                if (pwrite(fd, block + skip, n, (off_t)from) != (ssize_t)n)
                        die("%s: write", names[file]);
                from += n;
        }
}

static void stamp_and_sync(int fd, uint64_t file, uint64_t version)
{
        const struct timespec stamps[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = mtime_of(version)}};

        if (fchown(fd, owner_of(version), 0) < 0 || fchmod(fd, mode_of(version)) < 0 ||
            futimens(fd, stamps) < 0 || fsync(fd) < 0)
                die("%s", names[file]);
}

static uint64_t size_now(int fd, uint64_t file)
{
        struct stat status;

        if (fstat(fd, &status) < 0)
                die("%s", names[file]);
        return (uint64_t)status.st_size;
}

/* --- writing --- */

static void make(int dir_fd, uint64_t size)
{
        for (uint64_t file = 0; file < n_files; file++) {
                int fd = openat(dir_fd, names[file], O_RDWR | O_CLOEXEC);

                if (fd < 0)
                        die("%s", names[file]);
                if (size_now(fd, file) != size)
                        die_plainly("%s: of another size", names[file]);
                write_range(fd, file, 0, 0, size);
                stamp_and_sync(fd, file, 0);
                (void)close(fd);
        }
}

static void version_write(int dir_fd, uint64_t file, uint64_t version)
{
        char fresh[300];
        uint64_t size;
        int fd, fresh_fd;

        fd = openat(dir_fd, names[file], O_RDWR | O_CLOEXEC);
        if (fd < 0)
                die("%s", names[file]);
        size = size_now(fd, file);
        switch (way_of(file)) {
        case WAY_OVERWRITE:
                write_range(fd, file, version, 0, size);
                stamp_and_sync(fd, file, version);
                break;
        case WAY_APPEND:
                write_range(fd, file, version, size, size + APPEND_BYTES);
                stamp_and_sync(fd, file, version);
                break;
        case WAY_REPLACE:
                (void)snprintf(fresh, sizeof(fresh), ".new-%s", names[file]);
                fresh_fd = openat(dir_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                if (fresh_fd < 0)
                        die("%s", fresh);
                write_range(fresh_fd, file, version, 0, size);
                stamp_and_sync(fresh_fd, file, version);
                (void)close(fresh_fd);
                if (renameat(dir_fd, fresh, dir_fd, names[file]) < 0 || fsync(dir_fd) < 0)
                        die("%s", fresh);
                break;
        }
        (void)close(fd);
}

static void mark_write(int disk_fd, off_t offset, const Mark *mark)
{
        static unsigned char *buffer;

        if (!buffer)
                buffer = aligned_buffer(BLOCK_BYTES);
        memset(buffer, 0, BLOCK_BYTES);
        memcpy(buffer, mark, sizeof(*mark));
        if (pwrite(disk_fd, buffer, BLOCK_BYTES, offset) != BLOCK_BYTES)
                die("mark");
}

static void write_versions(int dir_fd, const char *disk, off_t offset)
{
        Mark mark = {.magic = MARK_MAGIC};
        uint64_t n_versions = 0, random = 1;
        int disk_fd;

        disk_fd = open(disk, O_WRONLY | O_DIRECT | O_CLOEXEC);
        if (disk_fd < 0)
                die("%s", disk);
        puts("ready");
        (void)fflush(stdout);
        while (!stop) {
                uint64_t file = n_versions % n_files;

                mark.begun[file]++;
                mark_write(disk_fd, offset, &mark);
                version_write(dir_fd, file, mark.begun[file]);
                mark.acknowledged[file]++;
                mark_write(disk_fd, offset, &mark);
                n_versions++;
                if (arg_pause_msec > 0)
                        (void)poll(NULL, 0, (int)(random_next(&random) % (2 * arg_pause_msec)));
        }
        printf("%llu versions\n", (unsigned long long)n_versions);
        if (close(disk_fd) < 0)
                die("%s", disk);
}

/* --- checking --- */

static uint64_t n_wrong;

#define wrong(file, ...)                                                                                    \
        do {                                                                                                \
                n_wrong++;                                                                                  \
                printf("lost: %s: ", names[file]);                                                          \
                printf(__VA_ARGS__);                                                                        \
                putchar('\n');                                                                              \
        } while (0)

/* Says how many blocks are neither, and the first. */
/* Is every unit of it as it was or as it becomes? What the file system writes in one is not torn. */
static bool is_of_either(const unsigned char *is, const unsigned char *was, const unsigned char *becomes,
                         size_t n_bytes)
{
        for (size_t at = 0; at < n_bytes; at += arg_unit) {
                const size_t n = n_bytes - at < arg_unit ? n_bytes - at : arg_unit;

                if (memcmp(is + at, was + at, n) != 0 && memcmp(is + at, becomes + at, n) != 0)
                        return false;
        }
        return true;
}

static void check_content(int fd, uint64_t file, uint64_t size, uint64_t old, uint64_t new)
{
        uint64_t n_old = 0, n_new = 0, n_neither = 0, first = 0,
                 n_blocks = (size + BLOCK_BYTES - 1) / BLOCK_BYTES;
        unsigned char is[BLOCK_BYTES], was[BLOCK_BYTES], becomes[BLOCK_BYTES];

        for (uint64_t i = 0; i < n_blocks; i++) {
                size_t n = size - i * BLOCK_BYTES < BLOCK_BYTES ? (size_t)(size - i * BLOCK_BYTES)
                                                                : BLOCK_BYTES;
                bool as_old, as_new;

                if (pread(fd, is, n, (off_t)(i * BLOCK_BYTES)) != (ssize_t)n)
                        die("%s: read", names[file]);
                block_of(file, old, i, was);
                block_of(file, new, i, becomes);
                as_old = memcmp(is, was, n) == 0;
                as_new = memcmp(is, becomes, n) == 0;
                n_old += as_old;
                n_new += as_new;
                if (!as_old && !as_new && !is_of_either(is, was, becomes, n) && n_neither++ == 0)
                        first = i;
        }
        if (n_neither > 0)
                wrong(file, "%llu of %llu blocks are neither of version %llu nor of %llu, the first at %llu",
                      (unsigned long long)n_neither, (unsigned long long)n_blocks, (unsigned long long)old,
                      (unsigned long long)new, (unsigned long long)(first * BLOCK_BYTES));
        if (way_of(file) == WAY_REPLACE && n_old != n_blocks && n_new != n_blocks)
                wrong(file, "a mixture of versions %llu and %llu", (unsigned long long)old,
                      (unsigned long long)new);
}

static void check_file(int dir_fd, uint64_t file, uint64_t size, uint64_t old, uint64_t new)
{
        uint64_t longest = size;
        struct stat status;
        int fd;

        fd = openat(dir_fd, names[file], O_RDONLY | O_NOATIME | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &status) < 0)
                die("%s", names[file]);
        if (way_of(file) == WAY_APPEND) {
                size += old * APPEND_BYTES;
                longest += new *APPEND_BYTES;
        }
        if ((uint64_t)status.st_size < size || (uint64_t)status.st_size > longest)
                wrong(file, "%lld bytes, not %llu", (long long)status.st_size, (unsigned long long)size);
        check_content(fd, file, (uint64_t)status.st_size, old, new);
        if ((status.st_mode & 07777) != mode_of(old) && (status.st_mode & 07777) != mode_of(new))
                wrong(file, "mode %o", status.st_mode & 07777);
        if (status.st_uid != owner_of(old) && status.st_uid != owner_of(new))
                wrong(file, "owner %u", status.st_uid);
        /* A stamp of the present is one that write() gave. */
        if (status.st_mtime != mtime_of(old) && status.st_mtime != mtime_of(new) &&
            (old == new || status.st_mtime < MTIME_SEC + 500000000))
                wrong(file, "mtime %lld", (long long)status.st_mtime);
        (void)close(fd);
}

/* size is that of version 0. */
static void check(int dir_fd, const char *disk, off_t offset, uint64_t size)
{
        Mark mark;
        int disk_fd;

        disk_fd = open(disk, O_RDONLY | O_CLOEXEC);
        if (disk_fd < 0 || pread(disk_fd, &mark, sizeof(mark), offset) != sizeof(mark))
                die("%s", disk);
        (void)close(disk_fd);
        /* Zeros: nothing was begun yet. */
        if (mark.magic != MARK_MAGIC && mark.magic != 0)
                die_plainly("%s: no mark at %lld", disk, (long long)offset);
        for (uint64_t file = 0; file < n_files; file++) {
                uint64_t lie = arg_lie ? 1 : 0;

                check_file(dir_fd, file, size, mark.acknowledged[file] + lie, mark.begun[file] + lie);
        }
        printf("%llu files\n", (unsigned long long)n_files);
}

int main(int argc, char *argv[])
{
        static const struct option options[] = {
                {"pause", required_argument, NULL, 'p'},
                {"lie", no_argument, NULL, 'l'},
                {"unit", required_argument, NULL, 'u'},
                {NULL, 0, NULL, 0},
        };
        const struct sigaction action = {.sa_handler = on_stop};
        const char *command;
        int option, dir_fd, n;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case 'p':
                        arg_pause_msec = size_of_text(optarg);
                        break;
                case 'l':
                        arg_lie = true;
                        break;
                case 'u':
                        arg_unit = size_of_text(optarg);
                        if (arg_unit == 0)
                                die_plainly("no unit");
                        break;
                default:
                        exit(STATUS_ERROR);
                }
        argv += optind;
        n = argc - optind;
        if (n < 3)
                die_plainly("usage: versions make DIR SIZE | write DIR DISK OFFSET | check DIR DISK OFFSET "
                            "SIZE");
        command = argv[0];
        dir_fd = open_directory(argv[1]);
        if (strcmp(command, "make") == 0 && n == 3) {
                make(dir_fd, size_of_text(argv[2]));
        } else if (strcmp(command, "write") == 0 && n == 4) {
                if (sigaction(SIGTERM, &action, NULL) < 0)
                        die("sigaction");
                write_versions(dir_fd, argv[2], (off_t)size_of_text(argv[3]));
        } else if (strcmp(command, "check") == 0 && n == 5) {
                check(dir_fd, argv[2], (off_t)size_of_text(argv[3]), size_of_text(argv[4]));
        } else {
                die_plainly("no such command: %s", command);
        }
        return fflush(stdout) != 0 ? STATUS_ERROR : n_wrong > 0 ? STATUS_WRONG : 0;
}
