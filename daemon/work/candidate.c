/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A list that grows by doubling up to CANDIDATES_MAX and is from then on a heap with the fewest extents
 * on top: each newcomer is held against the top, and the lesser of the two goes.
 *
 * The struct has no field for its room: room is the next power of two, and a list that can become full
 * has one item more, whose n_extents says whether the rest is a heap. So adding after a sort is allowed,
 * at the price of making the heap again. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "decide/worth.h"
#include "work/candidate.h"

/* 5 kB: most runs name a handful of files. */
#define ROOM_MIN 64
static_assert((CANDIDATES_MAX & (CANDIDATES_MAX - 1)) == 0 && CANDIDATES_MAX > ROOM_MIN,
              "growth by doubling does not end at CANDIDATES_MAX");

/* n_items of a list that has just used up its room is zero or a power of two from ROOM_MIN on. */
static int list_make_room(CandidateList *list)
{
        size_t n = list->n_items, room;
        Candidate *grown;

        if (n != 0 && (n < ROOM_MIN || (n & (n - 1)) != 0))
                return 0;
        room = n == 0 ? ROOM_MIN : 2 * n;
        grown = reallocarray(list->items, room == CANDIDATES_MAX ? room + 1 : room, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        list->items = grown;
        return 0;
}

static void heap_sift_down(Candidate *items, size_t n_items, size_t at)
{
        for (;;) {
                size_t least = at;

                for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < n_items; child++)
                        if (items[child].n_extents < items[least].n_extents)
                                least = child;
                if (least == at)
                        return;

                Candidate held = items[at];
                items[at] = items[least];
                items[least] = held;
                at = least;
        }
}

static void list_mark(CandidateList *list, bool is_heap)
{
        list->items[CANDIDATES_MAX] = (Candidate){.n_extents = is_heap};
}

static void list_replace_least(CandidateList *list, const Candidate *item)
{
        Candidate *top = list->items;

        if (!list->items[CANDIDATES_MAX].n_extents) {
                for (size_t i = list->n_items / 2; i > 0; i--)
                        heap_sift_down(list->items, list->n_items, i - 1);
                list_mark(list, true);
        }

        list->n_dropped++;
        if (item->n_extents <= top->n_extents) {
                free(item->path);
                return;
        }
        free(top->path);
        *top = *item;
        heap_sift_down(list->items, list->n_items, 0);
}

int candidate_list_add(CandidateList *list, const Candidate *item)
{
        int r;

        if (list->n_items == CANDIDATES_MAX) {
                list_replace_least(list, item);
                return 0;
        }
        r = list_make_room(list);
        if (r < 0)
                return r; /* item->path stays the caller's */
        list->items[list->n_items++] = *item;
        if (list->n_items == CANDIDATES_MAX)
                list_mark(list, false);
        return 0;
}

void candidate_list_done(CandidateList *list)
{
        for (size_t i = 0; i < list->n_items; i++)
                free(list->items[i].path);
        free(list->items);
        *list = (CandidateList){0};
}

/* No room is given back, but list_make_room() may think so: it then asks for as much as there is, or for less that is
 * enough. A list that is full no more is no heap, either; it is marked anew when it becomes full again. */
void candidate_list_remove(CandidateList *list, const bool *marked)
{
        size_t n_kept = 0;

        for (size_t i = 0; i < list->n_items; i++)
                if (marked[i])
                        free(list->items[i].path);
                else
                        list->items[n_kept++] = list->items[i];
        list->n_items = n_kept;
}

static int candidate_order(const void *left, const void *right)
{
        const Candidate *a = left, *b = right;
        int order = worth_order(a->n_extents, a->size_bytes, b->n_extents, b->size_bytes);

        if (order != 0)
                return order;
        return file_id_order(a->id, b->id);
}

void candidate_list_sort(CandidateList *list)
{
        if (list->n_items < 2)
                return;
        qsort(list->items, list->n_items, sizeof(*list->items), candidate_order);
        if (list->n_items == CANDIDATES_MAX)
                list_mark(list, false);
}
