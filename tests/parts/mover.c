/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* part-mover [--board=FILE] [--guard=USEC] [--linger=USEC] [--log=FILE] MOUNT DIRECTORY...
 *
 * An engine that never rests: goes over all files below each DIRECTORY, which lies on the volume at MOUNT,
 * again and again until SIGTERM, and moves each that is worth it, as the worker of the service would, but
 * without settling, budget, rate or pause. A file that is too young is left for the next round, so no file
 * waits for another.
 *
 * --board shows which file is between its sample and its commit (soak/board.h), and takes wishes which is to
 * be next. --linger is the longest pause before the copy and before the commit. --guard makes the age guard
 * shorter in every other round, where the probe has seen that the kernel gives changes distinct stamps; then
 * it is the freshness check of the commit alone that stands between a writer and a loss.
 *
 * --log takes a line for each file of which something was moved: its inode, and when that was begun, after the sample, and ended, in
 * microseconds of the monotonic clock. What the kernel's log calls that time is said there by "defragd-test: part-mover at USEC".
 *
 * Prints "ready" when it begins and what came of all moves at the end; exit status 1 when something failed
 * that must not fail whatever others do with their files. */

#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../soak/board.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/units.h"
#include "facts/mounts.h"
#include "fs/engine.h"
#include "fs/lease.h"
#include "work/relocation.h"

#define FILES_MAX  1024
#define GUARD_NONE UINT64_MAX

typedef struct Mover {
        FsVolume volume;
        Copier *copier;
        RelocationOptions options;
        Board *board; /* NULL: nobody looks */
        FILE *log;    /* or NULL */
        uint64_t guard_usec, linger_usec;
        uint64_t probed_guard_nsec; /* the volume's own, 0 until it was probed */
        uint64_t random;
        uint64_t n_outcomes[OUTCOME_MAX_][REASON_MAX_];
        uint64_t n_young, n_regions, n_bytes, n_rounds;
        bool failed;
} Mover;

static volatile sig_atomic_t stop;

static void on_stop(int number)
{
        (void)number;
        stop = 1;
}

/* nftw() gives its callback no argument. */
static Candidate *candidates;
static size_t n_candidates;
static FileId directory_id;

static int on_file(const char *path, const struct stat *status, int type, struct FTW *place)
{
        Candidate *candidate = &candidates[n_candidates];

        (void)place;
        if (type != FTW_F || !S_ISREG(status->st_mode))
                return 0;
        if (n_candidates == FILES_MAX)
                return 1;
        *candidate = (Candidate){.size_bytes = (uint64_t)status->st_size};
        /* It may be gone already. */
        candidate->parent = directory_id;
        if (file_id_from_name(AT_FDCWD, path, &candidate->id) == 0)
                n_candidates++;
        return 0;
}

static void linger(Mover *mover)
{
        if (mover->linger_usec > 0) {
                struct timespec span = {0};

                mover->random = mover->random * 6364136223846793005U + 1442695040888963407U;
                span.tv_nsec = (long)((mover->random >> 33) % mover->linger_usec * NSEC_PER_USEC);
                (void)ppoll(NULL, 0, &span, NULL);
        }
}

/* The last of these that the file has passed. */
static bool is_sampled(const char *stage)
{
        return strcmp(stage, "reserve") == 0 || strcmp(stage, "copy") == 0 || strcmp(stage, "verify") == 0 ||
               strcmp(stage, "commit") == 0;
}

static void count(Mover *mover, const RelocationResult *result)
{
        mover->n_outcomes[result->outcome][result->reason]++;
        mover->n_bytes += result->bytes_moved;
        if (result->outcome == OUTCOME_FAILED) {
                printf("failed: %s\n", strerror(result->error));
                mover->failed = true;
        }
        if (result->reason == SKIP_NO_ENGINE || result->reason == SKIP_NO_LEASES) {
                printf("%s: %s\n", outcome_name(result->outcome), reason_name(result->reason));
                mover->failed = true;
        }
}

static void move(Mover *mover, const Candidate *candidate)
{
        Relocation *relocation;
        bool done = false, sampled = false;
        uint64_t begun_usec = 0;

        if (relocation_new(&mover->volume, mover->copier, candidate, &mover->options, &relocation) < 0)
                error(2, ENOMEM, "relocation");
        while (!done) {
                const char *stage = relocation_stage(relocation);
                uint64_t wait_usec;

                if (is_sampled(stage) != sampled) {
                        sampled = !sampled;
                        if (begun_usec == 0)
                                begun_usec = clock_monotonic_usec();
                        if (mover->board)
                                board_set(mover->board, sampled ? candidate->id.inode : 0);
                }
                if (strcmp(stage, "copy") == 0 || strcmp(stage, "commit") == 0)
                        linger(mover);
                switch (relocation_step(relocation, &wait_usec)) {
                case RELOCATION_AGAIN:
                        break;
                case RELOCATION_REGION:
                        mover->n_regions++;
                        break;
                case RELOCATION_WAIT:
                        mover->n_young++;
                        done = true;
                        break;
                case RELOCATION_DONE:
                        count(mover, relocation_result(relocation));
                        done = true;
                        break;
                }
                /* The first move makes the probe. */
                if (mover->probed_guard_nsec == 0)
                        mover->probed_guard_nsec = mover->volume.guard_nsec;
        }
        if (mover->board)
                board_set(mover->board, 0);
        if (mover->log && relocation_result(relocation)->bytes_moved > 0)
                (void)fprintf(mover->log, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", candidate->id.inode,
                              begun_usec, clock_monotonic_usec());
        relocation = relocation_free(relocation);
}

