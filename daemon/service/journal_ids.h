/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A MESSAGE_ID for each kind of event; units/defragd.catalog explains each to people, and a test holds the two against each
 * other. An id is never used again for something else. */

/* a file lies better than before */
#define JOURNAL_ID_FILE_MOVED "8bb3acedef2e43d0a96c6d1859d625e5"

/* a file could not be moved, and nobody expected that */
#define JOURNAL_ID_FILE_FAILED "3c2b149be6d5474985f093f7e45ffb47"

/* a file is about to be moved that shares space with others, which takes space */
#define JOURNAL_ID_FILE_UNSHARING "c4d0452214da4932b58f8c1c612f780d"

/* a volume is looked after from now on */
#define JOURNAL_ID_VOLUME_WATCHED "4549e7961c2147daa109ebc467b76266"

/* a volume is left alone, and why */
#define JOURNAL_ID_VOLUME_STOPPED "a753cb1445a44cba8ad68d56b261f966"

/* the breaker has stopped a volume */
#define JOURNAL_ID_VOLUME_TRIPPED "b97c5cfce5a543328a588310efd7e766"

/* nothing is moved on a volume for the time being */
#define JOURNAL_ID_VOLUME_HELD "6f1a478671944afba1c0c629d87432e9"

/* what was done on a volume in the last hour */
#define JOURNAL_ID_VOLUME_HOURLY "d88432053b8f4d07a0918a1c5b45903a"

/* a whole volume was looked at */
#define JOURNAL_ID_SWEEP_FINISHED "fbe906ba1fc24853bcec89d9eb2827de"

/* something was written that nobody told us of: a sweep is due */
#define JOURNAL_ID_EVENTS_LOST "518cdb8b64d14e49b346b33d51dc8aad"

/* a disk does not answer */
#define JOURNAL_ID_DISK_STUCK "808d8f7ab801440e81f09af4c91da54a"

/* it does again */
#define JOURNAL_ID_DISK_ANSWERS "385bbe9d53e24553a6c87a11d019bb2b"

/* a line of the configuration that is wrong */
#define JOURNAL_ID_CONFIG_MISTAKE "f69faeab9d3349d98f1e56b31a4dc6a7"

/* the configuration was read anew */
#define JOURNAL_ID_CONFIG_LOADED "ebb5ceb771914eddb3e2ff615d828b52"

/* the ledger could not be used */
#define JOURNAL_ID_LEDGER_SET_ASIDE "b93fc0a53dc4443092e1d6644100d85d"

/* the ledger could not be written */
#define JOURNAL_ID_LEDGER_NOT_STORED "2abadf9c3c4b4ebebf6ebe8c27d8c746"

/* the journal did not answer, and records were dropped */
#define JOURNAL_ID_RECORDS_LOST "e9da99ef97ec4c5da48a2adb9e987c71"

/* an administrator paused or resumed the moving */
#define JOURNAL_ID_PAUSED "156616cf882f45099e6cb3d88b4a2a1c"
