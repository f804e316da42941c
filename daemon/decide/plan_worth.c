/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What removing a run is worth. */

#include "base/number.h"
#include "decide/plan.h"

/* Disk: a seek with its half turn costs 8 to 10 ms, in which a disk of 150 to 250 MB/s transfers about 2
 * MiB. With runs of that length a sequential reader gets half of the disk's speed, with 4 MiB two thirds,
 * and twice as long again would add only a sixth. Moving 4 MiB (read, write, read back) takes about 60
 * ms, so it has paid for itself once the file has been read seven times.
 *
 * Flash: no seeks, but a request ends where a run ends. 128 KiB is the kernel's default read_ahead_kb,
 * the most that one request of a sequential reader asks for: below it there are more requests than
 * necessary, above it as many as ever, and what is written for nothing wears the device out. */
uint64_t plan_bytes_per_run(bool rotational)
{
        return rotational ? 4 * MIB : 128 * KIB;
}

/* bytes <= gain * bytes_per_run, without the product, which may not fit. */
bool plan_is_worth(const PlanLimits *limits, uint64_t gain, uint64_t bytes)
{
        if (gain == 0)
                return false;
        return bytes / gain < limits->bytes_per_run ||
               (bytes / gain == limits->bytes_per_run && bytes % gain == 0);
}

/* What half a region's worth of the shortest possible runs becomes is good, too, and is not taken up
 * again. With the limits of plan.h and blocks of 4 KiB this is 4,096,000 on disk and 128 KiB on flash. */
uint64_t plan_good_bytes(const PlanLimits *limits)
{
        uint64_t half_runs = limits->max_region_runs / 2;
        uint64_t half_runs_bytes =
                half_runs > UINT64_MAX / limits->block_bytes ? UINT64_MAX : half_runs * limits->block_bytes;

        return u64_min(limits->bytes_per_run, half_runs_bytes);
}
