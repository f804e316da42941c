/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The shortest list of operations that still fails. */

#include "../tools/tool.h"
#include "operations.h"

static size_t without(const Operation *list, size_t n, size_t from, size_t n_out, Operation *ret)
{
        size_t n_behind = n - from - n_out;

        memcpy(ret, list, from * sizeof(*list));
        memcpy(ret + from, list + from + n_out, n_behind * sizeof(*list));
        return n - n_out;
}

size_t operations_shrink(Operation *list, size_t n,
                         bool (*fails)(const Operation *list, size_t n, void *context), void *context,
                         unsigned *ret_n_runs)
{
        Operation *shorter = calloc(n + 1, sizeof(*shorter));
        size_t chunk = (n + 1) / 2;
        bool progress;

        if (!shorter)
                die("buffer");
        *ret_n_runs = 0;
        /* Leaving something out may make something else superfluous: single operations until none can go. */
        do {
                progress = chunk > 1;
                /* From the end: what comes last is more often only noise. */
                for (size_t end = n; end > 0;) {
                        size_t n_out = end < chunk ? end : chunk;
                        size_t n_shorter = without(list, n, end - n_out, n_out, shorter);

                        ++*ret_n_runs;
                        if (n_shorter > 0 && fails(shorter, n_shorter, context)) {
                                memcpy(list, shorter, n_shorter * sizeof(*list));
                                n = n_shorter;
                                progress = true;
                        }
                        end -= n_out;
                }
                chunk = (chunk + 1) / 2;
        } while (progress);
        free(shorter);
        return n;
}
