/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The first program of a test machine (lib/machine.sh), static, from the initial file system: loads /modules/NN-NAME.ko in
 * the order of their numbers, makes one tree of the three disks that every machine has, and becomes the systemd in it.
 *
 *   vda  the root, a snapshot: what is written is gone afterwards
 *   vdb  this kernel's modules
 *   vdc  what the test adds to the root, copied over it: the daemon that was built, tools, units
 *
 * A failure says where and ends: the kernel panics, and the machine with it. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* An emulated disk is there a moment after its driver. */
#define DISK_LIMIT_SEC 30

static void must(int r, const char *what, const char *name)
{
        if (r >= 0)
                return;
        fprintf(stderr, "init: %s %s: %s\n", what, name, strerror(errno));
        exit(EXIT_FAILURE);
}

static int is_module(const struct dirent *entry)
{
        return strstr(entry->d_name, ".ko") != NULL;
}

static void modules_load(void)
{
        struct dirent **entries;
        char path[PATH_MAX];
        int n, fd, r;

        n = scandir("/modules", &entries, is_module, alphasort);
        must(n, "list", "/modules");
        for (int i = 0; i < n; i++) {
                snprintf(path, sizeof path, "/modules/%s", entries[i]->d_name);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                must(fd, "open", path);
                r = (int)syscall(SYS_finit_module, fd, "", 0);
                must(r < 0 && errno == EEXIST ? 0 : r, "load", path);
                close(fd);
                free(entries[i]);
        }
        free(entries);
}

static void disk_mount(const char *disk, const char *directory, unsigned long flags)
{
        const struct timespec pause = {.tv_nsec = 20000000};
        struct timespec now, start;
        int r;

        must(clock_gettime(CLOCK_MONOTONIC, &start), "clock", "");
        for (;;) {
                r = mount(disk, directory, "ext4", flags, NULL);
                must(clock_gettime(CLOCK_MONOTONIC, &now), "clock", "");
                if (r >= 0 || (errno != ENOENT && errno != ENXIO) ||
                    now.tv_sec - start.tv_sec > DISK_LIMIT_SEC)
                        break;
                nanosleep(&pause, NULL);
        }
        must(r, "mount", disk);
}

/* By the root's own cp: it knows links, owners and modes. */
static void additions_copy(void)
{
        int status;
        pid_t pid;

        disk_mount("/dev/vdc", "/root/mnt", MS_RDONLY);
        pid = fork();
        must(pid, "fork", "");
        if (pid == 0) {
                must(chroot("/root"), "chroot", "/root");
                must(chdir("/"), "chdir", "/");
                must(execl("/bin/cp", "cp", "--archive", "/mnt/.", "/", (char *)NULL), "execute", "/bin/cp");
        }
        must(waitpid(pid, &status, 0), "wait for", "cp");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                fprintf(stderr, "init: cp failed\n");
                exit(EXIT_FAILURE);
        }
        must(umount("/root/mnt"), "umount", "/root/mnt");
}

int main(void)
{
        struct utsname name;
        char path[PATH_MAX];

        must(mount("devtmpfs", "/dev", "devtmpfs", 0, NULL), "mount", "/dev");
        modules_load();
        disk_mount("/dev/vda", "/root", 0);
        must(uname(&name), "uname", "");
        snprintf(path, sizeof path, "/root/usr/lib/modules/%s", name.release);
        if (mkdir("/root/usr/lib/modules", 0755) < 0 && errno != EEXIST)
                must(-1, "make", "/root/usr/lib/modules");
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                must(-1, "make", path);
        disk_mount("/dev/vdb", path, MS_RDONLY);
        additions_copy();

        must(mount("/dev", "/root/dev", NULL, MS_MOVE, NULL), "move", "/dev");
        must(chdir("/root"), "chdir", "/root");
        must(mount(".", "/", NULL, MS_MOVE, NULL), "move", "/root");
        must(chroot("."), "chroot", "/root");
        must(execl("/sbin/init", "init", (char *)NULL), "execute", "/sbin/init");
        return EXIT_FAILURE;
}
