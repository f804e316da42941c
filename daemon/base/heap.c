/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The usual heap in an array; every swap tells both items where they are now. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/heap.h"

#define ROOM_MIN 64

static size_t *place_of(const Heap *heap, void *item)
{
        return (size_t *)(void *)((char *)item + heap->place_offset);
}

static void put(Heap *heap, size_t at, void *item)
{
        heap->items[at] = item;
        *place_of(heap, item) = at;
}

static void sift_up(Heap *heap, size_t at)
{
        void *item = heap->items[at];

        while (at > 0) {
                size_t above = (at - 1) / 2;

                if (heap->order(heap->items[above], item) <= 0)
                        break;
                put(heap, at, heap->items[above]);
                at = above;
        }
        put(heap, at, item);
}

static void sift_down(Heap *heap, size_t at)
{
        void *item = heap->items[at];

        for (;;) {
                size_t below = 2 * at + 1;

                if (below >= heap->n_items)
                        break;
                if (below + 1 < heap->n_items && heap->order(heap->items[below + 1], heap->items[below]) < 0)
                        below++;
                if (heap->order(item, heap->items[below]) <= 0)
                        break;
                put(heap, at, heap->items[below]);
                at = below;
        }
        put(heap, at, item);
}

int heap_add(Heap *heap, void *item)
{
        void **grown;
        size_t room;

        assert(*place_of(heap, item) == HEAP_NOWHERE);
        if (heap->n_items == heap->n_room) {
                room = heap->n_room == 0 ? ROOM_MIN : 2 * heap->n_room;
                grown = reallocarray(heap->items, room, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                heap->items = grown;
                heap->n_room = room;
        }
        put(heap, heap->n_items++, item);
        sift_up(heap, heap->n_items - 1);
        return 0;
}

void *heap_first(const Heap *heap)
{
        return heap->n_items > 0 ? heap->items[0] : NULL;
}

void heap_moved(Heap *heap, void *item)
{
        const size_t at = *place_of(heap, item);

        assert(at < heap->n_items && heap->items[at] == item);
        sift_up(heap, at);
        sift_down(heap, *place_of(heap, item));
}

void heap_remove(Heap *heap, void *item)
{
        const size_t at = *place_of(heap, item);
        void *last;

        if (at == HEAP_NOWHERE)
                return;
        assert(at < heap->n_items && heap->items[at] == item);
        *place_of(heap, item) = HEAP_NOWHERE;
        last = heap->items[--heap->n_items];
        if (last == item)
                return;
        put(heap, at, last);
        heap_moved(heap, last);
}

void heap_done(Heap *heap)
{
        free(heap->items);
        heap->items = NULL;
        heap->n_items = heap->n_room = 0;
}
