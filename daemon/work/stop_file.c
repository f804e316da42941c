/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text of a stop file:
 *
 *     defragd-stopped 1
 *     When: 2026-03-01 12:00:00 UTC
 *     Seen: the device gave an error (Input/output error)
 *     Volume: /srv
 *     ...
 *     # what to do
 *
 * Names are escaped, so that each stays on its line. */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "work/stop_file.h"

#define MAGIC       "defragd-stopped "
#define UUID_LENGTH 36

/* --- the text --- */

char *stop_seen(const Trip *trip)
{
        char *text;
        const int n = trip->error != 0
                              ? asprintf(&text, "%s (%s)", trip_text(trip->kind), strerror(trip->error))
                              : asprintf(&text, "%s", trip_text(trip->kind));

        return n < 0 ? NULL : text;
}

static int put_name(FILE *out, const char *key, const char *name)
{
        _cleanup_free_ char *shown = name ? escape_text(name) : NULL;

        if (!name)
                return 0;
        if (!shown)
                return -ENOMEM;
        fprintf(out, "%s: %s\n", key, shown);
        return 0;
}

static int put_all(FILE *out, const StopReport *report)
{
        _cleanup_free_ char *seen = stop_seen(&report->trip);
        const time_t when = (time_t)report->when_sec;
        char stamp[32] = "";
        struct tm parts;

        if (!seen)
                return -ENOMEM;
        if (gmtime_r(&when, &parts))
                (void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S UTC", &parts);
        fprintf(out, MAGIC "%d\nWhen: %s\nSeen: %s\n", STOP_FILE_VERSION, stamp[0] ? stamp : "unknown",
                seen);
        if (put_name(out, "Volume", report->volume) < 0 || put_name(out, "UUID", report->uuid) < 0)
                return -ENOMEM;
        if (report->inode != 0)
                fprintf(out, "Inode: %" PRIu64 "\n", report->inode);
        if (put_name(out, "Path", report->path) < 0 || put_name(out, "Engine", report->engine) < 0 ||
            put_name(out, "Step", report->trip.step) < 0)
                return -ENOMEM;
        if (report->trip.length != 0)
                fprintf(out, "Region: %" PRIu64 " bytes from %" PRIu64 "\n", report->trip.length,
                        report->trip.offset);
        fputs("# defragd moves nothing on this file system as long as there is a file of this name.\n"
              "# Look at what the kernel reported at that time, at the disk, and at the file that is named\n"
              "# above; check the file system. Then remove this file: defragd notices and goes on.\n",
              out);
        return 0;
}

int stop_file_format(const StopReport *report, char **ret_text)
{
        char *text = NULL;
        size_t n_bytes;
        int r, failed;
        FILE *out = open_memstream(&text, &n_bytes);

        if (!out)
                return -ENOMEM;
        r = put_all(out, report);
        failed = ferror(out);
        if (fclose(out) != 0 || failed || r < 0) {
                free(text);
                return -ENOMEM;
        }
        *ret_text = text;
        return 0;
}

/* What stands behind "KEY: " in a line of its own; NULL when there is none. */
static char *value_of(const char *text, size_t n_bytes, const char *key)
{
        const size_t n_key = strlen(key);

        for (const char *line = text, *end = text + n_bytes, *next; line < end; line = next) {
                const char *stop = memchr(line, '\n', (size_t)(end - line));

                if (!stop)
                        stop = end;
                next = stop < end ? stop + 1 : end;
                if ((size_t)(stop - line) > n_key && memcmp(line, key, n_key) == 0)
                        return strndup(line + n_key, (size_t)(stop - line) - n_key);
        }
        return NULL;
}

/* Returns 0 with the text, or -ENOMEM. */
static int line_of(const char *text, char **ret_text)
{
        *ret_text = escape_text(text);
        return *ret_text ? 0 : -ENOMEM;
}

int stop_file_parse(const char *text, size_t n_bytes, char **ret_text)
{
        _cleanup_free_ char *when = NULL, *seen = NULL, *line = NULL;
        const size_t n_magic = strlen(MAGIC);
        size_t at = n_magic;
        uint64_t version = 0;
        int r = STOP_FILE_DAMAGED;

        if (n_bytes > n_magic && memcmp(text, MAGIC, n_magic) == 0 && !memchr(text, '\0', n_bytes)) {
                for (; at < n_bytes && isdigit((unsigned char)text[at]) && version < 1000000; at++)
                        version = 10 * version + (uint64_t)(text[at] - '0');
                if (at > n_magic && at < n_bytes && text[at] == '\n' && version > 0)
                        r = version > STOP_FILE_VERSION ? STOP_FILE_NEWER : 0;
        }
        if (r == 0) {
                when = value_of(text, n_bytes, "When: ");
                seen = value_of(text, n_bytes, "Seen: ");
                if (!when || !seen)
                        r = STOP_FILE_DAMAGED;
                else if (asprintf(&line, "%s, on %s", seen, when) < 0)
                        return -ENOMEM;
        }
        if (line_of(r == 0                 ? line
                    : r == STOP_FILE_NEWER ? "a later version has stopped it"
                    : n_bytes == 0         ? "its file in the state directory is empty"
                                           : "its file in the state directory is damaged",
                    ret_text) < 0)
                return -ENOMEM;
        return r;
}

/* --- the list --- */

void stop_list_done(StopList *list)
{
        for (size_t i = 0; i < list->n_marks; i++)
                free(list->marks[i].text);
        free(list->marks);
        *list = (StopList){0};
}

static StopMark *list_append(StopList *list, const char *uuid, char *text, bool is_stored)
{
        StopMark *grown = NULL;

        if (list->n_marks < STOP_MARKS_MAX)
                grown = reallocarray(list->marks, list->n_marks + 1, sizeof(*grown));
        if (!grown) {
                list->error = list->n_marks < STOP_MARKS_MAX ? -ENOMEM : -E2BIG;
                free(text);
                return NULL;
        }
        list->marks = grown;
        grown[list->n_marks] = (StopMark){.text = text, .is_stored = is_stored};
        (void)snprintf(grown[list->n_marks].uuid, sizeof(grown->uuid), "%s", uuid);
        return &grown[list->n_marks++];
}

StopMark *stop_list_find(const StopList *list, const char *uuid)
{
        for (size_t i = 0; i < list->n_marks; i++)
                if (strcasecmp(list->marks[i].uuid, uuid) == 0)
                        return &list->marks[i];
        return NULL;
}

bool stop_list_has(const StopList *list, const char *uuid, const char **ret_text)
{
        const StopMark *mark = stop_list_find(list, uuid);
        const char *text = "the state directory cannot be read";

        if (!mark && list->error == 0)
                return false;
        if (mark)
                text = mark->text ? mark->text : "for a reason that its file tells";
        if (ret_text)
                *ret_text = text;
        return true;
}

int stop_list_add(StopList *list, const char *uuid, const char *text)
{
        if (stop_list_find(list, uuid))
                return 0;
        return list_append(list, uuid, text ? strdup(text) : NULL, false) ? 0 : list->error;
}

StopList stop_list_copy(const StopList *list)
{
        StopList copy = {.error = list->error};

        for (size_t i = 0; i < list->n_marks; i++) {
                const StopMark *mark = &list->marks[i];

                if (!list_append(&copy, mark->uuid, mark->text ? strdup(mark->text) : NULL, mark->is_stored))
                        break;
        }
        return copy;
}

/* --- the files --- */

/* "stopped-UUID", in whatever case; anything else is none of ours. */
static bool uuid_of_name(const char *name, char ret_uuid[static UUID_LENGTH + 1])
{
        const size_t n_prefix = strlen(STOP_FILE_PREFIX);

        if (strncmp(name, STOP_FILE_PREFIX, n_prefix) != 0 || strlen(name) != n_prefix + UUID_LENGTH)
                return false;
        for (size_t i = 0; i < UUID_LENGTH; i++) {
                const char c = name[n_prefix + i];
                const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (is_dash ? c != '-' : !isxdigit((unsigned char)c))
                        return false;
                ret_uuid[i] = (char)tolower((unsigned char)c);
        }
        ret_uuid[UUID_LENGTH] = '\0';
        return true;
}

/* Returns what to tell of the file; NULL when memory is short. It counts whatever is in it. */
static char *read_text(int dir_fd, const char *name)
{
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        _cleanup_free_ char *buffer = NULL;
        struct stat status;
        size_t n_bytes = 0;
        char *text = NULL;
        ssize_t n = 0;

        if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
                return strdup("its file in the state directory cannot be read");
        buffer = malloc(STOP_FILE_MAX_BYTES);
        if (!buffer)
                return NULL;
        while (n_bytes < STOP_FILE_MAX_BYTES) {
                n = read(fd, buffer + n_bytes, STOP_FILE_MAX_BYTES - n_bytes);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                n_bytes += (size_t)n;
        }
        if (n < 0)
                return strdup("its file in the state directory cannot be read");
        return stop_file_parse(buffer, n_bytes, &text) < 0 ? NULL : text;
}

void stop_list_read(const char *directory, StopList *ret)
{
        _cleanup_closedir_ DIR *stream = NULL;
        StopList list = {0};
        char uuid[UUID_LENGTH + 1];

        stream = opendir(directory);
        if (!stream)
                list.error = -errno;
        while (stream && list.error == 0) {
                const struct dirent *entry;

                errno = 0;
                entry = readdir(stream);
                if (!entry) {
                        list.error = -errno;
                        break;
                }
                if (uuid_of_name(entry->d_name, uuid))
                        (void)list_append(&list, uuid, read_text(dirfd(stream), entry->d_name), true);
        }
        *ret = list;
}

static int write_new(int dir_fd, const char *name, const char *text)
{
        _cleanup_close_ int fd = -EBADF;
        size_t n_left = strlen(text);

        if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        while (n_left > 0) {
                const ssize_t n = write(fd, text, n_left);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                text += n;
                n_left -= (size_t)n;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

int stop_file_store(const char *directory, const char *uuid, const char *text)
{
        char name[sizeof(STOP_FILE_PREFIX) + UUID_LENGTH], new_name[sizeof(name) + 32];
        _cleanup_close_ int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (dir_fd < 0)
                return -errno;
        if (snprintf(name, sizeof(name), STOP_FILE_PREFIX "%s", uuid) >= (int)sizeof(name))
                return -EINVAL;
        /* --once and the service may be at it at the same time. */
        (void)snprintf(new_name, sizeof(new_name), "new-%s.%d", name, (int)getpid());
        r = write_new(dir_fd, new_name, text);
        if (r >= 0 && renameat2(dir_fd, new_name, dir_fd, name, RENAME_NOREPLACE) < 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(dir_fd, new_name, 0);
        if (r < 0 && r != -EEXIST)
                return r;
        return fsync(dir_fd) < 0 ? -errno : 0;
}
