/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 btrfs */
/* WHOLE_FILE_SYSTEMS: btrfs-zstd */

/* Somebody changes the file between two steps, in every way that there is, between every two steps.
 *
 * What they did stays done: content, size, map of holes and unwritten places, stamps, owner, mode, attributes. Whatever moves
 * ctime after the sample is refused by the kernel; whatever came before it is simply the file as it is. Our own look at the stamps right before
 * the commit has no mutant: without it the kernel refuses all the same. It saves the kernel call and, on SWAPEXT,
 * what that does to the page cache (pinned-page). */

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-hazard.h"

#define N_PIECES    16
#define PIECE_BYTES (16 * (size_t)KIB)
/* Somewhere in the middle, and not where a piece begins. */
#define SPOT        (5 * PIECE_BYTES + 4096)
#define SPOT_BYTES  (2 * PIECE_BYTES)

static int subject_open(const Subject *subject, int flags)
{
        int fd = open(subject->path, flags | O_CLOEXEC);

        must(fd >= 0);
        return fd;
}

static void other_path(const Subject *subject, const char *suffix, char ret[static 400])
{
        must(snprintf(ret, 400, "%s.%s", subject->path, suffix) < 400);
}

static void subject_rename(Subject *subject, const char *path)
{
        must(snprintf(subject->path, sizeof(subject->path), "%s", path) < (int)sizeof(subject->path));
}

static void act_chmod(Subject *subject)
{
        must(chmod(subject->path, 0604) == 0);
}

static void act_setuid(Subject *subject)
{
        must(chmod(subject->path, 06644) == 0);
}

static void act_chown(Subject *subject)
{
        must(chown(subject->path, 1234, 5678) == 0);
}

static void act_xattr(Subject *subject)
{
        must(setxattr(subject->path, "user.colour", "green", 5, 0) == 0);
}

static void act_capability(Subject *subject)
{
        struct vfs_cap_data value = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE};

        value.data[0].permitted = 1U << CAP_NET_BIND_SERVICE;
        must(setxattr(subject->path, "security.capability", &value, sizeof(value), 0) == 0);
}

/* A write that hides itself as well as a program can. */
static void act_write_and_restore_times(Subject *subject)
{
        struct stat before;
        struct timespec times[2];

        must(stat(subject->path, &before) == 0);
        subject_write(subject, SPOT, SPOT_BYTES, 0);
        times[0] = before.st_atim;
        times[1] = before.st_mtim;
        must(utimensat(AT_FDCWD, subject->path, times, 0) == 0);
}

static void act_touch_to_old(Subject *subject)
{
        static const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};

        must(utimensat(AT_FDCWD, subject->path, long_ago, 0) == 0);
}

static void act_truncate_down(Subject *subject)
{
        subject->bytes = SPOT + 1000;
        must(truncate(subject->path, (off_t)subject->bytes) == 0);
}

static void act_truncate_down_and_up(Subject *subject)
{
        must(truncate(subject->path, (off_t)SPOT) == 0);
        must(truncate(subject->path, (off_t)subject->bytes) == 0);
        memset(subject->content + SPOT, 0, subject->bytes - SPOT);
}

static void act_rewrite(Subject *subject)
{
        _cleanup_close_ int fd = subject_open(subject, O_WRONLY | O_TRUNC);

        subject->bytes = SPOT_BYTES + 77;
        must(pwrite(fd, subject_plan_write(subject, 0, subject->bytes), subject->bytes, 0) ==
             (ssize_t)subject->bytes);
}

static void act_punch(Subject *subject)
{
        _cleanup_close_ int fd = subject_open(subject, O_WRONLY);

        must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)SPOT, (off_t)SPOT_BYTES) == 0);
        memset(subject->content + SPOT, 0, SPOT_BYTES);
}

static void act_zero(Subject *subject)
{
        _cleanup_close_ int fd = subject_open(subject, O_WRONLY);

        must(fallocate(fd, FALLOC_FL_ZERO_RANGE, (off_t)SPOT, (off_t)SPOT_BYTES) == 0);
        memset(subject->content + SPOT, 0, SPOT_BYTES);
}

