/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fragment [OPTION...] DIR
 *
 * Makes fragmented files, and needs the whole volume for it: one filler takes all free space, every other piece of it
 * is given back, the files are written into these holes, the filler goes away, and when its blocks are free again, which
 * XFS does in the background, the files are closed. btrfs gives nothing back of an extent that anybody still uses a part of:
 * there each piece is written by itself past the page cache, every other one first.
 *
 *   --files=N       how many (1)              --name=PREFIX   DIR/PREFIX0000, ... ("file")
 *   --size=SIZE     of each (16M)             --piece=SIZE    of free space (64K)
 *   --seed=N        of the content (1)        --tail=SIZE     preallocated behind the end of each file
 *   --pattern=LIST  what a file is made of, over and over: d SIZE data, h SIZE hole, u SIZE preallocated but not
 *                   written, separated by commas ("d64K,h128K,u64K"); all data by default
 *   --into=FILE     instead of making files: write --length=SIZE at --offset=SIZE of an existing one anew
 *   --keep-filler   leave the fillers, DIR/filler and DIR/plug, where they are: free space stays in pieces
 *
 * Content is pseudo-random and depends on seed, file number and offset. If it is to be compressible btrfs gets it through the page cache, because only so
 * it compresses. */

#include <getopt.h>
#include <poll.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include "tool.h"

#define CHUNK_BYTES      (UINT64_C(1) << 20)
#define FILL_BYTES       (UINT64_C(64) << 20)
#define PUNCH_TRIES      20
#define PUNCH_PAUSE_MSEC 100
/* What direct I/O has to be a multiple of on btrfs. */
#define DIRECT_BYTES     4096

typedef struct Part {
        char kind; /* d, h, u */
        uint64_t bytes;
} Part;

static uint64_t arg_n_files = 1, arg_size = 16 << 20, arg_piece = 64 << 10, arg_seed = 1, arg_tail;
static uint64_t arg_offset, arg_length;
static const char *arg_name = "file", *arg_into;
static bool arg_keep_filler;
static Part parts[64] = {{'d', UINT64_C(1) << 40}};
static size_t n_parts = 1;

static void pattern_parse(const char *text)
{
        char *copy = strdup(text), *saved = NULL;

        if (!copy)
                die("pattern");
        n_parts = 0;
        for (char *word = strtok_r(copy, ",", &saved); word; word = strtok_r(NULL, ",", &saved)) {
                if (n_parts == sizeof(parts) / sizeof(parts[0]) || !strchr("dhu", *word))
                        die_plainly("not a pattern: %s", text);
                parts[n_parts] = (Part){.kind = *word, .bytes = size_of_text(word + 1)};
                if (parts[n_parts++].bytes == 0)
                        die_plainly("not a pattern: %s", text);
        }
        if (n_parts == 0)
                die_plainly("an empty pattern");
        free(copy);
}

/* Takes all free space. Returns how far the file reaches. */
static uint64_t fill(int fd)
{
        uint64_t at = 0, step = FILL_BYTES;

        while (step >= 4096) {
                if (fallocate(fd, 0, (off_t)at, (off_t)step) == 0)
                        at += step;
                else if (errno == ENOSPC)
                        step /= 2;
                else
                        die("filler");
        }
        return at;
}

/* On a volume that is full the kernel may have no block left for the log of it, until the last transaction is over (seen once on XFS). */
static void punch(int fd, uint64_t offset, uint64_t length)
{
        for (unsigned n = 0;
             fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) < 0;
             n++) {
                if (errno != ENOSPC || n == PUNCH_TRIES)
                        die("filler: punch");
                if (syncfs(fd) < 0)
                        die("syncfs");
                (void)poll(NULL, 0, PUNCH_PAUSE_MSEC);
        }
}

/* Gives at least n_bytes of it back, in pieces. */
static void perforate(int fd, uint64_t filler_bytes, uint64_t n_bytes)
{
        uint64_t freed = 0;

        for (uint64_t at = 0; freed < n_bytes; at += 2 * arg_piece, freed += arg_piece) {
                if (at + 2 * arg_piece > filler_bytes)
                        die_plainly("the volume is too small: %llu bytes wanted in pieces, %llu made",
                                    (unsigned long long)n_bytes, (unsigned long long)freed);
                punch(fd, at, arg_piece);
        }
        if (syncfs(fd) < 0)
                die("syncfs");
}

static void on_extent(const struct fiemap_extent *extent, void *userdata)
{
        (void)extent;
        ++*(uint64_t *)userdata;
}

/* Takes the free space that is still in one piece: the filler could not have it, because XFS keeps up to 32 MiB for
 * itself until something is given back. */
static void plug(int fd)
{
        const uint64_t step = 4 * arg_piece;
        uint64_t n_before = 0, n_extents = 0, at = 0;

        for (; n_extents <= n_before + 1; at += step) {
                n_before = n_extents;
                n_extents = 0;
                if (fallocate(fd, 0, (off_t)at, (off_t)step) < 0)
                        die("plug");
                for_each_extent(fd, "plug", on_extent, &n_extents);
        }
}

