/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file of an exerciser, the model of it, and holding one against the other. */

#include <linux/magic.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "../tools/tool.h"
#include "model.h"

void model_say(ModelFile *file, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(file->did, sizeof(file->did), format, arguments);
        va_end(arguments);
}

void model_complain(ModelFile *file, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(file->complaint, sizeof(file->complaint), format, arguments);
        va_end(arguments);
}

ModelPath model_path_of(const ModelFile *file, const char *suffix)
{
        ModelPath path;

        if (snprintf(path.text, sizeof(path.text), "%s/%s%s", file->directory, file->name, suffix) >=
            (int)sizeof(path.text))
                die_plainly("%s: too long a name", file->directory);
        return path;
}

ModelPath model_path(const ModelFile *file)
{
        return model_path_of(file, file->renamed ? ".renamed" : "");
}

void model_init(ModelFile *file)
{
        struct statfs status;

        if (statfs(file->directory, &status) < 0)
                die("%s", file->directory);
        file->forgets_old_end = status.f_type == EXT4_SUPER_MAGIC && (size_t)status.f_bsize < BLOCK_BYTES;
        file->fd = file->direct_fd = file->source_fd = -1;
        file->content = aligned_buffer(file->room_bytes);
        file->clone = aligned_buffer(file->room_bytes);
        file->buffer = aligned_buffer(file->room_bytes);
        file->source = aligned_buffer(SOURCE_BYTES);
        file->has_ring = io_uring_queue_init(FLIGHT_MAX * 2, &file->ring, 0) == 0;
        if (syscall(SYS_io_setup, FLIGHT_MAX * 2, &file->aio) < 0)
                die("io_setup");
}

void model_done(ModelFile *file)
{
        if (file->has_ring)
                io_uring_queue_exit(&file->ring);
        (void)syscall(SYS_io_destroy, file->aio);
        free(file->content);
        free(file->clone);
        free(file->buffer);
        free(file->source);
}

/* An open() that has to wait for somebody's lease can be interrupted. */
static int open_patiently(const char *path, int flags)
{
        int fd;

        do
                fd = open(path, flags | O_CLOEXEC);
        while (fd < 0 && errno == EINTR);
        if (fd < 0)
                die("%s", path);
        return fd;
}

static void remove_names(const ModelFile *file)
{
        static const char *const suffixes[] = {"", ".renamed", ".link", ".clone", ".source"};

        for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
                ModelPath path = model_path_of(file, suffixes[i]);

                if (unlink(path.text) < 0 && errno != ENOENT)
                        die("%s", path.text);
        }
}

void model_begin(ModelFile *file, uint64_t seed)
{
        ModelPath source = model_path_of(file, ".source");
        struct statx status;
        int fd;

        model_end(file);
        file->renamed = file->linked = file->has_clone = file->knows_mtime = file->has_attribute = false;
        file->n_bytes = file->n_clone_bytes = 0;
        file->mode = 0640;
        memset(file->content, 0, file->room_bytes);

        fd = open(source.text, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
        random_fill(file->source, SOURCE_BYTES, seed);
        if (fd < 0 || pwrite(fd, file->source, SOURCE_BYTES, 0) != (ssize_t)SOURCE_BYTES)
                die("%s", source.text);
        file->source_fd = fd;

        fd = open(model_path(file).text, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, file->mode);
        if (fd < 0 || fchmod(fd, file->mode) < 0)
                die("%s", model_path(file).text);
        if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_DIOALIGN, &status) < 0)
                die("statx");
        file->inode = status.stx_ino;
        file->align_bytes = BLOCK_BYTES;
        if (status.stx_mask & STATX_DIOALIGN && status.stx_dio_offset_align > 0)
                file->align_bytes = status.stx_dio_offset_align;
        (void)close(fd);
}

void model_end(ModelFile *file)
{
        model_close(file, false);
        if (file->source_fd >= 0)
                (void)close(file->source_fd);
        file->source_fd = -1;
        remove_names(file);
}

static int check_metadata(ModelFile *file)
{
        struct stat status;
        uint64_t attribute = 0;

        if (fstat(file->fd, &status) < 0)
                die("fstat");
        if (status.st_ino != file->inode || (size_t)status.st_size != file->n_bytes) {
                model_complain(file, "%llu bytes long instead of %zu", (unsigned long long)status.st_size,
                               file->n_bytes);
                return MODEL_LOST;
        }
        if ((status.st_mode & 07777) != file->mode || status.st_nlink != (file->linked ? 2 : 1)) {
                model_complain(file, "mode %o with %lu names instead of %o with %u", status.st_mode & 07777,
                               (unsigned long)status.st_nlink, file->mode, file->linked ? 2 : 1);
                return MODEL_LOST;
        }
        if (file->knows_mtime &&
            (status.st_mtim.tv_sec != file->mtime.tv_sec || status.st_mtim.tv_nsec != file->mtime.tv_nsec)) {
                model_complain(file, "mtime is not what it was set to");
                return MODEL_LOST;
        }
        if (file->has_attribute &&
            (fgetxattr(file->fd, "user.soak", &attribute, sizeof(attribute)) != sizeof(attribute) ||
             attribute != file->attribute)) {
                model_complain(file, "an extended attribute is not what it was set to");
                return MODEL_LOST;
        }
        return MODEL_SAME;
}

