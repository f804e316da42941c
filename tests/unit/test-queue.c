/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which file comes next and when. Times are exact: one microsecond earlier there must be nothing. The seed is printed;
 * DEFRAGD_SEED=... repeats a run. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/number.h"
#include "decide/queue.h"

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define START  UINT64_C(1000000)

static uint64_t random_state;

/* splitmix64 (Vigna, public domain). */
static uint64_t random_below(uint64_t n)
{
        uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return (z ^ (z >> 31)) % n;
}

static void seed_begin(void)
{
        const char *given = getenv("DEFRAGD_SEED");

        random_state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
        printf("DEFRAGD_SEED=%llu\n", (unsigned long long)random_state);
}

static FileId id_of(uint64_t inode)
{
        return (FileId){.inode = inode, .generation = 1};
}

static int offer(Queue *queue, uint64_t inode, uint64_t n_extents, uint64_t not_before, uint64_t now)
{
        QueueEntry entry = {
                .id = id_of(inode),
                .name = strdup("name"),
                .size_bytes = MIB,
                .n_extents = n_extents,
                .not_before_usec = not_before,
        };

        return queue_offer(queue, &entry, now);
}

static uint64_t pop(Queue *queue, uint64_t now)
{
        const QueueEntry *entry = queue_pop_best(queue, now);

        return entry ? entry->id.inode : 0;
}

static void finish(Queue *queue, uint64_t inode, Outcome outcome, uint64_t now)
{
        queue_finish(queue, id_of(inode), outcome, REASON_NONE, true, 0, now);
}

/* Nothing before, inode then. */
static void expect_next(Queue *queue, uint64_t inode, uint64_t when, uint64_t now)
{
        assert_true(queue_next_usec(queue, now) == when);
        if (when > now)
                assert_int_equal(pop(queue, when - 1), 0);
        assert_int_equal(pop(queue, when), inode);
}

static void the_best_comes_first_and_equals_by_inode(void **state)
{
        Queue *queue = queue_new(10);

        (void)state;
        offer(queue, 3, 10, 0, START);
        offer(queue, 2, 10, 0, START);
        offer(queue, 1, 5, 0, START);
        offer(queue, 4, 20, START + 1, START);
        assert_int_equal(queue_n_ready(queue, START), 3);
        assert_int_equal(queue_n_waiting(queue), 4);
        assert_int_equal(pop(queue, START), 2);
        assert_int_equal(pop(queue, START + 1), 4);
        assert_int_equal(pop(queue, START + 1), 3);
        assert_int_equal(pop(queue, START + 1), 1);
        assert_int_equal(pop(queue, START + 1), 0);
        assert_true(queue_next_usec(queue, START + 1) == UINT64_MAX);
        assert_int_equal(queue_n_waiting(queue), 4);
        queue_free(queue);
}

static void conflicts_in_a_row_come_back_later_and_later(void **state)
{
        static const uint64_t pauses[] = {10, 20, 40, 80, 160, 320, 360, 24 * 60, 24 * 60};
        Queue *queue = queue_new(10);
        uint64_t now = START;

        (void)state;
        offer(queue, 1, 10, 0, now);
        assert_int_equal(pop(queue, now), 1);
        for (size_t i = 0; i < ELEMENTS(pauses); i++) {
                finish(queue, 1, i % 2 == 0 ? OUTCOME_BUSY : OUTCOME_CHANGED, now);
                assert_int_equal(offer(queue, 1, 10, 0, now), QUEUE_KNOWN);
                expect_next(queue, 1, now + pauses[i] * MINUTE, now);
                now += pauses[i] * MINUTE;
        }
        queue_free(queue);
}

