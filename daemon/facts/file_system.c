/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The types, and which of them a descriptor is on. */

#include <errno.h>
#include <string.h>

#include "base/number.h"
#include "facts/file_system.h"

static const FileSystemType *const types[] = {&file_system_xfs, &file_system_ext4, &file_system_btrfs};

const FileSystemType *file_system_find(const char *name)
{
        for (size_t i = 0; i < ELEMENTS(types); i++)
                if (strcmp(types[i]->name, name) == 0)
                        return types[i];
        return NULL;
}

int file_system_read(int fs_fd, FsFacts *ret)
{
        int r = -EOPNOTSUPP;

        for (size_t i = 0; i < ELEMENTS(types) && r == -EOPNOTSUPP; i++)
                r = types[i]->read(fs_fd, ret);
        return r;
}
