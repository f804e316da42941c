/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Request by request, step by step. A step that does not come back is the kernel's or the disk's; the main thread sees by
 * the time of the last one that we are stuck. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/units.h"
#include "facts/disks.h"
#include "facts/mounts.h"
#include "fs/copy.h"
#include "service/privilege.h"
#include "service/worker.h"
#include "work/lookup.h"
#include "work/naming.h"
#include "work/watch.h"

/* How long a slice of a sweep may take, with the volume's root directory open: an umount meanwhile fails. */
#define SLICE_USEC       (50 * UINT64_C(1000))
/* Buffers and ring stay for the next file if it comes soon: making them anew takes a millisecond, keeping them four mebibytes. */
#define COPIER_IDLE_USEC (5 * USEC_PER_SEC)

typedef struct WorkerVolume {
        struct WorkerVolume *next;
        uint64_t serial;
        FsVolume fs;
        SharedConfig *config;
        const VolumeConfig *settings; /* in config */
} WorkerVolume;

struct Worker {
        pthread_t thread;
        Mailbox requests;
        Mailbox *replies; /* borrowed: the main thread's */
        uint64_t serial;
        atomic_bool cancel;
        atomic_ullong step_since_usec;

        /* The thread's own. */
        WorkerVolume *volumes;
        Copier *copier;
        Reply *last_words;
};

static void worker_reply(Worker *worker, Reply *reply)
{
        reply->sender = worker->serial;
        mailbox_put(worker->replies, &reply->letter);
}

static void worker_at_step(Worker *worker)
{
        atomic_store(&worker->step_since_usec, clock_monotonic_usec());
}

static WorkerVolume *worker_find(Worker *worker, uint64_t serial)
{
        for (WorkerVolume *volume = worker->volumes; volume; volume = volume->next)
                if (volume->serial == serial)
                        return volume;
        return NULL;
}

/* The host has unmounted it, but that may be a while ago: where it is mounted again by now, what is at its place in our namespace is
 * that new mount. When the host's table cannot be read, it is left. */
static void volume_release(const FsVolume *fs)
{
        _cleanup_close_ int table_fd = mount_table_open();
        MountTable table;

        if (table_fd < 0 || mount_table_read(table_fd, &table) < 0)
                return;
        if (!mount_table_find(&table, fs->device))
                privilege_release_volume(fs->mount_path, fs->device);
        mount_table_done(&table);
}

static void worker_drop(Worker *worker, uint64_t serial, bool gone)
{
        for (WorkerVolume **at = &worker->volumes; *at; at = &(*at)->next)
                if ((*at)->serial == serial) {
                        WorkerVolume *volume = *at;

                        *at = volume->next;
                        if (gone && volume->fs.mount_path)
                                volume_release(&volume->fs);
                        fs_volume_done(&volume->fs);
                        shared_config_unref(volume->config);
                        free(volume);
                        return;
                }
}

static const VolumeVerdict out_of_memory = {
        .stopped = true,
        .outcome = OUTCOME_FAILED,
        .error = ENOMEM,
        .level = LOG_ERR,
        .text = "cannot look at it",
};

/* Before an error (positive) is judged: is the disk broken, or is it on its way out? Nothing is held. An umount answers ENODEV, too, and
 * ends the wait. */
static void await_removal(Worker *worker, const WorkerVolume *volume, int error)
{
        const uint64_t deadline_usec = clock_monotonic_usec() + REMOVAL_USEC;

        if (!volume_may_be_gone(error))
                return;
        atomic_store(&worker->step_since_usec, 0);
        while (!fs_volume_disk_is_gone(&volume->fs) && !atomic_load(&worker->cancel) &&
               clock_monotonic_usec() < deadline_usec)
                mailbox_linger(&worker->requests, clock_monotonic_usec() + REMOVAL_LOOK_USEC,
                               &worker->cancel);
        worker_at_step(worker);
}

/* Marks it, so that its events begin to come. Returns 0 or -errno. */
static int volume_watch(const WorkerVolume *volume, int group_fd, uint64_t *ret_fsid)
{
        _cleanup_close_ int root_fd = fs_volume_open(&volume->fs);

        return root_fd < 0 ? root_fd : watch_mark_add(group_fd, root_fd, ret_fsid);
}

