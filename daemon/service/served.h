/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the main thread knows: its volumes, their disks, and itself. Private to service/manager*.c; main thread only.
 *
 * Times are microseconds of CLOCK_MONOTONIC unless their name says sec: those are seconds of the wall clock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "decide/budget.h"
#include "decide/queue.h"
#include "decide/regulate.h"
#include "service/letters.h"
#include "service/worker.h"
#include "service/writer.h"
#include "work/ledger.h"
#include "work/watch.h"

/* Files that a queue remembers, cooling ones included: 2 MB with their names. */
#define SERVED_QUEUE_MAX 8192

typedef enum ServedState {
        SERVED_LOCATING, /* the writer finds out on which disks it lies */
        SERVED_ADDING,   /* its worker looks at it */
        SERVED_WATCHED,
        SERVED_STOPPED, /* left alone until it is mounted anew or the configuration is read anew */
} ServedState;

/* What was done, for STATUS and for the hourly record. */
typedef struct ServedCounts {
        uint64_t n_moved, n_failed, n_later, n_skipped, n_would_move;
        uint64_t bytes_moved;
        uint64_t n_runs_less;
        uint64_t n_untold; /* records that were left out because there were too many */
} ServedCounts;

static inline void served_counts_add(ServedCounts *counts, const ServedCounts *more)
{
        counts->n_moved += more->n_moved;
        counts->n_failed += more->n_failed;
        counts->n_later += more->n_later;
        counts->n_skipped += more->n_skipped;
        counts->n_would_move += more->n_would_move;
        counts->bytes_moved += more->bytes_moved;
        counts->n_runs_less += more->n_runs_less;
        counts->n_untold += more->n_untold;
}

typedef struct ServedVolume {
        struct ServedVolume *next;
        uint64_t serial; /* as in letters */
        dev_t device;
        char *mount_path; /* owned */
        char *shown_path; /* the same, escaped; owned */
        ServedState state;
        VolumeVerdict verdict;        /* of SERVED_STOPPED */
        const VolumeConfig *settings; /* in Manager.config */
        bool is_covered;              /* another mount hid it when it was taken up */
        struct ServedDisk *disk;      /* NULL while SERVED_LOCATING */
        char uuid[37];
        uint64_t fsid;
        uint64_t total_bytes;
        bool rotational;
        int watch_error; /* 0: it is marked */
        bool announced;  /* its engine was told */
        uint64_t since_usec;

        Queue *queue; /* owned */
        uint64_t queue_stored_generation;
        uint64_t not_before_usec; /* MaxRate=: nothing before */
        bool is_paced;            /* something waits for that */
        uint64_t space_until_usec;
        Hold hold, told_hold;
        uint64_t hold_until_usec;

        DailyBudget budget;
        int64_t prepaid_day;
        uint64_t prepaid_bytes;  /* charged, and not used yet */
        int64_t short_day;       /* on which the rest was too little for a file that waits */
        uint64_t prepaid_serial; /* the ledger in which the charge stands */

        Inventory *inventory;      /* NULL while none is under way, or while the worker has it */
        uint64_t sweep_begun_usec; /* 0: no slice of it was sent yet */
        uint64_t sweep_again_usec; /* one more that is wanted: not before */
        bool sweep_wanted;         /* one more: something may have been missed */
        bool sweep_left_out;       /* more was found than there was room for */
        uint64_t n_dropped;        /* of the queue when that was last looked for */
        bool sweep_running;
        uint64_t sweep_due_usec; /* the next one, by SweepSec= */
        uint64_t slice_due_usec; /* the next slice of a running one */
        int64_t sweep_finished_sec;
        InventoryPhase sweep_phase; /* where the running one stands, for the ledger */
        InodeCursor sweep_cursor;
        uint64_t sweep_offset;

        FileId moving;               /* set while a MOVE is out */
        uint64_t moving_bytes;       /* so far */
        uint64_t moving_total_bytes; /* size of the file */
        ServedCounts hour, all;
} ServedVolume;

