/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Home of json-c. */

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/number.h"
#include "base/units.h"
#include "service/report.h"

#define PROGRESS_USEC          (100 * USEC_PER_SEC / 1000)
/* What a progress line needs for everything but the path. */
#define PROGRESS_FIXED_COLUMNS 60
#define COLUMNS_DEFAULT        80

void report_init(Report *report, const ReportOptions *options)
{
        *report = (Report){.options = *options, .start_usec = clock_monotonic_usec()};
}

static void report_check(Report *report, bool written)
{
        if (!written || fflush(report->options.out) != 0)
                report->error = errno != 0 ? -errno : -EIO;
}

/* Length of the UTF-8 sequence at text and its code point; 0 when it is not one (overlong, surrogate, above U+10FFFF). */
static size_t utf8_decode(const char *text, uint32_t *ret_code_point)
{
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
        const unsigned char *bytes = (const unsigned char *)text;
        size_t n_bytes = bytes[0] < 0x80             ? 1
                         : (bytes[0] & 0xe0) == 0xc0 ? 2
                         : (bytes[0] & 0xf0) == 0xe0 ? 3
                         : (bytes[0] & 0xf8) == 0xf0 ? 4
                                                     : 0;
        uint32_t code_point;

        if (n_bytes == 0)
                return 0;
        code_point = n_bytes == 1 ? bytes[0] : bytes[0] & (0x7fU >> n_bytes);
        for (size_t i = 1; i < n_bytes; i++) {
                if ((bytes[i] & 0xc0) != 0x80)
                        return 0;
                code_point = code_point << 6 | (bytes[i] & 0x3f);
        }
        if (code_point < smallest[n_bytes] || code_point > 0x10ffff ||
            (code_point >= 0xd800 && code_point <= 0xdfff))
                return 0;
        *ret_code_point = code_point;
        return n_bytes;
}

static bool utf8_is_valid(const char *text)
{
        uint32_t code_point;

        while (*text) {
                size_t n_bytes = utf8_decode(text, &code_point);

                if (n_bytes == 0)
                        return false;
                text += n_bytes;
        }
        return true;
}

/* Writes serialized JSON in ASCII alone: what lies outside can only be within strings. */
static bool write_ascii_json(FILE *out, const char *text)
{
        uint32_t code_point;

        while (*text) {
                size_t n_bytes = utf8_decode(text, &code_point);
                int r;

                if (n_bytes == 0) {
                        errno = EILSEQ;
                        return false;
                }
                if (code_point < 0x7f)
                        r = fputc((int)code_point, out);
                else if (code_point < 0x10000)
                        r = fprintf(out, "\\u%04" PRIx32, code_point);
                else
                        r = fprintf(out, "\\u%04" PRIx32 "\\u%04" PRIx32,
                                    0xd800 + ((code_point - 0x10000) >> 10),
                                    0xdc00 + ((code_point - 0x10000) & 0x3ff));
                if (r < 0)
                        return false;
                text += n_bytes;
        }
        return fputc('\n', out) != EOF;
}

