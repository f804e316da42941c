/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* DailyWrites=: how many bytes may still be written on one volume today. Pure: the caller knows what day it is.
 *
 * The charge is made before anything is written and stored before anything is moved, so that a crash can only make the
 * budget smaller than it was meant to be. What was charged and not written is given back. */

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

typedef struct DailyBudget {
        int64_t day;            /* of the charge: days since 1970-01-01 in local time */
        uint64_t charged_bytes; /* on that day */
} DailyBudget;

/* What DailyWrites= amounts to on a volume of that size; where it is not set, 2 % on flash and 10 % elsewhere. */
uint64_t budget_daily_bytes(bool is_set, Amount daily_writes, bool rotational, uint64_t volume_bytes);

/* What is left of limit_bytes on day. A charge of a later day than day (the clock was set back) stands: the wear
 * does not go away. BYTES_INFINITY as limit is never used up. */
uint64_t budget_left(const DailyBudget *budget, int64_t day, uint64_t limit_bytes);

/* How much to charge at once of what is left, when at least need_bytes of it are wanted: a lump, so that one store of the charge does
 * for many files. A crash loses it: it is never more than an eighth of a day's limit, or what is needed. */
uint64_t budget_lump(uint64_t need_bytes, uint64_t left_bytes, uint64_t limit_bytes);

/* Charges n_bytes on day; a new day begins at nothing. Saturates. */
void budget_charge(DailyBudget *budget, int64_t day, uint64_t n_bytes);

/* A charge that lies more than a day ahead was made with a wrong clock: it counts for day, or it would stand for years. */
void budget_redate(DailyBudget *budget, int64_t day);

/* Gives back what was charged on day and not written; nothing when the budget stands at another day by now. */
void budget_refund(DailyBudget *budget, int64_t day, uint64_t n_bytes);