static void what_became_of_a_file_decides_when_it_comes_again(void **state)
{
        static const struct {
                Outcome outcome;
                Reason reason;
                bool keep_busy, offered_again;
                uint64_t again; /* after START; UINT64_MAX: never */
        } cases[] = {
                {OUTCOME_MOVED, REASON_NONE, true, true, DAY},
                {OUTCOME_OPTIMAL, REASON_NONE, true, false, UINT64_MAX},
                {OUTCOME_OPTIMAL, REASON_NONE, true, true, 10 * MINUTE},
                {OUTCOME_SKIPPED, SKIP_SHARED, true, false, UINT64_MAX},
                {OUTCOME_BUSY, BUSY_OPEN, false, false, UINT64_MAX},
                {OUTCOME_BUSY, BUSY_OPEN, true, false, 10 * MINUTE},
                {OUTCOME_CHANGED, CHANGED_WRITTEN, false, false, 10 * MINUTE},
                {OUTCOME_NO_SPACE, NO_SPACE_FRAGMENTED, true, false, DAY},
                {OUTCOME_FAILED, REASON_NONE, true, false, DAY},
                {OUTCOME_CANCELLED, REASON_NONE, true, false, 0},
                {OUTCOME_CANCELLED, CANCELLED_BUDGET, true, false, HOUR},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Queue *queue = queue_new(10);

                offer(queue, 1, 10, 0, START);
                assert_int_equal(pop(queue, START), 1);
                if (cases[i].offered_again)
                        offer(queue, 1, 10, 0, START);
                queue_finish(queue, id_of(1), cases[i].outcome, cases[i].reason, cases[i].keep_busy,
                             START + HOUR, START);
                if (cases[i].again == UINT64_MAX) {
                        assert_true(queue_next_usec(queue, START) == UINT64_MAX);
                } else {
                        /* An offer does not hurry it. */
                        offer(queue, 1, 10, 0, START);
                        expect_next(queue, 1, START + cases[i].again, START);
                }
                queue_free(queue);
        }
}

static void a_moved_file_is_forgotten_after_a_day_unless_offered_again(void **state)
{
        Queue *queue = queue_new(10);

        (void)state;
        offer(queue, 1, 10, 0, START);
        pop(queue, START);
        finish(queue, 1, OUTCOME_MOVED, START);
        assert_int_equal(offer(queue, 1, 10, 0, START + HOUR), QUEUE_KNOWN);
        expect_next(queue, 1, START + DAY, START + HOUR);
        finish(queue, 1, OUTCOME_MOVED, START + DAY);
        assert_int_equal(pop(queue, START + 2 * DAY), 0);
        assert_int_equal(offer(queue, 1, 10, 0, START + 2 * DAY), 0);
        queue_free(queue);
}

static void a_settle_time_is_replaced_by_the_newer_offer(void **state)
{
        Queue *queue = queue_new(10);

        (void)state;
        offer(queue, 1, 10, START + HOUR, START);
        offer(queue, 1, 10, START + MINUTE, START);
        expect_next(queue, 1, START + MINUTE, START);
        queue_free(queue);
}

static void a_full_queue_lets_the_least_go_and_keeps_what_runs(void **state)
{
        Queue *queue = queue_new(2);

        (void)state;
        offer(queue, 1, 10, 0, START);
        offer(queue, 2, 20, 0, START);
        assert_int_equal(offer(queue, 3, 5, 0, START), QUEUE_DROPPED);
        assert_int_equal(offer(queue, 4, 30, 0, START), 0);
        assert_int_equal(queue_n_dropped(queue), 2);
        assert_int_equal(pop(queue, START), 4);
        assert_int_equal(pop(queue, START), 2);
        assert_int_equal(offer(queue, 5, 99, 0, START), QUEUE_DROPPED);
        finish(queue, 4, OUTCOME_MOVED, START);
        assert_int_equal(offer(queue, 5, 99, 0, START), 0);
        queue_free(queue);
}

static void what_is_done_gives_way_before_it_fills_the_queue(void **state)
{
        Queue *queue = queue_new(4);

        (void)state;
        for (uint64_t i = 1; i <= 4; i++) {
                offer(queue, i, 100 - i, 0, START);
                assert_int_equal(pop(queue, START), i);
                finish(queue, i, OUTCOME_MOVED, START + i);
        }
        assert_int_equal(queue_n_waiting(queue), 0);
        /* Worth less and less: two of them displace what has cooled down longest. */
        for (uint64_t i = 5; i <= 6; i++)
                assert_int_equal(offer(queue, i, 20 - i, 0, START + 9), 0);
        assert_int_equal(queue_n_waiting(queue), 2);
        assert_int_equal(queue_n_dropped(queue), 0);
        /* 3 and 4 are remembered. */
        assert_int_equal(offer(queue, 3, 50, 0, START + 9), QUEUE_KNOWN);
        assert_int_equal(offer(queue, 4, 50, 0, START + 9), QUEUE_KNOWN);
        /* From here on it is the worst that goes. */
        assert_int_equal(offer(queue, 7, 5, 0, START + 9), QUEUE_DROPPED);
        assert_int_equal(offer(queue, 8, 90, 0, START + 9), 0);
        assert_int_equal(queue_n_dropped(queue), 2);
        assert_int_equal(queue_n_waiting(queue), 2);
        queue_free(queue);
}

