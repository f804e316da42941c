/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table of keys: what may be said, in which section, and where it goes. Private to facts/config*.c. */

#include <stddef.h>

#include "facts/config.h"

typedef struct ConfigKey {
        const char *section; /* [Volume PATH] takes all of them */
        const char *name;
        /* Writes *setting and returns 0; -EINVAL, -ERANGE, -EOPNOTSUPP, -ENOMEM with *setting as it was. NULL: a list of
         * patterns. */
        int (*parse)(const char *value, void *setting);
        size_t offset; /* in VolumeConfig */
        size_t bytes;
        bool narrows; /* fewer files or bytes than by default may have been meant: nothing may be moved on a mistake in it */
} ConfigKey;

extern const ConfigKey config_keys[];
extern const size_t config_n_keys; /* at most 64 */

/* A bit for the key's place in config_keys; it must be there. */
uint64_t config_key_bit(const char *name);

/* A new string without doubled slashes and the slash at the end; "/" stays. Returns 0; -EINVAL for a path with "." or
 * ".." in it, which would never be met; -ENOMEM. */
int config_path_clean(const char *path, char **ret);

/* Exclude=, which adds to what is there. Returns 0; -EINVAL for what is no pattern on absolute paths; -ENOMEM. */
int config_excludes_add(VolumeConfig *settings, const char *pattern);
void config_excludes_clear(VolumeConfig *settings);
