/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A binary heap of pointers whose items know their place in it, so that an item in the middle can be moved or taken out in
 * logarithmic time. Owns nothing but the array. */

#include <stddef.h>

#define HEAP_NOWHERE ((size_t)-1)

typedef struct Heap {
        void **items; /* owned */
        size_t n_items, n_room;
        /* Negative when a comes out before b. */
        int (*order)(const void *a, const void *b);
        /* Where in an item its place is kept: a size_t, HEAP_NOWHERE while the item is not in this heap. */
        size_t place_offset;
} Heap;

/* Returns 0 or -ENOMEM. The item's place must be HEAP_NOWHERE. */
int heap_add(Heap *heap, void *item);
/* The one that comes first, or NULL. It stays. */
void *heap_first(const Heap *heap);
/* After what order looks at was changed. The item must be in the heap. */
void heap_moved(Heap *heap, void *item);
/* Does nothing when the item is not in it. */
void heap_remove(Heap *heap, void *item);
void heap_done(Heap *heap);
