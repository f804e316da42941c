/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* part-ledger store DIRECTORY N: stores a ledger of N volumes, with some files each. Status 0, or 1 and why.
 * part-ledger load DIRECTORY: what is there, on a line: "N volumes", "none", "damaged: WHY"; status 1 and why where it cannot be read. */

#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "work/ledger.h"

/* More than a block of text a volume. */
#define N_FILES 200

/* The first thing that counts for whoever watches: an open of the directory. */
static int store(const char *directory, size_t n_volumes)
{
        _cleanup_(ledger_done) Ledger ledger = {.volumes = calloc(n_volumes + 1, sizeof(LedgerVolume))};
        _cleanup_free_ char *text = NULL;
        size_t n_bytes;
        int r;

        if (!ledger.volumes)
                return -ENOMEM;
        for (ledger.n_volumes = 0; ledger.n_volumes < n_volumes; ledger.n_volumes++) {
                LedgerVolume *volume = &ledger.volumes[ledger.n_volumes];

                (void)snprintf(volume->uuid, sizeof(volume->uuid), "00000000-0000-4000-8000-%012u",
                               (unsigned)ledger.n_volumes);
                volume->files = calloc(N_FILES, sizeof(*volume->files));
                if (!volume->files)
                        return -ENOMEM;
                for (; volume->n_files < N_FILES; volume->n_files++)
                        volume->files[volume->n_files] = (LedgerFile){
                                .id = {.inode = 128 + volume->n_files, .generation = 1},
                                .size_bytes = 1 << 20,
                                .n_extents = n_volumes,
                        };
        }
        r = ledger_format(&ledger, &text, &n_bytes);
        return r < 0 ? r : ledger_store(directory, text, n_bytes);
}

static int load(const char *directory)
{
        _cleanup_(ledger_done) Ledger ledger = {0};
        _cleanup_free_ char *what = NULL;
        int r = ledger_load(directory, &ledger, &what);

        if (r == 0)
                printf("%zu volumes\n", ledger.n_volumes);
        else if (r == LEDGER_NONE)
                puts("none");
        else if (r > 0)
                printf("damaged: %s\n", what);
        return r < 0 ? r : 0;
}

int main(int argc, char *argv[])
{
        int r = 0;

        if (argc == 4 && strcmp(argv[1], "store") == 0)
                r = store(argv[2], strtoul(argv[3], NULL, 10));
        else if (argc == 3 && strcmp(argv[1], "load") == 0)
                r = load(argv[2]);
        else
                error(2, 0, "usage: part-ledger store DIRECTORY N | load DIRECTORY");
        if (r < 0)
                error(1, -r, "%s", argv[2]);
        return 0;
}