/* Somebody has let go of his file a moment ago: the sooner, the more can come to light. */
static void move_wished(Mover *mover)
{
        uint64_t inode = mover->board ? atomic_exchange(&mover->board->wish, 0) : 0;

        for (size_t i = 0; inode != 0 && i < n_candidates; i++)
                if (candidates[i].id.inode == inode)
                        move(mover, &candidates[i]);
}

static void report(const Mover *mover)
{
        uint64_t n_refused = 0;

        for (Outcome outcome = 0; outcome < OUTCOME_MAX_; outcome++)
                for (Reason reason = 0; reason < REASON_MAX_; reason++) {
                        if (mover->n_outcomes[outcome][reason] == 0)
                                continue;
                        printf("%8" PRIu64 " %s%s%s\n", mover->n_outcomes[outcome][reason],
                               outcome_name(outcome), reason == REASON_NONE ? "" : ":", reason_name(reason));
                        if (outcome == OUTCOME_CHANGED || outcome == OUTCOME_BUSY)
                                n_refused += mover->n_outcomes[outcome][reason];
                }
        printf("%s: %" PRIu64 " moves accepted, %" PRIu64 " refused (changed %" PRIu64 "), %" PRIu64
               " too young; %" PRIu64 " MiB copied, %" PRIu64 " rounds\n",
               mover->volume.engine ? mover->volume.engine->name : "no engine", mover->n_regions, n_refused,
               mover->n_outcomes[OUTCOME_CHANGED][CHANGED_WRITTEN], mover->n_young, mover->n_bytes / MIB,
               mover->n_rounds);
}

/* Directories vanish, too, while they are walked; then the rest of this one is for the next round. */
static void look(char *const *directories)
{
        n_candidates = 0;
        for (; *directories; directories++)
                if (file_id_from_name(AT_FDCWD, *directories, &directory_id) < 0 ||
                    (nftw(*directories, on_file, 16, FTW_PHYS) < 0 && errno != ENOENT))
                        error(2, errno, "%s", *directories);
}

/* As far as the kernel's log can be written here. */
static void log_begin(Mover *mover, const char *path)
{
        FILE *kernel = fopen("/dev/kmsg", "we");

        mover->log = fopen(path, "we");
        if (!mover->log)
                error(2, errno, "%s", path);
        if (!kernel)
                return;
        (void)fprintf(kernel, "defragd-test: part-mover at %" PRIu64, clock_monotonic_usec());
        (void)fclose(kernel);
}

static char *const *parse_arguments(Mover *mover, int argc, char *argv[])
{
        static const struct option options[] = {
                {"board", required_argument, NULL, 'b'},
                {"guard", required_argument, NULL, 'g'},
                {"linger", required_argument, NULL, 'l'},
                {"log", required_argument, NULL, 'o'},
                {NULL, 0, NULL, 0},
        };
        _cleanup_close_ int fd = -EBADF;
        struct stat status;
        dev_t device;
        int option, r;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case 'b':
                        mover->board = board_open(optarg);
                        if (!mover->board)
                                error(2, errno, "%s", optarg);
                        break;
                case 'g':
                        mover->guard_usec = strtoull(optarg, NULL, 10);
                        break;
                case 'l':
                        mover->linger_usec = strtoull(optarg, NULL, 10);
                        break;
                case 'o':
                        log_begin(mover, optarg);
                        break;
                default:
                        exit(2);
                }
        if (optind + 2 > argc)
                error(2, 0,
                      "usage: part-mover [--board=FILE] [--guard=USEC] [--linger=USEC] [--log=FILE] MOUNT "
                      "DIRECTORY...");
        fd = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &status) < 0)
                error(2, errno, "%s", argv[optind]);
        r = mount_device(fd, &status, &device);
        if (r == 0)
                r = fs_volume_init(&mover->volume, argv[optind], device);
        if (r == 0 && mover->volume.facts.type->directory_path)
                r = fs_volume_add_mount(&mover->volume, "/", argv[optind], true);
        if (r < 0)
                error(2, -r, "%s", argv[optind]);
        return argv + optind + 1;
}

int main(int argc, char *argv[])
{
        const struct sigaction action = {.sa_handler = on_stop};
        Mover mover = {.guard_usec = GUARD_NONE, .random = 4711};
        char *const *directories = parse_arguments(&mover, argc, argv);

        if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0)
                error(2, errno, "sigaction");
        lease_ignore_breaks();
        candidates = calloc(FILES_MAX, sizeof(*candidates));
        if (!candidates || copier_new(false, &mover.copier) < 0)
                error(2, ENOMEM, "buffers");
        mover.options = (RelocationOptions){
                .policy = {.executables = true, .busy_files = true},
                .limits = {.max_region_bytes = PLAN_REGION_BYTES,
                           .max_region_runs = PLAN_REGION_RUNS,
                           .bytes_per_run = plan_bytes_per_run(true)},
                .max_rate = BYTES_INFINITY,
                .max_bytes = BYTES_INFINITY,
        };
        puts("ready");
        (void)fflush(stdout);
        while (!stop) {
                look(directories);
                if (mover.guard_usec != GUARD_NONE && mover.volume.has_distinct_stamps)
                        mover.volume.guard_nsec = mover.n_rounds % 2 ? mover.guard_usec * NSEC_PER_USEC
                                                                     : mover.probed_guard_nsec;
                for (size_t i = 0; i < n_candidates && !stop; i++) {
                        move_wished(&mover);
                        move(&mover, &candidates[i]);
                }
                mover.n_rounds++;
                /* Nothing to be seen: do not burn the processor that others write with. */
                if (n_candidates == 0)
                        (void)poll(NULL, 0, 5);
        }
        report(&mover);
        if (mover.log && fclose(mover.log) != 0)
                error(2, errno, "log");
        mover.copier = copier_free(mover.copier);
        fs_volume_done(&mover.volume);
        free(candidates);
        return mover.failed;
}
