/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The frame of a hazard program: its volumes, verdicts, relocations, and leaving nothing behind. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "facts/mounts.h"
#include "fs/engine.h"
#include "fs/lease.h"
#include "lib-hazard.h"

#define UNDO_MAX 32

typedef struct Undo {
        UndoFunction undo;
        char path[256];
        char text[128];
} Undo;

/* Signal handlers and atexit() take no argument, so this is the one place with a state of its own. */
static Undo undo_list[UNDO_MAX];
static volatile sig_atomic_t n_undo;

static void undo_all(void)
{
        while (n_undo > 0) {
                const Undo *last = &undo_list[--n_undo];

                last->undo(last->path, last->text);
        }
}

static void on_fatal_signal(int number)
{
        undo_all();
        _exit(128 + number);
}

void hazard_undo(UndoFunction undo, const char *path, const char *text)
{
        Undo *next = &undo_list[n_undo];

        must(n_undo < UNDO_MAX && strlen(path) < sizeof(next->path) && strlen(text) < sizeof(next->text));
        next->undo = undo;
        strcpy(next->path, path); /* NOLINT: measured above */
        strcpy(next->text, text); /* NOLINT */
        n_undo++;
}

/* Also when a test dies half way. */
static char scratch_path[sizeof(((Arena *)NULL)->path)];

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
        (void)status, (void)type, (void)place;
        return remove(path);
}

static void scratch_remove(void)
{
        if (scratch_path[0] != '\0') {
                (void)nftw(scratch_path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
                scratch_path[0] = '\0';
        }
}

void hazard_undo_forget(void)
{
        static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

        n_undo = 0;
        scratch_path[0] = '\0';
        for (size_t i = 0; i < ELEMENTS(numbers); i++)
                (void)signal(numbers[i], SIG_DFL);
}

static void undo_prepare(void)
{
        static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
        const struct sigaction action = {.sa_handler = on_fatal_signal};

        for (size_t i = 0; i < ELEMENTS(numbers); i++)
                must(sigaction(numbers[i], &action, NULL) == 0);
        must(atexit(undo_all) == 0);
}

bool write_text(const char *path, const char *text)
{
        size_t n_bytes = strlen(text);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool done = fd >= 0 && write(fd, text, n_bytes) == (ssize_t)n_bytes;

        (void)fd_close(fd);
        return done;
}

void hazard_die(const char *what, const char *file, int line)
{
        fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, strerror(errno));
        exit(HAZARD_WRONG);
}

void pause_usec(uint64_t usec)
{
        struct timespec rest = {.tv_sec = (time_t)(usec / USEC_PER_SEC),
                                .tv_nsec = (long)(usec % USEC_PER_SEC * NSEC_PER_USEC)};

        while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
                ;
}

static void say(const Arena *arena, const char *verdict, const char *format, va_list arguments)
        __attribute__((format(printf, 3, 0)));

static void say(const Arena *arena, const char *verdict, const char *format, va_list arguments)
{
        printf("%s: %s: ", arena->volume.engine ? arena->volume.engine->name : arena->path, verdict);
        vprintf(format, arguments);
        printf("\n");
        fflush(stdout);
}

#define SAY(verdict)                                                                                        \
        do {                                                                                                \
                va_list arguments;                                                                          \
                va_start(arguments, format);                                                                \
                say(arena, verdict, format, arguments);                                                     \
                va_end(arguments);                                                                          \
        } while (0)

void hazard_lost(Arena *arena, const char *format, ...)
{
        arena->n_lost++;
        SAY("LOST");
}

void hazard_wrong(Arena *arena, const char *format, ...)
{
        arena->n_wrong++;
        SAY("wrong");
}

void hazard_skip(Arena *arena, const char *format, ...)
{
        arena->n_skipped++;
        SAY("skipped");
}

void hazard_note(const Arena *arena, const char *format, ...)
{
        SAY("note");
}

