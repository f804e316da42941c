/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is prepared before the main loop, and how it ends. */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/number.h"
#include "fs/lease.h"
#include "service/manager.h"
#include "service/privilege.h"
#include "service/served.h"

/* Files that are known to have been written and have not settled; a sweep finds what is above. 3 MB with their names. */
#define WATCHED_MAX     16384
/* For a thread that the kernel holds when we go: as long as a frozen volume may take to be thawed in earnest. */
#define STUCK_EXIT_USEC (90 * USEC_PER_SEC)
#define STATE_DIRECTORY "/var/lib/defragd"

#define EXIT_CONFIG 2

static void on_complaint(const char *file, unsigned line, const char *text, void *userdata)
{
        _cleanup_free_ char *name = escape_text(file), *before = NULL;
        char **lines = userdata;

        before = TAKE_PTR(*lines);
        if (asprintf(lines, "%s%s%s:%u: %s", before ? before : "", before ? "\n" : "",
                     name ? name : "configuration", line, text) < 0)
                *lines = NULL;
}

static int load_config(Manager *manager, char **ret_lines)
{
        Config config;
        int r;

        r = config_load("", manager->config_file, on_complaint, ret_lines, &config);
        if (r < 0)
                return r;
        manager->n_mistakes = (unsigned)r;
        manager->config = shared_config_new(&config);
        if (!manager->config) {
                config_done(&config);
                return -ENOMEM;
        }
        return 0;
}