/* One worker and the physical disks that only it touches. */
typedef struct ServedDisk {
        struct ServedDisk *next;
        uint64_t serial;
        dev_t roots[LETTERS_DISKS_MAX];
        size_t n_roots;
        Worker *worker;
        size_t n_volumes;
        uint64_t busy_volume; /* serial of the one that has a MOVE or SWEEP out; 0: none */
        uint64_t last_volume; /* serial of the one that was served last */
        uint64_t slice_start_usec;
        bool cancelled;
        bool ending;
        size_t n_out;              /* letters that are not answered yet */
        uint64_t stuck_since_usec; /* 0: it answers */
} ServedDisk;

/* A stop that is not stored yet. */
typedef struct PendingStop PendingStop;

typedef struct Manager {
        sd_event *event;
        sd_event_source *timer, *post, *table_source, *group_source, *replies_source, *stops_source;
        const char *config_file, *state_directory;
        SharedConfig *config;
        unsigned n_mistakes; /* in the configuration files as they are now */
        SharedTable *table;
        int table_fd, group_fd;
        int state_fd; /* locked: one instance has the ledger */
        Mailbox replies;
        Writer *writer;
        WatchTable *watched;
        ServedVolume *volumes;
        ServedDisk *disks;
        uint64_t last_serial;
        Ledger absent; /* of volumes that are not here, and of those that are until they are WATCHED */

        StopList stops; /* which file systems the breaker has stopped */
        PendingStop *pending_stops;
        bool stops_loading, stops_load_again;
        uint64_t stops_due_usec; /* they could not be read: when to try again */

        bool ledger_loaded;
        bool budgets_lost; /* the ledger could not be read: what was spent on lost_day is not known */
        int64_t lost_day;
        bool ledger_dirty;
        bool ledger_failed;
        uint64_t ledger_due_usec;            /* dirty: when to store it at the latest */
        uint64_t sent_serial, stored_serial; /* of ledgers */
        size_t n_errands;                    /* of the writer, not answered yet */
        uint64_t writer_stuck_since_usec;

        bool paused;
        bool on_battery;
        uint64_t battery_asked_usec;
        bool reloading;
        bool reload_again; /* asked for while it was being read */
        bool stopping;
        bool final_sent;  /* the last ledger is on its way */
        bool has_replies; /* the mailbox is made */
        uint64_t stop_deadline_usec;
        int exit_status;

        pid_t earlier_pids[8]; /* instances whose events may still be in the group */
        size_t n_earlier_pids;
        bool group_inherited; /* nothing that was written since the earlier instance ended is missing in it */
        bool draining;        /* the group has not been empty since the start */

        ServedCounts gone;        /* of volumes that are here no more, or were taken up anew */
        uint64_t hour_start_usec; /* 0: nothing was done since the last hourly record */
        unsigned n_records_this_hour;
        char *status; /* the last one that was sent */
        uint64_t status_sent_usec;
} Manager;

/* --- manager_loop.c: events --- */

/* The time of this turn of the loop. */
uint64_t manager_now(const Manager *manager);
/* Before there are threads, which inherit it. Returns 0 or -errno. */
int manager_block_signals(void);
int manager_add_sources(Manager *manager);

/* --- manager_volumes.c: who is looked after --- */

ServedVolume *manager_find_volume(const Manager *manager, uint64_t serial);
ServedVolume *manager_find_fsid(const Manager *manager, uint64_t fsid);
/* Reads the host's mount table, and takes up or lets go of volumes. */
void manager_read_mounts(Manager *manager);
void manager_on_disks(Manager *manager, const Reply *reply);
void manager_on_added(Manager *manager, const Reply *reply);
ServedDisk *manager_find_disk(const Manager *manager, uint64_t serial);
void manager_on_ended(Manager *manager, ServedDisk *disk);
void manager_stop_volume(Manager *manager, ServedVolume *volume, const VolumeVerdict *verdict);
/* Their queues are kept in the ledger: reading the mount table takes them up again. */
void manager_let_go_of_all(Manager *manager);

/* --- manager_work.c: what is done next --- */

/* Sends what can be sent. Returns when to look again at the latest. */
uint64_t manager_attend(Manager *manager);
void manager_on_looked(Manager *manager, Reply *reply);
void manager_on_moved(Manager *manager, ServedDisk *disk, Reply *reply);
/* Its worker has answered a MOVE or a SWEEP. */
void manager_disk_is_free(ServedDisk *disk);
/* Days since 1970-01-01 in local time. */
int64_t manager_day(void);
uint64_t manager_daily_bytes(const ServedVolume *volume);

