/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The run of --once: resolve what was named, collect the candidates volume by volume, relocate them best first, give
 * the ones that were in use a second chance at the end, sum up. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/number.h"
#include "base/units.h"
#include "facts/mounts.h"
#include "fs/copy.h"
#include "fs/lease.h"
#include "service/collect.h"
#include "service/examine.h"
#include "service/once.h"
#include "service/once_breaker.h"
#include "service/once_budget.h"
#include "service/once_volume.h"
#include "service/privilege.h"
#include "service/report.h"
#include "work/relocation.h"

/* A file that was busy or changed, and what its first try came to. */
typedef struct Later {
        OnceVolume *volume;
        const Candidate *candidate;
        RelocationResult first;
} Later;

typedef struct Once {
        const OnceOptions *options;
        const Config *config;
        int table_fd;
        MountTable table;
        Copier *copier;
        OnceBudget *budget; /* NULL where DailyWrites= does not hold */
        OnceBreaker breaker;
        OnceVolume **volumes;
        size_t n_volumes;
        Later *later;
        size_t n_later;
        uint64_t n_candidates, n_visited; /* for the progress line */
        uint64_t owed_usec;               /* to be waited before the next file because of MaxRate= */
        bool any_unsupported;
        Report report;
} Once;

static bool once_stopped(const Once *once)
{
        return atomic_load(once->options->cancel) || once->report.error < 0;
}

/* Waits, or less: until one of the signals that stop us. They are let in during the wait alone, so none can slip in
 * between the question and the wait. */