static void write_random(int fd, uint64_t number, uint64_t from, uint64_t to)
{
        static unsigned char *buffer;
        static uint64_t buffer_number, buffer_chunk;

        while (from < to) {
                /* A chunk's content depends on its number alone, whatever part of it is written. */
                uint64_t chunk = from / CHUNK_BYTES * CHUNK_BYTES;
                uint64_t end = chunk + CHUNK_BYTES < to ? chunk + CHUNK_BYTES : to;
                size_t n_bytes = (size_t)(end - from);

                if (!buffer || buffer_number != number || buffer_chunk != chunk) {
                        if (!buffer)
                                buffer = aligned_buffer(CHUNK_BYTES);
                        random_fill(buffer, CHUNK_BYTES,
                                    arg_seed << 48 ^ number << 32 ^ chunk / CHUNK_BYTES);
                        buffer_number = number;
                        buffer_chunk = chunk;
                }
                if (pwrite(fd, buffer + (from - chunk), n_bytes, (off_t)from) != (ssize_t)n_bytes)
                        die("write");
                from = end;
        }
}

static void write_part(int fd, uint64_t number, char kind, uint64_t from, uint64_t to)
{
        if (kind == 'd')
                write_random(fd, number, from, to);
        else if (kind == 'u' && fallocate(fd, 0, (off_t)from, (off_t)(to - from)) < 0)
                die("fallocate");
}

/* An extent of its own for each piece. What does not fit into blocks goes through the page cache. */
static void write_piece(int fd, uint64_t number, char kind, uint64_t from, uint64_t to)
{
        bool direct = from % DIRECT_BYTES == 0 && to % DIRECT_BYTES == 0 && !content_is_compressible();

        if (fcntl(fd, F_SETFL, direct ? O_DIRECT : 0) < 0)
                die("O_DIRECT");
        write_part(fd, number, kind, from, to);
        if (!direct && fdatasync(fd) < 0)
                die("fdatasync");
}

/* Calls write for the parts of the file. */
static void for_each_part(int fd, uint64_t number,
                          void (*write)(int fd, uint64_t number, char kind, uint64_t from, uint64_t to))
{
        uint64_t at = 0;

        for (size_t i = 0; at < arg_size; i = (i + 1) % n_parts) {
                uint64_t end = arg_size - at < parts[i].bytes ? arg_size : at + parts[i].bytes;

                write(fd, number, parts[i].kind, at, end);
                at = end;
        }
}

/* Of the pieces of all parts this pass writes every other one: no piece comes to lie in front of the one that follows it in the file. */
static size_t pass, n_pieces;

static void scatter_part(int fd, uint64_t number, char kind, uint64_t from, uint64_t to)
{
        for (uint64_t at = from; kind != 'h' && at < to; at += arg_piece)
                if (n_pieces++ % 2 == pass)
                        write_piece(fd, number, kind, at, at + arg_piece < to ? at + arg_piece : to);
}

static void scatter_into(int fd, uint64_t number)
{
        for (unsigned i = 0; i < 2; i++) {
                pass = (i + 1) % 2;
                n_pieces = 0;
                if (arg_into)
                        scatter_part(fd, number, 'd', arg_offset, arg_offset + arg_length);
                else
                        for_each_part(fd, number, scatter_part);
        }
        if (fcntl(fd, F_SETFL, 0) < 0)
                die("O_DIRECT");
}

static void finish_file(int fd)
{
        if ((!arg_into && ftruncate(fd, (off_t)arg_size) < 0) || fsync(fd) < 0)
                die("fsync");
        if (arg_tail > 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)arg_size, (off_t)arg_tail) < 0)
                die("fallocate");
        if (fsync(fd) < 0)
                die("fsync");
}

static uint64_t free_bytes(int dir_fd)
{
        struct statvfs status;

        if (fstatvfs(dir_fd, &status) < 0)
                die("statvfs");
        return (uint64_t)status.f_bfree * status.f_frsize;
}

/* XFS gives the filler's blocks back in the background. */
static void wait_for_space(int dir_fd, uint64_t n_before, uint64_t n_used)
{
        for (unsigned i = 0; i < 600 && free_bytes(dir_fd) + n_used < n_before; i++)
                (void)poll(NULL, 0, 50);
}

