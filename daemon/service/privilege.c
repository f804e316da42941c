/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Own mount namespace, few capabilities, low priority: the same that the unit's sandbox gives, for a daemon that was
 * started by hand. */

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/mounts.h"
#include "service/privilege.h"

/* CAP_SYS_RESOURCE is left out on purpose: with it we could eat the blocks that are kept for root and pass quotas.
 * CAP_SYS_NICE is not needed for stepping back. */
static const struct {
        unsigned capability;
        const char *name;
} needed[] = {
        {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},       /* XFS handles, SWAPEXT, mount_setattr, trusted xattrs */
        {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"}, /* write files and make donors where only the owner may */
        {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}, /* read every directory; handles */
        {CAP_FOWNER, "CAP_FOWNER"},                   /* O_NOATIME on files of others */
        {CAP_LEASE, "CAP_LEASE"},                     /* leases on files of others */
        {CAP_FSETID, "CAP_FSETID"},                   /* a write must not strip setuid and setgid */
        {CAP_CHOWN, "CAP_CHOWN"},                     /* owner and project of the donor */
};

int privilege_check(const char **ret_what)
{
        if (capng_get_caps_process() < 0) {
                *ret_what = "capabilities of this process";
                return -EPERM;
        }
        for (size_t i = 0; i < ELEMENTS(needed); i++)
                if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i].capability)) {
                        *ret_what = needed[i].name;
                        return -EPERM;
                }
        return 0;
}

int privilege_own_namespace(const char **ret_what)
{
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};

        if (unshare(CLONE_NEWNS) < 0) {
                *ret_what = "own mount namespace";
                return -errno;
        }
        /* First the propagation: with it still shared, a mount of ours would appear on the host. */
        if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0) {
                *ret_what =
                        errno == EINVAL
                                ? "mount propagation (the root directory is no mount point; in a chroot?)"
                                : "mount propagation";
                return -errno;
        }
        if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attributes, sizeof(attributes)) < 0) {
                *ret_what = "read-only mounts by mount_setattr (Linux 5.12; a container's sandbox?)";
                return -errno;
        }
        return 0;
}

/* Mount numbers are given once in all namespaces together: the host's table has the number of our root directory only
 * if that is the host's, too. */
static bool host_has_mount(int table_fd, uint64_t mount_id)
{
        _cleanup_fclose_ FILE *stream = NULL;
        _cleanup_free_ char *line = NULL;
        size_t room = 0;
        uint64_t id;
        int copy;

        if (lseek(table_fd, 0, SEEK_SET) < 0)
                return true;
        copy = fcntl(table_fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
                return true;
        stream = fdopen(copy, "re");
        if (!stream) {
                (void)fd_close(copy);
                return true;
        }
        while (getline(&line, &room, stream) >= 0) {
                errno = 0;
                id = strtoull(line, NULL, 10);
                if (errno == 0 && id == mount_id)
                        return true;
        }
        return false;
}

bool privilege_is_sandboxed(int table_fd)
{
        struct statvfs root;
        struct statx status;

        return statvfs("/", &root) == 0 && (root.f_flag & ST_RDONLY) &&
               statx(AT_FDCWD, "/", AT_NO_AUTOMOUNT, STATX_MNT_ID, &status) == 0 &&
               (status.stx_mask & STATX_MNT_ID) && !host_has_mount(table_fd, status.stx_mnt_id);
}

int privilege_keep_writable(const char *directory)
{
        struct mount_attr attributes = {
                .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                .attr_clr = MOUNT_ATTR_RDONLY,
        };

        if (mount(directory, directory, NULL, MS_BIND, NULL) < 0)
                return -errno;
        if (mount_setattr(AT_FDCWD, directory, 0, &attributes, sizeof(attributes)) < 0)
                return -errno;
        return 0;
}

void privilege_release_volume(const char *mount_path, dev_t device)
{
        _cleanup_close_ int path_fd = open(mount_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat status;
        dev_t now;

        if (path_fd < 0 || fstat(path_fd, &status) < 0 || mount_device(path_fd, &status, &now) < 0)
                return;
        path_fd = fd_close(path_fd);
        if (now == device)
                (void)umount2(mount_path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

int privilege_open_volume(const char *mount_path, dev_t device)
{
        struct mount_attr attributes = {
                .attr_set = MOUNT_ATTR_NOATIME | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                .attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME,
        };
        _cleanup_close_ int path_fd = -EBADF;
        struct stat status;
        dev_t now;
        int r;

        /* What is made writable is what was looked at: by descriptor, not by path twice. */
        path_fd = open(mount_path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (path_fd < 0)
                return -errno;
        if (fstat(path_fd, &status) < 0)
                return -errno;
        r = mount_device(path_fd, &status, &now);
        if (r < 0)
                return r;
        if (now != device)
                return -ENODEV;
        if (mount_setattr(path_fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
                return -errno;
        return 0;
}

int privilege_drop(const char **ret_what)
{
        const struct rlimit no_core = {0};
        capng_select_t sets = CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT;

        /* Other people's data passes through our memory. */
        if (setrlimit(RLIMIT_CORE, &no_core) < 0) {
                *ret_what = "core dumps off";
                return -errno;
        }
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
                *ret_what = "no new privileges";
                return -errno;
        }

        /* Cutting the bounding set takes CAP_SETPCAP. Where a unit or a container has taken that from us,
         * PR_SET_NO_NEW_PRIVS alone keeps an exec from regaining anything. */
        if (capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
                sets |= CAPNG_SELECT_BOUNDS;
        capng_clear(CAPNG_SELECT_ALL);
        for (size_t i = 0; i < ELEMENTS(needed); i++)
                if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
                                 needed[i].capability) < 0) {
                        *ret_what = needed[i].name;
                        return -EINVAL;
                }
        if (capng_apply(sets) < 0) {
                *ret_what = "fewer capabilities";
                return -EPERM;
        }
        return 0;
}

void privilege_lower_priority(void)
{
        (void)setpriority(PRIO_PROCESS, 0, 10);
        /* Lowest of the ordinary class, not the idle class: that one can be kept from the disk for ever while it holds
         * a region. glibc has no wrapper. */
        (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7));
}
