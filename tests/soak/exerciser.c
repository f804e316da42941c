/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* exerciser [OPTION...] DIRECTORY
 *
 * Programs that do to their files whatever a program may do (operations.c), know at every moment what must
 * be in them, and look. Each thread of each process has a file of its own. A file lives for an epoch: a list
 * of operations that follows from a seed, with all of it compared at the end; then a new one begins. With
 * --board they meet the engine at its work on their files (board.h).
 *
 *   --processes=N --threads=N   of each (1, 4)          --seconds=N     stop after that time (until SIGTERM)
 *   --size=BYTES    most of a file (1M)                 --epochs=N      or after so many (no end)
 *   --length=N      operations of an epoch (200)        --seed=N        (of the clock)
 *   --board=FILE    of part-mover                       --rest=USEC     longest rest for the engine (400000)
 *   --break-at=N    change a byte behind the back of the model after the N-th operation of each epoch: it has
 *                   to be found
 *   --shrink=SECONDS  most time for making a failing list short (60); four times as much until it failed again, and until a
 *                   first part of it could be spared
 *   --tries=N       runs that a list gets to fail in: races are not won every time (10)
 *   --replay=SEED   one file, that epoch alone; --operations=FILE the list in FILE, as it is printed
 *
 * When something is lost, all stop, and the list is run again and again with parts left out until none can
 * be spared; what is left is printed. Exit status 1 then, 0 when all was as it should be. The files of the
 * last epoch stay. */

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "../tools/tool.h"
#include "operations.h"

#define WORKERS_MAX 64

static uint64_t arg_n_processes = 1, arg_n_threads = 4, arg_room_bytes = 1 << 20, arg_n_seconds,
                arg_n_epochs;
static uint64_t arg_length = 200, arg_seed, arg_rest_usec = 400000, arg_break_at = UINT64_MAX;
static uint64_t arg_shrink_seconds = 60, arg_n_tries = 10, arg_replay;
static const char *arg_board, *arg_operations, *arg_directory;

typedef struct Worker {
        unsigned number;
        ModelFile file;
        Operation *list;
        pthread_t thread;
} Worker;

static Tally *tally;

static void on_stop(int number)
{
        (void)number;
        atomic_store(&tally->stop, true);
}

static void worker_init(Worker *worker, unsigned number)
{
        *worker = (Worker){.number = number};
        worker->file = (ModelFile){.directory = arg_directory,
                                   .tally = tally,
                                   .room_bytes = arg_room_bytes,
                                   .rest_usec = arg_rest_usec};
        (void)snprintf(worker->file.name, sizeof(worker->file.name), "file-%02u", number);
        worker->list = calloc(arg_length, sizeof(*worker->list));
        if (!worker->list)
                die("buffer");
        if (arg_board) {
                worker->file.board = board_open(arg_board);
                if (!worker->file.board)
                        die("%s", arg_board);
        }
        model_init(&worker->file);
}

static void worker_done(Worker *worker)
{
        model_done(&worker->file);
        if (worker->file.board)
                (void)munmap(worker->file.board, sizeof(Board));
        free(worker->list);
}

/* --- after a loss --- */

typedef struct Trial {
        ModelFile *file;
        uint64_t seed, n_tries;
        time_t deadline;
        size_t n_reached;
        bool is_shorter;
} Trial;

static time_t now_seconds(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec;
}

static bool trial_fails(const Operation *list, size_t n, void *context)
{
        Trial *trial = context;

        for (uint64_t i = 0; i < trial->n_tries && now_seconds() < trial->deadline; i++)
                if (operations_run(trial->file, trial->seed, list, n, &trial->n_reached) == MODEL_LOST)
                        return true;
        return false;
}

/* Of a rare race: the first parts are the largest, most often cannot be spared, and must not take all the time. */
static bool shorter_fails(const Operation *list, size_t n, void *context)
{
        Trial *trial = context;
        const time_t now = now_seconds(), end = trial->deadline, some = 1 + (time_t)arg_shrink_seconds / 4;
        bool fails;

        if (!trial->is_shorter && now + some < end)
                trial->deadline = now + some;
        fails = trial_fails(list, n, trial);
        trial->deadline = fails && !trial->is_shorter ? now_seconds() + (time_t)arg_shrink_seconds : end;
        trial->is_shorter |= fails;
        return fails;
}

static void list_print(const Operation *list, size_t n)
{
        for (size_t i = 0; i < n; i++)
                operation_write(&list[i], stdout);
}

