/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The group, its marks, and what the kernel writes into a buffer: a chain of events, each a chain of records. Lengths
 * come from the kernel, and are believed only as far as the buffer goes. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/statfs.h>

#include "work/watch.h"

/* Both records with one event: the directory with the name in it, and the file itself. */
#define GROUP_FLAGS                                                                                         \
        (FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID | FAN_REPORT_DIR_FID |               \
         FAN_REPORT_NAME)

int watch_group_open(void)
{
        int fd = fanotify_init(GROUP_FLAGS, O_RDONLY | O_CLOEXEC | O_LARGEFILE);

        return fd < 0 ? -errno : fd;
}

int watch_mark_add(int group_fd, int root_fd, uint64_t *ret_fsid)
{
        struct statfs status;

        if (fstatfs(root_fd, &status) < 0)
                return -errno;
        if (fanotify_mark(group_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_CLOSE_WRITE, root_fd, NULL) < 0)
                return -errno;
        static_assert(sizeof(status.f_fsid) == sizeof(*ret_fsid), "a file system id of another size");
        memcpy(ret_fsid, &status.f_fsid, sizeof(*ret_fsid));
        return 0;
}

int watch_marks_clear(int group_fd)
{
        return fanotify_mark(group_fd, FAN_MARK_FLUSH | FAN_MARK_FILESYSTEM, 0, AT_FDCWD, NULL) < 0 ? -errno
                                                                                                    : 0;
}

/* One record about a file. Returns 0 or -EBADMSG. */
static int parse_record(const char *record, size_t n_bytes, WatchEvent *event)
{
        const size_t handle_offset = offsetof(struct fanotify_event_info_fid, handle);
        const size_t content_offset = handle_offset + offsetof(struct file_handle, f_handle);
        struct fanotify_event_info_fid info;
        struct file_handle handle;
        FileId id;

        if (n_bytes < content_offset)
                return -EBADMSG;
        memcpy(&info, record, handle_offset);
        memcpy(&handle, record + handle_offset, offsetof(struct file_handle, f_handle));
        if (handle.handle_bytes > n_bytes - content_offset)
                return -EBADMSG;
        memcpy(&event->fsid, &info.fsid, sizeof(event->fsid));
        if (file_id_from_handle(handle.handle_type, record + content_offset, handle.handle_bytes, &id) < 0)
                return 0;
        switch (info.hdr.info_type) {
        case FAN_EVENT_INFO_TYPE_FID:
                event->id = id;
                break;
        case FAN_EVENT_INFO_TYPE_DFID:
                event->parent = id;
                break;
        case FAN_EVENT_INFO_TYPE_DFID_NAME: {
                const char *name = record + content_offset + handle.handle_bytes;
                const size_t n_name = n_bytes - content_offset - handle.handle_bytes;

                event->parent = id;
                if (n_name == 0 || !memchr(name, '\0', n_name))
                        return -EBADMSG;
                /* "." is the directory itself. */
                if (name[0] != '\0' && strcmp(name, ".") != 0)
                        event->name = name;
                break;
        }
        default:
                break;
        }
        return 0;
}

/* All records of one event. */
static int parse_records(const char *at, size_t n_bytes, WatchEvent *event)
{
        struct fanotify_event_info_header header;
        int r;

        while (n_bytes > 0) {
                if (n_bytes < sizeof(header))
                        return -EBADMSG;
                memcpy(&header, at, sizeof(header));
                if (header.len < sizeof(header) || header.len > n_bytes)
                        return -EBADMSG;
                if (header.info_type == FAN_EVENT_INFO_TYPE_FID ||
                    header.info_type == FAN_EVENT_INFO_TYPE_DFID ||
                    header.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME) {
                        r = parse_record(at, header.len, event);
                        if (r < 0)
                                return r;
                }
                at += header.len;
                n_bytes -= header.len;
        }
        return 0;
}

int watch_parse(const void *buffer, size_t n_bytes,
                void (*on_event)(const WatchEvent *event, void *userdata), void *userdata)
{
        const char *at = buffer;
        struct fanotify_event_metadata metadata;
        int r;

        while (n_bytes > 0) {
                WatchEvent event = {0};

                if (n_bytes < sizeof(metadata))
                        return -EBADMSG;
                memcpy(&metadata, at, sizeof(metadata));
                if (metadata.vers != FANOTIFY_METADATA_VERSION || metadata.event_len > n_bytes ||
                    metadata.metadata_len < sizeof(metadata) || metadata.metadata_len > metadata.event_len)
                        return -EBADMSG;
                if (metadata.mask & FAN_Q_OVERFLOW) {
                        event.overflow = true;
                        on_event(&event, userdata);
                } else {
                        event.pid = metadata.pid;
                        r = parse_records(at + metadata.metadata_len,
                                          metadata.event_len - metadata.metadata_len, &event);
                        if (r < 0)
                                return r;
                        if (file_id_is_set(event.id))
                                on_event(&event, userdata);
                }
                at += metadata.event_len;
                n_bytes -= metadata.event_len;
        }
        return 0;
}
