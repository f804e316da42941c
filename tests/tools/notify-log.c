/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* notify-log SOCKET
 *
 * Takes what a service tells its manager (sd_notify(3)) at SOCKET and prints it, a line an assignment, as it comes. A message of
 * 4096 bytes or more, which the manager would drop, ends it with status 1. Descriptors that come along are closed. */

#include <sys/socket.h>
#include <sys/un.h>

#include "tool.h"

#define MESSAGE_MAX 4095

static void close_descriptors(struct msghdr *message)
{
        for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
                int fd;

                if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t at = 0; at + CMSG_LEN(0) + sizeof(fd) <= part->cmsg_len; at += sizeof(fd)) {
                        memcpy(&fd, CMSG_DATA(part) + at, sizeof(fd));
                        (void)close(fd);
                }
        }
}

int main(int argc, char *argv[])
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd;

        if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path))
                die_plainly("usage: notify-log SOCKET");
        memcpy(address.sun_path, argv[1], strlen(argv[1]));
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                die("%s", argv[1]);
        for (;;) {
                char text[MESSAGE_MAX + 2], room[CMSG_SPACE(64 * sizeof(int))];
                struct iovec part = {.iov_base = text, .iov_len = sizeof(text) - 1};
                struct msghdr message = {
                        .msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = room,
                        .msg_controllen = sizeof(room),
                };
                const ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        die("%s", argv[1]);
                close_descriptors(&message);
                if (n > MESSAGE_MAX) {
                        error(0, 0, "a message that is too long");
                        return STATUS_WRONG;
                }
                text[n] = '\0';
                if (printf("%s%s", text, n > 0 && text[n - 1] == '\n' ? "" : "\n") < 0 ||
                    fflush(stdout) != 0)
                        return STATUS_ERROR;
        }
}
