/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One line, one write: what a reader of the journal or of a terminal gets is never torn between threads. */

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Longer than any message of ours; what does not fit is cut. */
#define LOG_LINE_MAX 2048

static atomic_int max_level = LOG_INFO;
static void (*log_sink)(int level, const char *text, void *userdata);
static void *log_sink_userdata;

void log_set_max_level(int level)
{
        atomic_store(&max_level, level);
}

void log_set_sink(void (*sink)(int level, const char *text, void *userdata), void *userdata)
{
        log_sink = sink;
        log_sink_userdata = userdata;
}

int log_max_level(void)
{
        return atomic_load(&max_level);
}

void log_line(int level, const char *format, ...)
{
        char line[LOG_LINE_MAX];
        size_t used = 0;
        va_list arguments;
        int n;

        if (level > atomic_load(&max_level))
                return;
        if (log_sink)
                line[0] = '\0';
        else if (getenv("JOURNAL_STREAM"))
                used = (size_t)snprintf(line, sizeof(line), "<%d>", level);
        else
                used = (size_t)snprintf(line, sizeof(line), "defragd: ");

        va_start(arguments, format);
        n = vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
        va_end(arguments);
        if (n < 0)
                return;
        if (log_sink) {
                log_sink(level, line, log_sink_userdata);
                return;
        }
        used += (size_t)n < sizeof(line) - used - 1 ? (size_t)n : sizeof(line) - used - 2;
        line[used++] = '\n';
        /* Nobody to tell when standard error itself is broken. */
        if (write(STDERR_FILENO, line, used) < 0)
                return;
}
