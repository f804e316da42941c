/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One mounted file system as the engines see it: how to reach it, what it is, what was proven of it.
 *
 * Holds no descriptor: the root directory is opened for one step of work and closed before every wait, so that an
 * administrator's umount works. Owned and used by one thread. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "decide/outcome.h"
#include "facts/disks.h"
#include "facts/file_id.h"
#include "facts/file_system.h"

typedef struct Engine Engine;

/* A place where a part of the file system can be seen. */
typedef struct FsMount {
        char *root;   /* "/" for the whole; owned */
        char *target; /* owned */
        bool served;  /* what is seen here belongs to the volume; else it is somebody else's business */
} FsMount;

#define FS_VOLUME_DEVICES_MAX 64

/* What engines saw of a volume the last time. */
typedef struct FsVolumeNotes {
        uint64_t space_usec;    /* when, CLOCK_MONOTONIC; 0: never */
        uint64_t space_lengths; /* btrfs_space_lengths() */
        uint64_t slice_usec;    /* the same */
        uint64_t slice_bytes;   /* ext4: as much as may be moved at once */
} FsVolumeNotes;

typedef struct FsVolume {
        char *mount_path; /* that it is reached by; owned */
        dev_t device;     /* in the mount table */
        dev_t *devices;   /* that it lies on; owned; of more than FS_VOLUME_DEVICES_MAX these */
        size_t n_devices;
        FsMount *mounts; /* owned; only where its type has directory_path(): all mounts of it */
        size_t n_mounts;
        char uuid[37]; /* text form */
        FsFacts facts;
        DiskFacts disk;
        FsVolumeNotes *notes;     /* owned; of whoever has the volume locked */
        const Engine *engine;     /* NULL until fs_volume_probe() */
        uint64_t guard_nsec;      /* youngest change time that may be sampled; set by the probe */
        bool has_distinct_stamps; /* what the probe saw */
        bool keeps_unwritten;     /* the same: what is preallocated is still so after a commit */
        bool moves_singles;       /* the same, btrfs: also an extent is moved that has none next to it */
} FsVolume;

/* Fills *ret from the mount at mount_path, which must be the root of a file system that we look after. Returns 0;
 * -EOPNOTSUPP for any other; -errno. Released with fs_volume_done(). */
int fs_volume_init(FsVolume *ret, const char *mount_path, dev_t device);
void fs_volume_done(FsVolume *volume);

/* Notes where parts of it are mounted, for names. Returns 0 or -ENOMEM. */
int fs_volume_add_mount(FsVolume *volume, const char *root, const char *target, bool served);

/* Has one of its disks been taken away? */
bool fs_volume_disk_is_gone(const FsVolume *volume);

/* The root directory, if what is mounted there is still this file system (device and UUID). Returns a descriptor,
 * -ENODEV when it is not, -errno. */
int fs_volume_open(const FsVolume *volume);

/* The same with the per-volume lock (flock on the root directory), which ends with the descriptor. Returns a
 * descriptor, -EWOULDBLOCK while another instance has it, -EBUSY while an exclusive operation of the file system runs, else as
 * fs_volume_open(). */
int fs_volume_open_locked(const FsVolume *volume);

/* A file or directory by identity, one inode by number: as facts/file_system.h has it. */
int fs_volume_inode_open(const FsVolume *volume, int root_fd, FileId id, int flags);
int fs_volume_inode_read(const FsVolume *volume, int root_fd, FileId id, InodeFacts *ret);

/* The map of a part of a file as extent_map_read() has it, with the places of encoded extents where they can be told: the first extent must not
 * begin in front of offset for that. */
int fs_volume_map_read(const FsVolume *volume, int fd, FileId id, uint64_t offset, uint64_t length,
                       bool sync, size_t max_extents, ExtentMap *ret);

/* Does something have the file system for itself that is better waited for? Returns 1, 0 or -errno. */
int fs_volume_is_exclusive(const FsVolume *volume);

/* What the facts alone forbid: REASON_NONE, or why no engine may even be tried on this volume. Pure. */
Reason fs_volume_refusal(const FsVolume *volume);

/* What an open file is that FileFacts do not tell, and that no engine of this volume may move: *ret is REASON_NONE or the word for
 * it. Returns 0 or -errno. */
int fs_volume_file_refusal(const FsVolume *volume, int fd, Reason *ret);

/* The engine that the facts promise, until one is proven. Pure. */
const Engine *fs_volume_promised_engine(const FsVolume *volume);

/* Free bytes of the data device. Returns 0 or -errno. */
int fs_volume_free_bytes(const FsVolume *volume, int root_fd, uint64_t *ret_free);

/* Chooses the engine by running it on scratch files (O_TMPFILE, in one of the parents), with known answers: a commit
 * exchanges the contents; a commit with a stale cookie is refused; a lease is refused while a second descriptor is open
 * and granted when it is not. Also finds out whether changes within one clock tick get distinct stamps, and sets the age
 * guard by it, and whether a commit keeps preallocated places as they are. Returns 0 with engine
 * set; 1 with engine NULL and *ret_error saying why (-errno of the last try, -EOPNOTSUPP: no leases, 0: a wrong answer). */
int fs_volume_probe(FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents, int *ret_error);
