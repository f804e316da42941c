/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ledger as it was read, changed in place: what it says of queues and sweeps stays as the service left it. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/number.h"
#include "decide/budget.h"
#include "service/once_budget.h"
#include "work/ledger.h"

#define STATE_DIRECTORY "/var/lib/defragd"

typedef struct Lump {
        char uuid[37];
        int64_t day;
        uint64_t left_bytes; /* charged, and not written yet */
} Lump;

struct OnceBudget {
        const char *directory;
        int lock_fd;
        Ledger ledger;
        bool lost; /* nobody knows what was written today */
        Lump *lumps;
        size_t n_lumps;
};

const char *once_budget_directory(void)
{
        const char *directory = getenv("STATE_DIRECTORY");

        if (directory)
                return directory;
        return mkdir(STATE_DIRECTORY, 0700) < 0 && errno != EEXIST ? NULL : STATE_DIRECTORY;
}

int once_budget_new(const char *directory, OnceBudget **ret)
{
        _cleanup_free_ char *what = NULL, *shown = NULL;
        OnceBudget *budget = calloc(1, sizeof(*budget));
        int r = 0;

        if (!budget)
                return -ENOMEM;
        budget->directory = directory;
        budget->lock_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (budget->lock_fd < 0 || flock(budget->lock_fd, LOCK_EX | LOCK_NB) < 0)
                r = -errno;
        if (r >= 0)
                r = ledger_load(directory, &budget->ledger, &what);
        if (r < 0) {
                (void)fd_close(budget->lock_fd);
                free(budget);
                return r;
        }
        if (r == LEDGER_DAMAGED || r == LEDGER_NEWER) {
                budget->lost = true;
                shown = escape_text(what);
                log_warning("The ledger cannot be used (%s): set aside, and today's DailyWrites= count as "
                            "used up",
                            shown ? shown : "damaged");
        }
        *ret = budget;
        return 0;
}

static int store(const OnceBudget *budget)
{
        _cleanup_free_ char *text = NULL;
        size_t n_bytes;
        int r;

        r = ledger_format(&budget->ledger, &text, &n_bytes);
        return r < 0 ? r : ledger_store(budget->directory, text, n_bytes);
}

/* What the ledger has of the volume; a new entry when it has none. NULL when memory is short. */
static LedgerVolume *find(OnceBudget *budget, const char *uuid)
{
        Ledger *ledger = &budget->ledger;
        LedgerVolume *grown;

        for (size_t i = 0; i < ledger->n_volumes; i++)
                if (strcmp(ledger->volumes[i].uuid, uuid) == 0)
                        return &ledger->volumes[i];
        if (ledger->n_volumes == LEDGER_MAX_VOLUMES)
                return NULL;
        grown = reallocarray(ledger->volumes, ledger->n_volumes + 1, sizeof(*grown));
        if (!grown)
                return NULL;
        ledger->volumes = grown;
        grown[ledger->n_volumes] = (LedgerVolume){.sweep_wanted = true};
        memcpy(grown[ledger->n_volumes].uuid, uuid, sizeof(grown->uuid));
        return &grown[ledger->n_volumes++];
}

static Lump *find_lump(OnceBudget *budget, const char *uuid, int64_t day)
{
        Lump *grown, *lump = NULL;

        for (size_t i = 0; i < budget->n_lumps; i++)
                if (strcmp(budget->lumps[i].uuid, uuid) == 0)
                        lump = &budget->lumps[i];
        if (!lump) {
                grown = reallocarray(budget->lumps, budget->n_lumps + 1, sizeof(*grown));
                if (!grown)
                        return NULL;
                budget->lumps = grown;
                lump = &grown[budget->n_lumps++];
                *lump = (Lump){.day = day};
                memcpy(lump->uuid, uuid, sizeof(lump->uuid));
        }
        /* What was charged yesterday is gone with yesterday. */
        if (lump->day != day) {
                lump->day = day;
                lump->left_bytes = 0;
        }
        return lump;
}

int once_budget_take(OnceBudget *budget, const OnceVolume *volume, uint64_t size_bytes, uint64_t *ret_bytes)
{
        const int64_t day = clock_local().day;
        const uint64_t limit_bytes =
                budget_daily_bytes(volume->config->daily_writes_is_set, volume->config->daily_writes,
                                   volume->fs.disk.rotational, volume->fs.facts.total_bytes);
        uint64_t left_bytes, want_bytes;
        LedgerVolume *known;
        DailyBudget charged;
        Lump *lump;
        int r;

        if (limit_bytes == BYTES_INFINITY) {
                *ret_bytes = BYTES_INFINITY;
                return 0;
        }
        lump = find_lump(budget, volume->fs.uuid, day);
        known = find(budget, volume->fs.uuid);
        if (!lump || !known)
                return -ENOMEM;
        /* The last block counts as a whole. */
        size_bytes = u64_align_up(size_bytes, volume->fs.facts.block_bytes);
        charged = (DailyBudget){.day = known->budget_day, .charged_bytes = known->budget_charged_bytes};
        budget_redate(&charged, day);
        left_bytes = budget->lost ? 0 : budget_left(&charged, day, limit_bytes);
        if (lump->left_bytes < size_bytes && left_bytes > 0) {
                want_bytes = budget_lump(size_bytes - lump->left_bytes, left_bytes, limit_bytes);
                budget_charge(&charged, day, want_bytes);
                known->budget_day = charged.day;
                known->budget_charged_bytes = charged.charged_bytes;
                r = store(budget);
                if (r < 0)
                        return r;
                lump->left_bytes += want_bytes;
        }
        *ret_bytes = lump->left_bytes;
        return 0;
}

void once_budget_spent(OnceBudget *budget, const OnceVolume *volume, uint64_t n_bytes)
{
        for (size_t i = 0; i < budget->n_lumps; i++)
                if (strcmp(budget->lumps[i].uuid, volume->fs.uuid) == 0)
                        budget->lumps[i].left_bytes -= u64_min(budget->lumps[i].left_bytes, n_bytes);
}

OnceBudget *once_budget_free(OnceBudget *budget)
{
        bool any = false;
        int r;

        if (!budget)
                return NULL;
        for (size_t i = 0; i < budget->n_lumps; i++) {
                const Lump *lump = &budget->lumps[i];
                LedgerVolume *known = find(budget, lump->uuid);
                DailyBudget charged;

                if (!known || lump->left_bytes == 0)
                        continue;
                charged = (DailyBudget){.day = known->budget_day,
                                        .charged_bytes = known->budget_charged_bytes};
                budget_refund(&charged, lump->day, lump->left_bytes);
                known->budget_charged_bytes = charged.charged_bytes;
                any = true;
        }
        r = any ? store(budget) : 0;
        if (r < 0)
                log_warning("Cannot store the ledger: %s; today's DailyWrites= are smaller for it",
                            strerror(-r));
        ledger_done(&budget->ledger);
        free(budget->lumps);
        (void)fd_close(budget->lock_fd);
        free(budget);
        return NULL;
}
