/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/number.h"
#include "decide/breaker.h"

#define BLOCK UINT64_C(4096)

static void device_errors_trip_at_every_step(void **state)
{
        static const int errors[] = {EIO, ENODATA, EREMOTEIO, EILSEQ, ETIMEDOUT, ENOLINK};

        (void)state;
        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                assert_int_equal(breaker_judge_error(errors[i], false), TRIP_DEVICE);
                assert_int_equal(breaker_judge_error(errors[i], true), TRIP_DEVICE);
        }
        assert_int_equal(breaker_judge_error(EUCLEAN, false), TRIP_CORRUPTION);
        assert_int_equal(breaker_judge_error(EBADMSG, false), TRIP_CORRUPTION);
        assert_int_equal(breaker_judge_error(ESHUTDOWN, false), TRIP_SHUTDOWN);
}

static void what_happens_every_day_does_not_trip(void **state)
{
        static const int errors[] = {0,     ENOSPC, EDQUOT, EROFS,  ESTALE, ENOENT, EBUSY,
                                     EINTR, EAGAIN, ENOMEM, ENODEV, ENXIO,  EFBIG};

        (void)state;
        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                assert_int_equal(breaker_judge_error(errors[i], false), TRIP_NONE);
                assert_int_equal(breaker_judge_error(errors[i], true), TRIP_NONE);
        }
}

static void any_other_error_trips_at_the_commit_alone(void **state)
{
        static const int errors[] = {EINVAL, EFAULT, EBADF, EOPNOTSUPP, ENOTTY, EXDEV, EPERM, EACCES, 4095};

        (void)state;
        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                assert_int_equal(breaker_judge_error(errors[i], false), TRIP_NONE);
                assert_int_equal(breaker_judge_error(errors[i], true), TRIP_COMMIT);
        }
}

/* A look at a region of eight blocks: a hole in it, two preallocated at the end. */
typedef struct Look {
        FileFacts sampled, before, after;
        Extent old[4], new[4];
        ExtentMap old_map, new_map;
        AuditFacts facts;
} Look;

static void look_set(Look *look)
{
        const FileFacts file = {
                .inode = 133,
                .size_bytes = 8 * BLOCK - 100,
                .mtime = {.sec = 1000, .nsec = 5},
                .ctime = {.sec = 1000, .nsec = 6},
                .atime = {.sec = 1000, .nsec = 7},
                .mode = 0100640,
        };

        *look = (Look){
                .sampled = file,
                .before = file,
                .after = file,
                .old = {{.logical = 0, .physical = 90 * BLOCK, .length = 2 * BLOCK},
                        {.logical = 2 * BLOCK, .physical = 40 * BLOCK, .length = BLOCK},
                        {.logical = 4 * BLOCK, .physical = 70 * BLOCK, .length = 2 * BLOCK},
                        {.logical = 6 * BLOCK,
                         .physical = 20 * BLOCK,
                         .length = 2 * BLOCK,
                         .unwritten = true}},
                .new = {{.logical = 0, .physical = 10 * BLOCK, .length = 3 * BLOCK},
                        {.logical = 4 * BLOCK, .physical = 13 * BLOCK, .length = 2 * BLOCK},
                        {.logical = 6 * BLOCK,
                         .physical = 15 * BLOCK,
                         .length = 2 * BLOCK,
                         .unwritten = true}},
        };
        look->old_map = (ExtentMap){.extents = look->old, .n_extents = 4, .complete = true};
        look->new_map = (ExtentMap){.extents = look->new, .n_extents = 3, .complete = true};
        look->facts = (AuditFacts){
                .sampled = &look->sampled,
                .before = &look->before,
                .after = &look->after,
                .is_quiet = true,
                .map_sampled = &look->old_map,
                .map = &look->new_map,
                .end = 8 * BLOCK,
                .runs_allowed = 1,
        };
}

static void expect(const Look *look, AuditAnswer answer, TripKind kind)
{
        TripKind said = TRIP_NONE;

        assert_int_equal(breaker_judge_audit(&look->facts, &said), answer);
        assert_int_equal(said, kind);
}

static void a_region_that_lies_elsewhere_is_the_same(void **state)
{
        Look look;

        (void)state;
        look_set(&look);
        expect(&look, AUDIT_SAME, TRIP_NONE);
        look.facts.is_quiet = false;
        expect(&look, AUDIT_SAME, TRIP_NONE);
        /* Read meanwhile. */
        look.after.atime.sec++;
        look.before.allocated_bytes = 7;
        expect(&look, AUDIT_SAME, TRIP_NONE);
}

static void what_lies_behind_the_end_does_not_count(void **state)
{
        Look look;

        (void)state;
        look_set(&look);
        look.old[3].length = 50 * BLOCK;
        expect(&look, AUDIT_SAME, TRIP_NONE);
        look.facts.end = 6 * BLOCK;
        look.new_map.n_extents = 2;
        expect(&look, AUDIT_SAME, TRIP_NONE);
}

