/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* MUTANTS: DONOR_PRIVATE */

/* Other people's data in a file of ours.
 *
 * Between copy and commit a second file holds the data. Whatever its directory passes on - a group, a default ACL that lets all read,
 * a project - it is root's and nobody else's, it has no name, and nobody can ever give it one, not even root by way of /proc. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-hazard.h"

#define N_PIECES    16
#define PIECE_BYTES (64 * (size_t)KIB)

/* Everything open without a name on the file system of the subject: that is the donor. */
static int donor_find(const Subject *subject, char ret[static 64])
{
        DIR *fds = opendir("/proc/self/fd");
        struct stat file, here;
        int found = 0;

        must(fds && stat(subject->path, &file) == 0);
        for (struct dirent *entry; (entry = readdir(fds));) {
                int fd = atoi(entry->d_name);

                if (entry->d_name[0] == '.' || fstat(fd, &here) < 0 || here.st_dev != file.st_dev ||
                    !S_ISREG(here.st_mode) || here.st_nlink != 0)
                        continue;
                must(snprintf(ret, 64, "/proc/self/fd/%d", fd) < 64);
                found++;
        }
        (void)closedir(fds);
        return found;
}

static void look(Arena *arena, const Subject *subject, const char *stage)
{
        char donor[64], path[400];
        struct stat status;
        int n = donor_find(subject, donor);

        if (n != 1) {
                hazard_wrong(arena, "%d unnamed files before %s", n, stage);
                return;
        }
        must(stat(donor, &status) == 0);
        if ((status.st_mode & 07777) != 0600 || status.st_uid != 0 || status.st_gid != 0)
                hazard_lost(arena, "before %s the donor has mode %o and belongs to %u:%u", stage,
                            status.st_mode & 07777U, status.st_uid, status.st_gid);
        must(snprintf(path, sizeof(path), "%s.donor", subject->path) < (int)sizeof(path));
        if (linkat(AT_FDCWD, donor, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
                hazard_lost(arena, "before %s the donor can be given a name", stage);
        else if (errno != ENOENT)
                hazard_wrong(arena, "before %s: linkat: %s", stage, strerror(errno));
        (void)unlink(path);
}

static void scenario(Arena *arena)
{
        /* user::rw- user:1000:rw- group::rw- mask::rw- other::rw- as the kernel stores an ACL (linux/posix_acl_xattr.h) */
        static const struct {
                uint32_t version;
                struct {
                        uint16_t tag, permissions;
                        uint32_t id;
                } entries[5];
        } acl = {2, {{1, 6, ~0U}, {2, 6, 1000}, {4, 6, ~0U}, {16, 6, ~0U}, {32, 6, ~0U}}};
        static const char *const stages[] = {"copy", "verify", "commit"};
        Subject *subject;
        Move move;

        must(chown(arena->path, 1000, 1000) == 0 && chmod(arena->path, 02777) == 0);
        if (setxattr(arena->path, "system.posix_acl_default", &acl, sizeof(acl), 0) < 0)
                hazard_note(arena, "no default ACL: %s", strerror(errno));
        (void)umask(0);
        subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        move_begin(arena, subject, &move);
        for (size_t i = 0; i < ELEMENTS(stages); i++) {
                move_reach(&move, stages[i]);
                look(arena, subject, stages[i]);
        }
        (void)move_expect(arena, &move, "a directory that passes everything on", "moved");
        (void)subject_check(arena, subject, "a directory that passes everything on");
        subject_free(subject);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
