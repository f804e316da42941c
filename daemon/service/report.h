/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a run says: a line or a JSON object for each file, the progress line, the summary.
 *
 * Results go to standard output, progress to standard error and only where that is a terminal. In text every name goes
 * through escape_text(). In JSON a name is exact: everything outside ASCII is written as \uXXXX, so no name can drive
 * a terminal; only a name that is not valid UTF-8, which JSON has no way to say, is escaped as in text. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "decide/outcome.h"

typedef struct ReportOptions {
        FILE *out;      /* borrowed */
        FILE *progress; /* borrowed; NULL: no progress line */
        bool json;
        bool verbose; /* text: also what nobody needs to act on */
} ReportOptions;

typedef struct ReportFile {
        const char *path;   /* NULL when unknown */
        const char *volume; /* mount path; NULL when there is none */
        const char *engine; /* NULL when none was chosen */
        uint64_t inode;
        Outcome outcome;
        Reason reason;
        int error; /* of OUTCOME_FAILED, positive */
        uint64_t extents_before, extents_after;
        uint64_t bytes_moved;
        uint64_t bytes_planned; /* text of a dry run alone */
        uint64_t bytes_shared;  /* what moving it takes of the free space for good; told where it is not 0 */
        uint64_t usec;
        bool named; /* by the person who started us: gets a line in any case */
} ReportFile;

typedef struct ReportTotals {
        uint64_t files;
        uint64_t by_outcome[OUTCOME_MAX_];
        uint64_t extents_before, extents_after;
        uint64_t bytes_moved;
} ReportTotals;

typedef struct Report {
        ReportOptions options;
        ReportTotals totals;
        uint64_t start_usec, progress_usec; /* monotonic */
        bool progress_shown;
        int error; /* first -errno of writing the results; nothing is written after it */
} Report;

void report_init(Report *report, const ReportOptions *options);

/* Counts the file and says what became of it, flushed to the last byte. */
void report_file(Report *report, const ReportFile *file);

/* Counts files that nobody came to. */
void report_cancelled(Report *report, uint64_t n_files);

/* The line on the terminal, at most every 100 ms: where the run stands, in file number at of n. */
void report_progress(Report *report, uint64_t at, uint64_t n, const char *path, uint64_t bytes_moved);
/* Takes it away: before anything else is written to the terminal. */
void report_hide_progress(Report *report);

void report_summary(Report *report);
