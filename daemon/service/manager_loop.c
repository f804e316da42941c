/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The events that the main thread knows, and what it does after each: send what can be sent, store what has to be stored, say what
 * has changed, and set one timer for the next moment at which anything could be different. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "service/served.h"

#define LETTERS_A_TURN  64
/* A region is well under a second and a flush of a slow disk a few: longer is worth telling. */
#define STUCK_USEC      (10 * USEC_PER_SEC)
#define STUCK_LOOK_USEC (5 * USEC_PER_SEC)
#define HOUR_USEC       (3600 * USEC_PER_SEC)
/* What a stop may wait for workers and the ledger. The whole must be over in five seconds. */
#define STOP_USEC       (4 * USEC_PER_SEC)

uint64_t manager_now(const Manager *manager)
{
        uint64_t now_usec;

        /* That of this turn of the loop, or the clock itself before the first. */
        if (sd_event_now(manager->event, CLOCK_MONOTONIC, &now_usec) < 0)
                now_usec = clock_monotonic_usec();
        return now_usec;
}

/* --- letters --- */

static void reload(Manager *manager)
{
        char text[64];

        if (manager->stopping)
                return;
        if (manager->reloading) {
                manager->reload_again = true;
                return;
        }
        (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
                       (unsigned long long)clock_monotonic_usec());
        (void)sd_notify(0, text);
        manager->reloading = true;
        manager_load_stops(manager);
        if (writer_load_config(manager->writer) < 0) {
                manager->reloading = false;
                (void)sd_notify(0, "READY=1");
                return;
        }
        manager->n_errands++;
}

static void on_config(Manager *manager, Reply *reply)
{
        SharedConfig *config = NULL;
        int r;

        manager->reloading = false;
        /* Nothing is taken up any more. */
        if (manager->stopping)
                return;
        /* What it says may be older than the last wish to have it read: only what is read after that counts. */
        if (manager->reload_again) {
                manager->reload_again = false;
                reload(manager);
                return;
        }
        if (reply->said == 0)
                config = shared_config_new(reply->config);
        if (config) {
                manager->n_mistakes = 0;
                tzset();
                /* The volumes point into the old one until they have been renewed. */
                manager_let_go_of_all(manager);
                shared_config_unref(manager->config);
                manager->config = config;
                /* Nobody is to be told of volumes that are not looked after any more. The others are marked anew, and then swept. */
                r = watch_marks_clear(manager->group_fd);
                if (r < 0)
                        log_warning("Cannot take back the marks: %s", strerror(-r));
                manager_read_mounts(manager);
                manager_say_loaded(manager, "The configuration was read anew");
        } else if (reply->said > 0) {
                manager->n_mistakes = (unsigned)reply->said;
                manager_say_mistakes(manager, reply->text);
                manager_say_loaded(manager,
                                   "The configuration has mistakes; what was in force stays in force");
        } else {
                manager_say_mistakes(manager,
                                     "The configuration cannot be read; what was in force stays in force");
        }
        (void)sd_notify(0, "READY=1");
}

static void on_reply(Manager *manager, Reply *reply)
{
        ServedDisk *disk = reply->sender != 0 ? manager_find_disk(manager, reply->sender) : NULL;
        ServedVolume *volume;

        if (disk && reply->type != REPLY_PROGRESS && reply->type != REPLY_UNSHARING)
                disk->n_out--;
        if (!disk)
                manager->n_errands--;
        switch (reply->type) {
        case REPLY_ADDED:
                manager_on_added(manager, reply);
                break;
        case REPLY_LOOKED:
                manager_on_looked(manager, reply);
                break;
        case REPLY_SWEPT:
                manager_on_swept(manager, disk, reply);
                break;
        case REPLY_PROGRESS:
                volume = manager_find_volume(manager, reply->volume);
                if (volume)
                        volume->moving_bytes = reply->bytes_moved;
                break;
        case REPLY_UNSHARING:
                volume = manager_find_volume(manager, reply->volume);
                if (volume)
                        manager_say_unsharing(manager, volume, reply);
                break;
        case REPLY_MOVED:
                manager_on_moved(manager, disk, reply);
                break;
        case REPLY_ENDED:
                if (disk)
                        manager_on_ended(manager, disk);
                break;
        case REPLY_LEDGER:
                manager_on_ledger(manager, reply);
                break;
        case REPLY_STORED:
                manager_on_stored(manager, reply);
                break;
        case REPLY_CONFIG:
                on_config(manager, reply);
                break;
        case REPLY_DISKS:
                manager_on_disks(manager, reply);
                break;
        case REPLY_STOPS:
                manager_on_stops(manager, reply);
                break;
        case REPLY_STOP_STORED:
                manager_on_stop_stored(manager, reply);
                break;
        }
}

