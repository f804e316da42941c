/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line. */

#include <stdbool.h>
#include <stddef.h>

typedef struct Options {
        bool once, all, dry_run, json, no_budget, verbose, check_config;
        const char *config; /* one of argv; NULL: the usual files */
        char **paths;       /* a part of argv, which was put into another order */
        size_t n_paths;
} Options;

#define OPTIONS_SAID 1 /* --help or --version: it is on standard output */

/* Returns 0, OPTIONS_SAID, or -EINVAL when standard error says what is wrong. *ret is written only on 0. */
int options_parse(int argc, char *argv[], Options *ret);
