/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* DailyWrites= for a run that nobody watches (--once --all): charged in the service's ledger, which is locked for the whole run.
 *
 * The state directory is $STATE_DIRECTORY, or /var/lib/defragd. The only thread there is. Blocks while the ledger is stored. */

#include <stdint.h>

#include "service/once_volume.h"

typedef struct OnceBudget OnceBudget;

/* Returns the state directory, which is made when it is missing, or NULL with errno set. Before the process goes into its own
 * namespace. */
const char *once_budget_directory(void);

/* Reads the ledger. Returns 0; -EWOULDBLOCK while a service has it; -errno. A ledger that cannot be used is set aside, told, and the day's
 * budgets count as used up. */
int once_budget_new(const char *directory, OnceBudget **ret);

/* How much may be written for a file of size_bytes, charged and stored before this returns; 0 when the day's budget is used up,
 * BYTES_INFINITY without a limit. Returns 0 or -errno. */
int once_budget_take(OnceBudget *budget, const OnceVolume *volume, uint64_t size_bytes, uint64_t *ret_bytes);

/* Of what was taken last, this was written; the rest serves the next file. */
void once_budget_spent(OnceBudget *budget, const OnceVolume *volume, uint64_t n_bytes);

/* Gives back what was charged and not written. Returns NULL. */
OnceBudget *once_budget_free(OnceBudget *budget);
