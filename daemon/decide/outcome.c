/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The words themselves. Programs match on them, so a word that was shipped once is never changed. */

#include <assert.h>

#include "base/number.h"
#include "decide/outcome.h"

static const char *const outcome_names[] = {
        [OUTCOME_MOVED] = "moved",         [OUTCOME_OPTIMAL] = "optimal", [OUTCOME_SKIPPED] = "skipped",
        [OUTCOME_CHANGED] = "changed",     [OUTCOME_BUSY] = "busy",       [OUTCOME_NO_SPACE] = "no-space",
        [OUTCOME_CANCELLED] = "cancelled", [OUTCOME_FAILED] = "failed",
};
static_assert(ELEMENTS(outcome_names) == OUTCOME_MAX_, "an outcome has no name");

/* Unique over all outcomes, so that the reason alone says what happened. */
static const char *const reason_names[] = {
        [REASON_NONE] = "",
        [SKIP_SHARED] = "shared",
        [SKIP_PRIVILEGED] = "privileged",
        [SKIP_EXECUTABLE] = "executable",
        [SKIP_SWAPFILE] = "swapfile",
        [SKIP_ENCRYPTED] = "encrypted",
        [SKIP_VERITY] = "verity",
        [SKIP_DAX] = "dax",
        [SKIP_REALTIME] = "realtime",
        [SKIP_IMMUTABLE] = "immutable",
        [SKIP_APPEND_ONLY] = "append-only",
        [SKIP_NODEFRAG] = "nodefrag",
        [SKIP_OPTED_OUT] = "opted-out",
        [SKIP_EXCLUDED] = "excluded",
        [SKIP_TOO_SMALL] = "too-small",
        [SKIP_TOO_FEW_EXTENTS] = "too-few-extents",
        [SKIP_SOLID_STATE] = "solid-state",
        [SKIP_READ_ONLY] = "read-only",
        [SKIP_UNSUPPORTED_FILESYSTEM] = "unsupported-filesystem",
        [SKIP_NOT_A_FILE] = "not-a-file",
        [SKIP_QUOTA] = "quota",
        [SKIP_INODE_FORMAT] = "inode-format",
        [SKIP_UNWRITTEN] = "unwritten",
        [SKIP_INDIRECT_MAPPED] = "indirect-mapped",
        [SKIP_INLINE_DATA] = "inline-data",
        [SKIP_JOURNALLED_DATA] = "journalled-data",
        [SKIP_BIGALLOC] = "bigalloc",
        [SKIP_COMPRESSED] = "compressed",
        [SKIP_WOULD_GROW] = "would-grow",
        [SKIP_ZONED] = "zoned",
        [SKIP_DEGRADED] = "degraded",
        [SKIP_SEED] = "seed",
        [SKIP_NO_ENGINE] = "no-engine",
        [SKIP_CRASH_UNSAFE] = "crash-unsafe",
        [SKIP_NO_LEASES] = "no-leases",
        [SKIP_DUPLICATE_UUID] = "duplicate-uuid",
        [SKIP_HIDDEN] = "hidden",
        [SKIP_REMOVABLE] = "removable",
        [SKIP_COPY_ON_WRITE] = "copy-on-write",
        [SKIP_VANISHED] = "vanished",
        [SKIP_DRY_RUN] = "dry-run",
        [CHANGED_WRITTEN] = "written",
        [CHANGED_CLOCK] = "clock",
        [CHANGED_FUTURE] = "future",
        [BUSY_OPEN] = "open",
        [BUSY_LOCKED] = "locked",
        [BUSY_EXCLUSIVE] = "exclusive-operation",
        [CANCELLED_BUDGET] = "budget",
        [NO_SPACE_RESERVE] = "reserve",
        [NO_SPACE_FULL] = "full",
        [NO_SPACE_FRAGMENTED] = "fragmented",
        [FAILED_AUDIT] = "audit",
        [FAILED_STOPPED] = "stopped",
};
static_assert(ELEMENTS(reason_names) == REASON_MAX_, "a reason has no name");

/* The assertions above see only the last entry; a gap is found by test-outcome, and nobody gets a NULL
 * for it. */
static const char *name_at(const char *const *names, size_t n_names, size_t index)
{
        return index < n_names && names[index] ? names[index] : "unknown";
}

bool outcome_is_graver(Outcome outcome, Outcome than)
{
        static const uint8_t weight[] = {
                [OUTCOME_MOVED] = 0, [OUTCOME_OPTIMAL] = 1,  [OUTCOME_SKIPPED] = 2,   [OUTCOME_CHANGED] = 3,
                [OUTCOME_BUSY] = 4,  [OUTCOME_NO_SPACE] = 5, [OUTCOME_CANCELLED] = 6, [OUTCOME_FAILED] = 7,
        };
        static_assert(ELEMENTS(weight) == OUTCOME_MAX_, "an outcome has no weight");

        return weight[outcome] > weight[than];
}

const char *outcome_name(Outcome outcome)
{
        return name_at(outcome_names, ELEMENTS(outcome_names), (size_t)outcome);
}

const char *reason_name(Reason reason)
{
        return name_at(reason_names, ELEMENTS(reason_names), (size_t)reason);
}
