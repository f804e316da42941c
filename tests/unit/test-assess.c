/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How much longer regions may be for an engine that works through them slice by slice, and what an error of the probe comes to. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/units.h"
#include "work/assess.h"

/* btrfs is asked for its free space as any file system can be: by statfs(2). */
static const FsVolume volume = {.facts.type = &file_system_btrfs};
static const Engine by_slices = {.name = "by slices", .by_slices = true};
static const Engine at_once = {.name = "at once"};

static uint64_t eighth_of_free_space(int fd)
{
        struct statfs status;

        assert_int_equal(fstatfs(fd, &status), 0);
        return (uint64_t)status.f_bavail * (uint64_t)status.f_bsize / 8;
}

static PlanLimits widened(const Engine *engine, uint64_t region_bytes, uint64_t sliced_bytes)
{
        PlanLimits limits = {.max_region_bytes = region_bytes, .max_region_runs = 7};
        _cleanup_close_ int fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        assess_widen(&volume, fd, engine, sliced_bytes, &limits);
        return limits;
}

static void what_is_committed_at_once_stays_short(void **state)
{
        const PlanLimits limits = widened(&at_once, PLAN_REGION_BYTES, UINT64_MAX);

        (void)state;
        assert_true(limits.max_region_bytes == PLAN_REGION_BYTES && limits.max_tied_bytes == 0 &&
                    limits.max_region_runs == 7);
}

/* But no longer than an eighth of what is free, which may be another number a moment later. */
static void slices_may_follow_each_other_for_longer(void **state)
{
        _cleanup_close_ int fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        PlanLimits limits, endless;
        uint64_t most;

        (void)state;
        do {
                most = eighth_of_free_space(fd);
                limits = widened(&by_slices, PLAN_REGION_BYTES, PLAN_SLICED_BYTES);
                endless = widened(&by_slices, PLAN_REGION_BYTES, UINT64_MAX);
        } while (eighth_of_free_space(fd) != most);
        assert_int_equal(limits.max_region_runs, UINT32_MAX);
        assert_int_equal(limits.max_tied_bytes, u64_min(PLAN_SLICED_BYTES, most));
        assert_int_equal(limits.max_region_bytes,
                         u64_max(PLAN_REGION_BYTES, u64_min(PLAN_SLICED_BYTES, most)));
        assert_int_equal(endless.max_region_bytes, u64_max(PLAN_REGION_BYTES, most));
}

/* Where MaxRate= wants a pause after less, what is tied gets it as well. */
static void a_low_rate_is_kept(void **state)
{
        (void)state;
        assert_int_equal(widened(&by_slices, PLAN_REGION_BYTES - 1, 0).max_tied_bytes, 0);
        assert_int_equal(widened(&by_slices, MIB, 0).max_region_bytes, MIB);
}

/* What holds for a volume ends the work on it, what passes does not. */
static void what_a_probe_came_to(void **state)
{
        static const struct {
                int error;
                Outcome outcome;
                Reason reason;
        } cases[] = {
                {0, OUTCOME_SKIPPED, SKIP_NO_ENGINE},
                {EINVAL, OUTCOME_SKIPPED, SKIP_NO_ENGINE},
                {ENOTTY, OUTCOME_SKIPPED, SKIP_NO_ENGINE},
                {EPERM, OUTCOME_SKIPPED, SKIP_NO_ENGINE},
                {EOPNOTSUPP, OUTCOME_SKIPPED, SKIP_NO_LEASES},
                {EROFS, OUTCOME_SKIPPED, SKIP_READ_ONLY},
                {EDQUOT, OUTCOME_SKIPPED, SKIP_QUOTA},
                {ENOSPC, OUTCOME_NO_SPACE, NO_SPACE_FULL},
                {EIO, OUTCOME_FAILED, REASON_NONE},
                {EUCLEAN, OUTCOME_FAILED, REASON_NONE},
                {ENODATA, OUTCOME_FAILED, REASON_NONE},
                {ETIMEDOUT, OUTCOME_FAILED, REASON_NONE},
                {ENOMEM, OUTCOME_FAILED, REASON_NONE},
                {EMFILE, OUTCOME_FAILED, REASON_NONE},
                {EINTR, OUTCOME_FAILED, REASON_NONE},
                {EAGAIN, OUTCOME_FAILED, REASON_NONE},
                {ENODEV, OUTCOME_FAILED, REASON_NONE},
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                Reason why;

                assert_int_equal(assess_probe_error(-cases[i].error, &why), cases[i].outcome);
                assert_int_equal(why, cases[i].reason);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_committed_at_once_stays_short),
                cmocka_unit_test(slices_may_follow_each_other_for_longer),
                cmocka_unit_test(a_low_rate_is_kept),
                cmocka_unit_test(what_a_probe_came_to),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
