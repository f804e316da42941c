/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What may be done to a file. Each does it to the file and to the model and returns MODEL_*; where there is
 * nothing that it could be done to, nothing happens. */

#include "../tools/tool.h"
#include "model.h"
#include "operations.h"

typedef int Way(ModelFile *file, const Operation *operation);

/* ways_write.c: content */
Way run_write, run_direct, run_uring, run_aio, run_flight, run_store, run_pinned;
/* ways_shape.c: what belongs to the file, and where */
Way run_truncate, run_punch, run_zero, run_allocate, run_collapse, run_insert, run_comb, run_clone,
        run_reclone, run_unclone;
/* ways_quiet.c: what changes no content, and moments in which it looks quiet */
Way run_read, run_check, run_sync, run_forget, run_unmap, run_times, run_mode, run_rename, run_link,
        run_attribute, run_rest, run_hold;

static inline size_t smaller(size_t a, size_t b)
{
        return a < b ? a : b;
}

static inline size_t down(size_t number, size_t unit)
{
        return number - number % unit;
}

static inline size_t up(size_t number, size_t unit)
{
        return down(number + unit - 1, unit);
}

/* A length from 1 to 64K in which small ones are as frequent as large ones. */
static inline size_t length_of(const Operation *operation)
{
        size_t most = (size_t)512 << (operation->amount >> 61);

        return 1 + operation->amount % most;
}

static inline const unsigned char *content_of(ModelFile *file, const Operation *operation, size_t n_bytes)
{
        random_fill(file->buffer, n_bytes, operation->flavour);
        return file->buffer;
}
