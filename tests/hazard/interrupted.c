/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 btrfs-zstd */
/* MUTANTS: NOTHING_HELD THAWED THAWED:ext4 */

/* Something happens to the whole volume between two steps, between every two: it is frozen and thawed, filled to the last block, made
 * read-only, unmounted lazily.
 *
 * The file is whole in its old place or in its new one. While it is frozen not a sector is written, and who wants to read the file can. Before the first step and after the
 * last nothing is held: then remount,ro succeeds, and the device of what was unmounted is free. */

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_PIECES      16
#define PIECE_BYTES   (64 * (size_t)KIB)
/* A frozen volume stays so for as long as every step before it takes many times over. */
#define FROZEN_USEC   (200 * UINT64_C(1000))
/* What the kernel lets go of in a thread of its own. */
#define PATIENCE_USEC (5 * USEC_PER_SEC)

static const char *const stages[] = {"open", "sample", "reserve", "copy", "verify", "commit"};

/* What sysfs has of the device: "" for its directory, "/stat" for a file in it. */
static void device_in_sysfs(const Arena *arena, const char *suffix, char ret[static 64])
{
        must(snprintf(ret, 64, "/sys/dev/block/%u:%u%s", major(arena_disk(arena)), minor(arena_disk(arena)),
                      suffix) < 64);
}

static void device_node(const Arena *arena, char ret[static 64])
{
        char link[64], target[256];
        ssize_t n;

        device_in_sysfs(arena, "", link);
        n = readlink(link, target, sizeof(target) - 1);
        must(n > 0);
        target[n] = '\0';
        must(snprintf(ret, 64, "/dev/%s", strrchr(target, '/') + 1) < 64);
}

/* --- frozen --- */

/* In memory that both see. */
typedef struct Frost {
        char path[320];     /* of the file that is worked on, for the freezer */
        uint64_t n_written; /* sectors while it was frozen */
        bool is_locked;     /* nobody could read the file then */
} Frost;

typedef struct Freezer {
        const char *mount_path;
        char statistics[64];
        Frost *frost;
} Freezer;

static uint64_t sectors_written(const char *statistics)
{
        FILE *file = fopen(statistics, "re");
        unsigned long long words[7];

        must(file);
        for (size_t i = 0; i < ELEMENTS(words); i++)
                must(fscanf(file, "%llu", &words[i]) == 1);
        (void)fclose(file);
        return words[6];
}

static void freezer_run(int socket, void *context)
{
        const Freezer *freezer = context;

        while (foreign_hear(socket) == 'f') {
                int fd = open(freezer->mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), reader_fd;
                uint64_t before;

                must(fd >= 0 && ioctl(fd, FIFREEZE, 0) == 0);
                before = sectors_written(freezer->statistics);
                foreign_say(socket, 'f');
                pause_usec(FROZEN_USEC);
                freezer->frost->n_written = sectors_written(freezer->statistics) - before;
                reader_fd = open(freezer->frost->path, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
                freezer->frost->is_locked = reader_fd < 0 && errno == EWOULDBLOCK;
                must(reader_fd >= 0 || freezer->frost->is_locked);
                (void)close(reader_fd);
                must(ioctl(fd, FITHAW, 0) == 0);
                (void)close(fd);
                foreign_say(socket, 't');
        }
}

static void frozen(Arena *arena, const Foreign *freezer, Frost *frost, Subject *subject, const char *stage)
{
        char what[64];
        Move move;

        memcpy(frost->path, subject->path, sizeof(frost->path));
        snprintf(what, sizeof(what), "frozen before %s", stage);
        move_begin(arena, subject, &move);
        move_reach(&move, stage);
        must(foreign_ask(freezer, 'f') == 'f');
        (void)move_until(&move, NULL);
        must(foreign_answer(freezer) == 't');
        if (frost->is_locked)
                hazard_lost(arena, "%s: who wants to read the file has to wait for the thaw", what);
        if (frost->n_written > 0)
                hazard_lost(arena, "%s: %llu sectors were written", what,
                            (unsigned long long)frost->n_written);
        (void)move_expect(arena, &move, what, "moved");
        (void)subject_check(arena, subject, what);
}

/* --- full --- */

static void fill(int fd)
{
        off_t at = 0;

        for (off_t step = 1 << 30; step >= 4096;)
                if (fallocate(fd, 0, at, step) == 0)
                        at += step;
                else
                        step /= 2;
}

static void full(Arena *arena, Subject *subject, const char *stage)
{
        char path[400], what[64];
        Move move;
        int fd;

        snprintf(what, sizeof(what), "full before %s", stage);
        must(snprintf(path, sizeof(path), "%s.ballast", subject->path) < (int)sizeof(path));
        move_begin(arena, subject, &move);
        move_reach(&move, stage);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        must(fd >= 0);
        fill(fd);
        (void)move_expect(arena, &move, what, "moved no-space");
        (void)subject_check(arena, subject, what);
        /* btrfs gives it back with the transaction. */
        must(unlink(path) == 0 && ftruncate(fd, 0) == 0 && syncfs(fd) == 0);
        (void)close(fd);
}

/* --- remount,ro --- */

static bool remount(const Arena *arena, unsigned long flags)
{
        if (mount(NULL, arena->volume.mount_path, NULL, MS_REMOUNT | flags, NULL) == 0)
                return true;
        must(errno == EBUSY);
        return false;
}

static void read_only(Arena *arena, Subject *subject, const char *stage)
{
        bool done, now_done;
        char what[64];
        Move move;

        snprintf(what, sizeof(what), "remount,ro before %s", stage);
        move_begin(arena, subject, &move);
        move_reach(&move, stage);
        done = remount(arena, MS_RDONLY);
        if (!done && strcmp(stage, "open") == 0)
                hazard_lost(arena, "%s: refused, though no step has begun", what);
        if (done)
                (void)move_refused(arena, &move, what, "skipped:read-only");
        else
                (void)move_expect(arena, &move, what, "moved");
        now_done = done || remount(arena, MS_RDONLY);
        if (!now_done)
                hazard_lost(arena, "%s: refused, though it is over", what);
        else
                must(remount(arena, 0));
        (void)subject_check(arena, subject, what);
}

/* --- umount -l --- */

static bool device_is_free(const Arena *arena)
{
        uint64_t start_usec = clock_monotonic_usec();
        char path[64];

        device_node(arena, path);
        do {
                int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);

                if (fd >= 0) {
                        (void)close(fd);
                        return true;
                }
                must(errno == EBUSY);
                pause_usec(10000);
        } while (clock_monotonic_usec() - start_usec < PATIENCE_USEC);
        return false;
}

