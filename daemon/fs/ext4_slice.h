/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A slice on its way to its new place, and back where that does not go well. Private to the engine of ext4; the caller holds the lease. */

#include "base/number.h"
#include "fs/engine.h"
#include "fs/ext4_progress.h"

#define EXT4_SLICE_MAX_BYTES (32 * MIB)
/* What one call moves, if no run is longer. */
#define EXT4_CALL_BYTES      (4 * MIB)

/* A part of the region that begins and ends with something allocated. */
typedef struct Slice {
        uint64_t offset;
        uint64_t n_bytes; /* holes included */
} Slice;

/* Moves all of the slice or, but for a part of which an old kernel does not tell, nothing: half of it in a new place would leave the file in
 * more pieces than it had. Where the kernel refuses to take it back as well, it is well that the stretch from which there is most to win has moved:
 * that is the first to go, and the last to come back. Returns 0 or -errno. */
int ext4_slice_move(EngineJob *job, Progress *progress, const Slice *slice);

/* Writes the slice to where it lies now. The commit would do that as well, and pass over an error: it is not the donor's, and the journal
 * goes on without the data (unless mounted with data_err=abort). What cannot be written is whole in the page cache still, and
 * in its old place, which the donor has: it goes back there. Returns 0 or the error. */
int ext4_slice_write(EngineJob *job, Progress *progress, const Slice *slice, int moved);
