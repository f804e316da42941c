/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A walk with a stack of its own: neither depth nor width of a tree can exhaust the program's.
 *
 * A directory is read to its end before any of its subdirectories is entered; the names of these wait in its frame. Only
 * the deepest few frames keep a descriptor. A frame that lost its own gets it back through ".." of the child that is
 * being left, and only if that is still the same directory: else the tree was moved under our feet, and what waits in
 * the frames in between is reported and left out. */

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "work/walk.h"

/* Far below the 1,024 that a process may have open by default, and deeper than most trees. */
#define DESCRIPTORS_MAX 64
/* Several hundred entries a call. */
#define ENTRIES_BYTES   ((size_t)(64 * KIB))

typedef struct Frame {
        int fd; /* negative: closed for want of descriptors */
        uint64_t inode;
        FileId id;
        size_t path_bytes; /* of walk->path, when in this directory */
        char *names;       /* subdirectories that are still to be entered, each with its NUL */
        size_t names_bytes, names_room, names_next;
} Frame;

typedef struct Walk {
        bool with_ids;
        on_walk_entry on_entry;
        void (*on_error)(const char *path, int error, void *userdata);
        const atomic_bool *cancel;
        void *userdata;

        uint64_t mount_id; /* 0 when the kernel does not say (before 5.8) */
        uint32_t device_major, device_minor;
        Frame *frames;
        size_t n_frames, frames_room;
        char *path;
        size_t path_room;
        char *entries;
} Walk;

static bool walk_cancelled(const Walk *walk)
{
        return walk->cancel && atomic_load(walk->cancel);
}

static void walk_complain(const Walk *walk, int error)
{
        if (walk->on_error)
                walk->on_error(walk->path, error, walk->userdata);
}

/* Doubles, so that n bytes cost O(n). */
static int grow(char **buffer, size_t *room, size_t wanted)
{
        size_t larger = *room ? *room : 256;
        char *moved;

        if (*buffer && wanted <= *room)
                return 0;
        while (larger < wanted) {
                if (larger > SIZE_MAX / 2)
                        return -ENOMEM;
                larger *= 2;
        }
        moved = realloc(*buffer, larger);
        if (!moved)
                return -ENOMEM;
        *buffer = moved;
        *room = larger;
        return 0;
}

/* Makes walk->path the path of the directory in question plus name. */
static int walk_set_name(Walk *walk, size_t directory_bytes, const char *name)
{
        size_t name_bytes = strlen(name);
        bool slash = directory_bytes > 0 && walk->path[directory_bytes - 1] != '/';
        int r = grow(&walk->path, &walk->path_room, directory_bytes + slash + name_bytes + 1);

        if (r < 0)
                return r;
        if (slash)
                walk->path[directory_bytes] = '/';
        memcpy(walk->path + directory_bytes + slash, name, name_bytes + 1);
        return 0;
}

/* Opens a directory by a single name. RESOLVE_NO_XDEV (openat2(2), Linux 5.6) refuses what is mounted there, also when
 * it was mounted a moment ago; O_NOATIME is only ours to ask for with CAP_FOWNER. */
