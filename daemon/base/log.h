/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Messages for people, to standard error.
 *
 * Levels are those of syslog(3). When standard error is the journal (JOURNAL_STREAM names it) each line carries the
 * "<N>" prefix that the journal strips. Only service/ and main.c log above LOG_DEBUG. Thread-safe: one write(2) a
 * line. Arguments that may hold a file name go through escape_text() first. */

#include <syslog.h>

/* Nothing above this level is printed; LOG_INFO until it is called. Call before threads start. */
void log_set_max_level(int level);
int log_max_level(void);

/* From now on lines go to sink, without the newline, instead of to standard error: for a service whose main thread must not wait
 * for the journal. NULL: back to standard error. Call while there is one thread. */
void log_set_sink(void (*sink)(int level, const char *text, void *userdata), void *userdata);

void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)   log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_line(LOG_ERR, __VA_ARGS__)
