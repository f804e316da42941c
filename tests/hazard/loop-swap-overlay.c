/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */

/* Users of a file that hold no descriptor anybody could see: a loop device, active swap, an overlay.
 *
 * The kernel reaches the blocks of a swap file without asking the file system again; a loop device and an overlay have the file
 * open inside the kernel. The lease sees all of them. A file that is only formatted as swap may be found by its blocks later
 * (resume_offset of the boot loader) and is left alone by its signature. */

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-hazard.h"

#define N_PIECES    32
#define PIECE_BYTES (64 * (size_t)KIB)

static void unmoved(Arena *arena, const Subject *subject, const char *what)
{
        (void)subject_check(arena, subject, what);
        if (subject_runs(subject) != N_PIECES)
                hazard_wrong(arena, "%s: moved", what);
}

/* A loop device over the file, gone with its descriptor. Returns -errno where there are none. */
static int loop_open(const Subject *subject, int access)
{
        const struct loop_info64 info = {.lo_flags = LO_FLAGS_AUTOCLEAR};
        _cleanup_close_ int control_fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        _cleanup_close_ int file_fd = open(subject->path, access | O_CLOEXEC);

        must(file_fd >= 0);
        if (control_fd < 0)
                return -errno;
        for (unsigned i = 0; i < 20; i++) {
                int number = ioctl(control_fd, LOOP_CTL_GET_FREE), fd;
                char path[32];

                if (number < 0)
                        return -errno;
                snprintf(path, sizeof(path), "/dev/loop%d", number);
                fd = open(path, access | O_CLOEXEC);
                if (fd < 0)
                        return -errno;
                if (ioctl(fd, LOOP_SET_FD, file_fd) == 0) {
                        must(ioctl(fd, LOOP_SET_STATUS64, &info) == 0);
                        return fd;
                }
                /* Somebody else was faster. */
                must(errno == EBUSY);
                (void)close(fd);
        }
        return -EBUSY;
}

/* The kernel lets go of the file some time after the device was closed. */
static void loop_gone(Arena *arena, const Subject *subject)
{
        for (unsigned i = 0; i < 200; i++) {
                int fd = open(subject->path, O_RDWR | O_CLOEXEC), r;

                must(fd >= 0);
                r = fcntl(fd, F_SETLEASE, F_WRLCK);
                (void)close(fd);
                if (r == 0)
                        break;
                pause_usec(10000);
        }
        (void)move_whole(arena, subject, "after the loop device", "moved");
        (void)subject_check(arena, subject, "after the loop device");
}

static void loop(Arena *arena, int access, const char *what)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        int fd;

        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        fd = loop_open(subject, access);
        if (fd < 0) {
                hazard_note(arena, "no loop device to be had: %s", strerror(-fd));
        } else {
                (void)move_whole(arena, subject, what, "busy:open");
                unmoved(arena, subject, what);
                (void)close(fd);
                loop_gone(arena, subject);
        }
        subject_free(subject);
}

/* What mkswap(8) writes: include/linux/swap.h, union swap_header. */
static void make_swap(Subject *subject, const char signature[static 10])
{
        const uint32_t header[] = {1, (uint32_t)(subject->bytes / 4096 - 1), 0};
        _cleanup_close_ int fd = open(subject->path, O_WRONLY | O_CLOEXEC);

        memset(subject->content, 0, 4096);
        memcpy(subject->content + 1024, header, sizeof(header));
        memcpy(subject->content + 4096 - 10, signature, 10);
        must(fd >= 0 && pwrite(fd, subject->content, 4096, 0) == 4096 && fsync(fd) == 0);
}

static void undo_swap(const char *path, const char *text)
{
        (void)text;
        (void)swapoff(path);
}

static void active_swap(Arena *arena)
{
        static const char *const stages[] = {"look", "open", "sample"};

        for (size_t i = 0; i < ELEMENTS(stages); i++) {
                Subject *subject = subject_new(arena,
                                               i == 0   ? "swap-0"
                                               : i == 1 ? "swap-1"
                                                        : "swap-2",
                                               N_PIECES, PIECE_BYTES, 0);
                char what[64];
                Move move;

                move_begin(arena, subject, &move);
                (void)move_until(&move, stages[i]);
                make_swap(subject, "SWAPSPACE2");
                hazard_undo(undo_swap, subject->path, "");
                if (swapon(subject->path, 0) < 0) {
                        hazard_note(arena, "no swap to be had: %s", strerror(errno));
                        move_end(&move);
                        subject_free(subject);
                        return;
                }
                snprintf(what, sizeof(what), "swap, active before %s", stages[i]);
                (void)move_expect(arena, &move, what,
                                  i == 0 ? "skipped:swapfile" : "busy:open skipped:swapfile");
                must(swapoff(subject->path) == 0);
                unmoved(arena, subject, what);
                subject_free(subject);
        }
}

static void inactive_swap(Arena *arena)
{
        /* The second, padded by its NUL, is a swap file that the machine went to sleep in. */
        static const char signatures[][11] = {"SWAPSPACE2", "S1SUSPEND"};

        for (size_t i = 0; i < ELEMENTS(signatures); i++) {
                Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
                char what[64];

                make_swap(subject, signatures[i]);
                snprintf(what, sizeof(what), "a file with the signature %s", signatures[i]);
                (void)move_whole(arena, subject, what, "skipped:swapfile");
                unmoved(arena, subject, what);
                subject_free(subject);
        }
}

static void undo_mount(const char *path, const char *text)
{
        (void)text;
        (void)umount2(path, MNT_DETACH);
}

static void overlay(Arena *arena)
{
        static const char *const names[] = {"lower", "upper", "work", "merged"};
        char paths[ELEMENTS(names)][300], options[1000], file[320];
        Subject *subject;
        int fd;

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                snprintf(paths[i], sizeof(paths[i]), "%s/%s", arena->path, names[i]);
                must(mkdir(paths[i], 0755) == 0);
        }
        subject = subject_new(arena, "lower/file", N_PIECES, PIECE_BYTES, 0);
        snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", paths[0], paths[1],
                 paths[2]);
        snprintf(file, sizeof(file), "%s/file", paths[3]);
        hazard_undo(undo_mount, paths[3], "");
        if (mount("overlay", paths[3], "overlay", 0, options) < 0) {
                hazard_note(arena, "no overlay to be had: %s", strerror(errno));
                subject_free(subject);
                return;
        }
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        fd = open(file, O_RDONLY | O_CLOEXEC);
        must(fd >= 0);
        (void)move_whole(arena, subject, "open by way of an overlay", arena_outcomes(arena, "busy:open"));
        if (!arena_is(arena, "btrfs"))
                unmoved(arena, subject, "open by way of an overlay");
        (void)close(fd);
        (void)move_whole(arena, subject, "below an overlay, closed", arena_outcomes(arena, "moved"));
        (void)subject_check(arena, subject, "below an overlay, closed");
        must(umount2(paths[3], 0) == 0);
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        loop(arena, O_RDWR, "behind a loop device");
        loop(arena, O_RDONLY, "behind a read-only loop device");
        active_swap(arena);
        inactive_swap(arena);
        overlay(arena);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