static int directory_open(int dir_fd, const char *name, uint64_t flags)
{
        struct open_how how = {
                .flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | flags,
                .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
        };
        int fd = (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

        if (fd < 0 && errno == EPERM && (flags & O_NOATIME)) {
                how.flags &= ~(uint64_t)O_NOATIME;
                fd = (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
        }
        return fd < 0 ? -errno : fd;
}

static int name_status(int dir_fd, const char *name, struct statx *ret)
{
        int flags = AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW | (name[0] == '\0' ? AT_EMPTY_PATH : 0);

        return statx(dir_fd, name, flags, STATX_TYPE | STATX_INO | STATX_MNT_ID, ret) < 0 ? -errno : 0;
}

static bool on_our_mount(const Walk *walk, const struct statx *status)
{
        if (walk->mount_id != 0 && (status->stx_mask & STATX_MNT_ID))
                return status->stx_mnt_id == walk->mount_id;
        return status->stx_dev_major == walk->device_major && status->stx_dev_minor == walk->device_minor;
}

/* What readdir called a directory, or did not know, may be another's mount point. Returns its type, DT_UNKNOWN when it
 * is to be left out. */
static uint8_t entry_type(const Walk *walk, int dir_fd, const struct dirent64 *entry)
{
        struct statx status;

        if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
                return entry->d_type;
        if (name_status(dir_fd, entry->d_name, &status) < 0 || !on_our_mount(walk, &status))
                return DT_UNKNOWN;
        return (uint8_t)IFTODT(status.stx_mode);
}

static int frame_add_name(Frame *frame, const char *name)
{
        size_t bytes = strlen(name) + 1;
        char *names = frame->names;

        if (grow(&names, &frame->names_room, frame->names_bytes + bytes) < 0)
                return -ENOMEM;
        frame->names = names;
        memcpy(names + frame->names_bytes, name, bytes);
        frame->names_bytes += bytes;
        return 0;
}

static int walk_entry(Walk *walk, Frame *frame, const struct dirent64 *raw)
{
        WalkEntry entry = {.parent = frame->id, .inode = raw->d_ino, .subvolume = frame->id.subvolume};
        FileId id;
        int r;

        if (strcmp(raw->d_name, ".") == 0 || strcmp(raw->d_name, "..") == 0)
                return 0;
        entry.type = entry_type(walk, frame->fd, raw);
        if (entry.type == DT_UNKNOWN)
                return 0;
        if (entry.type == DT_DIR)
                return frame_add_name(frame, raw->d_name);

        r = walk_set_name(walk, frame->path_bytes, raw->d_name);
        if (r < 0)
                return r;
        /* A file that something is mounted on answers with another inode than the directory says. */
        if (walk->with_ids && entry.type == DT_REG && file_id_from_name(frame->fd, raw->d_name, &id) == 0 &&
            id.inode == raw->d_ino)
                entry.id = id;
        entry.path = walk->path;
        r = walk->on_entry(&entry, walk->userdata);
        return r == WALK_PRUNE ? 0 : r;
}

/* Reads the directory of the top frame to its end. Returns 0, or what ends the walk. */
static int walk_read(Walk *walk)
{
        Frame *frame = &walk->frames[walk->n_frames - 1];
        ssize_t n_bytes;
        int r;

        while ((n_bytes = getdents64(frame->fd, walk->entries, ENTRIES_BYTES)) > 0)
                for (ssize_t at = 0; at < n_bytes;) {
                        const struct dirent64 *raw = (const void *)(walk->entries + at);

                        if (walk_cancelled(walk))
                                return -ECANCELED;
                        r = walk_entry(walk, frame, raw);
                        if (r != 0)
                                return r;
                        at += raw->d_reclen;
                }
        if (n_bytes < 0) {
                int error = errno;

                /* ENOENT: removed while we were in it. */
                walk->path[frame->path_bytes] = '\0';
                if (error != ENOENT)
                        walk_complain(walk, error);
        }
        return 0;
}

/* Enters the directory fd, which is taken over and is called walk->path. Returns 0, also when it was left out, or what
 * ends the walk. */
static int walk_enter(Walk *walk, int fd, FileId parent)
{
        _cleanup_close_ int own_fd = fd;
        WalkEntry entry = {.parent = parent, .path = walk->path, .type = DT_DIR};
        struct statx status;
        int r;

        r = name_status(own_fd, "", &status);
        if (r < 0) {
                walk_complain(walk, -r);
                return 0;
        }
        entry.inode = status.stx_ino;
        /* Where a file system has no handles there is no parent to make donors in, and nothing else is lost. */
        if (file_id_from_name(own_fd, "", &entry.id) < 0)
                entry.id = (FileId){0};
        entry.subvolume = entry.id.subvolume;
        r = walk->on_entry(&entry, walk->userdata);
        if (r != 0)
                return r == WALK_PRUNE ? 0 : r;

        if (walk->n_frames == walk->frames_room) {
                size_t room = walk->frames_room ? 2 * walk->frames_room : 32;
                Frame *moved = reallocarray(walk->frames, room, sizeof(*moved));

                if (!moved)
                        return -ENOMEM;
                walk->frames = moved;
                walk->frames_room = room;
        }
        walk->frames[walk->n_frames++] = (Frame){
                .fd = TAKE_FD(own_fd),
                .inode = entry.inode,
                .id = entry.id,
                .path_bytes = strlen(walk->path),
        };
        /* The topmost always keeps its own: it is where a walk goes on that lost its way. */
        if (walk->n_frames > DESCRIPTORS_MAX) {
                Frame *distant = &walk->frames[walk->n_frames - DESCRIPTORS_MAX];

                distant->fd = fd_close(distant->fd);
        }
        return walk_read(walk);
}

static void walk_pop(Walk *walk)
{
        Frame *frame = &walk->frames[--walk->n_frames];

        (void)fd_close(frame->fd);
        free(frame->names);
}

/* Leaves the top frame's directory and sees to it that the next one has a descriptor. */
static void walk_leave(Walk *walk)
{
        Frame *parent = walk->n_frames > 1 ? &walk->frames[walk->n_frames - 2] : NULL;
        struct statx status;
        int fd, r;

        if (!parent || parent->fd >= 0) {
                walk_pop(walk);
                return;
        }
        fd = directory_open(walk->frames[walk->n_frames - 1].fd, "..", O_PATH);
        walk_pop(walk);
        r = fd < 0 ? fd : name_status(fd, "", &status);
        if (r >= 0 && status.stx_ino == parent->inode && on_our_mount(walk, &status)) {
                parent->fd = fd;
                return;
        }
        (void)fd_close(fd);
        while (walk->frames[walk->n_frames - 1].fd < 0) {
                Frame *lost = &walk->frames[walk->n_frames - 1];

                walk->path[lost->path_bytes] = '\0';
                if (lost->names_next < lost->names_bytes)
                        walk_complain(walk, r < 0 ? -r : ESTALE);
                walk_pop(walk);
        }
}

/* Enters the next subdirectory of the top frame, or leaves it. */
static int walk_step(Walk *walk)
{
        Frame *frame = &walk->frames[walk->n_frames - 1];
        const char *name;
        int fd, r;

        if (frame->names_next == frame->names_bytes) {
                walk_leave(walk);
                return 0;
        }
        name = frame->names + frame->names_next;
        frame->names_next += strlen(name) + 1;
        r = walk_set_name(walk, frame->path_bytes, name);
        if (r < 0)
                return r;
        fd = directory_open(frame->fd, name, O_RDONLY | O_NOATIME);
        if (fd >= 0)
                return walk_enter(walk, fd, frame->id);
        /* Removed, replaced by something else or mounted on since it was read: not ours. */
        if (fd != -ENOENT && fd != -ENOTDIR && fd != -ELOOP && fd != -EXDEV)
                walk_complain(walk, -fd);
        return 0;
}

static int walk_begin(Walk *walk, int dir_fd, const char *path)
{
        struct statx status;
        int fd, r;

        walk->entries = malloc(ENTRIES_BYTES);
        if (!walk->entries)
                return -ENOMEM;
        r = walk_set_name(walk, 0, path);
        if (r < 0)
                return r;
        /* Another descriptor: the caller's has a position of its own. */
        fd = directory_open(dir_fd, ".", O_RDONLY | O_NOATIME);
        r = fd < 0 ? fd : name_status(fd, "", &status);
        if (r < 0) {
                (void)fd_close(fd);
                walk_complain(walk, -r);
                return 0;
        }
        walk->mount_id = status.stx_mask & STATX_MNT_ID ? status.stx_mnt_id : 0;
        walk->device_major = status.stx_dev_major;
        walk->device_minor = status.stx_dev_minor;
        return walk_enter(walk, fd, (FileId){0});
}

int walk_directory(int dir_fd, const char *path, bool with_ids, on_walk_entry on_entry,
                   void (*on_error)(const char *path, int error, void *userdata), const atomic_bool *cancel,
                   void *userdata)
{
        Walk walk = {
                .with_ids = with_ids,
                .on_entry = on_entry,
                .on_error = on_error,
                .cancel = cancel,
                .userdata = userdata,
        };
        int r;

        r = walk_begin(&walk, dir_fd, path);
        while (r == 0 && walk.n_frames > 0)
                r = walk_cancelled(&walk) ? -ECANCELED : walk_step(&walk);
        while (walk.n_frames > 0)
                walk_pop(&walk);
        free(walk.frames);
        free(walk.path);
        free(walk.entries);
        return r;
}
