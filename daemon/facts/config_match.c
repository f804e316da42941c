/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Exclude= patterns against paths. fnmatch(3) knows no "**", and its time can grow without bound. */

#include <stdint.h>
#include <string.h>

#include "facts/config.h"
#include "facts/config_match.h"

/* One character: a UTF-8 sequence, else a byte (made different from all characters). Takes no notice of overlong forms:
 * they only have to be the same in pattern and path. */
static uint32_t character_read(const char **text)
{
        const unsigned char *at = (const unsigned char *)*text;
        size_t n = at[0] < 0xc0 ? 1 : (at[0] < 0xe0 ? 2 : (at[0] < 0xf0 ? 3 : 4));
        uint32_t character = at[0];

        for (size_t i = 1; i < n; i++) {
                /* The terminating NUL ends this, too. */
                if ((at[i] & 0xc0) != 0x80) {
                        (*text)++;
                        return 0x80000000U | at[0];
                }
                character = character << 6 | (at[i] & 0x3fU);
        }
        *text += n;
        return character;
}

/* The same in a pattern, where a backslash takes away what the next character means. */
static uint32_t pattern_read(const char **pattern)
{
        if ((*pattern)[0] == '\\' && (*pattern)[1] != '\0')
                (*pattern)++;
        return character_read(pattern);
}

/* The set that begins behind "[": is letter in it? *ret_end: behind its "]"; NULL when it is never closed. */
static bool set_holds(const char *set, uint32_t letter, const char **ret_end)
{
        const char *at = set;
        bool negated = *at == '!' || *at == '^', holds = false;

        if (negated)
                at++;
        for (const char *first = at; *at != '\0' && (*at != ']' || at == first);) {
                uint32_t low = pattern_read(&at), high = low;

                if (at[0] == '-' && at[1] != '\0' && at[1] != ']') {
                        at++;
                        high = pattern_read(&at);
                }
                holds |= letter >= low && letter <= high;
        }
        *ret_end = *at == ']' ? at + 1 : NULL;
        return holds != negated;
}

bool config_pattern_is_closed(const char *pattern)
{
        while (*pattern != '\0') {
                if (*pattern == '[') {
                        (void)set_holds(pattern + 1, 0, &pattern);
                        if (!pattern)
                                return false;
                } else {
                        (void)pattern_read(&pattern);
                }
        }
        return true;
}

/* One step of a pattern that stands for exactly one character. Moves both behind it, or neither. */
static bool one_covers(const char **pattern, const char **path)
{
        const char *next_pattern = *pattern, *next_path = *path, *set_end;
        uint32_t letter;
        bool covers;

        if (*next_pattern == '\0' || *next_path == '\0')
                return false;
        letter = character_read(&next_path);
        if (*next_pattern == '?') {
                next_pattern++;
                covers = letter != '/';
        } else if (*next_pattern == '[' &&
                   (covers = set_holds(next_pattern + 1, letter, &set_end), set_end)) {
                next_pattern = set_end;
                covers = covers && letter != '/';
        } else {
                covers = pattern_read(&next_pattern) == letter;
        }
        if (covers) {
                *pattern = next_pattern;
                *path = next_path;
        }
        return covers;
}

/* Goes along both; what a star stands for grows when it does not work out. Only the last star of either kind has to be
 * remembered: what an earlier one could still reach, the last one reaches, too. So the time is bounded by the length of
 * the path times that of the pattern times that of a component, whatever the pattern. */
static bool pattern_covers(const char *pattern, const char *path)
{
        const char *first = pattern;
        const char *deep_pattern = NULL, *deep_path = NULL, *flat_pattern = NULL, *flat_path = NULL;
        bool by_component = false;

        for (;;) {
                if (pattern[0] == '*' && pattern[1] == '*') {
                        bool begins = pattern == first || pattern[-1] == '/';

                        while (*pattern == '*')
                                pattern++;
                        /* Whole components, also none: between two slashes. */
                        by_component = begins && *pattern == '/';
                        if (by_component)
                                pattern++;
                        deep_pattern = pattern;
                        deep_path = path;
                        flat_pattern = NULL;
                        continue;
                }
                if (*pattern == '*') {
                        flat_pattern = ++pattern;
                        flat_path = path;
                        continue;
                }
                if (*path == '\0' && (*pattern == '\0' || strcmp(pattern, "/**") == 0))
                        return true;
                if (one_covers(&pattern, &path))
                        continue;

                if (flat_pattern && *flat_path != '\0' && *flat_path != '/') {
                        (void)character_read(&flat_path);
                        pattern = flat_pattern;
                        path = flat_path;
                        continue;
                }
                if (!deep_pattern || *deep_path == '\0')
                        return false;
                if (by_component) {
                        deep_path = strchr(deep_path, '/');
                        if (!deep_path)
                                return false;
                        deep_path++;
                } else {
                        (void)character_read(&deep_path);
                }
                pattern = deep_pattern;
                path = deep_path;
                flat_pattern = NULL;
        }
}

bool config_excludes(const VolumeConfig *config, const char *path)
{
        for (size_t i = 0; i < config->n_excludes; i++)
                if (pattern_covers(config->excludes[i], path))
                        return true;
        return false;
}

/* As far as a pattern is literal, byte by byte, it must go the directory's way. */
static bool pattern_may_cover_below(const char *pattern, const char *directory)
{
        size_t n_bytes = strlen(directory);

        if (n_bytes > 0 && directory[n_bytes - 1] == '/')
                n_bytes--;
        for (size_t i = 0; pattern[i] != '\0' && !strchr("*?[\\", pattern[i]); i++) {
                if (i == n_bytes)
                        return pattern[i] == '/';
                if (pattern[i] != directory[i])
                        return false;
        }
        return true;
}

bool config_may_exclude_below(const VolumeConfig *config, const char *directory)
{
        for (size_t i = 0; i < config->n_excludes; i++)
                if (pattern_may_cover_below(config->excludes[i], directory))
                        return true;
        return false;
}