static void act_collapse(Subject *subject)
{
        _cleanup_close_ int fd = subject_open(subject, O_WRONLY);

        must(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, (off_t)SPOT, (off_t)SPOT_BYTES) == 0);
        subject->bytes -= SPOT_BYTES;
        memmove(subject->content + SPOT, subject->content + SPOT + SPOT_BYTES, subject->bytes - SPOT);
}

static void act_insert(Subject *subject)
{
        _cleanup_close_ int fd = subject_open(subject, O_WRONLY);
        uint8_t *content = NULL;

        must(fallocate(fd, FALLOC_FL_INSERT_RANGE, (off_t)SPOT, (off_t)SPOT_BYTES) == 0);
        must(posix_memalign((void **)&content, 4096, subject->room_bytes + SPOT_BYTES) == 0);
        memcpy(content, subject->content, SPOT);
        memset(content + SPOT, 0, SPOT_BYTES);
        memcpy(content + SPOT + SPOT_BYTES, subject->content + SPOT, subject->bytes - SPOT);
        free(subject->content);
        subject->content = content;
        subject->bytes += SPOT_BYTES;
        subject->room_bytes += SPOT_BYTES;
}

static void act_preallocate(Subject *subject)
{
        _cleanup_close_ int fd = subject_open(subject, O_WRONLY);

        must(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)subject->bytes, (off_t)SPOT_BYTES) == 0);
}

/* Others now own the same blocks. Moves no stamp of the target; a move only parts the two. */
static void act_clone_from(Subject *subject)
{
        _cleanup_close_ int fd = subject_open(subject, O_RDONLY), clone_fd = -EBADF;
        char path[400];

        other_path(subject, "clone", path);
        clone_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        must(clone_fd >= 0 && ioctl(clone_fd, FICLONE, fd) == 0);
}

/* Somebody else's blocks come in. */
static void act_clone_into(Subject *subject)
{
        _cleanup_close_ int fd = subject_open(subject, O_RDWR), source_fd = -EBADF;
        struct file_clone_range range = {.src_offset = 0, .src_length = SPOT_BYTES, .dest_offset = SPOT};
        char path[400];

        other_path(subject, "source", path);
        source_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        must(source_fd >= 0 && pwrite(source_fd, subject_plan_write(subject, SPOT, SPOT_BYTES), SPOT_BYTES,
                                      0) == (ssize_t)SPOT_BYTES);
        range.src_fd = source_fd;
        must(ioctl(fd, FICLONERANGE, &range) == 0);
}

static void set_flags(const Subject *subject, uint32_t add, uint32_t remove, uint32_t project)
{
        _cleanup_close_ int fd = subject_open(subject, O_RDONLY);
        struct fsxattr attributes;

        must(ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0);
        attributes.fsx_xflags = (attributes.fsx_xflags | add) & ~remove;
        attributes.fsx_projid = project;
        if (ioctl(fd, FS_IOC_FSSETXATTR, &attributes) == 0)
                return;
        /* ext4 has project ids only where it was made with them. */
        must(errno == EOPNOTSUPP && project != 0);
        attributes.fsx_projid = 0;
        must(ioctl(fd, FS_IOC_FSSETXATTR, &attributes) == 0);
}

static void act_project(Subject *subject)
{
        set_flags(subject, FS_XFLAG_NODUMP, 0, 42);
}

static void act_immutable(Subject *subject)
{
        set_flags(subject, FS_XFLAG_IMMUTABLE, 0, 0);
}

static void act_rename(Subject *subject)
{
        char path[400];

        other_path(subject, "renamed", path);
        must(rename(subject->path, path) == 0);
        subject_rename(subject, path);
}

static void act_link_and_unlink(Subject *subject)
{
        char path[400];

        other_path(subject, "second", path);
        must(link(subject->path, path) == 0 && unlink(subject->path) == 0);
        subject_rename(subject, path);
}

static void act_unlink_last(Subject *subject)
{
        must(unlink(subject->path) == 0);
}