/* How it is to be compressed, where it is. */
static void compression_of_mount(const Arena *arena, char *ret, size_t n_bytes)
{
        FILE *table = setmntent("/proc/self/mounts", "re");
        struct mntent *entry;

        must(table);
        ret[0] = '\0';
        while ((entry = getmntent(table)) != NULL) {
                const char *option = hasmntopt(entry, "compress-force");

                if (option && strcmp(entry->mnt_dir, arena->volume.mount_path) == 0)
                        must(snprintf(ret, n_bytes, "%.*s", (int)strcspn(option, ","), option) <
                             (int)n_bytes);
        }
        (void)endmntent(table);
}

static void unmounted(Arena *arena, Subject *subject, const char *stage)
{
        char what[64], source[64], options[64];
        bool before_all = strcmp(stage, "open") == 0;
        /* How btrfs would compress is told by the mount table. */
        bool is_gone = before_all || (arena_is(arena, "btrfs") && strcmp(stage, "sample") == 0);
        Move move;

        device_node(arena, source);
        compression_of_mount(arena, options, sizeof(options));
        snprintf(what, sizeof(what), "unmounted lazily before %s", stage);
        move_begin(arena, subject, &move);
        move_reach(&move, stage);
        must(umount2(arena->volume.mount_path, MNT_DETACH) == 0);
        if (before_all && !device_is_free(arena))
                hazard_lost(arena, "%s: the device is in use, though no step has begun", what);
        (void)move_expect(arena, &move, what, is_gone ? "failed:ENODEV" : "moved");
        if (!device_is_free(arena))
                hazard_lost(arena, "%s: the device is in use, though it is over", what);
        must(mount(source, arena->volume.mount_path, arena->volume.facts.type->name, 0, options) == 0);
        arena_mounted_anew(arena);
        (void)subject_check(arena, subject, what);
}

static void scenario(Arena *arena)
{
        enum { FROZEN, FULL, READ_ONLY, UNMOUNTED, N_ACTS };
        Subject *subjects[N_ACTS][ELEMENTS(stages)];
        Freezer context = {.mount_path = arena->volume.mount_path, .frost = shared_memory(sizeof(Frost))};
        Foreign freezer;

        device_in_sysfs(arena, "/stat", context.statistics);
        foreign_start(&freezer, freezer_run, &context);
        /* All of them first: then each is old enough when its turn comes. */
        for (size_t act = 0; act < N_ACTS; act++)
                for (size_t i = 0; i < ELEMENTS(stages); i++) {
                        char name[32];

                        snprintf(name, sizeof(name), "file-%zu-%zu", act, i);
                        subjects[act][i] = subject_new(arena, name, N_PIECES, PIECE_BYTES, 0);
                }
        for (size_t i = 0; i < ELEMENTS(stages) && arena->n_lost == 0; i++) {
                frozen(arena, &freezer, context.frost, subjects[FROZEN][i], stages[i]);
                full(arena, subjects[FULL][i], stages[i]);
                read_only(arena, subjects[READ_ONLY][i], stages[i]);
                unmounted(arena, subjects[UNMOUNTED][i], stages[i]);
        }
        (void)foreign_end(&freezer);
        for (size_t act = 0; act < N_ACTS; act++)
                for (size_t i = 0; i < ELEMENTS(stages); i++)
                        subject_free(subjects[act][i]);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