/* --- manager_sweep.c: sweeps --- */

void manager_begin_sweep(ServedVolume *volume);
/* Returns 0 or -ENOMEM. */
int manager_send_slice(ServedVolume *volume, uint64_t now_usec);
void manager_on_swept(Manager *manager, ServedDisk *disk, Reply *reply);
/* True once when all is done that can be, and more was found than there was room for: a sweep finds it again. */
bool manager_has_left_out(ServedVolume *volume, uint64_t now_usec);

/* --- manager_ledger.c: what is remembered --- */

/* The writer has read the ledger. */
void manager_on_ledger(Manager *manager, Reply *reply);
void manager_on_stored(Manager *manager, const Reply *reply);
/* Stores what there is now; final: a clean stop. Returns 0 or -ENOMEM. */
int manager_store(Manager *manager, bool final);
/* Takes what the ledger has of a volume into it; puts what it has into the ledger's part for those that are not here. */
void manager_recall(Manager *manager, ServedVolume *volume);
void manager_keep(Manager *manager, ServedVolume *volume);
/* When a ledger is due: a time, or UINT64_MAX. */
uint64_t manager_store_due(Manager *manager);

/* --- manager_breaker.c: what must not go on --- */

/* Asks for the stop files; the answer stops volumes, or takes up those that are stopped no more. */
void manager_load_stops(Manager *manager);
void manager_on_stops(Manager *manager, Reply *reply);
void manager_on_stop_stored(Manager *manager, const Reply *reply);
/* Has the state directory watched, or logs that it cannot be. Returns 0. */
int manager_watch_stops(Manager *manager);
/* Stops the file system for good: in here now, on disk soon. volume: NULL when it is here no more; candidate, engine: NULL where there was
 * none. */
void manager_trip(Manager *manager, ServedVolume *volume, const char *uuid, const Trip *trip,
                  const Candidate *candidate, const char *engine);
/* Stores again what could not be stored. Returns when to come again. */
uint64_t manager_breaker_due(Manager *manager);
void manager_breaker_done(Manager *manager);

/* --- manager_events.c: what fanotify tells --- */

int manager_open_group(Manager *manager);
void manager_read_events(Manager *manager);
/* Sends what has settled to be looked at. Returns when the next file is due. */
uint64_t manager_look(Manager *manager);

/* --- manager_say.c: the journal --- */

void manager_say_mistakes(Manager *manager, const char *lines);
void manager_say_loaded(Manager *manager, const char *what);
void manager_say_paused(Manager *manager);
void manager_say_watched(Manager *manager, const ServedVolume *volume);
void manager_say_engine(Manager *manager, const ServedVolume *volume, const Reply *reply);
void manager_say_stopped(Manager *manager, const ServedVolume *volume);
/* volume: NULL when it is here no more. */
void manager_say_tripped(Manager *manager, const ServedVolume *volume, const StopReport *report);
void manager_say_hold(Manager *manager, const ServedVolume *volume);
void manager_say_file(Manager *manager, const ServedVolume *volume, const Reply *reply);
void manager_say_unsharing(Manager *manager, const ServedVolume *volume, const Reply *reply);
void manager_say_swept(Manager *manager, const ServedVolume *volume, const Inventory *inventory);
void manager_say_lost(Manager *manager);
void manager_say_stuck(Manager *manager, const ServedDisk *disk, uint64_t usec);
void manager_say_answers(Manager *manager, const ServedDisk *disk, uint64_t usec);
void manager_say_set_aside(Manager *manager, const char *text, bool is_aside);
void manager_say_not_stored(Manager *manager, int error);
/* One record for each volume on which something was done since the last call. */
void manager_say_hour(Manager *manager);
/* That of one volume, before it goes. */
void manager_say_hour_of(Manager *manager, ServedVolume *volume);

/* --- manager_notify.c: STATUS --- */

/* Sends STATUS, if it has changed and the last one is old enough. Returns when to call again, UINT64_MAX for not. */
uint64_t manager_notify(Manager *manager);
