/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MUTANTS: VERIFY */

/* A bit that flips between the read and the commit, in memory, on a cable or in the disk.
 *
 * The donor is ours alone, so the flip is made by hand: its descriptor is found among our own. Without reading the donor
 * back both engines put the wrong bit into the file. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-hazard.h"

#define N_PIECES    32
#define PIECE_BYTES (64 * (size_t)KIB)
#define FLIP_AT     (17 * PIECE_BYTES)

/* The one descriptor that is a regular file on the volume, but no name leads to. */
static int donor_open(const Arena *arena)
{
        _cleanup_closedir_ DIR *directory = opendir("/proc/self/fd");

        must(directory);
        for (struct dirent *entry; (entry = readdir(directory));) {
                char path[sizeof(entry->d_name) + 16];
                struct stat status;
                int fd;

                snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
                if (entry->d_name[0] == '.' || stat(path, &status) < 0 || !S_ISREG(status.st_mode) ||
                    status.st_dev != arena->volume.device || status.st_nlink != 0)
                        continue;
                fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
                must(fd >= 0);
                return fd;
        }
        errno = ENOENT;
        hazard_die("the donor is not among our descriptors", __FILE__, __LINE__);
}

static void flip(const Arena *arena)
{
        _cleanup_close_ int fd = donor_open(arena);
        _cleanup_free_ uint8_t *block = NULL;

        must(posix_memalign((void **)&block, 4096, 4096) == 0);
        must(pread(fd, block, 4096, (off_t)FLIP_AT) == 4096);
        block[123] ^= 0x10;
        must(pwrite(fd, block, 4096, (off_t)FLIP_AT) == 4096);
}

static void scenario(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Metadata *before = metadata_read(subject->path, true), *after;
        Move move;

        move_begin(arena, subject, &move);
        move_reach(&move, "verify");
        flip(arena);
        (void)move_expect(arena, &move, "a flipped bit in the donor", "failed:EIO");
        (void)subject_check(arena, subject, "a flipped bit in the donor");
        after = metadata_read(subject->path, true);
        (void)metadata_check(arena, before, after, "a flipped bit in the donor");
        if (subject_runs(subject) != N_PIECES)
                hazard_wrong(arena, "a region whose copy was wrong was moved");
        metadata_free(before);
        metadata_free(after);
        subject_free(subject);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