static void a_file_at_work_may_turn_out_to_be_of_another_size(void **state)
{
        Queue *queue = queue_new(8);

        (void)state;
        assert_int_equal(offer(queue, 1, 100, 0, 0), 0);
        assert_int_equal(offer(queue, 2, 60, 0, 0), 0);
        /* Not while it has its place in an order that depends on it. */
        queue_resize(queue, id_of(1), 2 * MIB);
        assert_int_equal(pop(queue, 0), 1);
        queue_resize(queue, id_of(1), 2 * MIB);
        finish(queue, 1, OUTCOME_CANCELLED, 0);
        assert_int_equal(pop(queue, 0), 2);
        assert_int_equal(queue_pop_best(queue, 0)->size_bytes, 2 * MIB);
        queue_free(queue);
}

static void another_generation_is_another_file(void **state)
{
        Queue *queue = queue_new(10);
        QueueEntry other = {.id = {.inode = 1, .generation = 2}, .size_bytes = MIB, .n_extents = 3};

        (void)state;
        offer(queue, 1, 10, 0, START);
        pop(queue, START);
        assert_int_equal(queue_offer(queue, &other, START), 0);
        finish(queue, 1, OUTCOME_MOVED, START); /* of the one that is gone */
        assert_int_equal(queue_pop_best(queue, START)->id.generation, 2);
        queue_free(queue);
}

static void a_restored_pause_is_kept(void **state)
{
        Queue *queue = queue_new(10);
        QueueEntry entry = {.id = id_of(1),
                            .size_bytes = MIB,
                            .n_extents = 3,
                            .state = QUEUE_RUNNING,
                            .n_conflicts = 2,
                            .not_before_usec = START + HOUR};

        (void)state;
        assert_int_equal(queue_restore(queue, &entry, START), 0);
        assert_int_equal(queue_restore(queue, &entry, START), QUEUE_KNOWN);
        offer(queue, 1, 10, 0, START);
        expect_next(queue, 1, START + HOUR, START);
        finish(queue, 1, OUTCOME_BUSY, START + HOUR);
        expect_next(queue, 1, START + HOUR + 40 * MINUTE, START + HOUR);
        queue_free(queue);
}

static void a_time_that_comes_changes_nothing_for_a_ledger(void **state)
{
        Queue *queue = queue_new(10);
        uint64_t generation;

        (void)state;
        offer(queue, 1, 10, START + 5, START);
        generation = queue_generation(queue);
        assert_int_equal(queue_n_ready(queue, START + 5), 1);
        assert_true(queue_generation(queue) == generation);
        queue_free(queue);
}

/* Against random use: what is armed for queue_next_usec() never fires in vain twice and never too late. */
static void the_next_time_is_exact(void **state)
{
        Queue *queue = queue_new(30);
        uint64_t now = START, running = 0;

        (void)state;
        seed_begin();
        for (size_t step = 0; step < 200000; step++) {
                uint64_t next = queue_next_usec(queue, now);

                assert_true(next >= now);
                assert_true((next == now) == (queue_n_ready(queue, now) > 0));
                if (random_below(2) == 0) {
                        offer(queue, 1 + random_below(40), 1 + random_below(9),
                              now + random_below(2) * random_below(HOUR), now);
                } else if (running != 0) {
                        queue_finish(queue, id_of(running), (Outcome)random_below(OUTCOME_MAX_),
                                     random_below(2) ? CANCELLED_BUDGET : REASON_NONE, random_below(2),
                                     now + HOUR, now);
                        running = 0;
                } else if (next > now && next != UINT64_MAX) {
                        assert_int_equal(pop(queue, next - 1), 0);
                        now = next;
                        running = pop(queue, now);
                        assert_true(running != 0 || queue_next_usec(queue, now) > now);
                } else {
                        running = pop(queue, now);
                        assert_true((running != 0) == (next == now));
                }
        }
        queue_free(queue);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_best_comes_first_and_equals_by_inode),
                cmocka_unit_test(conflicts_in_a_row_come_back_later_and_later),
                cmocka_unit_test(what_became_of_a_file_decides_when_it_comes_again),
                cmocka_unit_test(a_moved_file_is_forgotten_after_a_day_unless_offered_again),
                cmocka_unit_test(a_settle_time_is_replaced_by_the_newer_offer),
                cmocka_unit_test(a_full_queue_lets_the_least_go_and_keeps_what_runs),
                cmocka_unit_test(what_is_done_gives_way_before_it_fills_the_queue),
                cmocka_unit_test(a_file_at_work_may_turn_out_to_be_of_another_size),
                cmocka_unit_test(another_generation_is_another_file),
                cmocka_unit_test(a_restored_pause_is_kept),
                cmocka_unit_test(a_time_that_comes_changes_nothing_for_a_ledger),
                cmocka_unit_test(the_next_time_is_exact),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
