/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the threads of the service say to each other.
 *
 *     main --Request--> worker (one a physical disk)        main --Errand--> writer
 *     main <--Reply---- worker                              main <--Reply--- writer
 *
 * A volume is named by a serial number that is never given out again: an answer that comes after the volume has gone
 * is recognised by it and thrown away. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "service/examine.h"
#include "service/mailbox.h"
#include "service/shared.h"
#include "work/inventory.h"
#include "work/ledger.h"
#include "work/relocation.h"
#include "work/stop_file.h"

/* More members than any sensible array has; of a larger one the first are taken. */
#define LETTERS_DISKS_MAX 16

typedef enum RequestType {
        REQUEST_ADD,   /* device, config, table, stops, group_fd; answered by REPLY_ADDED */
        REQUEST_DROP,  /* gone: the host has unmounted it; not answered */
        REQUEST_LOOK,  /* candidate; REPLY_LOOKED */
        REQUEST_SWEEP, /* inventory, for one slice; REPLY_SWEPT */
        REQUEST_MOVE, /* candidate, dry_run, max_bytes; REPLY_UNSHARING, REPLY_PROGRESS as it goes, REPLY_MOVED at the end */
        REQUEST_STOP, /* the thread ends; REPLY_ENDED */
} RequestType;

typedef struct Request {
        Letter letter;
        RequestType type;
        uint64_t volume;
        dev_t device;
        int group_fd;         /* borrowed: lives as long as the threads */
        SharedConfig *config; /* a reference */
        SharedTable *table;   /* a reference */
        StopList stops;       /* a copy */
        Candidate candidate;
        bool names_checked; /* Exclude= was held against every name of the candidate */
        bool dry_run;
        bool gone;
        uint64_t max_bytes;
        Inventory *inventory;
        struct Reply *reply; /* room for the answer, so that none is ever missing */
} Request;

typedef enum ReplyType {
        REPLY_ADDED,
        REPLY_LOOKED,
        REPLY_SWEPT,
        REPLY_PROGRESS,
        REPLY_UNSHARING, /* candidate and result of a move that is about to begin and takes space */
        REPLY_MOVED,
        REPLY_ENDED,
        /* of the writer */
        REPLY_LEDGER,      /* what was found in the state directory */
        REPLY_STORED,      /* a ledger is on stable storage, or is not */
        REPLY_CONFIG,      /* the configuration was read anew */
        REPLY_DISKS,       /* which disks a volume lies on */
        REPLY_STOPS,       /* which file systems the breaker has stopped */
        REPLY_STOP_STORED, /* that it has stopped one is on stable storage, or is not */
} ReplyType;

typedef struct Reply {
        Letter letter;
        ReplyType type;
        uint64_t sender; /* serial number of the worker; 0: the writer */
        uint64_t volume; /* 0: of none */

        /* REPLY_ADDED; the verdict also of REPLY_LOOKED, _SWEPT and _MOVED, where stopped says that nothing more should be tried */
        VolumeVerdict verdict;
        char uuid[37]; /* empty when it was not found out; also of REPLY_MOVED and REPLY_STOP_STORED */
        uint64_t total_bytes;
        bool rotational;
        uint64_t fsid;
        int watch_error; /* -errno of watching it, 0 when it is watched */

        /* REPLY_LOOKED: candidate, with said 1 when it may be worth moving, else 0 or -errno; REPLY_MOVED: what became of it, and its path where known */
        Candidate candidate;
        RelocationResult result;
        uint64_t guard_usec; /* 0 before the engine was proven */
        bool has_distinct_stamps;

        /* REPLY_SWEPT: the inventory comes back; said is what inventory_step() returned */
        Inventory *inventory;
        int said;

        /* REPLY_PROGRESS */
        uint64_t bytes_moved;

        /* REPLY_LEDGER: said as ledger_load(); text says what was wrong. REPLY_STORED: said, serial of the errand.
         * REPLY_CONFIG: said as config_load(); text holds the complaints, a line each. */
        Ledger *ledger;
        char *text;
        uint64_t serial;
        Config *config;

        /* REPLY_STOPS; REPLY_STOP_STORED: said */
        StopList stops;

        /* REPLY_DISKS: said as disk_roots_read() */
        dev_t disks[LETTERS_DISKS_MAX];
} Reply;

/* Return NULL when memory is short. */
Request *request_new(RequestType type, uint64_t volume);
Request *request_free(Request *request);
Reply *reply_new(ReplyType type, uint64_t volume);
Reply *reply_free(Reply *reply);