static void differences_of_a_quiet_file_trip(void **state)
{
        Look look;

        (void)state;
        look_set(&look);
        look.facts.content_differs = true;
        expect(&look, AUDIT_WRONG, TRIP_CONTENT);

        look_set(&look); /* a hole is filled */
        look.new[0].length = 4 * BLOCK;
        expect(&look, AUDIT_WRONG, TRIP_LAYOUT);
        look_set(&look); /* written blocks are gone */
        look.new[0].length = 2 * BLOCK;
        expect(&look, AUDIT_WRONG, TRIP_LAYOUT);
        look_set(&look); /* preallocated ones count as written */
        look.new[2].unwritten = false;
        expect(&look, AUDIT_WRONG, TRIP_LAYOUT);
        look_set(&look); /* all is gone */
        look.new_map.n_extents = 0;
        expect(&look, AUDIT_WRONG, TRIP_LAYOUT);
        look_set(&look);
        look.new_map.complete = false;
        expect(&look, AUDIT_WRONG, TRIP_LAYOUT);

        look_set(&look);
        look.new[1].physical = 33 * BLOCK;
        expect(&look, AUDIT_WRONG, TRIP_RUNS);
        look.facts.runs_allowed = 3;
        expect(&look, AUDIT_SAME, TRIP_NONE);

        look_set(&look);
        look.before.size_bytes = look.after.size_bytes = 8 * BLOCK;
        expect(&look, AUDIT_WRONG, TRIP_ATTRIBUTES);
        look_set(&look);
        look.before.mtime.nsec = look.after.mtime.nsec = 9;
        expect(&look, AUDIT_WRONG, TRIP_ATTRIBUTES);
        look_set(&look);
        look.before.mode = look.after.mode = 0104640;
        expect(&look, AUDIT_WRONG, TRIP_ATTRIBUTES);
        look_set(&look);
        look.before.project_id = look.after.project_id = 3;
        expect(&look, AUDIT_WRONG, TRIP_ATTRIBUTES);
}

static void half_of_a_change_is_no_difference(void **state)
{
        Look look;

        (void)state;
        look_set(&look);
        look.after.mode = 0100600;
        expect(&look, AUDIT_SAME, TRIP_NONE);
        look_set(&look);
        look.before.size_bytes = 0;
        expect(&look, AUDIT_SAME, TRIP_NONE);
}

static void what_others_may_have_done_is_doubtful(void **state)
{
        static const struct {
                const char *what;
                bool busy, before, after, clock;
        } cases[] = {
                {"open for writing", .busy = true},
                {"a write before the look", .before = true, .after = true},
                {"a write during the look", .after = true},
                {"the clock was set", .clock = true},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                for (TripKind kind = TRIP_CONTENT; kind <= TRIP_ATTRIBUTES; kind++) {
                        Look look;

                        look_set(&look);
                        look.facts.content_differs = kind == TRIP_CONTENT;
                        look.new[2].unwritten = kind != TRIP_LAYOUT;
                        if (kind == TRIP_RUNS)
                                look.new[1].physical = 33 * BLOCK;
                        if (kind == TRIP_ATTRIBUTES)
                                look.before.mode = look.after.mode = 0100600;
                        expect(&look, AUDIT_WRONG, kind);
                        look.facts.is_quiet = !cases[i].busy;
                        look.facts.clock_stepped = cases[i].clock;
                        look.before.ctime.nsec += cases[i].before;
                        look.after.ctime.nsec += cases[i].after;
                        expect(&look, AUDIT_DOUBTFUL, TRIP_NONE);
                }
}

/* Deduplication moves no stamp, and may break a run in two. */
static void more_runs_of_shared_extents_do_not_trip(void **state)
{
        Look look;

        (void)state;
        look_set(&look);
        look.new[1].physical = 33 * BLOCK;
        look.new[1].shared = true;
        expect(&look, AUDIT_SAME, TRIP_NONE);
}

static void every_kind_has_a_text(void **state)
{
        (void)state;
        for (TripKind kind = TRIP_NONE; kind < TRIP_MAX_; kind++)
                assert_true(strlen(trip_text(kind)) > 5);
        assert_string_equal(trip_text(TRIP_MAX_), "unknown");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(device_errors_trip_at_every_step),
                cmocka_unit_test(what_happens_every_day_does_not_trip),
                cmocka_unit_test(any_other_error_trips_at_the_commit_alone),
                cmocka_unit_test(a_region_that_lies_elsewhere_is_the_same),
                cmocka_unit_test(what_lies_behind_the_end_does_not_count),
                cmocka_unit_test(differences_of_a_quiet_file_trip),
                cmocka_unit_test(half_of_a_change_is_no_difference),
                cmocka_unit_test(what_others_may_have_done_is_doubtful),
                cmocka_unit_test(more_runs_of_shared_extents_do_not_trip),
                cmocka_unit_test(every_kind_has_a_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