/* Not the device of its files on btrfs. */
static dev_t device_of(const char *mount_path)
{
        _cleanup_close_ int path_fd = -EBADF;
        struct stat status;
        dev_t device;

        path_fd = open(mount_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        must(path_fd >= 0 && fstat(path_fd, &status) == 0 && mount_device(path_fd, &status, &device) == 0);
        return device;
}

void arena_mounted_anew(Arena *arena)
{
        arena->volume.device = device_of(arena->volume.mount_path);
}

/* Returns false when the volume is none that the engine could be shown on. */
static bool arena_open(Arena *arena, const char *directory, const char *engine)
{
        _cleanup_close_ int root_fd = -EBADF;
        char *path;
        bool ready = false;
        int r, error = 0;

        *arena = (Arena){0};
        path = realpath(directory, NULL);
        must(path);
        must(snprintf(arena->path, sizeof(arena->path), "%s/hazard-XXXXXX", path) <
             (int)sizeof(arena->path));

        r = fs_volume_init(&arena->volume, path, device_of(path));
        if (r < 0) {
                hazard_skip(arena, "%s is not the root of a volume: %s", directory, strerror(-r));
                free(path);
                return false;
        }
        free(path);
        must(mkdtemp(arena->path) && copier_new(false, &arena->copier) == 0);
        strcpy(scratch_path, arena->path); /* NOLINT: of the same size */
        root_fd = fs_volume_open_locked(&arena->volume);
        must(root_fd >= 0);
        r = fs_volume_probe(&arena->volume, root_fd, NULL, 0, &error);
        if (r != 0)
                hazard_wrong(arena, "the probe found no engine on %s: %s", directory, strerror(-error));
        else if (strcmp(arena->volume.engine->name, engine) != 0)
                hazard_skip(arena, "%s cannot show %s", directory, engine);
        else
                ready = true;

        arena->options = (RelocationOptions){
                .policy = {.busy_files = true},
                .limits = {.max_region_bytes = PLAN_REGION_BYTES,
                           .max_region_runs = PLAN_REGION_RUNS,
                           .bytes_per_run = plan_bytes_per_run(true)},
                .max_rate = BYTES_INFINITY,
                .max_bytes = BYTES_INFINITY,
        };
        return ready;
}

static void arena_close(Arena *arena)
{
        scratch_remove();
        arena->copier = copier_free(arena->copier);
        fs_volume_done(&arena->volume);
}

/* The engine that a volume is there to show. */
static const char *engine_of(const char *directory, bool first)
{
        struct statfs status;

        must(statfs(directory, &status) == 0);
        switch (status.f_type) {
        case EXT4_SUPER_MAGIC:
                return "ext4-move-extent";
        case BTRFS_SUPER_MAGIC:
                return "btrfs-defrag-range";
        default:
                return first ? "xfs-exchange" : "xfs-swapext";
        }
}

bool arena_is(const Arena *arena, const char *type)
{
        return strcmp(arena->volume.facts.type->name, type) == 0;
}

dev_t arena_disk(const Arena *arena)
{
        must(arena->volume.n_devices > 0);
        return arena->volume.devices[0];
}

bool content_is_compressible(void)
{
        return getenv("COMPRESSIBLE_CONTENT") != NULL;
}

const char *arena_outcomes(const Arena *arena, const char *outcomes)
{
        if (!arena_is(arena, "btrfs"))
                return outcomes;
        /* What was written directly is not compressed where the rest is. */
        return content_is_compressible()
                       ? "moved optimal busy changed no-space skipped:would-grow skipped:compressed"
                       : "moved optimal busy changed no-space skipped:would-grow";
}

int hazard_main(int argc, char **argv, void (*scenario)(Arena *arena))
{
        unsigned n_lost = 0, n_wrong = 0, n_shown = 0;

        if (argc < 2) {
                fprintf(stderr, "usage: %s EXCHANGE_VOLUME PLAIN_VOLUME | VOLUME\n", argv[0]);
                return HAZARD_WRONG;
        }
        if (geteuid() != 0) {
                printf("needs root\n");
                return HAZARD_SKIP;
        }
        undo_prepare();
        must(atexit(scratch_remove) == 0);
        lease_ignore_breaks();
        for (int i = 1; i < argc; i++) {
                Arena arena;

                if (arena_open(&arena, argv[i], engine_of(argv[i], i == 1)))
                        scenario(&arena);
                n_lost += arena.n_lost;
                n_wrong += arena.n_wrong;
                n_shown += arena.n_skipped == 0;
                arena_close(&arena);
        }
        if (n_lost > 0)
                return HAZARD_LOST;
        if (n_wrong > 0)
                return HAZARD_WRONG;
        return n_shown > 0 ? HAZARD_KEPT : HAZARD_SKIP;
}

void move_begin(Arena *arena, const Subject *subject, Move *ret)
{
        /* Slices begin as on a volume on which nothing has moved lately. */
        arena->volume.notes->slice_usec = 0;
        *ret = (Move){
                .candidate = {.id = subject->id, .parent = subject->parent, .size_bytes = subject->bytes}};
        must(relocation_new(&arena->volume, arena->copier, &ret->candidate, &arena->options,
                            &ret->relocation) == 0);
}

static bool move_steps(Move *move, const char *stage, bool end_at_wait)
{
        while (!stage || strcmp(relocation_stage(move->relocation), stage) != 0) {
                uint64_t wait_usec;

                switch (relocation_step(move->relocation, &wait_usec)) {
                case RELOCATION_DONE:
                        return false;
                case RELOCATION_WAIT:
                        move->n_waits++;
                        if (end_at_wait)
                                return false;
                        pause_usec(wait_usec);
                        break;
                case RELOCATION_AGAIN:
                case RELOCATION_REGION:
                        break;
                }
        }
        return true;
}

bool move_until(Move *move, const char *stage)
{
        return move_steps(move, stage, false);
}

bool move_until_wait(Move *move, const char *stage)
{
        return move_steps(move, stage, true);
}

void move_end(Move *move)
{
        move->relocation = relocation_free(move->relocation);
}

/* Is "outcome" or "outcome:reason" one of the words? */
static bool listed(const char *outcomes, const char *outcome, const char *full)
{
        while (*outcomes != '\0') {
                size_t n = strcspn(outcomes, " ");

                if ((strlen(outcome) == n && strncmp(outcomes, outcome, n) == 0) ||
                    (strlen(full) == n && strncmp(outcomes, full, n) == 0))
                        return true;
                outcomes += n;
                outcomes += strspn(outcomes, " ");
        }
        return false;
}

static void outcome_print(const RelocationResult *result, char ret[static 64])
{
        if (result->outcome == OUTCOME_FAILED && result->error != 0)
                snprintf(ret, 64, "failed:%s", strerrorname_np(result->error));
        else
                snprintf(ret, 64, "%s:%s", outcome_name(result->outcome), reason_name(result->reason));
}

void move_reach(Move *move, const char *stage)
{
        char full[64];

        if (move_until(move, stage))
                return;
        outcome_print(relocation_result(move->relocation), full);
        fprintf(stderr, "%s came before %s\n", full, stage);
        hazard_die("move_reach", __FILE__, __LINE__);
}

static bool move_judge(Arena *arena, Move *move, const char *what, const char *outcomes, bool forbidden)
{
        const RelocationResult *result;
        char full[64];
        bool right;

        (void)move_until(move, NULL);
        result = relocation_result(move->relocation);
        outcome_print(result, full);
        right = listed(outcomes, outcome_name(result->outcome), full);
        if (!right && forbidden && result->outcome == OUTCOME_MOVED)
                hazard_lost(arena, "%s: moved, and should be %s", what, outcomes);
        else if (!right)
                hazard_wrong(arena, "%s: outcome %s, expected %s", what, full, outcomes);
        move_end(move);
        return right;
}

bool move_expect(Arena *arena, Move *move, const char *what, const char *outcomes)
{
        return move_judge(arena, move, what, outcomes, false);
}

bool move_refused(Arena *arena, Move *move, const char *what, const char *outcomes)
{
        return move_judge(arena, move, what, outcomes, true);
}

bool move_whole(Arena *arena, const Subject *subject, const char *what, const char *outcomes)
{
        Move move;

        move_begin(arena, subject, &move);
        return move_expect(arena, &move, what, outcomes);
}
