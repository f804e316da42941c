/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every key is in the shipped file and in the manual, under its section, and nothing else is. */

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "facts/config_keys.h"

/* A key is what stands between head at the beginning of a line and "="; its section is the last "[...]" that begins a line, also
 * as a heading or behind "#". What is said for [Volume] is an example. */
static void assert_same_keys(const char *path, const char *head)
{
        _cleanup_fclose_ FILE *stream = fopen(path, "re");
        char line[4096], section[64] = "";
        uint64_t seen = 0;

        if (!stream)
                fail_msg("no %s", path);
        while (fgets(line, sizeof(line), stream)) {
                const char *name = line + strlen(head);
                size_t length, found = config_n_keys;

                if (line[strspn(line, "# ")] == '[') {
                        (void)sscanf(line + strspn(line, "# "), "[%63[A-Za-z]", section);
                        continue;
                }
                length = strncmp(line, head, strlen(head)) == 0 ? strcspn(name, "=") : 0;
                if (length == 0 || name[length] != '=' || !isupper((unsigned char)*name) ||
                    memchr(name, ' ', length) || strcmp(section, "Volume") == 0)
                        continue;
                for (size_t i = 0; i < config_n_keys; i++)
                        if (strlen(config_keys[i].name) == length &&
                            strncmp(config_keys[i].name, name, length) == 0)
                                found = i;
                if (found == config_n_keys)
                        fail_msg("%s: there is no key %.*s", path, (int)length, name);
                if (strcmp(section, config_keys[found].section) != 0)
                        fail_msg("%s: %s is in [%s]", path, config_keys[found].name, section);
                if (seen & UINT64_C(1) << found)
                        fail_msg("%s: %s twice", path, config_keys[found].name);
                seen |= UINT64_C(1) << found;
        }
        for (size_t i = 0; i < config_n_keys; i++)
                if (!(seen & UINT64_C(1) << i))
                        fail_msg("%s: %s is missing", path, config_keys[i].name);
}

static void the_shipped_file_has_all_keys_and_no_other(void **state)
{
        (void)state;
        assert_same_keys(SOURCE_DIR "/conf/defragd.conf", "#");
}

static void the_manual_has_all_keys_and_no_other(void **state)
{
        (void)state;
        assert_same_keys(SOURCE_DIR "/docs/defragd.conf.md", "`");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_shipped_file_has_all_keys_and_no_other),
                cmocka_unit_test(the_manual_has_all_keys_and_no_other),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
