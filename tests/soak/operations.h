/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What can be done to a file, as lists that are made from a seed, can be written down, and of which every
 * part is a list, too: the numbers of an operation are cut to what the file is like when its turn comes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model.h"

typedef struct Operation {
        unsigned kind;    /* index of the table in operations.c */
        bool breaks;      /* afterwards, a byte is changed behind the model's back */
        uint64_t place;   /* where */
        uint64_t amount;  /* how much, how long */
        uint64_t flavour; /* content, and which variety */
} Operation;

/* A list of n operations, always the same for a seed. */
void operations_make(uint64_t seed, Operation *list, size_t n);

/* Does it, on a file that has begun. Returns MODEL_*. */
int operation_run(ModelFile *file, const Operation *operation);

/* A whole list on a new file, and all checks at the end; stopped early when the tally says so. Returns
 * MODEL_*; with MODEL_LOST *ret_n says after how many operations it was seen. The file stays. */
int operations_run(ModelFile *file, uint64_t seed, const Operation *list, size_t n, size_t *ret_n);

/* A line each; read returns false at the end of the stream. */
void operation_write(const Operation *operation, FILE *stream);
bool operation_read(Operation *operation, FILE *stream);

/* Makes the list as short as it can be and still fail: chunk after chunk is left out, ever smaller ones, and
 * whatever still fails without is kept. fails() may be asked hundreds of times. Returns the new length;
 * *ret_n_runs counts. */
size_t operations_shrink(Operation *list, size_t n,
                         bool (*fails)(const Operation *list, size_t n, void *context), void *context,
                         unsigned *ret_n_runs);
