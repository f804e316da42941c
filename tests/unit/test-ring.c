/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who waits for a request gets that one and no other, though for a long one the kernel's thread is woken by a request of the ring's own. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/number.h"
#include "fs/ring.h"

static Ring ring;

static void *request_nothing(int *place)
{
        struct io_uring_sqe *entry = ring_request(&ring);

        assert_non_null(entry);
        io_uring_prep_nop(entry);
        io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
        io_uring_sqe_set_data(entry, place);
        return place;
}

static void *request_pause(unsigned msec, struct __kernel_timespec *pause, int *place)
{
        struct io_uring_sqe *entry = ring_request(&ring);

        assert_non_null(entry);
        *pause = (struct __kernel_timespec){.tv_sec = msec / 1000,
                                            .tv_nsec = msec % 1000 * (long long)NSEC_PER_MSEC};
        io_uring_prep_timeout(entry, pause, 0, 0);
        io_uring_sqe_set_data(entry, place);
        return place;
}

static void expect(const void *data, int result)
{
        void *got;
        int what;

        assert_return_code(ring_wait(&ring, &got, &what), 0);
        assert_ptr_equal(got, data);
        assert_int_equal(what, result);
}

static void test_waits(void **state)
{
        struct __kernel_timespec pauses[2];
        int places[3];
        uint64_t begun_usec;
        unsigned n_before;
        void *one, *two, *three;

        (void)state;
        if (ring_new(4, &ring) < 0) {
                print_message("this kernel has no io_uring\n");
                skip();
        }
        /* Nothing was asked for. */
        assert_return_code(ring_let_go(&ring), 0);
        one = request_nothing(&places[0]);
        assert_int_equal(ring_submit(&ring), 1);
        expect(one, 0);

        /* Longer than it takes until the thread is woken. */
        n_before = *ring.uring.sq.khead;
        begun_usec = clock_monotonic_usec();
        one = request_pause(400, &pauses[0], &places[0]);
        two = request_pause(1500, &pauses[1], &places[1]);
        assert_int_equal(ring_submit(&ring), 2);
        expect(one, -ETIME);
        /* One of its own, for all that time. */
        assert_int_equal(*ring.uring.sq.khead - n_before, 3);
        assert_true(clock_monotonic_usec() - begun_usec >= 400 * NSEC_PER_MSEC / NSEC_PER_USEC);
        three = request_nothing(&places[2]);
        assert_int_equal(ring_submit(&ring), 1);
        expect(three, 0);
        expect(two, -ETIME);
        assert_return_code(ring_let_go(&ring), 0);
        assert_return_code(ring_let_go(&ring), 0);

        /* There is room for as many as before. */
        for (unsigned i = 0; i < 4; i++)
                (void)request_nothing(&places[0]);
        assert_null(ring_request(&ring));
        assert_int_equal(ring_submit(&ring), 4);
        for (unsigned i = 0; i < 4; i++)
                expect(&places[0], 0);
        assert_return_code(ring_let_go(&ring), 0);
        ring_close(&ring);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_waits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
