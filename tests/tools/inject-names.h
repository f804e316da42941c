/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What inject(1) calls the things that a program asks of the kernel. */

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fsmap.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <xfs/xfs.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))

typedef struct Name {
        uint64_t number;
        const char *name;
} Name;

/* clang-format off */

/* Not looked at: the time, memory that was there, other threads, the beginning and the end. */
static const uint32_t passed[] = {
        SYS_futex, SYS_brk, SYS_munmap, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack,
        SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getrandom,
        SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_prlimit64, SYS_sched_getaffinity,
        SYS_sched_yield, SYS_set_robust_list, SYS_set_tid_address, SYS_restart_syscall, SYS_tgkill, SYS_wait4,
        SYS_execve, SYS_exit, SYS_exit_group, SYS_epoll_pwait,
#ifdef SYS_rseq
        SYS_rseq,
#endif
#ifdef __x86_64__
        SYS_epoll_wait, SYS_arch_prctl, SYS_time,
#endif
};

#define CALL(name) {SYS_##name, #name}
static const Name calls[] = {
        CALL(openat), CALL(openat2), CALL(open_by_handle_at), CALL(name_to_handle_at), CALL(close), CALL(dup), CALL(dup3),
        CALL(fstat), CALL(newfstatat), CALL(statx), CALL(fstatfs), CALL(statfs), CALL(getdents64), CALL(lseek),
        CALL(read), CALL(write), CALL(pread64), CALL(pwrite64), CALL(writev), CALL(fallocate), CALL(ftruncate),
        CALL(fsync), CALL(fdatasync), CALL(sync_file_range), CALL(syncfs), CALL(fchown), CALL(fchmod), CALL(utimensat),
        CALL(fgetxattr), CALL(flistxattr), CALL(fsetxattr), CALL(flock), CALL(renameat), CALL(renameat2),
        CALL(unlinkat), CALL(mkdirat), CALL(readlinkat), CALL(faccessat), CALL(faccessat2), CALL(mmap), CALL(mprotect), CALL(mremap),
        CALL(madvise), CALL(mincore), CALL(mlock), CALL(fadvise64), CALL(readahead), CALL(copy_file_range), CALL(io_uring_setup),
        CALL(io_uring_enter), CALL(io_uring_register), CALL(mount), CALL(umount2), CALL(mount_setattr), CALL(open_tree),
        CALL(move_mount), CALL(unshare), CALL(setns), CALL(clone), CALL(clone3), CALL(prctl), CALL(capset), CALL(capget),
        CALL(socket), CALL(connect), CALL(sendmsg), CALL(sendto), CALL(recvmsg), CALL(recvfrom), CALL(epoll_create1),
        CALL(epoll_ctl), CALL(timerfd_create), CALL(timerfd_settime), CALL(eventfd2), CALL(signalfd4),
        CALL(fanotify_init), CALL(fanotify_mark), CALL(ppoll), CALL(ioprio_set), CALL(sched_setscheduler),
        CALL(setpriority), CALL(uname), CALL(sysinfo),
        /* Newer than some headers; the same number everywhere. */
        {451, "cachestat"}, {457, "statmount"}, {458, "listmount"},
#ifdef __x86_64__
        CALL(open), CALL(stat), CALL(lstat), CALL(access), CALL(readlink), CALL(rename), CALL(unlink), CALL(poll), CALL(dup2),
#endif
};

static const Name ioctls[] = {
        {FS_IOC_FIEMAP, "FIEMAP"}, {FS_IOC_FSGETXATTR, "FSGETXATTR"}, {FS_IOC_FSSETXATTR, "FSSETXATTR"},
        {FS_IOC_GETFLAGS, "GETFLAGS"}, {FS_IOC_GETVERSION, "GETVERSION"}, {FS_IOC_GETFSMAP, "GETFSMAP"},
        {XFS_IOC_FD_TO_HANDLE, "FD_TO_HANDLE"}, {XFS_IOC_OPEN_BY_HANDLE, "OPEN_BY_HANDLE"},
        {XFS_IOC_FSGEOMETRY, "FSGEOMETRY"}, {XFS_IOC_FSCOUNTS, "FSCOUNTS"}, {XFS_IOC_BULKSTAT, "BULKSTAT"},
        {XFS_IOC_FSBULKSTAT_SINGLE, "FSBULKSTAT_SINGLE"}, {XFS_IOC_SWAPEXT, "SWAPEXT"},
        /* Not in all headers: struct xfs_commit_range. */
        {_IOR('X', 130, char[88]), "START_COMMIT"}, {_IOW('X', 131, char[88]), "COMMIT_RANGE"},
        /* The same: ext4's struct move_extent. */
        {_IOWR('f', 15, char[40]), "MOVE_EXT"},
        {BTRFS_IOC_DEFRAG_RANGE, "DEFRAG_RANGE"}, {BTRFS_IOC_TREE_SEARCH, "TREE_SEARCH"},
        {BTRFS_IOC_TREE_SEARCH_V2, "TREE_SEARCH_V2"}, {BTRFS_IOC_INO_LOOKUP, "INO_LOOKUP"},
        {BTRFS_IOC_FS_INFO, "FS_INFO"}, {BTRFS_IOC_DEV_INFO, "DEV_INFO"}, {BTRFS_IOC_SPACE_INFO, "SPACE_INFO"},
        {BTRFS_IOC_GET_FEATURES, "GET_FEATURES"}, {BTRFS_IOC_BALANCE_PROGRESS, "BALANCE_PROGRESS"},
        {BTRFS_IOC_SYNC, "SYNC"},
};

static const Name fcntls[] = {
        {F_SETLEASE, "SETLEASE"}, {F_GETLEASE, "GETLEASE"}, {F_SETSIG, "SETSIG"}, {F_GETFL, "GETFL"}, {F_SETFL, "SETFL"},
        {F_GETFD, "GETFD"}, {F_SETFD, "SETFD"}, {F_DUPFD_CLOEXEC, "DUPFD_CLOEXEC"}, {F_OFD_SETLK, "OFD_SETLK"},
};

#define ERROR(name) {name, #name}
static const Name errors[] = {
        ERROR(EPERM), ERROR(ENOENT), ERROR(EINTR), ERROR(EIO), ERROR(EBADF), ERROR(EAGAIN), ERROR(ENOMEM), ERROR(EACCES),
        ERROR(EFAULT), ERROR(EBUSY), ERROR(EEXIST), ERROR(EINVAL), ERROR(ENFILE), ERROR(EMFILE), ERROR(ETXTBSY),
        ERROR(EFBIG), ERROR(ENOSPC), ERROR(EROFS), ERROR(ENOSYS), ERROR(ENODATA), ERROR(EOPNOTSUPP), ERROR(ESTALE),
        ERROR(EUCLEAN), ERROR(EDQUOT),
};

/* clang-format on */
