/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the btrfs engine looks at before it begins a region. Private to it. All return ENGINE_DONE, a verdict or -errno. */

#include <stdbool.h>
#include <stdint.h>

#include "facts/btrfs_encoding.h"
#include "fs/engine.h"

/* What moving a region is good for. */
typedef struct BtrfsLayout {
        bool has_parts;       /* it is moved to its end, or what has moved gives no space back */
        bool is_encoded;      /* compressed, all of it */
        bool has_held;        /* the same of single extents: they have to move, too */
        uint64_t slice_bytes; /* BTRFS_SLICE_BYTES, or longer ones with which it does not grow */
} BtrfsLayout;

/* Did nobody have it open for writing when it was sampled, and was the last change so long ago that the next one gets another stamp? Only
 * then can stamps tell later whether content that differs is our doing. */
int btrfs_sample_facts(EngineJob *job);

/* Swap space need not be active to be looked for by its blocks: a suspended system lies in it. It is never copied on write, so what is gets looked
 * at last, where it was read anyway. is_asked: the beginning of the region is on its way into the page cache. */
int btrfs_check_swap(EngineJob *job, bool is_asked);

/* Is anything of the region encoded as it would be now? What the plan was made of may be all plain, and so may not be looked at more closely. */
int btrfs_check_encoding(EngineJob *job, BtrfsEncoding would);

/* The map of the region; whether all of it would be encoded as it is, where would is how the file is written now; and whether to move it takes more
 * space than it gives back. */
int btrfs_layout_read(EngineJob *job, BtrfsEncoding would, BtrfsLayout *ret);