static int on_replies(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Manager *manager = userdata;
        Letter *letter;

        (void)source;
        (void)fd;
        (void)events;
        for (unsigned i = 0; i < LETTERS_A_TURN && (letter = mailbox_take(&manager->replies)); i++) {
                Reply *reply = (Reply *)letter;

                on_reply(manager, reply);
                reply_free(reply);
        }
        return 0;
}

/* --- who does not answer --- */

static bool note_silence(uint64_t step_since_usec, uint64_t now_usec, uint64_t *stuck_since_usec,
                         uint64_t *ret_span_usec)
{
        const bool is_stuck = step_since_usec != 0 && now_usec > step_since_usec + STUCK_USEC;
        const bool was_stuck = *stuck_since_usec != 0;

        if (is_stuck == was_stuck)
                return false;
        *ret_span_usec = now_usec - (is_stuck ? step_since_usec : *stuck_since_usec);
        *stuck_since_usec = is_stuck ? step_since_usec : 0;
        return true;
}

/* Returns when to look again. */
static uint64_t look_for_silence(Manager *manager, uint64_t now_usec)
{
        bool any_out = manager->n_errands > 0 || writer_step_since_usec(manager->writer) != 0;
        uint64_t span_usec;

        for (ServedDisk *disk = manager->disks; disk; disk = disk->next) {
                any_out = any_out || disk->n_out > 0 || disk->stuck_since_usec != 0;
                if (note_silence(worker_step_since_usec(disk->worker), now_usec, &disk->stuck_since_usec,
                                 &span_usec)) {
                        if (disk->stuck_since_usec != 0)
                                manager_say_stuck(manager, disk, span_usec);
                        else
                                manager_say_answers(manager, disk, span_usec);
                }
        }
        if (note_silence(writer_step_since_usec(manager->writer), now_usec,
                         &manager->writer_stuck_since_usec, &span_usec)) {
                if (manager->writer_stuck_since_usec != 0)
                        manager_say_stuck(manager, NULL, span_usec);
                else
                        manager_say_answers(manager, NULL, span_usec);
        }
        return any_out || manager->writer_stuck_since_usec != 0 ? now_usec + STUCK_LOOK_USEC : UINT64_MAX;
}

/* --- the end --- */

