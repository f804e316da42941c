/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which configuration files there are, in the order in which they are read. */

#include <stddef.h>

typedef struct ConfigFiles {
        char **paths; /* owned */
        size_t n_paths;
} ConfigFiles;

/* See config_load(). What is there but cannot be read is among the paths. Returns 0; -ENOENT when file is named and
 * missing; -ENOMEM; -errno of reading a directory. */
int config_files_find(const char *root, const char *file, ConfigFiles *ret);
void config_files_done(ConfigFiles *files);
