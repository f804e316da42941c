/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading, flushing, names and stamps; and nobody having the file. */

#include <sys/mman.h>
#include <sys/xattr.h>
#include <time.h>

#include "ways.h"

int run_read(ModelFile *file, const Operation *operation)
{
        size_t from, to;

        if (file->n_bytes == 0)
                return MODEL_SAME;
        from = operation->place % file->n_bytes;
        to = smaller(from + length_of(operation), file->n_bytes);
        model_say(file, "%zu bytes at %zu", to - from, from);
        return model_compare(file, from, to, operation->flavour % 2);
}

int run_check(ModelFile *file, const Operation *operation)
{
        return model_check(file, operation->flavour % 2);
}

int run_sync(ModelFile *file, const Operation *operation)
{
        int r;

        switch (operation->flavour % 4) {
        case 0:
                r = fsync(file->fd);
                break;
        case 1:
                r = fdatasync(file->fd);
                break;
        case 2:
                r = sync_file_range(file->fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
                break;
        default:
                r = file->mapping ? msync(file->mapping, file->room_bytes, MS_SYNC) : 0;
                break;
        }
        if (r < 0)
                die("sync");
        return MODEL_SAME;
}

/* Out of the page cache, as far as it is clean. */
int run_forget(ModelFile *file, const Operation *operation)
{
        if (operation->flavour % 2 == 0 && fdatasync(file->fd) < 0)
                die("fdatasync");
        if (posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
                die_plainly("posix_fadvise");
        return MODEL_SAME;
}

int run_unmap(ModelFile *file, const Operation *operation)
{
        (void)operation;
        if (file->mapping && munmap(file->mapping, file->room_bytes) < 0)
                die("munmap");
        file->mapping = NULL;
        return MODEL_SAME;
}

/* Any time, also one that was there before. */
int run_times(ModelFile *file, const Operation *operation)
{
        struct timespec times[2] = {{.tv_sec = (time_t)(operation->amount % 2000000000)},
                                    {.tv_sec = (time_t)(operation->amount % 2000000000),
                                     .tv_nsec = (long)(operation->flavour % 1000000000)}};
        struct stat status;

        if (operation->flavour % 2 == 0) {
                if (fstat(file->fd, &status) < 0)
                        die("fstat");
                times[0] = status.st_atim;
                times[1] = status.st_mtim;
        }
        if (futimens(file->fd, times) < 0)
                die("futimens");
        file->mtime = times[1];
        file->knows_mtime = true;
        return MODEL_SAME;
}

int run_mode(ModelFile *file, const Operation *operation)
{
        static const mode_t modes[] = {0640, 0600, 0444, 0755};

        file->mode = modes[operation->flavour % (sizeof(modes) / sizeof(modes[0]))];
        if (fchmod(file->fd, file->mode) < 0 ||
            fchown(file->fd, (uid_t)(operation->amount % 3), (gid_t)-1) < 0)
                die("fchmod");
        return MODEL_SAME;
}

int run_rename(ModelFile *file, const Operation *operation)
{
        ModelPath before = model_path(file);

        (void)operation;
        file->renamed = !file->renamed;
        if (rename(before.text, model_path(file).text) < 0)
                die("rename");
        return MODEL_SAME;
}

int run_link(ModelFile *file, const Operation *operation)
{
        ModelPath other = model_path_of(file, ".link");

        (void)operation;
        if ((file->linked ? unlink(other.text) : link(model_path(file).text, other.text)) < 0)
                die("link");
        file->linked = !file->linked;
        return MODEL_SAME;
}

int run_attribute(ModelFile *file, const Operation *operation)
{
        if (fsetxattr(file->fd, "user.soak", &operation->flavour, sizeof(operation->flavour), 0) < 0)
                die("fsetxattr");
        file->attribute = operation->flavour;
        file->has_attribute = true;
        return MODEL_SAME;
}

/* --- moments in which it looks quiet --- */

static void pause_usec(uint64_t usec)
{
        const struct timespec span = {.tv_sec = (time_t)(usec / 1000000),
                                      .tv_nsec = (long)(usec % 1000000 * 1000)};

        (void)nanosleep(&span, NULL);
}

/* Until the engine has sampled this very file; or until it has done with it. */
static bool wait_for_engine(ModelFile *file, bool sampled)
{
        uint64_t left = file->rest_usec;
        struct timespec begin, now;

        (void)clock_gettime(CLOCK_MONOTONIC, &begin);
        while (left > 0 && !atomic_load(&file->tally->stop)) {
                uint32_t n_changes = atomic_load(&file->board->n_changes);
                uint64_t passed;

                if ((atomic_load(&file->board->inode) == file->inode) == sampled)
                        return true;
                board_wait(file->board, n_changes, left);
                (void)clock_gettime(CLOCK_MONOTONIC, &now);
                passed = (uint64_t)((now.tv_sec - begin.tv_sec) * 1000000 +
                                    (now.tv_nsec - begin.tv_nsec) / 1000);
                left = passed < file->rest_usec ? file->rest_usec - passed : 0;
        }
        return false;
}

/* Nobody has it. What comes next meets the engine somewhere between its sample and its commit, or comes
 * after it. */
int run_rest(ModelFile *file, const Operation *operation)
{
        static const uint64_t delays_usec[] = {1, 500, 3000, 12000};
        unsigned variety = operation->flavour % 8;

        model_close(file, false);
        if (!file->board)
                return MODEL_SAME;
        atomic_fetch_add_explicit(&file->tally->n_rests, 1, memory_order_relaxed);
        atomic_store(&file->board->wish, file->inode);
        if (variety == 0 || !wait_for_engine(file, true)) {
                model_say(file, "without the engine");
                pause_usec(operation->amount % 3000);
                return model_open(file);
        }
        atomic_fetch_add_explicit(&file->tally->n_rests_met, 1, memory_order_relaxed);
        if (variety > 2) {
                model_say(file, "until it was sampled");
                pause_usec(operation->amount % delays_usec[operation->place % 4]);
                return model_open(file);
        }
        model_say(file, "until it was moved, or not");
        (void)wait_for_engine(file, false);
        return model_check(file, operation->amount % 2);
}

/* Closed, but still mapped. */
int run_hold(ModelFile *file, const Operation *operation)
{
        model_map(file);
        model_close(file, true);
        pause_usec(operation->amount % 4000);
        return MODEL_SAME;
}
