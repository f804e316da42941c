/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two counters. */

#include <stdlib.h>

#include "base/cleanup.h"
#include "service/shared.h"

SharedConfig *shared_config_new(Config *config)
{
        SharedConfig *shared = calloc(1, sizeof(*shared));

        if (!shared)
                return NULL;
        atomic_init(&shared->n_refs, 1);
        shared->config = TAKE(*config, (Config){0});
        return shared;
}

SharedConfig *shared_config_ref(SharedConfig *shared)
{
        atomic_fetch_add(&shared->n_refs, 1);
        return shared;
}

SharedConfig *shared_config_unref(SharedConfig *shared)
{
        if (shared && atomic_fetch_sub(&shared->n_refs, 1) == 1) {
                config_done(&shared->config);
                free(shared);
        }
        return NULL;
}

SharedTable *shared_table_new(MountTable *table)
{
        SharedTable *shared = calloc(1, sizeof(*shared));

        if (!shared)
                return NULL;
        atomic_init(&shared->n_refs, 1);
        shared->table = TAKE(*table, (MountTable){0});
        return shared;
}

SharedTable *shared_table_ref(SharedTable *shared)
{
        atomic_fetch_add(&shared->n_refs, 1);
        return shared;
}

SharedTable *shared_table_unref(SharedTable *shared)
{
        if (shared && atomic_fetch_sub(&shared->n_refs, 1) == 1) {
                mount_table_done(&shared->table);
                free(shared);
        }
        return NULL;
}
