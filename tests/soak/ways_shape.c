/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What moves blocks, cuts them out, adds them or shares them. */

#include <linux/falloc.h>

#include "ways.h"

/* False where the file system does not know this. */
static bool allocate(ModelFile *file, int mode, size_t offset, size_t n)
{
        if (fallocate(file->fd, mode, (off_t)offset, (off_t)n) == 0)
                return true;
        if (errno != EOPNOTSUPP)
                die("fallocate %#x at %zu, %zu bytes of %zu", (unsigned)mode, offset, n, file->n_bytes);
        return false;
}

static void collapse(ModelFile *file, size_t offset, size_t n)
{
        size_t n_behind = file->n_bytes - offset - n;

        if (!allocate(file, FALLOC_FL_COLLAPSE_RANGE, offset, n))
                return;
        memmove(file->content + offset, file->content + offset + n, n_behind);
        model_resize(file, offset + n_behind);
}

int run_truncate(ModelFile *file, const Operation *operation)
{
        size_t before = file->n_bytes, n = operation->place % (file->room_bytes + 1);
        bool back = operation->flavour % 4 == 0; /* then nothing but ctime tells */

        model_say(file, "to %zu%s", n, back ? " and back" : "");
        if (ftruncate(file->fd, (off_t)n) < 0)
                die("ftruncate");
        model_resize(file, n);
        if (back) {
                if (ftruncate(file->fd, (off_t)before) < 0)
                        die("ftruncate");
                model_resize(file, before);
        }
        return MODEL_SAME;
}

int run_punch(ModelFile *file, const Operation *operation)
{
        size_t offset = operation->place % file->room_bytes;
        size_t n = smaller(length_of(operation), file->room_bytes - offset);

        model_say(file, "%zu bytes at %zu", n, offset);
        if (allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, n))
                memset(file->content + offset, 0, n);
        return MODEL_SAME;
}

int run_zero(ModelFile *file, const Operation *operation)
{
        bool keep = operation->flavour % 2 == 0;
        size_t offset = operation->place % file->room_bytes;
        size_t n = smaller(length_of(operation), file->room_bytes - offset);

        model_say(file, "%zu bytes at %zu%s", n, offset, keep ? ", size kept" : "");
        if (!allocate(file, FALLOC_FL_ZERO_RANGE | (keep ? FALLOC_FL_KEEP_SIZE : 0), offset, n))
                return MODEL_SAME;
        memset(file->content + offset, 0, n);
        if (!keep && offset + n > file->n_bytes)
                model_resize(file, offset + n);
        return MODEL_SAME;
}

int run_allocate(ModelFile *file, const Operation *operation)
{
        bool keep = operation->flavour % 4 != 0;
        size_t offset = operation->place % file->room_bytes;
        size_t n = smaller(length_of(operation), file->room_bytes - offset);

        model_say(file, "%zu bytes at %zu%s", n, offset, keep ? ", size kept" : "");
        if (allocate(file, keep ? FALLOC_FL_KEEP_SIZE : 0, offset, n) && !keep && offset + n > file->n_bytes)
                model_resize(file, offset + n);
        return MODEL_SAME;
}

int run_collapse(ModelFile *file, const Operation *operation)
{
        size_t offset, n;

        if (file->n_bytes <= BLOCK_BYTES)
                return MODEL_SAME;
        offset = down(operation->place % (file->n_bytes - BLOCK_BYTES), BLOCK_BYTES);
        /* Something has to be left behind it. */
        n = smaller(up(length_of(operation), BLOCK_BYTES), down(file->n_bytes - offset - 1, BLOCK_BYTES));
        model_say(file, "%zu bytes at %zu", n, offset);
        collapse(file, offset, n);
        return MODEL_SAME;
}

int run_insert(ModelFile *file, const Operation *operation)
{
        size_t offset, n = up(length_of(operation), BLOCK_BYTES);

        if (file->n_bytes == 0 || file->n_bytes + n > file->room_bytes)
                return MODEL_SAME;
        offset = down(operation->place % file->n_bytes, BLOCK_BYTES);
        model_say(file, "%zu bytes at %zu", n, offset);
        if (!allocate(file, FALLOC_FL_INSERT_RANGE, offset, n))
                return MODEL_SAME;
        memmove(file->content + offset + n, file->content + offset, file->n_bytes - offset);
        memset(file->content + offset, 0, n);
        model_resize(file, file->n_bytes + n);
        return MODEL_SAME;
}