int model_open(ModelFile *file)
{
        if (file->fd >= 0)
                return MODEL_SAME;
        file->fd = open_patiently(model_path(file).text, O_RDWR);
        file->direct_fd = open_patiently(model_path(file).text, O_RDWR | O_DIRECT);
        return check_metadata(file);
}

void model_close(ModelFile *file, bool keep_mapping)
{
        if (!keep_mapping && file->mapping) {
                if (munmap(file->mapping, file->room_bytes) < 0)
                        die("munmap");
                file->mapping = NULL;
        }
        if (file->fd >= 0 && (close(file->fd) < 0 || close(file->direct_fd) < 0))
                die("close");
        file->fd = file->direct_fd = -1;
}

/* Also of what the file may grow to: behind its end nothing is touched. */
void model_map(ModelFile *file)
{
        if (file->mapping)
                return;
        file->mapping = mmap(NULL, file->room_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
        if (file->mapping == MAP_FAILED)
                die("mmap");
}

static int compare_bytes(ModelFile *file, const unsigned char *seen, const unsigned char *wanted,
                         size_t from, size_t n_bytes, const char *where)
{
        size_t first = 0, n_wrong = 0;

        atomic_fetch_add_explicit(&file->tally->n_checks, 1, memory_order_relaxed);
        if (n_bytes == 0 || memcmp(seen, wanted, n_bytes) == 0)
                return MODEL_SAME;
        for (size_t i = n_bytes; i > 0; i--)
                if (seen[i - 1] != wanted[i - 1]) {
                        first = i - 1;
                        n_wrong++;
                }
        model_complain(file,
                       "%zu bytes between %zu and %zu are not what they should be, the first at %zu (%s)",
                       n_wrong, from, from + n_bytes, from + first, where);
        return MODEL_LOST;
}

/* Reads until the end of the file or of the range. */
static size_t read_range(const ModelFile *file, int fd, unsigned char *into, size_t from, size_t to)
{
        size_t n_read = 0;

        while (n_read < to - from) {
                ssize_t n = pread(fd, into + n_read, to - from - n_read, (off_t)(from + n_read));

                if (n < 0)
                        die("%s: read %zu bytes at %zu of %zu", file->name, to - from - n_read,
                            from + n_read, file->n_bytes);
                if (n == 0)
                        break;
                n_read += (size_t)n;
                if ((size_t)n % BLOCK_BYTES != 0) /* the end; direct I/O could not even ask from there on */
                        break;
        }
        return n_read;
}

int model_compare(ModelFile *file, size_t from, size_t to, bool direct)
{
        size_t wanted, n_read;

        if (to > file->n_bytes)
                to = file->n_bytes;
        if (direct) {
                /* To the end, and not behind it: there lie blocks that XFS has only promised to itself, and
                 * a direct read that comes across such ones fails with EIO (seen with Linux 6.18). */
                from -= from % BLOCK_BYTES;
                to = (to + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
        }
        wanted = to < file->n_bytes ? to : file->n_bytes;
        if (from >= wanted)
                return MODEL_SAME;
        n_read = read_range(file, direct ? file->direct_fd : file->fd, file->buffer, from, to);
        if (n_read != wanted - from) {
                model_complain(file, "%zu bytes to be read at %zu instead of %zu", n_read, from,
                               wanted - from);
                return MODEL_LOST;
        }
        return compare_bytes(file, file->buffer, file->content + from, from, n_read,
                             direct ? "on the device" : "as read");
}

int model_check(ModelFile *file, bool direct)
{
        int said = model_open(file);

        if (said == MODEL_SAME)
                said = check_metadata(file);
        if (said == MODEL_SAME)
                said = model_compare(file, 0, file->room_bytes, direct);
        return said;
}

int model_check_clone(ModelFile *file)
{
        size_t n_read;
        int fd;

        if (!file->has_clone)
                return MODEL_SAME;
        fd = open_patiently(model_path_of(file, ".clone").text, O_RDONLY);
        n_read = read_range(file, fd, file->buffer, 0, file->room_bytes);
        (void)close(fd);
        if (n_read != file->n_clone_bytes) {
                model_complain(file, "its clone has %zu bytes instead of %zu", n_read, file->n_clone_bytes);
                return MODEL_LOST;
        }
        return compare_bytes(file, file->buffer, file->clone, 0, n_read, "its clone");
}

void model_before_direct(ModelFile *file)
{
        const size_t page = file->n_bytes / BLOCK_BYTES * BLOCK_BYTES;

        if (file->forgets_old_end && file->mapping && page != file->n_bytes &&
            msync(file->mapping + page, BLOCK_BYTES, MS_SYNC) < 0)
                die("msync");
}

void model_wrote(ModelFile *file, WriteKind kind, size_t offset, const unsigned char *bytes, size_t n_bytes)
{
        memcpy(file->content + offset, bytes, n_bytes);
        if (offset + n_bytes > file->n_bytes)
                file->n_bytes = offset + n_bytes;
        atomic_fetch_add_explicit(&file->tally->n_writes[kind], 1, memory_order_relaxed);
        if (file->board && atomic_load_explicit(&file->board->inode, memory_order_relaxed) == file->inode)
                atomic_fetch_add_explicit(&file->tally->n_met, 1, memory_order_relaxed);
}

void model_resize(ModelFile *file, size_t n_bytes)
{
        if (n_bytes < file->n_bytes)
                memset(file->content + n_bytes, 0, file->n_bytes - n_bytes);
        file->n_bytes = n_bytes;
}
