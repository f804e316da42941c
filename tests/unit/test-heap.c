/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The heap against an array that is searched from end to end. The seed is printed; DEFRAGD_SEED=... repeats a run. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/heap.h"
#include "base/number.h"

#define N_ITEMS 200
#define N_STEPS 100000

typedef struct Item {
        uint64_t key;
        size_t place;
} Item;

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

static int order(const void *left, const void *right)
{
        const Item *a = left, *b = right;

        return a->key < b->key ? -1 : a->key > b->key;
}

static void an_empty_heap_has_no_first_and_can_be_released_twice(void **state)
{
        Heap heap = {.order = order, .place_offset = offsetof(Item, place)};

        (void)state;
        assert_null(heap_first(&heap));
        heap_done(&heap);
        heap_done(&heap);
}

static void taking_out_what_is_not_in_it_does_nothing(void **state)
{
        Heap heap = {.order = order, .place_offset = offsetof(Item, place)};
        Item in = {.key = 1, .place = HEAP_NOWHERE}, out = {.key = 0, .place = HEAP_NOWHERE};

        (void)state;
        assert_int_equal(heap_add(&heap, &in), 0);
        heap_remove(&heap, &out);
        assert_ptr_equal(heap_first(&heap), &in);
        heap_remove(&heap, &in);
        assert_true(in.place == HEAP_NOWHERE);
        assert_null(heap_first(&heap));
        heap_done(&heap);
}

static void the_first_is_always_the_least_and_places_are_true(void **state)
{
        Heap heap = {.order = order, .place_offset = offsetof(Item, place)};
        static Item items[N_ITEMS];

        (void)state;
        seed_begin();
        for (size_t i = 0; i < N_ITEMS; i++)
                items[i].place = HEAP_NOWHERE;
        for (size_t step = 0; step < N_STEPS; step++) {
                Item *item = &items[random_below(N_ITEMS)];
                uint64_t least = UINT64_MAX;
                size_t n = 0;

                if (item->place == HEAP_NOWHERE) {
                        item->key = random_below(1000);
                        assert_int_equal(heap_add(&heap, item), 0);
                } else if (random_below(2) == 0) {
                        item->key = random_below(1000);
                        heap_moved(&heap, item);
                } else {
                        heap_remove(&heap, item);
                }
                for (size_t i = 0; i < N_ITEMS; i++)
                        if (items[i].place != HEAP_NOWHERE) {
                                n++;
                                least = u64_min(least, items[i].key);
                                assert_true(items[i].place < heap.n_items);
                                assert_ptr_equal(heap.items[items[i].place], &items[i]);
                        }
                assert_int_equal(n, heap.n_items);
                if (n > 0)
                        assert_true(((Item *)heap_first(&heap))->key == least);
        }
        heap_done(&heap);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_empty_heap_has_no_first_and_can_be_released_twice),
                cmocka_unit_test(taking_out_what_is_not_in_it_does_nothing),
                cmocka_unit_test(the_first_is_always_the_least_and_places_are_true),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