/* The order is explained in privilege.h. */
static int enter_sandbox(Manager *manager, const char **ret_what)
{
        int r;

        *ret_what = "/proc/1/mountinfo";
        manager->table_fd = mount_table_open();
        if (manager->table_fd < 0)
                return manager->table_fd;
        manager->state_directory = getenv("STATE_DIRECTORY");
        if (!manager->state_directory) {
                manager->state_directory = STATE_DIRECTORY;
                *ret_what = STATE_DIRECTORY;
                if (mkdir(STATE_DIRECTORY, 0700) < 0 && errno != EEXIST)
                        return -errno;
        }
        if (!privilege_is_sandboxed(manager->table_fd)) {
                r = privilege_own_namespace(ret_what);
                if (r < 0)
                        return r;
                *ret_what = "a writable state directory";
                r = privilege_keep_writable(manager->state_directory);
                if (r < 0)
                        return r;
        }
        /* Two that write one ledger would each forget what the other has spent. */
        *ret_what = "the state directory (does another instance have it?)";
        manager->state_fd = open(manager->state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (manager->state_fd < 0 || flock(manager->state_fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;
        lease_ignore_breaks();
        r = privilege_drop(ret_what);
        if (r < 0)
                return r;
        privilege_lower_priority();
        return 0;
}

static void to_writer(int level, const char *text, void *userdata)
{
        Manager *manager = userdata;

        writer_record(manager->writer, record_new(level, NULL, "%s", text));
}

static int prepare(Manager *manager, const char **ret_what)
{
        int r;

        r = enter_sandbox(manager, ret_what);
        if (r < 0)
                return r;
        *ret_what = "signals";
        r = manager_block_signals();
        if (r < 0)
                return r;
        *ret_what = "an event loop";
        r = sd_event_new(&manager->event);
        if (r < 0)
                return r;
        *ret_what = "fanotify";
        r = manager_open_group(manager);
        if (r < 0)
                return r;
        *ret_what = "memory";
        manager->watched = watch_table_new(WATCHED_MAX);
        if (!manager->watched)
                return -ENOMEM;
        *ret_what = "threads";
        r = mailbox_init(&manager->replies, true);
        if (r < 0)
                return r;
        manager->has_replies = true;
        r = writer_new(&manager->replies, manager->state_directory, manager->config_file, &manager->writer);
        if (r < 0)
                return r;
        log_set_sink(to_writer, manager);
        *ret_what = "event sources";
        r = manager_watch_stops(manager);
        return r < 0 ? r : manager_add_sources(manager);
}

/* Ends the threads that can be ended. Returns false when one is still in the kernel. */
static bool end_threads(Manager *manager)
{
        const uint64_t deadline_usec = clock_monotonic_usec() + USEC_PER_SEC / 2;
        bool writer_ended = false;
        Letter *letter;

        manager_let_go_of_all(manager);
        if (writer_stop(manager->writer) < 0)
                return false;
        while ((manager->disks || !writer_ended) &&
               (letter = mailbox_wait(&manager->replies, deadline_usec))) {
                Reply *reply = (Reply *)letter;
                ServedDisk *disk = manager_find_disk(manager, reply->sender);

                if (reply->type == REPLY_ENDED && disk)
                        manager_on_ended(manager, disk);
                else if (reply->type == REPLY_ENDED)
                        writer_ended = true;
                reply_free(reply);
        }
        if (manager->disks || !writer_ended)
                return false;
        log_set_sink(NULL, NULL);
        manager->writer = writer_free(manager->writer);
        return true;
}

static void manager_done(Manager *manager)
{
        Letter *letter;

        if (manager->has_replies) {
                while ((letter = mailbox_take(&manager->replies)))
                        reply_free((Reply *)letter);
                mailbox_done(&manager->replies);
        }
        watch_table_free(manager->watched);
        shared_config_unref(manager->config);
        shared_table_unref(manager->table);
        ledger_done(&manager->absent);
        manager_breaker_done(manager);
        sd_event_source_unref(manager->timer);
        sd_event_source_unref(manager->post);
        sd_event_source_unref(manager->table_source);
        sd_event_source_unref(manager->group_source);
        sd_event_source_unref(manager->replies_source);
        sd_event_source_unref(manager->stops_source);
        sd_event_unref(manager->event);
        (void)fd_close(manager->group_fd);
        (void)fd_close(manager->table_fd);
        (void)fd_close(manager->state_fd);
        free(manager->status);
}

static int loop(Manager *manager, const char *mistakes)
{
        char text[64];
        int r;

        if (mistakes)
                manager_say_mistakes(manager, mistakes);
        (void)sd_notify(0, "READY=1");
        /* What is stopped is known before the first volume is taken up, which waits for the ledger. */
        manager->stops_due_usec = UINT64_MAX;
        manager_load_stops(manager);
        r = manager->stops_loading ? writer_load_ledger(manager->writer) : -ENOMEM;
        if (r >= 0) {
                manager->n_errands++;
                r = sd_event_loop(manager->event);
        }
        if (r < 0) {
                log_error("The event loop has failed: %s", strerror(-r));
                r = EXIT_FAILURE;
        }
        if (end_threads(manager))
                return r;
        /* A thread that the kernel holds keeps the process in the table until it lets go; nobody is to kill us for it. */
        (void)snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)STUCK_EXIT_USEC);
        (void)sd_notify(0, text);
        (void)flock(manager->state_fd, LOCK_UN);
        _exit(r);
}

int manager_run(const char *config_file, bool verbose)
{
        _cleanup_free_ char *mistakes = NULL;
        Manager manager = {
                .config_file = config_file, .table_fd = -EBADF, .group_fd = -EBADF, .state_fd = -EBADF};
        const char *what = "";
        int r;

        if (verbose)
                log_set_max_level(LOG_DEBUG);
        /* Each thread's own arena would cost as much again as all that we need. */
        (void)mallopt(M_ARENA_MAX, 1);
        if (privilege_check(&what) < 0) {
                log_error("Must be run as root; missing: %s", what);
                return EXIT_FAILURE;
        }
        r = load_config(&manager, &mistakes);
        if (r < 0) {
                _cleanup_free_ char *name = escape_text(config_file ? config_file : "the configuration");

                log_error("Cannot read %s: %s", name ? name : "the configuration", strerror(-r));
                return EXIT_CONFIG;
        }
        r = prepare(&manager, &what);
        if (r < 0) {
                log_error("Cannot prepare: %s: %s", what, strerror(-r));
                r = EXIT_FAILURE;
                if (manager.writer)
                        (void)end_threads(&manager);
        } else {
                r = loop(&manager, mistakes);
        }
        manager_done(&manager);
        return r;
}
