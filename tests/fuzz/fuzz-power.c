/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Power supplies, a line an attribute: "SUPPLY/ATTRIBUTE=VALUE". Does the machine run on battery? The answer is also found from the
 * lines themselves. */

#include "facts/power.h"
#include "fuzz-tree.h"

#define SUPPLIES_MAX 8

typedef struct Supply {
        const char *name;
        const char *type, *scope, *status, *online; /* NULL: the kernel does not say */
} Supply;

static const char **attribute_of(Supply *supply, const char *name)
{
        if (strcmp(name, "type") == 0)
                return &supply->type;
        if (strcmp(name, "scope") == 0)
                return &supply->scope;
        if (strcmp(name, "status") == 0)
                return &supply->status;
        return strcmp(name, "online") == 0 ? &supply->online : NULL;
}

static bool is(const char *value, const char *word)
{
        return value && strcmp(value, word) == 0;
}

static bool on_battery(const Supply *supplies, size_t n)
{
        bool discharging = false, online = false;

        for (size_t i = 0; i < n; i++) {
                const Supply *supply = &supplies[i];

                if (is(supply->scope, "Device"))
                        continue;
                if (is(supply->type, "Battery"))
                        discharging |= is(supply->status, "Discharging");
                else
                        online |= supply->online && *supply->online && !is(supply->online, "0");
        }
        return discharging && !online;
}

static size_t make_supplies(char *text, Supply supplies[static SUPPLIES_MAX])
{
        size_t n = 0;

        for (char *line; (line = strsep(&text, "\n"));) {
                char *slash = strchr(line, '/'), *sign = slash ? strchr(slash, '=') : NULL, path[300],
                     value[300];
                const char **attribute;
                size_t i = 0;

                if (!sign || *line == '.' || strlen(line) > 128)
                        continue;
                *slash = *sign = '\0';
                while (i < n && strcmp(supplies[i].name, line) != 0)
                        i++;
                if (i == SUPPLIES_MAX)
                        continue;
                snprintf(path, sizeof(path), "class/power_supply/%s/%s", line, slash + 1);
                snprintf(value, sizeof(value), "%s\n", sign + 1);
                if (!tree_file(path, value, strlen(value)))
                        continue;
                if (i == n)
                        supplies[n++] = (Supply){.name = line};
                attribute = attribute_of(&supplies[i], slash + 1);
                /* No attribute of the kernel's that we read is longer. */
                if (attribute)
                        *attribute = strlen(sign + 1) < 31 ? sign + 1 : "too long";
        }
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        _cleanup_free_ char *text = fuzz_text(data, n_bytes);
        Supply supplies[SUPPLIES_MAX] = {0};
        bool battery;
        size_t n;

        tree_begin();
        n = make_supplies(text, supplies);
        require(power_on_battery(tree, &battery) == 0);
        require(battery == on_battery(supplies, n));
        tree_end();
        return 0;
}
