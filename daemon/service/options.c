/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* getopt_long(3), and what does not go together. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/log.h"
#include "service/options.h"

static void help(void)
{
        printf("defragd [--config=FILE] [-v]\n"
               "defragd --once [OPTION...] PATH...|--all\n"
               "defragd --check-config [--config=FILE]\n"
               "\n"
               "Moves fragmented files into fewer pieces. As a service: finds them by itself on every "
               "volume\n"
               "that the configuration enables. With --once: the named files, all files below the named\n"
               "directories, or all files of a volume whose mount point is named.\n"
               "\n"
               "  --once           do it now, without a running service\n"
               "  --all            without PATH: every mounted volume that the configuration enables\n"
               "  --dry-run        only say what would be moved\n"
               "  --json           one JSON object a line for each file, then a summary\n"
               "  --no-budget      as fast as possible; safety and reserved space stay\n"
               "  -v, --verbose    a line for every file; as a service: debug messages\n"
               "  --check-config   only check the configuration\n"
               "  --config=FILE    read FILE instead of /etc/defragd/defragd.conf and its drop-ins\n"
               "  --version\n"
               "  --help\n"
               "\n"
               "Exit status of --once: 0 all moved, optimal or skipped by policy; 1 something failed;\n"
               "2 usage, configuration, or the only PATH is not supported; 75 something was changed,\n"
               "busy or without space: try again later; 128 + signal when interrupted.\n");
}

/* Returns -EINVAL. */
static int usage(const char *text, const char *what)
{
        _cleanup_free_ char *name = what ? escape_text(what) : NULL;

        log_error("%s%s%s. Try 'defragd --help'.", text, name ? " " : "", name ? name : "");
        return -EINVAL;
}

/* Do they make sense together? Returns 0 or -EINVAL. */
static int check(const Options *options)
{
        const char *path = options->n_paths > 0 ? options->paths[0] : NULL;

        if (options->check_config)
                return options->once || path ? usage("--check-config does nothing else", NULL) : 0;
        if (!options->once) {
                if (options->all || options->dry_run || options->json || options->no_budget)
                        return usage("--all, --dry-run, --json and --no-budget need --once", NULL);
                return path ? usage("Without --once no PATH is expected:", path) : 0;
        }
        if (options->all)
                return path ? usage("With --all no PATH is expected:", path) : 0;
        return path ? 0 : usage("--once needs at least one PATH", NULL);
}

int options_parse(int argc, char *argv[], Options *ret)
{
        enum {
                OPT_ONCE = 0x100,
                OPT_ALL,
                OPT_DRY_RUN,
                OPT_JSON,
                OPT_NO_BUDGET,
                OPT_CHECK_CONFIG,
                OPT_CONFIG,
                OPT_VERSION
        };
        static const struct option options[] = {
                {"once", no_argument, NULL, OPT_ONCE},
                {"all", no_argument, NULL, OPT_ALL},
                {"dry-run", no_argument, NULL, OPT_DRY_RUN},
                {"json", no_argument, NULL, OPT_JSON},
                {"no-budget", no_argument, NULL, OPT_NO_BUDGET},
                {"verbose", no_argument, NULL, 'v'},
                {"check-config", no_argument, NULL, OPT_CHECK_CONFIG},
                {"config", required_argument, NULL, OPT_CONFIG},
                {"version", no_argument, NULL, OPT_VERSION},
                {"help", no_argument, NULL, 'h'},
                {NULL, 0, NULL, 0},
        };
        Options parsed = {0};
        int option, r;

        opterr = 0;
        /* From the beginning, whoever has read something before. */
        optind = 0;
        while ((option = getopt_long(argc, argv, ":vh", options, NULL)) >= 0)
                switch (option) {
                case OPT_ONCE:
                        parsed.once = true;
                        break;
                case OPT_ALL:
                        parsed.all = true;
                        break;
                case OPT_DRY_RUN:
                        parsed.dry_run = true;
                        break;
                case OPT_JSON:
                        parsed.json = true;
                        break;
                case OPT_NO_BUDGET:
                        parsed.no_budget = true;
                        break;
                case 'v':
                        parsed.verbose = true;
                        break;
                case OPT_CHECK_CONFIG:
                        parsed.check_config = true;
                        break;
                case OPT_CONFIG:
                        parsed.config = optarg;
                        break;
                case OPT_VERSION:
                        printf("defragd %s\n", DEFRAGD_VERSION);
                        return OPTIONS_SAID;
                case 'h':
                        help();
                        return OPTIONS_SAID;
                case ':':
                        return usage("A value is missing after", argv[optind - 1]);
                default:
                        return usage("Unknown or ambiguous option, or a value too many:", argv[optind - 1]);
                }

        parsed.paths = argv + optind;
        parsed.n_paths = (size_t)(argc - optind);
        /* With POSIXLY_CORRECT in the environment every option behind a PATH is one, too: a --dry-run there must not end with
         * the PATH moved. */
        if (strcmp(argv[optind - 1], "--") != 0)
                for (size_t i = 0; i < parsed.n_paths; i++)
                        if (parsed.paths[i][0] == '-')
                                return usage("Options come before PATHs, and -- before such a PATH:",
                                             parsed.paths[i]);
        r = check(&parsed);
        if (r < 0)
                return r;
        *ret = parsed;
        return 0;
}
