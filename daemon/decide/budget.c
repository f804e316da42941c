/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A few sums. */

#include "base/number.h"
#include "decide/budget.h"

/* Where DailyWrites= is not set. Flash wears with every byte, so it gets little; for a disk that seeks the limit only bounds for how
 * long it is busy. */
#define FLASH_PERMILLE 20
#define DISK_PERMILLE  100

/* To store a charge takes two flushes; a quarter of a gibibyte takes seconds to move on the fastest disk. */
#define LUMP_BYTES  (256 * MIB)
#define LUMPS_A_DAY 8

uint64_t budget_daily_bytes(bool is_set, Amount daily_writes, bool rotational, uint64_t volume_bytes)
{
        const Amount usual = {.is_permille = true, .value = rotational ? DISK_PERMILLE : FLASH_PERMILLE};

        return amount_of(is_set ? daily_writes : usual, volume_bytes);
}

uint64_t budget_left(const DailyBudget *budget, int64_t day, uint64_t limit_bytes)
{
        if (limit_bytes == BYTES_INFINITY)
                return BYTES_INFINITY;
        if (budget->day < day)
                return limit_bytes;
        return limit_bytes - u64_min(limit_bytes, budget->charged_bytes);
}

uint64_t budget_lump(uint64_t need_bytes, uint64_t left_bytes, uint64_t limit_bytes)
{
        return u64_min(left_bytes, u64_max(need_bytes, u64_min(LUMP_BYTES, limit_bytes / LUMPS_A_DAY)));
}

void budget_charge(DailyBudget *budget, int64_t day, uint64_t n_bytes)
{
        if (budget->day < day)
                *budget = (DailyBudget){.day = day};
        budget->charged_bytes = u64_add_saturate(budget->charged_bytes, n_bytes);
}

void budget_refund(DailyBudget *budget, int64_t day, uint64_t n_bytes)
{
        if (budget->day == day)
                budget->charged_bytes -= u64_min(budget->charged_bytes, n_bytes);
}

void budget_redate(DailyBudget *budget, int64_t day)
{
        if (budget->day > day + 1)
                budget->day = day;
}
