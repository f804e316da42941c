/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* defragd: finds files that lie in many pieces and moves them into fewer, so that nothing can be lost.
 *
 * The run of `defragd --once PATH...`, and where each part of it lives:
 *
 *   1. Configuration is read and must be without a mistake                              facts/config
 *   2. The host's mount table is opened; the process moves into a mount namespace of
 *      its own, where everything is read-only, and gives up what it will not need        service/privilege
 *   3. Each PATH is resolved once; its volume is asked whether it may be worked on       service/once_volume
 *   4. Candidates: a file itself, a directory by its names, a whole volume by its
 *      inodes. Known from here on by inode and generation, not by path                   service/collect, work/
 *   5. For each candidate, best first, a relocation goes step by step:                   work/relocation
 *        look     open read-only, ask the policy, read the extent map, plan regions      decide/
 *        then for each region:
 *        sample   prove by a lease that nobody uses the file, take the freshness cookie  fs/
 *        reserve  make the donor and allocate it; is its layout really better?
 *        copy     direct I/O, source to donor
 *        verify   flush, read the donor back, compare checksums
 *        commit   the kernel exchanges the two, unless the file changed since the sample
 *      Nothing is held between regions; a signal is honoured between steps.
 *   6. What became of each is said at once, the totals at the end                        service/report
 *
 * The run of the service, `defragd` alone:
 *
 *   1. As above up to 2; a mistake in the configuration narrows what is touched, and is told                 service/manager
 *   2. The main thread reads the host's mount table whenever it changes and takes up what is
 *      enabled: one worker thread a physical disk does all that touches a volume,
 *      one writer thread has the ledger and the journal; they exchange letters           service/worker, writer, letters
 *   3. Files that were written (fanotify) wait until they have been left alone, a sweep
 *      finds the others; both become entries of the volume's queue                       work/watch, work/inventory
 *   4. When limits and budget allow it, the best entry is relocated as above             decide/queue, regulate, budget
 *   5. What became of it goes to the journal, the sum of it to STATUS; queue, budget and
 *      the place of the sweep into the ledger, for the next start                        work/ledger
 *
 * A refusal anywhere is an outcome of that file and never a reason to try something weaker. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/log.h"
#include "facts/config.h"
#include "service/manager.h"
#include "service/once.h"
#include "service/options.h"

#define EXIT_USAGE 2

static atomic_bool arg_cancel;
static volatile sig_atomic_t arg_signal;

static void on_stop_signal(int signal_number)
{
        arg_signal = signal_number;
        atomic_store(&arg_cancel, true);
}

/* Without SA_RESTART: a wait ends at once. A hangup that the caller ignores (nohup) stays ignored. */
static int catch_stop_signals(void)
{
        struct sigaction stop = {.sa_handler = on_stop_signal}, ignore = {.sa_handler = SIG_IGN}, hangup;

        if (sigemptyset(&stop.sa_mask) < 0 || sigemptyset(&ignore.sa_mask) < 0)
                return -errno;
        if (sigaction(SIGINT, &stop, NULL) < 0 || sigaction(SIGTERM, &stop, NULL) < 0 ||
            sigaction(SIGHUP, NULL, &hangup) < 0)
                return -errno;
        if (hangup.sa_handler != SIG_IGN && sigaction(SIGHUP, &stop, NULL) < 0)
                return -errno;
        /* A reader that goes away is an error of the report, after the file in progress. */
        return sigaction(SIGPIPE, &ignore, NULL) < 0 ? -errno : 0;
}

/* With standard output closed by the caller, the first file that we open would get its number, and our own report would
 * be written into it. */
static int keep_standard_descriptors(void)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                if (fcntl(fd, F_GETFD) >= 0)
                        continue;
                if (errno != EBADF)
                        return -errno;
                if (open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) != fd)
                        return -EBADF;
        }
        return 0;
}

static void on_complaint(const char *file, unsigned line, const char *text, void *userdata)
{
        _cleanup_free_ char *name = escape_text(file);

        (void)userdata;
        log_error("%s:%u: %s", name ? name : "configuration", line, text);
}

static int run_once(const Options *options)
{
        _cleanup_(config_done) Config config = {0};
        const OnceOptions once_options = {
                .all = options->all,
                .dry_run = options->dry_run,
                .json = options->json,
                .no_budget = options->no_budget,
                .verbose = options->verbose,
                .cancel = &arg_cancel,
                .signal = &arg_signal,
        };
        int r;

        r = config_load("", options->config, on_complaint, NULL, &config);
        if (r < 0) {
                _cleanup_free_ char *name = escape_text(options->config ? options->config : "configuration");

                log_error("Cannot read %s: %s", name ? name : "configuration", strerror(-r));
                return EXIT_USAGE;
        }
        if (r > 0)
                return EXIT_USAGE;
        if (options->check_config)
                return EXIT_SUCCESS;
        r = catch_stop_signals();
        if (r < 0) {
                log_error("Cannot catch signals: %s", strerror(-r));
                return ONCE_FAILED;
        }
        return once_run(&once_options, &config, options->paths, options->n_paths);
}

int main(int argc, char *argv[])
{
        Options options;
        int r;

        r = keep_standard_descriptors();
        if (r < 0)
                return ONCE_FAILED;
        (void)umask(0077);
        r = options_parse(argc, argv, &options);
        if (r < 0)
                return EXIT_USAGE;
        if (r == OPTIONS_SAID)
                return fflush(stdout) == 0 ? EXIT_SUCCESS : ONCE_FAILED;
        if (!options.once && !options.check_config)
                return manager_run(options.config, options.verbose);
        if (options.verbose)
                log_set_max_level(LOG_DEBUG);
        return run_once(&options);
}