static void worker_add(Worker *worker, Request *request)
{
        WorkerVolume *volume = calloc(1, sizeof(*volume));
        Reply *reply = TAKE_PTR(request->reply);
        _cleanup_free_ char *path = NULL;

        if (!volume) {
                reply->verdict = out_of_memory;
                worker_reply(worker, reply);
                return;
        }
        volume->serial = request->volume;
        volume->config = TAKE_PTR(request->config);
        if (volume_examine(request->device, &request->table->table, &volume->config->config, &request->stops,
                           EXAMINE_WRITE | EXAMINE_UNASKED, NULL, &path, &volume->fs, &reply->verdict) < 0)
                reply->verdict = out_of_memory;
        /* Only a volume that was reached has a disk that can be gone. */
        if (volume->fs.uuid[0] && reply->verdict.outcome == OUTCOME_FAILED) {
                await_removal(worker, volume, reply->verdict.error);
                (void)volume_is_gone(&volume->fs, reply->verdict.error, &reply->verdict);
        }
        if (!volume_mount(&request->table->table, request->device, &volume->config->config, NULL,
                          &volume->settings))
                volume->settings = &volume->config->config.defaults;
        memcpy(reply->uuid, volume->fs.uuid, sizeof(reply->uuid));
        reply->total_bytes = volume->fs.facts.total_bytes;
        reply->rotational = volume->fs.disk.rotational;
        if (!reply->verdict.stopped) {
                /* What the first file would tell: there are neither sweeps nor events where nothing can be moved. */
                const RelocationResult refused = {
                        .outcome = OUTCOME_SKIPPED,
                        .reason = fs_volume_refusal(&volume->fs),
                };
                (void)volume_learn(&volume->fs, &refused, &reply->verdict);
        }
        if (!reply->verdict.stopped)
                reply->watch_error = volume_watch(volume, request->group_fd, &reply->fsid);
        volume->next = worker->volumes;
        worker->volumes = volume;
        worker_reply(worker, reply);
}

/* Most files that were written are gone by now or lie in one piece: they cost one bulkstat record. Returns 1, 0 or -errno. */
static int is_worth_it(const WorkerVolume *volume, Candidate *candidate)
{
        _cleanup_close_ int root_fd = fs_volume_open(&volume->fs);
        InodeFacts inode;
        int r;

        r = root_fd < 0 ? root_fd : fs_volume_inode_read(&volume->fs, root_fd, candidate->id, &inode);
        if (r < 0)
                return r;
        if (!file_id_equal(inode.id, candidate->id) || !S_ISREG(inode.mode) || inode.n_extents < 2 ||
            inode.size_bytes < volume->settings->min_file_bytes)
                return 0;
        candidate->size_bytes = inode.size_bytes;
        candidate->n_extents = inode.n_extents;
        return 1;
}

/* What an event told of, now that it has been quiet for a while. */
static void worker_look(Worker *worker, WorkerVolume *volume, Request *request)
{
        Reply *reply = TAKE_PTR(request->reply);

        reply->candidate = TAKE(request->candidate, (Candidate){0});
        if (volume) {
                reply->said = is_worth_it(volume, &reply->candidate);
                await_removal(worker, volume, -reply->said);
                (void)volume_is_gone(&volume->fs, -reply->said, &reply->verdict);
        }
        worker_reply(worker, reply);
}

static void worker_sweep(Worker *worker, WorkerVolume *volume, Request *request)
{
        Reply *reply = TAKE_PTR(request->reply);

        reply->inventory = TAKE_PTR(request->inventory);
        reply->said = inventory_step(reply->inventory, &volume->fs, volume->settings,
                                     clock_monotonic_usec() + SLICE_USEC, &worker->cancel);
        if (reply->said == 0)
                inventory_finish(reply->inventory, &volume->fs, volume->settings);
        await_removal(worker, volume, -reply->said);
        (void)volume_is_gone(&volume->fs, -reply->said, &reply->verdict);
        worker_reply(worker, reply);
}

