/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command line, an argument a line. Options that are written in full are also read here, one after the other; whatever else is
 * tried, an order to only look must never get lost. */

#include <errno.h>
#include <syslog.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fuzz.h"
#include "service/options.h"

#define ARGUMENTS_MAX 24

typedef struct Expected {
        Options options;
        const char *paths[ARGUMENTS_MAX];
        bool sure;        /* there is nothing among them that we leave to getopt_long(3) */
        bool says, wrong; /* whichever comes first */
} Expected;

static bool *flag_of(Options *options, const char *argument)
{
        if (strcmp(argument, "--once") == 0)
                return &options->once;
        if (strcmp(argument, "--all") == 0)
                return &options->all;
        if (strcmp(argument, "--dry-run") == 0)
                return &options->dry_run;
        if (strcmp(argument, "--json") == 0)
                return &options->json;
        if (strcmp(argument, "--no-budget") == 0)
                return &options->no_budget;
        if (strcmp(argument, "--check-config") == 0)
                return &options->check_config;
        if (strcmp(argument, "--verbose") == 0 || strcmp(argument, "-v") == 0)
                return &options->verbose;
        return NULL;
}

static Expected expect(int argc, char *argv[])
{
        Expected expected = {.sure = true};
        Options *options = &expected.options;
        bool only_paths = false;

        for (int i = 1; i < argc && !expected.says && !expected.wrong; i++) {
                bool *flag = flag_of(options, argv[i]);

                if (only_paths || argv[i][0] != '-' || argv[i][1] == '\0')
                        expected.paths[options->n_paths++] = argv[i];
                else if (flag)
                        *flag = true;
                else if (strcmp(argv[i], "--") == 0)
                        only_paths = true;
                else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "--version") == 0 ||
                         strcmp(argv[i], "-h") == 0)
                        expected.says = true;
                else if (strncmp(argv[i], "--config=", 9) == 0)
                        options->config = argv[i] + 9;
                else if (strcmp(argv[i], "--config") != 0)
                        expected.sure = false;
                else if (i + 1 < argc)
                        options->config = argv[++i];
                else
                        expected.wrong = true;
        }
        if (options->check_config)
                expected.wrong |= options->once || options->n_paths > 0;
        else if (!options->once)
                expected.wrong |= options->all || options->dry_run || options->json || options->no_budget ||
                                  options->n_paths > 0;
        else
                expected.wrong |= options->all == (options->n_paths > 0);
        return expected;
}

static void check_sure(const Expected *expected, int r, const Options *options)
{
        if (expected->says) {
                require(r == OPTIONS_SAID);
                return;
        }
        require(r == (expected->wrong ? -EINVAL : 0));
        if (r < 0)
                return;
        require(options->once == expected->options.once && options->all == expected->options.all &&
                options->dry_run == expected->options.dry_run && options->json == expected->options.json &&
                options->no_budget == expected->options.no_budget &&
                options->verbose == expected->options.verbose &&
                options->check_config == expected->options.check_config);
        require(options->config == expected->options.config);
        require(options->n_paths == expected->options.n_paths);
        for (size_t i = 0; i < options->n_paths; i++)
                require(options->paths[i] == expected->paths[i]);
}

/* Whatever else there is. */
static void check_any(int argc, char *argv[], const Options *options)
{
        bool dry_run = false;

        require(options->paths == argv + argc - options->n_paths && options->n_paths < (size_t)argc);
        require(options->paths[options->n_paths] == NULL);
        if (options->check_config)
                require(!options->once && options->n_paths == 0);
        else if (options->once)
                require(options->all == (options->n_paths == 0));
        else
                require(!options->all && !options->dry_run && !options->json && !options->no_budget &&
                        options->n_paths == 0);
        if (options->config) {
                bool found = false;

                for (int i = 1; i < argc; i++)
                        found = found ||
                                (options->config >= argv[i] && options->config <= argv[i] + strlen(argv[i]));
                require(found);
        }
        /* Among what is no path now and no value of --config. */
        for (char **at = argv + 1; at < options->paths && strcmp(*at, "--") != 0; at++)
                dry_run = dry_run || (strcmp(*at, "--dry-run") == 0 && *at != options->config);
        for (char **at = argv + 1; at < options->paths; at++)
                if (strncmp(*at, "--c", 3) == 0 && !strchr(*at, '='))
                        dry_run = false; /* it may have been an earlier one's value */
        require(!dry_run || options->dry_run || options->check_config);
}

/* What is printed goes to memory meanwhile. */
static int parse(int argc, char *argv[], Options *ret)
{
        FILE *saved = stdout;
        char *said = NULL;
        size_t n_said = 0;
        int r;

        stdout = open_memstream(&said, &n_said);
        require(stdout);
        r = options_parse(argc, argv, ret);
        require(fclose(stdout) == 0);
        stdout = saved;
        require(r == 0 || r == OPTIONS_SAID || r == -EINVAL);
        require((r == OPTIONS_SAID) == (n_said > 0));
        free(said);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        _cleanup_free_ char *text = fuzz_text(data, n_bytes);
        static const char name[] = "defragd";
        char *argv[ARGUMENTS_MAX + 2], *again[ARGUMENTS_MAX + 2], *rest = n_bytes > 0 ? text : NULL;
        Options options, untouched, second;
        Expected expected;
        int argc = 0, r;

        log_set_max_level(LOG_EMERG);
        argv[argc++] = fuzz_text(name, sizeof(name));
        while (argc <= ARGUMENTS_MAX && rest) {
                char *argument = strsep(&rest, "\n");

                argv[argc++] = fuzz_text(argument, strlen(argument));
        }
        argv[argc] = NULL;
        memcpy(again, argv, sizeof(argv));
        expected = expect(argc, argv);

        memset(&untouched, 0x5a, sizeof(untouched));
        options = untouched;
        r = parse(argc, argv, &options);
        if (expected.sure)
                check_sure(&expected, r, &options);
        if (r == 0)
                check_any(argc, argv, &options);
        else
                require(memcmp(&options, &untouched, sizeof(options)) == 0);

        /* Nothing is remembered. */
        require(parse(argc, again, &second) == r);
        if (r == 0)
                require(second.n_paths == options.n_paths && second.config == options.config &&
                        second.dry_run == options.dry_run && second.once == options.once);
        for (int i = 0; i < argc; i++)
                free(again[i]);
        return 0;
}
