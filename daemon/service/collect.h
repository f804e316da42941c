/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a path that somebody named to the candidates behind it: a file stands for itself, a directory for what is below
 * it on the same mount, the root of a volume for the whole volume. */

#include <stdatomic.h>
#include <sys/stat.h>

#include "service/once_volume.h"
#include "service/report.h"

/* path_fd (O_PATH is enough) and status are what path, absolute and without symbolic links, stands for: a regular file or
 * a directory on volume, which is ready. Candidates are added to volume->list, each file once whatever its names; what
 * is settled without opening it (in one piece, excluded, too small) is reported at once. Returns 0, -ECANCELED,
 * -ENOMEM, or -errno of trouble with the volume as a whole. */
int collect_path(OnceVolume *volume, int path_fd, const char *path, const struct stat *status,
                 Report *report, const atomic_bool *cancel);
