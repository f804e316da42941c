/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Volumes come and go with the host's mount table.
 *
 * A volume that was unmounted and mounted again between two looks at the table has the same line in it, but not our mark: what
 * we were told of it until then is over. The kernel lists the marks of a group in its fdinfo, which costs no look at any volume. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <syslog.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/number.h"
#include "service/served.h"

ServedVolume *manager_find_volume(const Manager *manager, uint64_t serial)
{
        for (ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (volume->serial == serial)
                        return volume;
        return NULL;
}

ServedVolume *manager_find_fsid(const Manager *manager, uint64_t fsid)
{
        for (ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (volume->state == SERVED_WATCHED && volume->fsid == fsid)
                        return volume;
        return NULL;
}

static ServedVolume *find_device(const Manager *manager, dev_t device)
{
        for (ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (volume->device == device)
                        return volume;
        return NULL;
}

/* Is the file system on device still marked? When the kernel does not say, it is. */
static bool is_marked(const Manager *manager, dev_t device)
{
        const unsigned long wanted = (unsigned long)major(device) << 20 | minor(device);
        _cleanup_free_ char *line = NULL;
        _cleanup_fclose_ FILE *stream = NULL;
        char path[sizeof("/proc/self/fdinfo/") + 3 * sizeof(int)];
        unsigned long marked;
        size_t room = 0;

        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", manager->group_fd);
        stream = fopen(path, "re");
        if (!stream)
                return true;
        while (getline(&line, &room, stream) >= 0)
                if (strncmp(line, "fanotify sdev:", strlen("fanotify sdev:")) == 0) {
                        marked = strtoul(line + strlen("fanotify sdev:"), NULL, 16);
                        if (marked == wanted)
                                return true;
                }
        return false;
}

/* --- disks --- */

static bool disk_has(const ServedDisk *disk, dev_t root)
{
        for (size_t i = 0; i < disk->n_roots; i++)
                if (disk->roots[i] == root)
                        return true;
        return false;
}

static bool disk_shares(const ServedDisk *disk, const dev_t *roots, size_t n_roots)
{
        for (size_t i = 0; i < n_roots; i++)
                if (disk_has(disk, roots[i]))
                        return true;
        return false;
}

/* The worker for what lies on these disks. Volumes that share one share the worker: two of them would make its heads
 * go to and fro. */
static ServedDisk *disk_get(Manager *manager, const dev_t *roots, size_t n_roots)
{
        ServedDisk *disk;

        for (disk = manager->disks; disk; disk = disk->next)
                if (!disk->ending && disk_shares(disk, roots, n_roots))
                        break;
        if (!disk) {
                disk = calloc(1, sizeof(*disk));
                if (!disk)
                        return NULL;
                if (worker_new(&manager->replies, manager->last_serial + 1, &disk->worker) < 0) {
                        free(disk);
                        return NULL;
                }
                disk->serial = ++manager->last_serial;
                disk->next = manager->disks;
                manager->disks = disk;
        }
        for (size_t i = 0; i < n_roots && disk->n_roots < ELEMENTS(disk->roots); i++)
                if (!disk_has(disk, roots[i]))
                        disk->roots[disk->n_roots++] = roots[i];
        return disk;
}

static void disk_end(ServedDisk *disk)
{
        Request *request;

        if (disk->ending)
                return;
        request = request_new(REQUEST_STOP, 0);
        if (!request) /* It stays, and does nothing. */
                return;
        disk->ending = true;
        disk->n_out++;
        worker_send(disk->worker, request);
}

ServedDisk *manager_find_disk(const Manager *manager, uint64_t serial)
{
        for (ServedDisk *disk = manager->disks; disk; disk = disk->next)
                if (disk->serial == serial)
                        return disk;
        return NULL;
}

void manager_on_ended(Manager *manager, ServedDisk *disk)
{
        for (ServedDisk **at = &manager->disks; *at; at = &(*at)->next)
                if (*at == disk) {
                        *at = disk->next;
                        worker_free(disk->worker);
                        free(disk);
                        return;
                }
}

/* --- volumes --- */

static ServedVolume *volume_free(ServedVolume *volume)
{
        if (!volume)
                return NULL;
        queue_free(volume->queue);
        if (volume->inventory)
                inventory_done(volume->inventory);
        free(volume->inventory);
        free(volume->mount_path);
        free(volume->shown_path);
        free(volume);
        return NULL;
}

static const VolumeVerdict out_of_memory = {
        .stopped = true,
        .outcome = OUTCOME_FAILED,
        .error = ENOMEM,
        .level = LOG_ERR,
        .text = "cannot look after it",
};

void manager_stop_volume(Manager *manager, ServedVolume *volume, const VolumeVerdict *verdict)
{
        if (volume->state == SERVED_STOPPED) {
                /* The gravest reason is the one that a person has to know. */
                if (verdict->reason == FAILED_STOPPED)
                        volume->verdict = *verdict;
                return;
        }
        if (volume->state == SERVED_WATCHED)
                manager_keep(manager, volume);
        volume->state = SERVED_STOPPED;
        volume->verdict = *verdict;
        volume->hold = HOLD_NONE;
        if (volume->disk && volume->disk->busy_volume == volume->serial) {
                worker_cancel(volume->disk->worker);
                volume->disk->cancelled = true;
        }
        manager_say_stopped(manager, volume);
}

/* gone: the host has unmounted it. */
static void volume_let_go(Manager *manager, ServedVolume **at, bool gone)
{
        ServedVolume *volume = *at;
        ServedDisk *disk = volume->disk;
        Request *request;

        *at = volume->next;
        if (volume->state == SERVED_WATCHED)
                manager_keep(manager, volume);
        manager_say_hour_of(manager, volume);
        served_counts_add(&manager->gone, &volume->all);
        if (gone)
                watch_table_forget(manager->watched, volume->fsid);
        if (disk) {
                if (disk->busy_volume == volume->serial) {
                        worker_cancel(disk->worker);
                        disk->cancelled = true;
                }
                request = request_new(REQUEST_DROP, volume->serial);
                if (request) {
                        request->gone = gone;
                        worker_send(disk->worker, request);
                }
                if (--disk->n_volumes == 0)
                        disk_end(disk);
        }
        volume_free(volume);
}

void manager_let_go_of_all(Manager *manager)
{
        while (manager->volumes)
                volume_let_go(manager, &manager->volumes, false);
}

static bool is_wanted(const VolumeConfig *settings)
{
        return settings->enabled != ENABLED_NO && !settings->broken;
}

static void volume_take_up(Manager *manager, dev_t device, const Mount *mount, const VolumeConfig *settings)
{
        ServedVolume *volume = calloc(1, sizeof(*volume));

        if (volume) {
                volume->mount_path = strdup(mount->target);
                volume->shown_path = escape_text(mount->target);
                volume->queue = queue_new(SERVED_QUEUE_MAX);
        }
        if (!volume || !volume->mount_path || !volume->shown_path || !volume->queue) {
                volume_free(volume);
                log_error("Out of memory: a volume is not looked after");
                return;
        }
        volume->serial = ++manager->last_serial;
        volume->device = device;
        volume->settings = settings;
        volume->is_covered = volume_is_covered(&manager->table->table, mount);
        volume->state = SERVED_LOCATING;
        volume->next = manager->volumes;
        manager->volumes = volume;
        if (writer_find_disks(manager->writer, volume->serial, device, mount->source) < 0)
                manager_stop_volume(manager, volume, &out_of_memory);
        else
                manager->n_errands++;
}

void manager_on_disks(Manager *manager, const Reply *reply)
{
        ServedVolume *volume = manager_find_volume(manager, reply->volume);
        Request *request;

        if (!volume || volume->state != SERVED_LOCATING)
                return;
        /* What cannot be found out is a disk of its own. */
        volume->disk = reply->said > 0 ? disk_get(manager, reply->disks, (size_t)reply->said)
                                       : disk_get(manager, &volume->device, 1);
        request = volume->disk ? request_new(REQUEST_ADD, volume->serial) : NULL;
        if (!request) {
                volume->disk = NULL;
                manager_stop_volume(manager, volume, &out_of_memory);
                return;
        }
        request->device = volume->device;
        request->group_fd = manager->group_fd;
        request->config = shared_config_ref(manager->config);
        request->table = shared_table_ref(manager->table);
        request->stops = stop_list_copy(&manager->stops);
        volume->state = SERVED_ADDING;
        volume->since_usec = manager_now(manager);
        volume->disk->n_volumes++;
        volume->disk->n_out++;
        worker_send(volume->disk->worker, request);
}

static const VolumeVerdict twin_verdict = {
        .stopped = true,
        .outcome = OUTCOME_SKIPPED,
        .reason = SKIP_DUPLICATE_UUID,
        .level = LOG_WARNING,
        .text = "another mounted volume has the same UUID, leaving both alone",
};

/* Two mounted volumes with one UUID: what is remembered for one would be done to the other. Returns true when volume has one. The
 * worker that looked for it knew the mount table of the time when it was asked to. */
static bool stop_twins(Manager *manager, const ServedVolume *volume)
{
        bool any = false;

        for (ServedVolume *other = manager->volumes; other; other = other->next) {
                if (other == volume || strcmp(other->uuid, volume->uuid) != 0)
                        continue;
                any = true;
                if (other->state == SERVED_WATCHED)
                        manager_stop_volume(manager, other, &twin_verdict);
        }
        return any;
}

void manager_on_added(Manager *manager, const Reply *reply)
{
        ServedVolume *volume = manager_find_volume(manager, reply->volume);
        bool has_twin;

        if (!volume || volume->state != SERVED_ADDING)
                return;
        memcpy(volume->uuid, reply->uuid, sizeof(volume->uuid));
        volume->total_bytes = reply->total_bytes;
        volume->rotational = reply->rotational;
        volume->fsid = reply->fsid;
        volume->watch_error = reply->watch_error;
        volume->since_usec = manager_now(manager);
        has_twin = volume->uuid[0] && stop_twins(manager, volume);
        if (reply->verdict.outcome == OUTCOME_FAILED && volume->uuid[0] &&
            breaker_judge_error(reply->verdict.error, false) != TRIP_NONE) {
                const Trip trip = {
                        .kind = breaker_judge_error(reply->verdict.error, false),
                        .error = reply->verdict.error,
                        .step = "examine",
                };

                manager_trip(manager, volume, volume->uuid, &trip, NULL, NULL);
                return;
        }
        /* What has tripped since the worker was asked. */
        if (!reply->verdict.stopped && stop_list_has(&manager->stops, volume->uuid, NULL)) {
                const VolumeVerdict verdict = volume_tripped(false, 0);

                manager_stop_volume(manager, volume, &verdict);
                return;
        }
        if (reply->verdict.stopped || has_twin) {
                manager_stop_volume(manager, volume,
                                    reply->verdict.stopped ? &reply->verdict : &twin_verdict);
                return;
        }
        volume->state = SERVED_WATCHED;
        manager_recall(manager, volume);
        manager_say_watched(manager, volume);
        manager_begin_sweep(volume);
        /* Mounted anew since it was marked. */
        if (volume->watch_error == 0 && !is_marked(manager, volume->device))
                manager_read_mounts(manager);
}

static bool has_device(const MountTable *table, size_t n_mounts, dev_t device)
{
        for (size_t i = 0; i < n_mounts; i++)
                if (table->mounts[i].device == device)
                        return true;
        return false;
}

/* Also of those of which only a directory is mounted somewhere, and which are no volumes of ours for that. */
static bool has_all_volumes_of(const MountTable *table, const MountTable *other)
{
        for (size_t i = 0; i < other->n_mounts; i++)
                if (file_system_find(other->mounts[i].type) &&
                    !has_device(table, table->n_mounts, other->mounts[i].device))
                        return false;
        return true;
}

/* Is it still what it was when it was taken up? others_changed: other volumes are mounted than before. A twin may have lost its other one, and is asked again. */
static bool is_unchanged(const Manager *manager, const SharedTable *before, const ServedVolume *volume,
                         const Mount *mount, const VolumeConfig *settings, bool others_changed)
{
        /* Of a file system that is mounted in parts each mount says what belongs to the volume. */
        if (device_is_anonymous(volume->device) && before &&
            !mount_table_same(&before->table, &manager->table->table, volume->device))
                return false;
        if (strcmp(mount->target, volume->mount_path) != 0 || !mount->writable || !is_wanted(settings) ||
            volume->is_covered != volume_is_covered(&manager->table->table, mount))
                return false;
        if (volume->state == SERVED_STOPPED && volume->verdict.reason == FAILED_STOPPED)
                return stop_list_has(&manager->stops, volume->uuid, NULL);
        if (volume->state == SERVED_STOPPED)
                return volume->verdict.reason != SKIP_DUPLICATE_UUID || !others_changed;
        return volume->state != SERVED_WATCHED || volume->watch_error != 0 ||
               is_marked(manager, volume->device);
}

/* Of each volume once, for as long as it is mounted. */
static void say_unsupported(const MountTable *table, const SharedTable *before)
{
        for (size_t i = 0; i < table->n_mounts; i++) {
                const Mount *mount = &table->mounts[i];
                _cleanup_free_ char *shown = NULL, *type = NULL;

                if (file_system_find(mount->type) || has_device(table, i, mount->device) ||
                    (before && has_device(&before->table, before->table.n_mounts, mount->device)))
                        continue;
                shown = escape_text(mount->target);
                type = escape_text(mount->type);
                log_debug("%s: %s:%s (%s)", shown ? shown : "?", outcome_name(OUTCOME_SKIPPED),
                          reason_name(SKIP_UNSUPPORTED_FILESYSTEM), type ? type : "?");
        }
}

void manager_read_mounts(Manager *manager)
{
        const VolumeConfig *settings;
        const Mount *mount;
        MountTable table;
        SharedTable *shared, *before;
        bool others_changed;
        int r;

        r = mount_table_read(manager->table_fd, &table);
        if (r < 0) {
                log_warning("Cannot read the mount table: %s; looking after what is known", strerror(-r));
                return;
        }
        shared = shared_table_new(&table);
        if (!shared) {
                mount_table_done(&table);
                return;
        }
        others_changed = !manager->table || !has_all_volumes_of(&shared->table, &manager->table->table) ||
                         !has_all_volumes_of(&manager->table->table, &shared->table);
        before = manager->table;
        say_unsupported(&shared->table, before);
        manager->table = shared;

        for (ServedVolume **at = &manager->volumes; *at;) {
                mount = volume_mount(&shared->table, (*at)->device, &manager->config->config, NULL,
                                     &settings);
                if (mount && is_unchanged(manager, before, *at, mount, settings, others_changed))
                        at = &(*at)->next;
                else
                        volume_let_go(manager, at, !mount);
        }
        shared_table_unref(before);
        for (size_t i = 0; i < shared->table.n_mounts; i++) {
                const dev_t device = shared->table.mounts[i].device;

                if (!file_system_find(shared->table.mounts[i].type) || find_device(manager, device))
                        continue;
                mount = volume_mount(&shared->table, device, &manager->config->config, NULL, &settings);
                if (mount && mount->writable && is_wanted(settings))
                        volume_take_up(manager, device, mount, settings);
        }
}