static const struct {
        const char *name;
        void (*act)(Subject *subject);
        /* Of what happens after the sample; NULL: "changed:written". */
        const char *outcomes;
        /* A file system that has no such thing. */
        const char *not_on;
} acts[] = {
        {"chmod", act_chmod, NULL, NULL},
        {"chmod to setuid", act_setuid, NULL, NULL},
        {"chown", act_chown, NULL, NULL},
        {"setxattr", act_xattr, NULL, NULL},
        {"file capabilities", act_capability, NULL, NULL},
        {"write with mtime put back", act_write_and_restore_times, NULL, NULL},
        {"times set to long ago", act_touch_to_old, NULL, NULL},
        {"truncate", act_truncate_down, NULL, NULL},
        {"truncate down and up", act_truncate_down_and_up, NULL, NULL},
        {"rewrite from empty", act_rewrite, NULL, NULL},
        {"punch", act_punch, NULL, NULL},
        {"zero range", act_zero, NULL, NULL},
        {"collapse", act_collapse, NULL, "btrfs"},
        {"insert", act_insert, NULL, "btrfs"},
        {"preallocate behind EOF", act_preallocate, NULL, NULL},
        {"clone of the file", act_clone_from, "moved changed:written", "ext4"},
        {"clone into the file", act_clone_into, NULL, "ext4"},
        {"project id", act_project, NULL, "btrfs"},
        {"immutable", act_immutable, NULL, NULL},
        {"rename", act_rename, "moved changed:written", NULL},
        {"link and unlink", act_link_and_unlink, "moved changed:written", NULL},
        {"last unlink", act_unlink_last, "moved changed:written skipped:vanished", NULL},
};

/* The change comes right before the step of that name. */
static const char *const stages[] = {"open", "sample", "reserve", "copy", "verify", "commit"};
#define STAGE_RESERVE 2

static void check_clone(Arena *arena, const Subject *subject, const char *what)
{
        Subject clone = *subject;
        char path[400];

        other_path(subject, "clone", path);
        subject_rename(&clone, path);
        (void)subject_check(arena, &clone, what);
        must(unlink(path) == 0);
}

static void race(Arena *arena, Subject *subject, size_t act, size_t stage)
{
        bool late = stage >= STAGE_RESERVE, last = acts[act].act == act_unlink_last;
        Metadata *before = NULL, *after;
        char what[128];
        Move move;

        snprintf(what, sizeof(what), "%s before %s", acts[act].name, stages[stage]);
        move_begin(arena, subject, &move);
        move_reach(&move, stages[stage]);
        acts[act].act(subject);
        if (!last)
                before = metadata_read(subject->path, true);
        (void)move_expect(arena, &move, what,
                          !late                ? "moved optimal changed skipped"
                          : acts[act].outcomes ? acts[act].outcomes
                                               : arena_outcomes(arena, "changed:written"));
        if (last)
                return;
        after = metadata_read(subject->path, true);
        (void)metadata_check(arena, before, after, what);
        (void)subject_check(arena, subject, what);
        if (acts[act].act == act_clone_from)
                check_clone(arena, subject, what);
        if (acts[act].act == act_immutable)
                set_flags(subject, 0, FS_XFLAG_IMMUTABLE, 0);
        metadata_free(before);
        metadata_free(after);
}

static void scenario(Arena *arena)
{
        Subject *subjects[ELEMENTS(acts)][ELEMENTS(stages)];

        /* All of them first: then each is old enough when its turn comes. */
        for (size_t act = 0; act < ELEMENTS(acts); act++)
                for (size_t stage = 0; stage < ELEMENTS(stages); stage++) {
                        char name[32];

                        snprintf(name, sizeof(name), "file-%zu-%zu", act, stage);
                        subjects[act][stage] = subject_new(arena, name, N_PIECES, PIECE_BYTES, 0);
                }
        for (size_t act = 0; act < ELEMENTS(acts); act++)
                for (size_t stage = 0; stage < ELEMENTS(stages); stage++) {
                        if (!acts[act].not_on || !arena_is(arena, acts[act].not_on))
                                race(arena, subjects[act][stage], act, stage);
                        subject_free(subjects[act][stage]);
                }
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