/* Is it excluded by its path, or may it be by a name that we do not know? Returns 1, 0 or -errno. */
static int worker_is_excluded(const WorkerVolume *volume, int root_fd, Request *request)
{
        const bool any_pattern = naming_any_pattern(&volume->fs, volume->settings);
        Candidate *candidate = &request->candidate;
        _cleanup_close_ int fd = -EBADF;
        struct stat status;
        int r;

        if (file_id_is_set(candidate->parent)) {
                free(TAKE_PTR(candidate->path));
                r = name_lookup(&volume->fs, root_fd, candidate->parent, candidate->id.inode,
                                &candidate->path);
                if (r == -ENOMEM)
                        return r;
        }
        if (candidate->path) {
                r = naming_is_excluded(volume->settings, candidate->path);
                if (r != 0)
                        return r;
        }
        if (!candidate->path && naming_is_needed(&volume->fs, volume->settings) &&
            (!request->names_checked || volume->fs.facts.type->directory_path))
                return 1;
        if (!any_pattern || request->names_checked)
                return 0;
        /* One name is known; the next sweep will have met all others. */
        fd = fs_volume_inode_open(&volume->fs, root_fd, candidate->id, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return fd;
        return fstat(fd, &status) < 0 ? -errno : status.st_nlink > 1;
}

static void settle(RelocationResult *result, int r)
{
        *result = (RelocationResult){.outcome = OUTCOME_SKIPPED, .reason = SKIP_EXCLUDED};
        if (r == -ESTALE || r == -ENOENT)
                result->reason = SKIP_VANISHED;
        else if (r == -EWOULDBLOCK)
                *result = (RelocationResult){.outcome = OUTCOME_BUSY, .reason = BUSY_OPEN};
        else if (r < 0)
                *result = (RelocationResult){
                        .outcome = OUTCOME_FAILED,
                        .error = -r,
                        .trip = {.kind = breaker_judge_error(-r, false), .error = -r, .step = "look"},
                };
}

static void move_progress(Worker *worker, const WorkerVolume *volume, const Relocation *relocation)
{
        Reply *reply = reply_new(REPLY_PROGRESS, volume->serial);

        if (!reply) /* only news */
                return;
        reply->bytes_moved = relocation_result(relocation)->bytes_moved;
        worker_reply(worker, reply);
}

/* SharedExtents=yes: what it costs is told before anything is moved. Returns 0 or -ENOMEM: what cannot be told is not done. */
static int move_costs_space(Worker *worker, const WorkerVolume *volume, const Candidate *candidate,
                            const RelocationResult *result)
{
        Reply *reply = reply_new(REPLY_UNSHARING, volume->serial);

        if (!reply)
                return -ENOMEM;
        reply->candidate.id = candidate->id;
        reply->candidate.path = candidate->path ? strdup(candidate->path) : NULL;
        reply->result = *result;
        worker_reply(worker, reply);
        return 0;
}

/* Drives the step machine to its end. */
static void move_file(Worker *worker, WorkerVolume *volume, const Request *request, RelocationResult *ret)
{
        RelocationOptions options = volume_relocation_options(&volume->fs, volume->settings, false);
        Relocation *relocation;
        const RelocationResult *result;
        uint64_t wait_usec = 0;
        uint64_t told_bytes = request->dry_run ? UINT64_MAX : 0;
        int r = 0;

        options.dry_run = request->dry_run;
        options.max_bytes = request->max_bytes;
        options.cancel = &worker->cancel;
        if (!worker->copier)
                r = copier_new(false, &worker->copier);
        if (r >= 0)
                r = relocation_new(&volume->fs, worker->copier, &request->candidate, &options, &relocation);
        if (r < 0) {
                settle(ret, r);
                return;
        }
        result = relocation_result(relocation);
        for (;;) {
                worker_at_step(worker);
                if (result->bytes_shared > told_bytes) {
                        r = move_costs_space(worker, volume, &request->candidate, result);
                        if (r < 0) {
                                relocation_free(relocation);
                                settle(ret, r);
                                return;
                        }
                        told_bytes = result->bytes_shared;
                }
                switch (relocation_step(relocation, &wait_usec)) {
                case RELOCATION_AGAIN:
                        break;
                case RELOCATION_REGION:
                        move_progress(worker, volume, relocation);
                        break;
                case RELOCATION_WAIT:
                        atomic_store(&worker->step_since_usec, 0);
                        mailbox_linger(&worker->requests, clock_monotonic_usec() + wait_usec,
                                       &worker->cancel);
                        break;
                case RELOCATION_DONE:
                        *ret = *result;
                        relocation_free(relocation);
                        return;
                }
        }
}

static void worker_move(Worker *worker, WorkerVolume *volume, Request *request)
{
        Reply *reply = TAKE_PTR(request->reply);
        int root_fd, r;

        root_fd = r = fs_volume_open(&volume->fs);
        if (root_fd >= 0) {
                r = worker_is_excluded(volume, root_fd, request);
                (void)fd_close(root_fd);
        }
        if (r != 0)
                settle(&reply->result, r);
        else
                move_file(worker, volume, request, &reply->result);
        await_removal(worker, volume, volume_error_of(&reply->result));
        volume_excuse(&volume->fs, &reply->result);
        (void)volume_learn(&volume->fs, &reply->result, &reply->verdict);
        memcpy(reply->uuid, volume->fs.uuid, sizeof(reply->uuid));
        reply->candidate = TAKE(request->candidate, (Candidate){0});
        if (volume->fs.engine) {
                reply->guard_usec = volume->fs.guard_nsec / NSEC_PER_USEC;
                reply->has_distinct_stamps = volume->fs.has_distinct_stamps;
        }
        worker_reply(worker, reply);
}

/* Returns false at the end. */
static bool worker_do(Worker *worker, Request *request)
{
        WorkerVolume *volume = worker_find(worker, request->volume);

        switch (request->type) {
        case REQUEST_ADD:
                worker_add(worker, request);
                break;
        case REQUEST_DROP:
                worker_drop(worker, request->volume, request->gone);
                break;
        case REQUEST_LOOK:
                worker_look(worker, volume, request);
                break;
        case REQUEST_SWEEP:
                assert(volume);
                worker_sweep(worker, volume, request);
                break;
        case REQUEST_MOVE:
                assert(volume);
                worker_move(worker, volume, request);
                break;
        case REQUEST_STOP:
                worker->last_words = TAKE_PTR(request->reply);
                return false;
        }
        return true;
}

static Request *worker_next(Worker *worker)
{
        Letter *letter =
                mailbox_wait(&worker->requests,
                             worker->copier ? clock_monotonic_usec() + COPIER_IDLE_USEC : USEC_INFINITY);

        if (!letter && worker->copier) {
                copier_free(TAKE_PTR(worker->copier));
                letter = mailbox_wait(&worker->requests, USEC_INFINITY);
        }
        return (Request *)letter;
}

static void *worker_run(void *userdata)
{
        Worker *worker = userdata;
        bool go_on = true;

        while (go_on) {
                Request *request = worker_next(worker);

                worker_at_step(worker);
                go_on = worker_do(worker, request);
                atomic_store(&worker->step_since_usec, 0);
                request_free(request);
        }
        while (worker->volumes)
                worker_drop(worker, worker->volumes->serial, false);
        copier_free(TAKE_PTR(worker->copier));
        worker_reply(worker, worker->last_words);
        return NULL;
}

int worker_new(Mailbox *replies, uint64_t serial, Worker **ret)
{
        Worker *worker = calloc(1, sizeof(*worker));
        int r;

        if (!worker)
                return -ENOMEM;
        worker->replies = replies;
        worker->serial = serial;
        atomic_init(&worker->cancel, false);
        atomic_init(&worker->step_since_usec, 0);
        r = mailbox_init(&worker->requests, false);
        if (r >= 0) {
                r = -pthread_create(&worker->thread, NULL, worker_run, worker);
                if (r < 0)
                        mailbox_done(&worker->requests);
        }
        if (r < 0) {
                free(worker);
                return r;
        }
        *ret = worker;
        return 0;
}

void worker_send(Worker *worker, Request *request)
{
        mailbox_put(&worker->requests, &request->letter);
}

void worker_cancel(Worker *worker)
{
        atomic_store(&worker->cancel, true);
        mailbox_wake(&worker->requests);
}

void worker_go_on(Worker *worker)
{
        atomic_store(&worker->cancel, false);
}

uint64_t worker_step_since_usec(const Worker *worker)
{
        return atomic_load(&worker->step_since_usec);
}

Worker *worker_free(Worker *worker)
{
        Letter *letter;

        if (!worker)
                return NULL;
        (void)pthread_join(worker->thread, NULL);
        while ((letter = mailbox_take(&worker->requests)))
                request_free((Request *)letter);
        mailbox_done(&worker->requests);
        free(worker);
        return NULL;
}
