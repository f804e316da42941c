/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* "PATTERN\nPATTERN\n...PATH": Exclude= patterns against a path. Compared with a matcher that tries everything, which
 * is short and slow; and what a path is excluded by must be found from the directories that lead to it, too. */

#include <errno.h>

#include "base/cleanup.h"
#include "facts/config.h"
#include "facts/config_keys.h"
#include "fuzz.h"
#include "work/naming.h"

/* What the slow matcher can take. */
#define SLOW_MAX 48

/* Length of one character: the bytes of a sequence that is whole, else one. */
static size_t character_bytes(const char *text)
{
        const unsigned char first = (unsigned char)text[0];
        size_t n = first < 0xc0 ? 1 : (first < 0xe0 ? 2 : (first < 0xf0 ? 3 : 4));

        for (size_t i = 1; i < n; i++)
                if (((unsigned char)text[i] & 0xc0) != 0x80)
                        return 1;
        return n;
}

/* By number: a character, or a byte that is none, which is larger than all of them. */
static uint32_t character_of(const char *text, size_t n)
{
        uint32_t c = (unsigned char)text[0];

        if (n == 1 && c >= 0xc0)
                return 0x80000000U | c;
        for (size_t i = 1; i < n; i++)
                c = c << 6 | ((unsigned char)text[i] & 0x3f);
        return c;
}

typedef struct Memo {
        const char *pattern, *path;
        signed char known[SLOW_MAX + 1][SLOW_MAX + 1]; /* 0: not yet */
} Memo;

static bool covers(Memo *memo, size_t p, size_t t);

/* "[...]" at p: where it ends, and whether it has c. */
static size_t set_end(const char *pattern, size_t p, uint32_t c, bool *ret)
{
        bool negated = false, found = false;
        size_t start;

        p++;
        if (pattern[p] == '!' || pattern[p] == '^') {
                negated = true;
                p++;
        }
        for (start = p; pattern[p] != ']' || p == start;) {
                uint32_t low, high;
                size_t n;

                if (pattern[p] == '\\' && pattern[p + 1])
                        p++;
                n = character_bytes(pattern + p);
                low = high = character_of(pattern + p, n);
                p += n;
                if (pattern[p] == '-' && pattern[p + 1] && pattern[p + 1] != ']') {
                        p++;
                        if (pattern[p] == '\\' && pattern[p + 1])
                                p++;
                        n = character_bytes(pattern + p);
                        high = character_of(pattern + p, n);
                        p += n;
                }
                found = found || (c >= low && c <= high);
        }
        *ret = found != negated;
        return p + 1;
}

static bool covers_now(Memo *memo, size_t p, size_t t)
{
        const char *pattern = memo->pattern, *path = memo->path;
        size_t n = character_bytes(path + t), next;
        bool has;

        if (pattern[p] == '*' && pattern[p + 1] == '*') {
                bool components = p == 0 || pattern[p - 1] == '/';

                for (next = p; pattern[next] == '*';)
                        next++;
                if (components && pattern[next] == '/') {
                        /* Any number of whole components: none, or on behind each slash. */
                        if (covers(memo, next + 1, t))
                                return true;
                        for (size_t i = t; path[i]; i++)
                                if (path[i] == '/' && covers(memo, next + 1, i + 1))
                                        return true;
                        return false;
                }
                for (size_t i = t;; i += character_bytes(path + i)) {
                        if (covers(memo, next, i))
                                return true;
                        if (!path[i])
                                return false;
                }
        }
        if (pattern[p] == '*') {
                for (size_t i = t;; i += character_bytes(path + i)) {
                        if (covers(memo, p + 1, i))
                                return true;
                        if (!path[i] || path[i] == '/')
                                return false;
                }
        }
        if (!path[t])
                return !pattern[p] || strcmp(pattern + p, "/**") == 0;
        if (!pattern[p])
                return false;
        if (pattern[p] == '?')
                return path[t] != '/' && covers(memo, p + 1, t + n);
        if (pattern[p] == '[') {
                next = set_end(pattern, p, character_of(path + t, n), &has);
                return has && path[t] != '/' && covers(memo, next, t + n);
        }
        if (pattern[p] == '\\' && pattern[p + 1])
                p++;
        next = character_bytes(pattern + p);
        return character_of(pattern + p, next) == character_of(path + t, n) && covers(memo, p + next, t + n);
}

static bool covers(Memo *memo, size_t p, size_t t)
{
        if (memo->known[p][t] == 0)
                memo->known[p][t] = covers_now(memo, p, t) ? 1 : -1;
        return memo->known[p][t] > 0;
}

/* A path with all that has a meaning in a pattern taken away from it. */
static char *literal_of(const char *path)
{
        char *literal = malloc(2 * strlen(path) + 1), *to = literal;

        require(literal);
        for (; *path; path++) {
                if (strchr("*?[]\\", *path))
                        *to++ = '\\';
                *to++ = *path;
        }
        *to = '\0';
        return literal;
}

static void check_path(const VolumeConfig *config, char *path)
{
        const bool excluded = config_excludes(config, path);
        const int on_the_way = naming_is_excluded(config, path);
        bool any = excluded;

        require(on_the_way >= 0);
        /* Nothing that is excluded can be below a directory that is said to have nothing excluded in it. */
        if (excluded)
                require(config_may_exclude_below(config, path));
        for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
                *slash = '\0';
                if (excluded)
                        require(config_may_exclude_below(config, *path ? path : "/"));
                if (*path && config_excludes(config, path))
                        any = true;
        }
        require(any == on_the_way);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        _cleanup_free_ char *text = fuzz_text(data, n_bytes), *path = NULL, *literal = NULL;
        VolumeConfig config = {0};
        char *rest = text, *last = strrchr(text, '\n');
        bool expected = false, slow = true;

        if (!last || last[1] != '/')
                return 0;
        *last = '\0';
        path = strdup(last + 1);
        require(path);
        for (char *pattern; (pattern = strsep(&rest, "\n"));) {
                int r = config_excludes_add(&config, pattern);

                require(r == 0 || r == -EINVAL);
        }
        for (size_t i = 0; i < config.n_excludes; i++) {
                Memo memo = {.pattern = config.excludes[i], .path = path};

                if (strlen(memo.pattern) > SLOW_MAX || strlen(path) > SLOW_MAX)
                        slow = false;
                else
                        expected = covers(&memo, 0, 0) || expected;
        }
        if (slow)
                require(config_excludes(&config, path) == expected);
        literal = strdup(path);
        require(literal);
        check_path(&config, literal);

        /* A path can always be named as it is, and then it is covered. */
        config_excludes_clear(&config);
        free(literal);
        literal = literal_of(path);
        if (config_excludes_add(&config, literal) == 0 && strcmp(config.excludes[0], literal) == 0)
                require(config_excludes(&config, path));
        config_excludes_clear(&config);
        return 0;
}