static int json_add(json_object *object, const char *key, json_object *value)
{
        if (json_object_object_add(object, key, value) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

/* json-c itself would write a string that is not UTF-8 as it is. */
static int json_add_text(json_object *object, const char *key, const char *text)
{
        _cleanup_free_ char *escaped = NULL;
        json_object *value = NULL;

        if (text && !utf8_is_valid(text)) {
                escaped = escape_text_max(text, 4 * strlen(text) + 16);
                if (!escaped)
                        return -ENOMEM;
                text = escaped;
        }
        if (text) {
                value = json_object_new_string(text);
                if (!value)
                        return -ENOMEM;
        }
        return json_add(object, key, value);
}

static int json_add_number(json_object *object, const char *key, uint64_t number)
{
        json_object *value = json_object_new_uint64(number);

        return value ? json_add(object, key, value) : -ENOMEM;
}

/* Takes object over; NULL and r < 0 say that it could not be made. */
static void write_json(Report *report, json_object *object, int r)
{
        const char *text = NULL;
        bool written = false;

        errno = ENOMEM;
        if (r >= 0 && object)
                text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                                      JSON_C_TO_STRING_NOSLASHESCAPE);
        if (text)
                written = write_ascii_json(report->options.out, text);
        report_check(report, written);
        json_object_put(object);
}

/* "excluded", "EIO"; NULL when there is none. */
static const char *reason_text(const ReportFile *file, char buffer[static 16])
{
        const char *name;

        if (file->outcome == OUTCOME_FAILED && (file->error != 0 || file->reason == REASON_NONE)) {
                name = strerrorname_np(file->error);
                if (name)
                        return name;
                (void)snprintf(buffer, 16, "E%d", file->error);
                return buffer;
        }
        return file->reason == REASON_NONE ? NULL : reason_name(file->reason);
}

static void file_as_json(Report *report, const ReportFile *file)
{
        json_object *object = json_object_new_object();
        char buffer[16];
        int r = object ? 0 : -ENOMEM;

        if (r >= 0)
                r = json_add_text(object, "path", file->path);
        if (r >= 0)
                r = json_add_number(object, "inode", file->inode);
        if (r >= 0)
                r = json_add_text(object, "volume", file->volume);
        if (r >= 0)
                r = json_add_text(object, "engine", file->engine);
        if (r >= 0)
                r = json_add_text(object, "outcome", outcome_name(file->outcome));
        if (r >= 0)
                r = json_add_text(object, "reason", reason_text(file, buffer));
        if (r >= 0)
                r = json_add_number(object, "extents_before", file->extents_before);
        if (r >= 0)
                r = json_add_number(object, "extents_after", file->extents_after);
        if (r >= 0)
                r = json_add_number(object, "bytes_moved", file->bytes_moved);
        if (r >= 0)
                r = json_add_number(object, "usec", file->usec);
        if (r >= 0 && file->bytes_shared > 0)
                r = json_add_number(object, "bytes_shared", file->bytes_shared);
        write_json(report, object, r);
}

/* Does somebody who watches the terminal want to know? */
static bool worth_a_line(const ReportFile *file)
{
        switch (file->outcome) {
        case OUTCOME_MOVED:
        case OUTCOME_CHANGED:
        case OUTCOME_BUSY:
        case OUTCOME_NO_SPACE:
        case OUTCOME_FAILED:
                return true;
        case OUTCOME_SKIPPED:
                return file->reason == SKIP_DRY_RUN;
        case OUTCOME_CANCELLED:
                return file->bytes_moved > 0;
        case OUTCOME_OPTIMAL:
        case OUTCOME_MAX_:
                return false;
        }
        return false;
}

/* A line is put together first and written at once: an error half way must not leave half of it. */
static void file_as_text(Report *report, const ReportFile *file)
{
        _cleanup_free_ char *path = NULL, *line = NULL;
        char reason_buffer[16], moved[BYTES_TEXT], usec[USEC_TEXT], extents[64] = "", work[96] = "",
                                                                    shared[96] = "";
        const char *why = reason_text(file, reason_buffer);

        path = escape_text(file->path);
        if (file->extents_before != file->extents_after)
                (void)snprintf(extents, sizeof(extents), ", %" PRIu64 " -> %" PRIu64 " extents",
                               file->extents_before, file->extents_after);
        else if (file->extents_before > 0)
                (void)snprintf(extents, sizeof(extents), ", %" PRIu64 " extent%s", file->extents_before,
                               file->extents_before == 1 ? "" : "s");
        if (file->bytes_moved > 0)
                (void)snprintf(work, sizeof(work), ", %s in %s%s%s", format_bytes(file->bytes_moved, moved),
                               format_usec(file->usec, usec), file->engine ? " by " : "",
                               file->engine ? file->engine : "");
        else if (file->reason == SKIP_DRY_RUN)
                (void)snprintf(work, sizeof(work), ", %s to move", format_bytes(file->bytes_planned, moved));
        if (file->bytes_shared > 0)
                (void)snprintf(shared, sizeof(shared), ", %s of it shared: %s more space used",
                               format_bytes(file->bytes_shared, moved), moved);

        if (!path || asprintf(&line, "%s: %s%s%s%s%s%s\n", path, outcome_name(file->outcome), why ? ":" : "",
                              why ? why : "", extents, work, shared) < 0) {
                line = NULL;
                report->error = -ENOMEM;
                return;
        }
        report_hide_progress(report);
        errno = 0;
        report_check(report, fputs(line, report->options.out) >= 0);
}

void report_file(Report *report, const ReportFile *file)
{
        ReportTotals *totals = &report->totals;

        totals->files++;
        totals->by_outcome[file->outcome]++;
        totals->extents_before += file->extents_before;
        totals->extents_after += file->extents_after;
        totals->bytes_moved += file->bytes_moved;
        if (report->error < 0)
                return;
        if (report->options.json) {
                report_hide_progress(report);
                file_as_json(report, file);
        } else if (report->options.verbose || file->named || worth_a_line(file)) {
                file_as_text(report, file);
        }
}

void report_cancelled(Report *report, uint64_t n_files)
{
        report->totals.files += n_files;
        report->totals.by_outcome[OUTCOME_CANCELLED] += n_files;
}

void report_progress(Report *report, uint64_t at, uint64_t n, const char *path, uint64_t bytes_moved)
{
        FILE *terminal = report->options.progress;
        uint64_t now_usec = clock_monotonic_usec();
        _cleanup_free_ char *name = NULL;
        char moved[BYTES_TEXT];
        struct winsize size;
        size_t n_columns = COLUMNS_DEFAULT;

        if (!terminal || (report->progress_usec != 0 && now_usec - report->progress_usec < PROGRESS_USEC))
                return;
        if (ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
                n_columns = size.ws_col;
        if (n_columns < PROGRESS_FIXED_COLUMNS + 16)
                n_columns = PROGRESS_FIXED_COLUMNS + 16;
        name = escape_text_max(path, n_columns - PROGRESS_FIXED_COLUMNS);
        if (!name)
                return;
        (void)fprintf(terminal, "\r\033[K[%" PRIu64 "/%" PRIu64 "] %s moved  %s", at, n,
                      format_bytes(u64_add_saturate(report->totals.bytes_moved, bytes_moved), moved), name);
        (void)fflush(terminal);
        report->progress_usec = now_usec;
        report->progress_shown = true;
}

void report_hide_progress(Report *report)
{
        if (!report->progress_shown)
                return;
        (void)fputs("\r\033[K", report->options.progress);
        (void)fflush(report->options.progress);
        report->progress_shown = false;
}

/* The order in which outcomes are told; the JSON keys are words that programs match on. */
static const struct {
        Outcome outcome;
        const char *key;
} told[] = {
        {OUTCOME_MOVED, "moved"},         {OUTCOME_OPTIMAL, "optimal"}, {OUTCOME_SKIPPED, "skipped"},
        {OUTCOME_CHANGED, "changed"},     {OUTCOME_BUSY, "busy"},       {OUTCOME_NO_SPACE, "no_space"},
        {OUTCOME_CANCELLED, "cancelled"}, {OUTCOME_FAILED, "failed"},
};
_Static_assert(ELEMENTS(told) == OUTCOME_MAX_, "every outcome is told");

static void summary_as_json(Report *report, uint64_t usec)
{
        const ReportTotals *totals = &report->totals;
        json_object *object = json_object_new_object(), *yes = json_object_new_boolean(1);
        int r = -ENOMEM;

        if (object && yes)
                r = json_add(object, "summary", TAKE_PTR(yes));
        json_object_put(yes);
        if (r >= 0)
                r = json_add_number(object, "files", totals->files);
        for (size_t i = 0; i < ELEMENTS(told) && r >= 0; i++)
                r = json_add_number(object, told[i].key, totals->by_outcome[told[i].outcome]);
        if (r >= 0)
                r = json_add_number(object, "extents_before", totals->extents_before);
        if (r >= 0)
                r = json_add_number(object, "extents_after", totals->extents_after);
        if (r >= 0)
                r = json_add_number(object, "bytes_moved", totals->bytes_moved);
        if (r >= 0)
                r = json_add_number(object, "usec", usec);
        write_json(report, object, r);
}

static void summary_as_text(Report *report, uint64_t usec)
{
        const ReportTotals *totals = &report->totals;
        FILE *out = report->options.out;
        char bytes[BYTES_TEXT], span[USEC_TEXT];
        const char *separator = ": ";

        (void)fprintf(out, "%" PRIu64 " file%s", totals->files, totals->files == 1 ? "" : "s");
        for (size_t i = 0; i < ELEMENTS(told); i++) {
                uint64_t n = totals->by_outcome[told[i].outcome];

                if (n > 0) {
                        (void)fprintf(out, "%s%" PRIu64 " %s", separator, n, outcome_name(told[i].outcome));
                        separator = ", ";
                }
        }
        (void)fprintf(out, "; %" PRIu64 " -> %" PRIu64 " extents, %s moved in %s\n", totals->extents_before,
                      totals->extents_after, format_bytes(totals->bytes_moved, bytes),
                      format_usec(usec, span));
        report_check(report, !ferror(out));
}

void report_summary(Report *report)
{
        uint64_t usec = clock_monotonic_usec() - report->start_usec;

        report_hide_progress(report);
        if (report->error < 0)
                return;
        errno = 0;
        if (report->options.json)
                summary_as_json(report, usec);
        else
                summary_as_text(report, usec);
}