/* What lies one after the other, and of which every second piece is cut out, is fragmented: so there is
 * something to move. The blocks are written; or they were only reserved, and some are dirty in the page
 * cache alone. */
int run_comb(ModelFile *file, const Operation *operation)
{
        size_t piece = BLOCK_BYTES << operation->amount % 3;
        size_t n = smaller(2 + (operation->amount >> 8) % 31, (file->room_bytes / piece + 1) / 2);
        size_t n_bytes = (2 * n - 1) * piece;
        bool reserved = operation->flavour % 3 == 0;

        model_say(file, "%zu pieces of %zu bytes%s", n, piece, reserved ? ", reserved" : "");
        (void)content_of(file, operation, n_bytes);
        if (reserved) {
                if (!allocate(file, FALLOC_FL_ZERO_RANGE, 0, n_bytes))
                        return MODEL_SAME;
                memset(file->content, 0, n_bytes);
                if (n_bytes > file->n_bytes)
                        model_resize(file, n_bytes);
        } else {
                if (pwrite(file->direct_fd, file->buffer, n_bytes, 0) != (ssize_t)n_bytes)
                        die("direct write");
                model_wrote(file, WRITE_DIRECT, 0, file->buffer, n_bytes);
        }
        for (size_t i = n - 1; i > 0; i--)
                collapse(file, (2 * i - 1) * piece, piece);
        for (size_t i = 0; reserved && i < n; i += 1 + operation->place % 3) {
                if (pwrite(file->fd, file->buffer + i * piece, piece, (off_t)(i * piece)) != (ssize_t)piece)
                        die("write");
                model_wrote(file, WRITE_BUFFERED, i * piece, file->buffer + i * piece, piece);
        }
        return MODEL_SAME;
}

/* The file's blocks belong to two from now on. */
int run_clone(ModelFile *file, const Operation *operation)
{
        int fd, said = model_check_clone(file);

        (void)operation;
        if (said != MODEL_SAME)
                return said;
        fd = open(model_path_of(file, ".clone").text, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                die("clone");
        file->has_clone = ioctl(fd, FICLONE, file->fd) == 0;
        if (!file->has_clone && errno != EOPNOTSUPP)
                die("FICLONE");
        (void)close(fd);
        memcpy(file->clone, file->content, file->n_bytes);
        file->n_clone_bytes = file->n_bytes;
        return MODEL_SAME;
}

/* Blocks of the clone become the file's own, somewhere else. */
int run_reclone(ModelFile *file, const Operation *operation)
{
        size_t n_blocks = file->n_clone_bytes / BLOCK_BYTES, from, to, n;
        struct file_clone_range range;
        int fd;

        if (!file->has_clone || n_blocks == 0)
                return MODEL_SAME;
        from = operation->amount % n_blocks * BLOCK_BYTES;
        to = down(operation->place % file->room_bytes, BLOCK_BYTES);
        n = smaller(smaller(up(length_of(operation), BLOCK_BYTES), n_blocks * BLOCK_BYTES - from),
                    file->room_bytes - to);
        model_say(file, "%zu bytes of the clone from %zu to %zu", n, from, to);
        fd = open(model_path_of(file, ".clone").text, O_RDONLY | O_CLOEXEC);
        range = (struct file_clone_range){
                .src_fd = fd, .src_offset = from, .src_length = n, .dest_offset = to};
        if (fd < 0 || ioctl(file->fd, FICLONERANGE, &range) < 0)
                die("FICLONERANGE");
        (void)close(fd);
        memcpy(file->content + to, file->clone + from, n);
        if (to + n > file->n_bytes)
                model_resize(file, to + n);
        return MODEL_SAME;
}

int run_unclone(ModelFile *file, const Operation *operation)
{
        int said = model_check_clone(file);

        (void)operation;
        if (file->has_clone && said == MODEL_SAME) {
                if (unlink(model_path_of(file, ".clone").text) < 0)
                        die("clone");
                file->has_clone = false;
        }
        return said;
}