/* Others may go on; what they do to their files does not matter here. */
static void shrink(Worker *worker, uint64_t seed, size_t n)
{
        Tally own = {0};
        ModelFile *file = &worker->file;
        Trial trial = {
                .file = file,
                .seed = seed,
                .n_tries = arg_n_tries,
                /* Without a list that fails again there is nothing to shrink: that gets the most time. */
                .deadline = now_seconds() + 4 * (time_t)arg_shrink_seconds};
        unsigned n_runs;

        file->tally = &own;
        /* The engine has many to look after, and none of the others matters any more. */
        file->rest_usec *= 5;
        if (!trial_fails(worker->list, n, &trial)) {
                printf("%zu operations did not fail again:\n", n);
                list_print(worker->list, n);
                return;
        }
        trial.deadline = now_seconds() + 4 * (time_t)arg_shrink_seconds;
        n = operations_shrink(worker->list, trial.n_reached, shorter_fails, &trial, &n_runs);
        /* Whatever is left, it has to fail still. */
        printf("shrunk to %zu operations in %u runs%s\n", n, n_runs,
               now_seconds() >= trial.deadline ? ", when the time was up" : "");
        trial.deadline = now_seconds() + (time_t)arg_shrink_seconds;
        printf("%s\n", trial_fails(worker->list, n, &trial) ? file->complaint : "which was not seen again");
        list_print(worker->list, n);
        file->verbose = true;
        printf("which means:\n");
        (void)operations_run(file, seed, worker->list, n, &trial.n_reached);
}

static void lost(Worker *worker, uint64_t seed, size_t n_reached)
{
        bool first = atomic_fetch_add(&tally->n_lost, 1) == 0;

        atomic_store(&tally->stop, true);
        printf("LOST: %s: %s; after operation %zu of the epoch\n", worker->file.name, worker->file.complaint,
               n_reached);
        if (!first)
                return;
        if (!arg_operations)
                printf("again: exerciser --replay=%llu --length=%llu --size=%llu\n",
                       (unsigned long long)seed, (unsigned long long)arg_length,
                       (unsigned long long)arg_room_bytes);
        (void)fflush(stdout);
        shrink(worker, seed, n_reached);
        (void)fflush(stdout);
}

/* --- the work --- */

/* Runs its list; false when something was lost. */
static bool epoch_run(Worker *worker, uint64_t seed, size_t n)
{
        size_t n_reached;

        if (arg_break_at < n)
                worker->list[arg_break_at].breaks = true;
        if (operations_run(&worker->file, seed, worker->list, n, &n_reached) == MODEL_LOST) {
                lost(worker, seed, n_reached);
                return false;
        }
        atomic_fetch_add(&tally->n_epochs, 1);
        return true;
}

static void *worker_run(void *argument)
{
        Worker *worker = argument;
        uint64_t state = arg_seed << 16 ^ worker->number;

        for (uint64_t i = 0; (arg_n_epochs == 0 || i < arg_n_epochs) && !atomic_load(&tally->stop); i++) {
                uint64_t seed = random_next(&state);

                operations_make(seed, worker->list, arg_length);
                if (!epoch_run(worker, seed, arg_length))
                        break;
        }
        return NULL;
}

static void process_run(unsigned number)
{
        static Worker workers[WORKERS_MAX];

        for (unsigned i = 0; i < arg_n_threads; i++)
                worker_init(&workers[i], number * (unsigned)arg_n_threads + i);
        for (unsigned i = 0; i < arg_n_threads; i++)
                if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) != 0)
                        die_plainly("no thread");
        for (unsigned i = 0; i < arg_n_threads; i++) {
                (void)pthread_join(workers[i].thread, NULL);
                worker_done(&workers[i]);
        }
}

/* Returns the worst exit status of the children. */
static int processes_run(void)
{
        int status, worst = 0;

        (void)fflush(stdout);
        for (unsigned i = 0; i < arg_n_processes; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        die("fork");
                if (pid == 0) {
                        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                        process_run(i);
                        (void)fflush(stdout);
                        _exit(0);
                }
        }
        if (arg_n_seconds > 0)
                (void)alarm((unsigned)arg_n_seconds);
        for (;;) {
                pid_t pid = waitpid(-1, &status, 0);

                if (pid < 0 && errno == EINTR)
                        continue;
                if (pid < 0)
                        break;
                if (status != 0) {
                        worst = STATUS_ERROR;
                        atomic_store(&tally->stop, true);
                }
        }
        return worst;
}

