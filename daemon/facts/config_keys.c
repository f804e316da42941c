/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What each key takes. */

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/config_keys.h"
#include "facts/config_match.h"

static int set_finite_bytes(const char *value, void *setting)
{
        uint64_t bytes;
        int r = parse_bytes(value, &bytes);

        if (r < 0)
                return r;
        if (bytes == BYTES_INFINITY)
                return -ERANGE;
        *(uint64_t *)setting = bytes;
        return 0;
}

/* A rate of nothing would be a way to say Enabled=no that nobody understands. */
static int set_rate(const char *value, void *setting)
{
        uint64_t bytes;
        int r = parse_bytes(value, &bytes);

        if (r < 0)
                return r;
        if (bytes == 0)
                return -ERANGE;
        *(uint64_t *)setting = bytes;
        return 0;
}

static int set_count(const char *value, void *setting)
{
        uint64_t count = 0;

        if (!*value)
                return -EINVAL;
        for (; *value; value++) {
                if (!isdigit((unsigned char)*value))
                        return -EINVAL;
                if (count > (UINT32_MAX - 9) / 10)
                        return -ERANGE;
                count = count * 10 + (uint64_t)(*value - '0');
        }
        *(uint64_t *)setting = count;
        return 0;
}

static int set_bool(const char *value, void *setting)
{
        return parse_bool(value, setting);
}

static int set_enabled(const char *value, void *setting)
{
        bool yes;

        if (strcasecmp(value, "observe") == 0) {
                *(Enabled *)setting = ENABLED_OBSERVE;
                return 0;
        }
        if (parse_bool(value, &yes) < 0)
                return -EINVAL;
        *(Enabled *)setting = yes ? ENABLED_YES : ENABLED_NO;
        return 0;
}

static int set_finite_usec(const char *value, void *setting)
{
        uint64_t usec;
        int r = parse_usec(value, &usec);

        if (r < 0)
                return r;
        if (usec == USEC_INFINITY)
                return -ERANGE;
        *(uint64_t *)setting = usec;
        return 0;
}

/* Sweeping all the time would be nothing but load. */
static int set_sweep(const char *value, void *setting)
{
        uint64_t usec;
        int r = parse_usec(value, &usec);

        if (r < 0)
                return r;
        if (usec < 60 * USEC_PER_SEC)
                return -ERANGE;
        *(uint64_t *)setting = usec;
        return 0;
}

static int set_amount(const char *value, void *setting)
{
        return parse_amount(value, setting);
}

static int set_hours(const char *value, void *setting)
{
        return schedule_parse(value, setting);
}

static int set_reserve(const char *value, void *setting)
{
        Amount amount;
        int r = parse_amount(value, &amount);

        if (r < 0)
                return r;
        if (!amount.is_permille && amount.value == BYTES_INFINITY)
                return -ERANGE;
        *(Amount *)setting = amount;
        return 0;
}

static int set_solid_state(const char *value, void *setting)
{
        bool yes;

        if (strcasecmp(value, "auto") == 0) {
                *(SolidState *)setting = SOLID_STATE_AUTO;
                return 0;
        }
        if (parse_bool(value, &yes) < 0)
                return -EINVAL;
        *(SolidState *)setting = yes ? SOLID_STATE_YES : SOLID_STATE_NO;
        return 0;
}

#define KEY(section, name, parse, member, narrows)                                                          \
        {                                                                                                   \
                section, name, parse, offsetof(VolumeConfig, member),                                       \
                        sizeof(((VolumeConfig *)NULL)->member), narrows                                     \
        }

const ConfigKey config_keys[] = {
        KEY("Policy", "Enabled", set_enabled, enabled, true),
        KEY("Policy", "SettleSec", set_finite_usec, settle_usec, false),
        KEY("Policy", "MinFileSize", set_finite_bytes, min_file_bytes, true),
        KEY("Policy", "MinExtents", set_count, min_extents, true),
        KEY("Policy", "Exclude", NULL, excludes, true),
        KEY("Policy", "SolidState", set_solid_state, solid_state, true),
        KEY("Policy", "Executables", set_bool, executables, false),
        KEY("Policy", "SharedExtents", set_bool, shared_extents, false),
        KEY("Policy", "BusyFiles", set_bool, busy_files, true),
        KEY("Budget", "MaxRate", set_rate, max_rate, true),
        KEY("Budget", "DailyWrites", set_amount, daily_writes, true),
        KEY("Budget", "FreeSpaceReserve", set_reserve, free_space_reserve, true),
        KEY("Budget", "OnBattery", set_bool, on_battery, true),
        KEY("Schedule", "Hours", set_hours, hours, true),
        KEY("Schedule", "SweepSec", set_sweep, sweep_usec, false),
};
const size_t config_n_keys = ELEMENTS(config_keys);
_Static_assert(ELEMENTS(config_keys) <= 64, "Section.is_set has a bit for each");

uint64_t config_key_bit(const char *name)
{
        for (size_t i = 0; i < config_n_keys; i++)
                if (strcmp(config_keys[i].name, name) == 0)
                        return UINT64_C(1) << i;
        assert(false);
        return 0;
}

int config_path_clean(const char *path, char **ret)
{
        _cleanup_free_ char *copy = malloc(strlen(path) + 1);
        size_t n = 0;

        if (!copy)
                return -ENOMEM;
        for (const char *at = path; *at; at++) {
                if (*at == '/') {
                        size_t length = strcspn(at + 1, "/");

                        if (at[1] == '/' || (at[1] == '\0' && n > 0))
                                continue;
                        if (length > 0 && length <= 2 && strncmp(at + 1, "..", length) == 0)
                                return -EINVAL;
                }
                copy[n++] = *at;
        }
        copy[n] = '\0';
        *ret = TAKE_PTR(copy);
        return 0;
}

int config_excludes_add(VolumeConfig *settings, const char *pattern)
{
        _cleanup_free_ char *clean = NULL;
        char **grown;
        int r;

        if ((pattern[0] != '/' && strncmp(pattern, "**", 2) != 0) || !config_pattern_is_closed(pattern))
                return -EINVAL;
        r = config_path_clean(pattern, &clean);
        if (r < 0)
                return r;
        grown = reallocarray(settings->excludes, settings->n_excludes + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        settings->excludes = grown;
        grown[settings->n_excludes++] = TAKE_PTR(clean);
        return 0;
}

void config_excludes_clear(VolumeConfig *settings)
{
        for (size_t i = 0; i < settings->n_excludes; i++)
                free(settings->excludes[i]);
        free(settings->excludes);
        settings->excludes = NULL;
        settings->n_excludes = 0;
}