static void once_wait(const Once *once, uint64_t usec)
{
        uint64_t sec = u64_min(usec / USEC_PER_SEC, INT_MAX);
        struct timespec span = {
                .tv_sec = (time_t)sec,
                .tv_nsec = (long)(usec % USEC_PER_SEC * NSEC_PER_USEC),
        };
        sigset_t stop, before;

        if (sigemptyset(&stop) < 0 || sigaddset(&stop, SIGINT) < 0 || sigaddset(&stop, SIGTERM) < 0 ||
            sigaddset(&stop, SIGHUP) < 0 || sigprocmask(SIG_BLOCK, &stop, &before) < 0)
                return;
        if (!once_stopped(once))
                (void)ppoll(NULL, 0, &span, &before);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

static int once_volume_get(Once *once, int fd, const struct stat *status, const char *path, OnceVolume **ret)
{
        const VolumeConfig *settings;
        const Mount *mount;
        dev_t device;
        OnceVolume **moved;
        int r;

        r = mount_device(fd, status, &device);
        if (r < 0)
                return r;
        mount = volume_mount(&once->table, device, once->config, path, &settings);
        for (size_t i = 0; i < once->n_volumes; i++) {
                OnceVolume *volume = once->volumes[i];

                /* Each mounted part of a file system has settings of its own. */
                if (volume->device == device && (!mount || !device_is_anonymous(device) ||
                                                 strcmp(volume->mount_path, mount->target) == 0)) {
                        *ret = volume;
                        return 0;
                }
        }
        moved = reallocarray(once->volumes, once->n_volumes + 1, sizeof(*moved));
        if (!moved)
                return -ENOMEM;
        once->volumes = moved;
        r = once_volume_new(device, path, &once->table, once->config, once->options, &once->breaker,
                            &once->report, ret);
        if (r < 0)
                return r;
        once->volumes[once->n_volumes++] = *ret;
        return 0;
}

static void once_path_failed(Once *once, const char *path, int error)
{
        ReportFile file = {.path = path, .outcome = OUTCOME_FAILED, .error = error, .named = true};

        report_file(&once->report, &file);
}

/* Opens what a person named, following symbolic links this once, and finds out what it is really called: by the
 * descriptor, so that path and file cannot be two different things. Returns the O_PATH descriptor or -errno. */
static int named_path_open(const char *named, struct stat *ret_status, char ret_path[static PATH_MAX])
{
        _cleanup_close_ int fd = -EBADF;
        char link[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
        ssize_t n_bytes;

        fd = open(named, O_PATH | O_CLOEXEC);
        if (fd < 0 || fstat(fd, ret_status) < 0)
                return -errno;
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n_bytes = readlink(link, ret_path, PATH_MAX);
        if (n_bytes < 0)
                return -errno;
        if (n_bytes >= PATH_MAX)
                return -ENAMETOOLONG;
        ret_path[n_bytes] = '\0';
        /* "(unreachable)..." lies outside our root directory. */
        if (ret_path[0] != '/' || ret_status->st_nlink == 0)
                return -ENOENT;
        return TAKE_FD(fd);
}

/* Is the disk broken, or is it on its way out? After ENODEV nothing depends on it. */
static void once_await_removal(const Once *once, const OnceVolume *volume, int error)
{
        const uint64_t deadline_usec = clock_monotonic_usec() + REMOVAL_USEC;

        while (error != ENODEV && volume_may_be_gone(error) && !fs_volume_disk_is_gone(&volume->fs) &&
               !once_stopped(once) && clock_monotonic_usec() < deadline_usec)
                once_wait(once, REMOVAL_LOOK_USEC);
}

static void once_trip(Once *once, const OnceVolume *volume, const Candidate *candidate,
                      const RelocationResult *result)
{
        if (result->trip.kind == TRIP_NONE)
                return;
        report_hide_progress(&once->report);
        once_breaker_trip(&once->breaker, &volume->fs, candidate, result->engine, &result->trip);
}

/* An error of looking around, before there is any candidate. */
static void once_learn_error(Once *once, OnceVolume *volume, int error)
{
        RelocationResult result = {
                .outcome = OUTCOME_FAILED,
                .error = error,
                .trip = {.kind = breaker_judge_error(error, false), .error = error, .step = "look"},
        };

        if (result.trip.kind == TRIP_NONE || !volume->fs.uuid[0])
                return;
        once_await_removal(once, volume, error);
        volume_excuse(&volume->fs, &result);
        once_trip(once, volume, NULL, &result);
        once_volume_learn(volume, &result);
}

/* Collects what is behind one PATH. Returns 0, also when that came to nothing, or what ends the run. */
static int once_collect(Once *once, const char *named)
{
        _cleanup_close_ int fd = -EBADF;
        char path[PATH_MAX];
        OnceVolume *volume;
        ReportFile file;
        struct stat status;
        int r;

        fd = named_path_open(named, &status, path);
        if (fd < 0) {
                once_path_failed(once, named, -fd);
                return 0;
        }
        if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
                file = (ReportFile){
                        .path = path,
                        .inode = status.st_ino,
                        .outcome = OUTCOME_SKIPPED,
                        .reason = SKIP_NOT_A_FILE,
                        .named = true,
                };
                report_file(&once->report, &file);
                once->any_unsupported = true;
                return 0;
        }
        r = once_volume_get(once, fd, &status, path, &volume);
        if (r < 0)
                return r;
        if (!volume->stopped) {
                r = collect_path(volume, fd, path, &status, &once->report, once->options->cancel);
                if (r < 0 && r != -ECANCELED && r != -ENOMEM) {
                        once_learn_error(once, volume, -r);
                        once_path_failed(once, path, -r);
                        r = 0;
                }
                return r;
        }
        if (volume->outcome == OUTCOME_FAILED)
                once_learn_error(once, volume, volume->error);
        file = once_volume_report(volume, path, (FileId){.inode = status.st_ino});
        file.named = true;
        report_file(&once->report, &file);
        return 0;
}

/* Has the mount table changed since it was last read? Then every volume is looked at again: an administrator who
 * unmounts or protects one means us, too. */
static void once_watch_mounts(Once *once)
{
        struct pollfd changed = {.fd = once->table_fd, .events = POLLPRI};
        MountTable table;

        if (poll(&changed, 1, 0) <= 0 || !(changed.revents & (POLLPRI | POLLERR)))
                return;
        if (mount_table_read(once->table_fd, &table) < 0)
                return;
        mount_table_done(&once->table);
        once->table = table;
        for (size_t i = 0; i < once->n_volumes; i++)
                once_volume_recheck(once->volumes[i], &once->table);
}

/* SharedExtents=yes: what it costs is said before anything is moved. */
static void once_say_sharing(Once *once, const Candidate *candidate, uint64_t shared_bytes)
{
        _cleanup_free_ char *path = escape_text(candidate->path ? candidate->path : "?");
        char bytes[BYTES_TEXT];

        report_hide_progress(&once->report);
        log_notice("%s: moving it takes up to %s of space that it shares so far", path ? path : "?",
                   format_bytes(shared_bytes, bytes));
}

/* Drives one relocation to its end. Returns 0 or -ENOMEM. */
static int once_relocate(Once *once, OnceVolume *volume, const Candidate *candidate, RelocationResult *ret)
{
        Relocation *relocation;
        const RelocationResult *result;
        uint64_t wait_usec = 0;
        uint64_t said_bytes = volume->relocation.dry_run ? UINT64_MAX : 0;
        int r;

        if (once->budget) {
                r = once_budget_take(once->budget, volume, candidate->size_bytes,
                                     &volume->relocation.max_bytes);
                if (r < 0)
                        return r;
        }
        r = relocation_new(&volume->fs, once->copier, candidate, &volume->relocation, &relocation);
        if (r < 0)
                return r;
        result = relocation_result(relocation);
        for (;;) {
                if (result->bytes_shared > said_bytes) {
                        once_say_sharing(once, candidate, result->bytes_shared);
                        said_bytes = result->bytes_shared;
                }
                report_progress(&once->report, once->n_visited, once->n_candidates, candidate->path,
                                result->bytes_moved);
                switch (relocation_step(relocation, &wait_usec)) {
                case RELOCATION_AGAIN:
                case RELOCATION_REGION:
                        break;
                case RELOCATION_WAIT:
                        once_wait(once, wait_usec);
                        break;
                case RELOCATION_DONE:
                        *ret = *result;
                        relocation_free(relocation);
                        if (once->budget)
                                once_budget_spent(once->budget, volume, ret->bytes_spent);
                        once->owed_usec = ret->owed_usec;
                        once_await_removal(once, volume, volume_error_of(ret));
                        volume_excuse(&volume->fs, ret);
                        once_trip(once, volume, candidate, ret);
                        once_volume_learn(volume, ret);
                        return 0;
                }
        }
}

static int once_put_off(Once *once, OnceVolume *volume, const Candidate *candidate,
                        const RelocationResult *first)
{
        Later *moved;

        /* Grown by doubling: the count is the room whenever it is a power of two. */
        if ((once->n_later & (once->n_later - 1)) == 0) {
                moved = reallocarray(once->later, once->n_later ? 2 * once->n_later : 1, sizeof(*moved));
                if (!moved)
                        return -ENOMEM;
                once->later = moved;
        }
        once->later[once->n_later++] = (Later){.volume = volume, .candidate = candidate, .first = *first};
        return 0;
}

static int once_visit(Once *once, OnceVolume *volume, const Candidate *candidate)
{
        RelocationResult result;
        uint32_t unused;
        int r;

        if (once->owed_usec > 0)
                once_wait(once, TAKE(once->owed_usec, 0));
        if (once_stopped(once))
                return 0;
        once->n_visited++;
        once_watch_mounts(once);
        if (inode_map_find(&volume->excluded, candidate->id, &unused)) {
                once_volume_say_unopened(volume, candidate, true);
                return 0;
        }
        if (volume->stopped) {
                once_volume_say_unopened(volume, candidate, false);
                return 0;
        }
        r = once_relocate(once, volume, candidate, &result);
        if (r < 0)
                return r;
        if (result.outcome == OUTCOME_BUSY || result.outcome == OUTCOME_CHANGED)
                return once_put_off(once, volume, candidate, &result);
        once_volume_say(volume, candidate, &result);
        return 0;
}

/* The second try of a file. What the first one moved stays moved, and what it came to stands if there is no second. */
static int once_revisit(Once *once, const Later *later)
{
        const RelocationResult *first = &later->first;
        RelocationResult result;
        int r;

        if (once->owed_usec > 0)
                once_wait(once, TAKE(once->owed_usec, 0));
        once_watch_mounts(once);
        if (later->volume->stopped || once_stopped(once)) {
                once_volume_say(later->volume, later->candidate, first);
                return 0;
        }
        r = once_relocate(once, later->volume, later->candidate, &result);
        if (r < 0)
                return r;
        if (result.outcome == OUTCOME_CANCELLED && result.bytes_moved == 0) {
                once_volume_say(later->volume, later->candidate, first);
                return 0;
        }
        if (first->runs_before != 0) {
                if (result.runs_before == 0) /* not even looked at this time */
                        result.runs_after = first->runs_after;
                result.runs_before = first->runs_before;
        }
        if (result.outcome == OUTCOME_OPTIMAL && first->bytes_moved > 0)
                result.outcome = OUTCOME_MOVED;
        result.bytes_moved += first->bytes_moved;
        result.usec += first->usec;
        once_volume_say(later->volume, later->candidate, &result);
        return 0;
}

/* Everything that the configuration enables by itself. */
static int once_collect_all(Once *once)
{
        const VolumeConfig *settings;
        int r = 0;

        for (size_t i = 0; i < once->table.n_mounts && r >= 0 && !once_stopped(once); i++) {
                const Mount *mount = &once->table.mounts[i];

                /* Of several mounts of a volume the one by which it is reached. */
                if (file_system_find(mount->type) && mount->writable &&
                    mount == volume_mount(&once->table, mount->device, once->config,
                                          device_is_anonymous(mount->device) ? mount->target : NULL,
                                          &settings) &&
                    settings->enabled == ENABLED_YES)
                        r = once_collect(once, mount->target);
        }
        return r;
}

static int once_work(Once *once, char *const paths[], size_t n_paths)
{
        size_t at = 0;
        int r = 0;

        if (once->options->all)
                r = once_collect_all(once);
        for (size_t i = 0; i < n_paths && r >= 0 && !once_stopped(once); i++)
                r = once_collect(once, paths[i]);
        for (size_t i = 0; i < once->n_volumes; i++) {
                candidate_list_sort(&once->volumes[i]->list);
                once->n_candidates += once->volumes[i]->list.n_items;
        }

        for (size_t i = 0; i < once->n_volumes && r >= 0; i++)
                for (at = 0; at < once->volumes[i]->list.n_items && r >= 0 && !once_stopped(once); at++)
                        r = once_visit(once, once->volumes[i], &once->volumes[i]->list.items[at]);
        for (size_t i = 0; i < once->n_later && r >= 0; i++)
                r = once_revisit(once, &once->later[i]);
        if (once->n_candidates > once->n_visited)
                report_cancelled(&once->report, once->n_candidates - once->n_visited);
        return r == -ECANCELED ? 0 : r;
}

/* The order is explained in privilege.h. */
static int once_prepare(Once *once, const char **ret_what)
{
        const bool is_charged = once->options->all && !once->options->no_budget && !once->options->dry_run;
        const char *directory = NULL;
        int r;

        *ret_what = "/proc/1/mountinfo";
        once->table_fd = mount_table_open();
        if (once->table_fd < 0)
                return once->table_fd;
        if (is_charged) {
                *ret_what = "the state directory";
                directory = once_budget_directory();
                if (!directory)
                        return -errno;
        }
        once_breaker_prepare(&once->breaker, once->options->dry_run);
        r = privilege_own_namespace(ret_what);
        if (r < 0)
                return r;
        if (is_charged) {
                *ret_what = "the ledger";
                r = privilege_keep_writable(directory);
                if (r >= 0)
                        r = once_budget_new(directory, &once->budget);
                if (r < 0)
                        return r;
        }
        once_breaker_begin(&once->breaker, once->options->dry_run, is_charged);
        *ret_what = "copy buffers";
        r = copier_new(false, &once->copier);
        if (r < 0)
                return r;
        log_debug("copies go through %s", copier_uses_uring(once->copier)
                                                  ? "io_uring"
                                                  : "pread and pwrite: no ring, or no locked memory for it");
        lease_ignore_breaks();
        r = privilege_drop(ret_what);
        if (r < 0)
                return r;
        if (!once->options->no_budget)
                privilege_lower_priority();
        *ret_what = "/proc/1/mountinfo";
        return mount_table_read(once->table_fd, &once->table);
}

static void once_done(Once *once)
{
        for (size_t i = 0; i < once->n_volumes; i++)
                once_volume_free(once->volumes[i]);
        once_budget_free(once->budget);
        once_breaker_done(&once->breaker);
        free(once->volumes);
        free(once->later);
        copier_free(once->copier);
        mount_table_done(&once->table);
        (void)fd_close(once->table_fd);
}

static int once_exit_status(const Once *once, size_t n_paths)
{
        const uint64_t *by_outcome = once->report.totals.by_outcome;
        bool unsupported = once->any_unsupported;

        for (size_t i = 0; i < once->n_volumes; i++)
                unsupported = unsupported || once_volume_is_unsupported(once->volumes[i]);
        if (*once->options->signal != 0)
                return 128 + *once->options->signal;
        if (by_outcome[OUTCOME_FAILED] > 0 || once->report.error < 0)
                return ONCE_FAILED;
        if (n_paths == 1 && unsupported)
                return ONCE_UNSUPPORTED;
        if (by_outcome[OUTCOME_CHANGED] > 0 || by_outcome[OUTCOME_BUSY] > 0 ||
            by_outcome[OUTCOME_NO_SPACE] > 0 || by_outcome[OUTCOME_CANCELLED] > 0)
                return ONCE_LATER;
        return ONCE_DONE;
}

int once_run(const OnceOptions *options, const Config *config, char *const paths[], size_t n_paths)
{
        Once once = {.options = options, .config = config, .table_fd = -EBADF};
        ReportOptions report_options = {
                .out = stdout,
                /* With -v there are lines enough. */
                .progress = isatty(STDERR_FILENO) && !options->verbose ? stderr : NULL,
                .json = options->json,
                .verbose = options->verbose,
        };
        const char *what = "";
        int status, r;

        if (privilege_check(&what) < 0) {
                log_error("Must be run as root; missing: %s", what);
                return ONCE_FAILED;
        }
        r = once_prepare(&once, &what);
        if (r == -EWOULDBLOCK && options->all) {
                log_notice("A service is at work, leaving it to that");
                once_done(&once);
                return ONCE_LATER;
        }
        if (r < 0) {
                log_error("Cannot prepare: %s: %s", what, strerror(-r));
                once_done(&once);
                return ONCE_FAILED;
        }
        report_init(&once.report, &report_options);
        r = once_work(&once, paths, n_paths);
        report_summary(&once.report);
        if (r < 0)
                log_error("Stopped early: %s", strerror(-r));
        if (once.report.error < 0)
                log_error("Cannot write the results: %s", strerror(-once.report.error));
        status = r < 0 && *options->signal == 0 ? ONCE_FAILED : once_exit_status(&once, n_paths);
        once_done(&once);
        return status;
}
