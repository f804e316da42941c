/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What fanotify tells, and what becomes of it: a file that was written waits in a table until it has been left alone for
 * SettleSec=, however often it is written until then, and costs one look after it.
 *
 * The group outlives us in systemd's descriptor store when we are killed or restarted; what it holds then was also caused by the
 * instance before, under its process number. The name of the descriptor says which numbers those are. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/number.h"
#include "service/served.h"

/* Version of what a group in the store is: how it was opened and what its name says. */
#define GROUP_NAME      "fanotify-1"
/* An event with names takes a hundred bytes or more; 16,384 are the most that wait. */
#define BUFFER_BYTES    65536
/* Buffers that are read before other events have their turn. */
#define BUFFERS_A_TURN  16
/* Looks that a worker has before it at most: each is a few microseconds, unless its disk does not answer. */
#define LOOKS_OUT_MAX   64
/* A file whose volume cannot take it now is offered again. */
#define LOOK_AGAIN_USEC (10 * USEC_PER_SEC)

/* "fanotify-1-PID-PID...": the earlier instances. Returns 0, or -EINVAL for another name. */
static int parse_group_name(Manager *manager, const char *name)
{
        char *end;

        if (strncmp(name, GROUP_NAME "-", strlen(GROUP_NAME "-")) != 0)
                return -EINVAL;
        for (name += strlen(GROUP_NAME); *name == '-'; name = end) {
                long pid;

                errno = 0;
                pid = strtol(name + 1, &end, 10);
                if (errno != 0 || end == name + 1 || pid <= 0 || (pid_t)pid != pid)
                        return -EINVAL;
                if (manager->n_earlier_pids < ELEMENTS(manager->earlier_pids))
                        manager->earlier_pids[manager->n_earlier_pids++] = (pid_t)pid;
        }
        return *name == '\0' ? 0 : -EINVAL;
}

static void free_names(char **names, int n)
{
        for (int i = 0; i < n; i++)
                free(names[i]);
        free(names);
}

/* Takes the group of an earlier instance over; what else systemd hands us is not ours. */
static void take_stored_group(Manager *manager)
{
        char **names = NULL, forget[512];
        int n = sd_listen_fds_with_names(0, &names);

        for (int i = 0; i < n; i++) {
                const int fd = SD_LISTEN_FDS_START + i;

                if (manager->group_fd < 0 && parse_group_name(manager, names[i]) == 0) {
                        manager->group_fd = fd;
                        manager->group_inherited = true;
                } else {
                        (void)close(fd);
                }
                /* It goes back under a name that says who has it now. */
                (void)snprintf(forget, sizeof(forget), "FDSTOREREMOVE=1\nFDNAME=%s", names[i]);
                (void)sd_notify(0, forget);
        }
        if (n > 0)
                free_names(names, n);
}

static void store_group(const Manager *manager)
{
        char text[512];

        (void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=" GROUP_NAME "-%ld", (long)getpid());
        (void)sd_pid_notify_with_fds(0, 0, text, &manager->group_fd, 1);
}

int manager_open_group(Manager *manager)
{
        take_stored_group(manager);
        if (manager->group_fd < 0) {
                manager->group_fd = watch_group_open();
                if (manager->group_fd < 0)
                        return manager->group_fd;
        }
        manager->draining = manager->group_inherited;
        store_group(manager);
        return 0;
}

static bool is_our_own(const Manager *manager, pid_t pid)
{
        if (pid == getpid())
                return true;
        /* Later somebody else may have got that number. */
        for (size_t i = 0; i < manager->n_earlier_pids && manager->draining; i++)
                if (pid == manager->earlier_pids[i])
                        return true;
        return false;
}

static bool any_is_coming(const Manager *manager)
{
        if (!manager->ledger_loaded)
                return true;
        for (const ServedVolume *volume = manager->volumes; volume; volume = volume->next)
                if (volume->state == SERVED_LOCATING || volume->state == SERVED_ADDING)
                        return true;
        return false;
}

static void on_event(const WatchEvent *event, void *userdata)
{
        Manager *manager = userdata;
        ServedVolume *volume;
        uint64_t settle_usec;

        if (event->overflow) {
                bool any_new = false;

                for (volume = manager->volumes; volume; volume = volume->next) {
                        any_new = any_new || !volume->sweep_wanted;
                        volume->sweep_wanted = true;
                }
                /* Once for each sweep that it causes. */
                if (any_new)
                        manager_say_lost(manager);
                return;
        }
        if (is_our_own(manager, event->pid))
                return;
        volume = manager_find_fsid(manager, event->fsid);
        /* After a restart events may come before their volume is taken up; or nobody looks after it any more. */
        if (!volume && !any_is_coming(manager))
                return;
        settle_usec = volume ? volume->settings->settle_usec : manager->config->config.defaults.settle_usec;
        if (watch_table_note(manager->watched, event, settle_usec, manager_now(manager)) == 0)
                return;
        if (volume) {
                volume->sweep_wanted = true;
                return;
        }
        for (volume = manager->volumes; volume; volume = volume->next)
                volume->sweep_wanted = true;
}

void manager_read_events(Manager *manager)
{
        _cleanup_free_ char *buffer = malloc(BUFFER_BYTES);
        ssize_t n_bytes;

        if (!buffer) /* They stay where they are. */
                return;
        for (unsigned i = 0; i < BUFFERS_A_TURN; i++) {
                n_bytes = read(manager->group_fd, buffer, BUFFER_BYTES);
                if (n_bytes <= 0) {
                        if (n_bytes < 0 && errno != EAGAIN && errno != EINTR)
                                log_debug("Cannot read events: %s", strerror(errno));
                        manager->draining = false;
                        return;
                }
                if (watch_parse(buffer, (size_t)n_bytes, on_event, manager) < 0) {
                        const WatchEvent lost = {.overflow = true};

                        on_event(&lost, manager);
                }
        }
}

/* Returns false when its volume cannot take it now. */
static bool send_look(ServedVolume *volume, const WatchFile *file)
{
        Request *request;

        if (volume->disk->n_out >= LOOKS_OUT_MAX)
                return false;
        request = request_new(REQUEST_LOOK, volume->serial);
        if (!request)
                return false;
        request->candidate = (Candidate){.id = file->id, .parent = file->parent};
        volume->disk->n_out++;
        worker_send(volume->disk->worker, request);
        return true;
}

uint64_t manager_look(Manager *manager)
{
        const uint64_t now_usec = manager_now(manager);
        WatchFile file;

        while (watch_table_take(manager->watched, now_usec, &file)) {
                ServedVolume *volume = manager_find_fsid(manager, file.fsid);
                const WatchEvent again = {
                        .fsid = file.fsid, .id = file.id, .parent = file.parent, .name = file.name};

                if ((volume ? !send_look(volume, &file) : any_is_coming(manager)) &&
                    watch_table_note(manager->watched, &again, LOOK_AGAIN_USEC, now_usec) != 0 && volume)
                        volume->sweep_wanted = true;
                free(file.name);
        }
        return watch_table_next_usec(manager->watched);
}