/* One file, one list. */
static void single_run(void)
{
        static Worker worker;
        uint64_t seed = arg_replay;
        size_t n = arg_length;

        if (arg_operations) {
                FILE *stream = fopen(arg_operations, "re");

                if (!stream)
                        die("%s", arg_operations);
                worker_init(&worker, 0);
                for (n = 0; n < arg_length && operation_read(&worker.list[n], stream);)
                        n++;
                if (n == 0 || !feof(stream))
                        die_plainly("%s: operation %zu cannot be read, or there are too many",
                                    arg_operations, n);
                (void)fclose(stream);
        } else {
                worker_init(&worker, 0);
                operations_make(seed, worker.list, n);
        }
        for (uint64_t i = 0; i < arg_n_tries && !atomic_load(&tally->stop); i++)
                if (!epoch_run(&worker, seed, n))
                        break;
        worker_done(&worker);
}

static void report(void)
{
        unsigned long long n[WRITE_KINDS_], sum = 0;

        for (unsigned i = 0; i < WRITE_KINDS_; i++)
                sum += n[i] = atomic_load(&tally->n_writes[i]);
        printf("%llu writes: buffered %llu, direct %llu, uring %llu, aio %llu, mmap %llu, pinned %llu; %llu "
               "of "
               "them between sample and commit of their file\n",
               sum, n[WRITE_BUFFERED], n[WRITE_DIRECT], n[WRITE_URING], n[WRITE_AIO], n[WRITE_MMAP],
               n[WRITE_PINNED], (unsigned long long)atomic_load(&tally->n_met));
        printf("%llu operations, %llu epochs, %llu comparisons, %llu rests (%llu met the engine), %u lost\n",
               (unsigned long long)atomic_load(&tally->n_operations),
               (unsigned long long)atomic_load(&tally->n_epochs),
               (unsigned long long)atomic_load(&tally->n_checks),
               (unsigned long long)atomic_load(&tally->n_rests),
               (unsigned long long)atomic_load(&tally->n_rests_met), atomic_load(&tally->n_lost));
}

static void parse_arguments(int argc, char *argv[])
{
        static const struct option options[] = {
                {"processes", required_argument, NULL, 'p'},
                {"threads", required_argument, NULL, 't'},
                {"seconds", required_argument, NULL, 's'},
                {"size", required_argument, NULL, 'z'},
                {"epochs", required_argument, NULL, 'e'},
                {"length", required_argument, NULL, 'l'},
                {"seed", required_argument, NULL, 'r'},
                {"board", required_argument, NULL, 'b'},
                {"rest", required_argument, NULL, 'w'},
                {"break-at", required_argument, NULL, 'x'},
                {"shrink", required_argument, NULL, 'k'},
                {"tries", required_argument, NULL, 'n'},
                {"replay", required_argument, NULL, 'y'},
                {"operations", required_argument, NULL, 'o'},
                {NULL, 0, NULL, 0},
        };
        static uint64_t *const numbers[] = {
                ['p'] = &arg_n_processes,    ['t'] = &arg_n_threads, ['s'] = &arg_n_seconds,
                ['z'] = &arg_room_bytes,     ['e'] = &arg_n_epochs,  ['l'] = &arg_length,
                ['r'] = &arg_seed,           ['w'] = &arg_rest_usec, ['x'] = &arg_break_at,
                ['k'] = &arg_shrink_seconds, ['n'] = &arg_n_tries,   ['y'] = &arg_replay,
        };
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                if (option == '?')
                        exit(STATUS_ERROR);
                if (option == 'b')
                        arg_board = optarg;
                else if (option == 'o')
                        arg_operations = optarg;
                else
                        *numbers[option] = size_of_text(optarg);
        }
        if (optind + 1 != argc)
                die_plainly("usage: exerciser [OPTION...] DIRECTORY");
        arg_directory = argv[optind];
        if (arg_n_threads == 0 || arg_n_threads > WORKERS_MAX || arg_n_processes == 0 || arg_length == 0 ||
            arg_room_bytes < 4 * FLIGHT_MAX * BLOCK_BYTES || arg_room_bytes % BLOCK_BYTES != 0 ||
            arg_n_tries == 0)
                die_plainly("numbers out of range");
}

int main(int argc, char *argv[])
{
        const struct sigaction action = {.sa_handler = on_stop};
        int worst = 0;

        arg_seed = (uint64_t)time(NULL);
        parse_arguments(argc, argv);
        tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (tally == MAP_FAILED)
                die("tally");
        if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0 ||
            sigaction(SIGALRM, &action, NULL) < 0)
                die("sigaction");
        printf("seed %llu\n", (unsigned long long)arg_seed);
        if (arg_replay || arg_operations)
                single_run();
        else
                worst = processes_run();
        report();
        if (fflush(stdout) != 0)
                return STATUS_ERROR;
        return atomic_load(&tally->n_lost) > 0 ? STATUS_WRONG : worst;
}
