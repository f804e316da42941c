/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the engines of one type of file system need before the first of them runs.
 *
 * Private to fs/: others ask by way of fs/volume.h. */

#include "fs/engine.h"

typedef struct FsDriver {
        const FileSystemType *type;

        /* What the facts alone forbid: REASON_NONE, or why no engine may even be tried. Pure. */
        Reason (*refusal)(const FsVolume *volume);

        /* The engine that the facts promise, until one is proven. Pure. */
        const Engine *(*promised)(const FsVolume *volume);

        /* What an open file is that its facts do not tell, and that no engine may move: *ret is REASON_NONE or the word for it. Returns 0
         * or -errno. NULL: nothing. */
        int (*file_refusal)(int fd, Reason *ret);

        /* As fs_volume_probe(), with volume->engine cleared before. Returns 1 proven, 0 a wrong answer, -errno of the last try. */
        int (*probe)(FsVolume *volume, int root_fd, const FileId *parents, size_t n_parents);
} FsDriver;

extern const FsDriver fs_driver_xfs, fs_driver_ext4, fs_driver_btrfs;
