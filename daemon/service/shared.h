/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Configuration and mount table as several threads read them: never changed once they are shared, and freed by whoever lets
 * go last. */

#include <stdatomic.h>

#include "facts/config.h"
#include "facts/mounts.h"

typedef struct SharedConfig {
        atomic_uint n_refs;
        Config config;
} SharedConfig;

typedef struct SharedTable {
        atomic_uint n_refs;
        MountTable table;
} SharedTable;

/* Both take their content over and return it with one reference, or NULL when memory is short, and then the content is as it was. */
SharedConfig *shared_config_new(Config *config);
SharedTable *shared_table_new(MountTable *table);

SharedConfig *shared_config_ref(SharedConfig *shared);
SharedConfig *shared_config_unref(SharedConfig *shared);
SharedTable *shared_table_ref(SharedTable *shared);
SharedTable *shared_table_unref(SharedTable *shared);