static void begin_stop(Manager *manager, int exit_status)
{
        if (manager->stopping)
                return;
        manager->stopping = true;
        manager->exit_status = exit_status;
        manager->stop_deadline_usec = manager_now(manager) + STOP_USEC;
        (void)sd_notify(0, "STOPPING=1");
        (void)sd_event_source_set_enabled(manager->table_source, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(manager->group_source, SD_EVENT_OFF);
        for (ServedDisk *disk = manager->disks; disk; disk = disk->next)
                if (disk->busy_volume != 0) {
                        worker_cancel(disk->worker);
                        disk->cancelled = true;
                }
}

static bool any_busy(const Manager *manager)
{
        for (const ServedDisk *disk = manager->disks; disk; disk = disk->next)
                if (disk->busy_volume != 0)
                        return true;
        return false;
}

/* One step towards the end: the moves, then the last ledger, then the threads. Returns when to come again. */
static uint64_t attend_stop(Manager *manager, uint64_t now_usec)
{
        const bool is_late = now_usec >= manager->stop_deadline_usec;

        if (!is_late && any_busy(manager))
                return manager->stop_deadline_usec;
        if (manager->ledger_loaded && !manager->final_sent) {
                manager_say_hour(manager);
                manager->final_sent = true;
                if (manager_store(manager, true) < 0)
                        log_warning("Cannot store the ledger: %s", strerror(ENOMEM));
        }
        if (!is_late && manager->stored_serial < manager->sent_serial && !manager->ledger_failed)
                return manager->stop_deadline_usec;
        if (!is_late && manager->n_errands > 0)
                return manager->stop_deadline_usec;
        (void)sd_event_exit(manager->event, manager->exit_status);
        return UINT64_MAX;
}

/* --- after every event --- */

/* Nothing is armed while there is nothing to tell. */
static uint64_t attend_hour(Manager *manager, uint64_t now_usec)
{
        if (manager->hour_start_usec == 0)
                return UINT64_MAX;
        if (now_usec < manager->hour_start_usec + HOUR_USEC)
                return manager->hour_start_usec + HOUR_USEC;
        manager_say_hour(manager);
        manager->hour_start_usec = 0;
        return UINT64_MAX;
}

static int attend(sd_event_source *source, void *userdata)
{
        Manager *manager = userdata;
        const uint64_t now_usec = manager_now(manager);
        uint64_t next_usec, store_usec;

        (void)source;
        if (manager->stopping) {
                next_usec = attend_stop(manager, now_usec);
        } else {
                next_usec = u64_min(manager_look(manager), manager_attend(manager));
                store_usec = manager_store_due(manager);
                if (store_usec <= now_usec) {
                        if (manager_store(manager, false) < 0)
                                log_warning("Cannot store the ledger: %s", strerror(ENOMEM));
                        store_usec = manager_store_due(manager);
                }
                next_usec = u64_min(next_usec, store_usec);
                next_usec = u64_min(next_usec, attend_hour(manager, now_usec));
                next_usec = u64_min(next_usec, manager_breaker_due(manager));
        }
        next_usec = u64_min(next_usec, look_for_silence(manager, now_usec));
        next_usec = u64_min(next_usec, manager_notify(manager));
        if (next_usec == UINT64_MAX)
                return sd_event_source_set_enabled(manager->timer, SD_EVENT_OFF);
        (void)sd_event_source_set_time(manager->timer, next_usec);
        return sd_event_source_set_enabled(manager->timer, SD_EVENT_ONESHOT);
}

/* All that it has to do is done by attend(), which comes after every event. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
        (void)source;
        (void)usec;
        (void)userdata;
        return 0;
}

static int on_mounts(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Manager *manager = userdata;

        (void)source;
        (void)fd;
        (void)events;
        if (manager->ledger_loaded)
                manager_read_mounts(manager);
        return 0;
}

static int on_group(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        (void)source;
        (void)fd;
        (void)events;
        manager_read_events(userdata);
        return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Manager *manager = userdata;

        (void)source;
        switch (info->ssi_signo) {
        case SIGHUP:
                reload(manager);
                break;
        case SIGUSR1:
        case SIGUSR2:
                if (manager->paused == (info->ssi_signo == SIGUSR1))
                        break;
                manager->paused = info->ssi_signo == SIGUSR1;
                manager_say_paused(manager);
                break;
        default:
                begin_stop(manager, EXIT_SUCCESS);
                break;
        }
        return 0;
}

/* --- the sources --- */

static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

int manager_block_signals(void)
{
        sigset_t mask;

        if (sigemptyset(&mask) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTS(signals); i++)
                if (sigaddset(&mask, signals[i]) < 0)
                        return -errno;
        return sigprocmask(SIG_BLOCK, &mask, NULL) < 0 ? -errno : 0;
}

int manager_add_sources(Manager *manager)
{
        int r;

        for (size_t i = 0; i < ELEMENTS(signals); i++) {
                r = sd_event_add_signal(manager->event, NULL, signals[i], on_signal, manager);
                if (r < 0)
                        return r;
        }
        r = sd_event_add_io(manager->event, &manager->table_source, manager->table_fd, EPOLLPRI, on_mounts,
                            manager);
        if (r >= 0)
                r = sd_event_add_io(manager->event, &manager->replies_source, manager->replies.event_fd,
                                    EPOLLIN, on_replies, manager);
        if (r >= 0)
                r = sd_event_add_io(manager->event, &manager->group_source, manager->group_fd, EPOLLIN,
                                    on_group, manager);
        if (r >= 0)
                r = sd_event_add_time(manager->event, &manager->timer, CLOCK_MONOTONIC, 0, 0, on_timer,
                                      manager);
        if (r >= 0)
                r = sd_event_add_post(manager->event, &manager->post, attend, manager);
        if (r >= 0)
                r = sd_event_set_watchdog(manager->event, true);
        return r < 0 ? r : 0;
}
