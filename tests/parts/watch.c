/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* part-watch MOUNT
 *
 * Watches a mounted volume with a group as the service has it, and does what standard input says, a command a line. It
 * holds nothing on the volume between two of them. Each is answered with lines of which the last begins with "done":
 *
 *     mark                marks the volume; "done FSID"
 *     read                all events that wait; "event inode= generation= parent= parent-generation= pid= name=", or
 *                         "overflow"; "done"
 *     count               the same without telling them; "done N_EVENTS N_OVERFLOWS N_BYTES USEC"
 *     write PATH          writes a file; "done"
 *     flood DIRECTORY N   writes N files of one byte; "done USEC"
 *     unnamed DIRECTORY [NAME]
 *                         writes an O_TMPFILE file, and gives it a name before it is closed; "done INODE"
 *
 * Its first line is "pid PID". */

#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/number.h"
#include "work/watch.h"

#define ROOM_BYTES 65536

static const char *arg_mount;

static uint64_t now_usec(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / NSEC_PER_USEC;
}

static void on_event(const WatchEvent *event, void *userdata)
{
        _cleanup_free_ char *name = NULL;

        (void)userdata;
        if (event->overflow) {
                puts("overflow");
                return;
        }
        name = escape_text_max(event->name ? event->name : "", ESCAPE_MAX_BYTES);
        if (!name)
                error(2, ENOMEM, "name");
        printf("event inode=%" PRIu64 " generation=%" PRIu32 " parent=%" PRIu64 " parent-generation=%" PRIu32
               " pid=%d name=%s\n",
               event->id.inode, event->id.generation, event->parent.inode, event->parent.generation,
               (int)event->pid, name);
}

static void do_mark(int group_fd)
{
        _cleanup_close_ int root_fd = open(arg_mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        uint64_t fsid;
        int r;

        if (root_fd < 0)
                error(2, errno, "%s", arg_mount);
        r = watch_mark_add(group_fd, root_fd, &fsid);
        if (r < 0)
                error(2, -r, "mark");
        printf("done %" PRIx64 "\n", fsid);
}

typedef struct Count {
        uint64_t n_events, n_overflows;
} Count;

static void on_counted(const WatchEvent *event, void *userdata)
{
        Count *count = userdata;

        if (!event->overflow)
                count->n_events++;
        else
                count->n_overflows++;
        if (!event->overflow && count->n_overflows > 0)
                error(2, 0, "an event behind the overflow");
}

/* Returns how many bytes there were. */
static uint64_t drain(int group_fd, void (*tell)(const WatchEvent *event, void *userdata), void *userdata)
{
        static char buffer[ROOM_BYTES];
        uint64_t n_all = 0;
        ssize_t n_bytes;
        int r;

        while ((n_bytes = read(group_fd, buffer, sizeof(buffer))) > 0) {
                n_all += (uint64_t)n_bytes;
                r = watch_parse(buffer, (size_t)n_bytes, tell, userdata);
                if (r < 0)
                        error(2, -r, "events");
        }
        if (n_bytes == 0 || errno != EAGAIN)
                error(2, n_bytes < 0 ? errno : 0, "read");
        return n_all;
}

static void do_read(int group_fd)
{
        (void)drain(group_fd, on_event, NULL);
        puts("done");
}

static void do_count(int group_fd)
{
        const uint64_t begin_usec = now_usec();
        Count count = {0};
        const uint64_t n_bytes = drain(group_fd, on_counted, &count);

        printf("done %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", count.n_events, count.n_overflows,
               n_bytes, now_usec() - begin_usec);
}

static void write_file(const char *path)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        if (fd < 0 || write(fd, "x", 1) != 1)
                error(2, errno, "%s", path);
}

static void do_flood(const char *directory, unsigned n_files)
{
        const uint64_t begin_usec = now_usec();

        for (unsigned i = 0; i < n_files; i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%u", directory, i) < 0)
                        error(2, ENOMEM, "path");
                write_file(path);
        }
        printf("done %" PRIu64 "\n", now_usec() - begin_usec);
}

static void do_unnamed(const char *directory, const char *name)
{
        _cleanup_close_ int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = openat(directory_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        struct stat status;

        if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &status) < 0)
                error(2, errno, "%s", directory);
        if (name && linkat(fd, "", directory_fd, name, AT_EMPTY_PATH) < 0)
                error(2, errno, "%s", name);
        fd = fd_close(fd);
        printf("done %" PRIu64 "\n", (uint64_t)status.st_ino);
}

static void do_line(int group_fd, char *line)
{
        char *words[3] = {0};
        size_t n_words = 0;

        for (char *word = strtok(line, " \n"); word && n_words < ELEMENTS(words); word = strtok(NULL, " \n"))
                words[n_words++] = word;
        if (n_words == 1 && strcmp(words[0], "mark") == 0)
                do_mark(group_fd);
        else if (n_words == 1 && strcmp(words[0], "read") == 0)
                do_read(group_fd);
        else if (n_words == 1 && strcmp(words[0], "count") == 0)
                do_count(group_fd);
        else if (n_words == 2 && strcmp(words[0], "write") == 0) {
                write_file(words[1]);
                puts("done");
        } else if (n_words == 3 && strcmp(words[0], "flood") == 0)
                do_flood(words[1], (unsigned)strtoul(words[2], NULL, 10));
        else if (n_words >= 2 && strcmp(words[0], "unnamed") == 0)
                do_unnamed(words[1], words[2]);
        else
                error(2, 0, "no such command");
}

int main(int argc, char *argv[])
{
        _cleanup_close_ int group_fd = -EBADF;
        _cleanup_free_ char *line = NULL;
        size_t n_room = 0;

        if (argc != 2)
                error(2, 0, "usage: part-watch MOUNT");
        arg_mount = argv[1];
        group_fd = watch_group_open();
        if (group_fd < 0)
                error(2, -group_fd, "group");
        printf("pid %d\n", (int)getpid());
        for (;;) {
                if (fflush(stdout) != 0)
                        error(2, errno, "standard output");
                if (getline(&line, &n_room, stdin) < 0)
                        return 0;
                do_line(group_fd, line);
        }
}