static void parse_arguments(int argc, char *argv[])
{
        static const struct option options[] = {
                {"files", required_argument, NULL, 'f'},   {"size", required_argument, NULL, 's'},
                {"piece", required_argument, NULL, 'p'},   {"seed", required_argument, NULL, 'r'},
                {"name", required_argument, NULL, 'n'},    {"tail", required_argument, NULL, 't'},
                {"pattern", required_argument, NULL, 'x'}, {"into", required_argument, NULL, 'i'},
                {"offset", required_argument, NULL, 'o'},  {"length", required_argument, NULL, 'l'},
                {"keep-filler", no_argument, NULL, 'k'},   {NULL, 0, NULL, 0},
        };
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case 'f':
                        arg_n_files = size_of_text(optarg);
                        break;
                case 's':
                        arg_size = size_of_text(optarg);
                        break;
                case 'p':
                        arg_piece = size_of_text(optarg);
                        break;
                case 'r':
                        arg_seed = size_of_text(optarg);
                        break;
                case 'n':
                        arg_name = optarg;
                        break;
                case 't':
                        arg_tail = size_of_text(optarg);
                        break;
                case 'x':
                        pattern_parse(optarg);
                        break;
                case 'i':
                        arg_into = optarg;
                        break;
                case 'o':
                        arg_offset = size_of_text(optarg);
                        break;
                case 'l':
                        arg_length = size_of_text(optarg);
                        break;
                case 'k':
                        arg_keep_filler = true;
                        break;
                default:
                        exit(STATUS_ERROR);
                }
        if (optind + 1 != argc || arg_piece == 0)
                die_plainly("usage: fragment [OPTION...] DIR");
}

static int open_new(int dir_fd, const char *name)
{
        int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd < 0)
                die("%s", name);
        return fd;
}

static void write_in_holes(int dir_fd, const int *fds)
{
        int filler_fd = open_new(dir_fd, "filler"), plug_fd = open_new(dir_fd, "plug");
        uint64_t wanted, n_free;

        if (syncfs(dir_fd) < 0)
                die("syncfs");
        n_free = free_bytes(dir_fd);
        wanted = arg_into ? arg_length : arg_n_files * (arg_size + arg_tail + 65536);
        /* More for extent trees, and for the up to 32 MiB each that XFS takes back first and plug() takes instead. */
        wanted += wanted / 64 + (80 << 20);
        perforate(filler_fd, fill(filler_fd), wanted);
        plug(plug_fd);

        for (uint64_t i = 0; i < arg_n_files; i++) {
                if (arg_into)
                        write_random(fds[i], 0, arg_offset, arg_offset + arg_length);
                else
                        for_each_part(fds[i], i, write_part);
                finish_file(fds[i]);
        }
        if (!arg_keep_filler && (unlinkat(dir_fd, "filler", 0) < 0 || unlinkat(dir_fd, "plug", 0) < 0))
                die("filler");
        (void)close(filler_fd);
        (void)close(plug_fd);
        if (syncfs(dir_fd) < 0)
                die("syncfs");
        if (!arg_keep_filler)
                wait_for_space(dir_fd, n_free, wanted);
}

/* Takes all free space in pieces, and gives every other one back. */
static void fill_alternately(int dir_fd)
{
        int filler_fd = open_new(dir_fd, "filler"), plug_fd = open_new(dir_fd, "plug");

        for (uint64_t at = 0;; at += arg_piece)
                if (fallocate(filler_fd, 0, (off_t)at, (off_t)arg_piece) < 0 ||
                    fallocate(plug_fd, 0, (off_t)at, (off_t)arg_piece) < 0) {
                        if (errno != ENOSPC)
                                die("filler");
                        break;
                }
        if (syncfs(dir_fd) < 0 || unlinkat(dir_fd, "plug", 0) < 0)
                die("plug");
        (void)close(filler_fd);
        (void)close(plug_fd);
}

static void write_scattered(int dir_fd, const int *fds)
{
        for (uint64_t i = 0; i < arg_n_files; i++) {
                scatter_into(fds[i], i);
                finish_file(fds[i]);
        }
        if (arg_keep_filler)
                fill_alternately(dir_fd);
        if (syncfs(dir_fd) < 0)
                die("syncfs");
}

int main(int argc, char *argv[])
{
        struct statfs status;
        int dir_fd, *fds;

        parse_arguments(argc, argv);
        dir_fd = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0 || fstatfs(dir_fd, &status) < 0)
                die("%s", argv[optind]);
        if (arg_into)
                arg_n_files = 1;
        fds = calloc(arg_n_files, sizeof(*fds));
        if (!fds)
                die("buffer");

        /* Inodes first: there is no room for more of them once free space is in pieces. */
        for (uint64_t i = 0; i < arg_n_files; i++) {
                char name[256];

                if (arg_into) {
                        fds[i] = open(arg_into, O_WRONLY | O_CLOEXEC);
                        if (fds[i] >= 0 && fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                                     (off_t)arg_offset, (off_t)arg_length) < 0)
                                die("%s: punch", arg_into);
                } else {
                        (void)snprintf(name, sizeof(name), "%s%04llu", arg_name, (unsigned long long)i);
                        fds[i] = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                }
                if (fds[i] < 0)
                        die("%s", arg_into ? arg_into : name);
        }
        if (status.f_type == BTRFS_SUPER_MAGIC)
                write_scattered(dir_fd, fds);
        else
                write_in_holes(dir_fd, fds);
        /* Whoever watches learns of the files only now. */
        for (uint64_t i = 0; i < arg_n_files; i++)
                (void)close(fds[i]);
        free(fds);
        return 0;
}
