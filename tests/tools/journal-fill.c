/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* journal-fill [SOCKET]
 *
 * Sends records to a journal that does not take them, until there is no room for another one: whoever sends the next, waits.
 * Prints how many it took. */

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tool.h"

/* Far above what waits for a socket, so that it ends where the journal answers. */
#define RECORDS_MAX 100000
#define SENDERS_MAX 512
#define WAIT_MSEC   1000

static int sender_new(const struct sockaddr_un *address)
{
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
                die("%s", address->sun_path);
        return fd;
}

int main(int argc, char *argv[])
{
        static const char record[] = "MESSAGE=One of many\nPRIORITY=7\nSYSLOG_IDENTIFIER=journal-fill\n";
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const char *path = argc == 2 ? argv[1] : "/run/systemd/journal/socket";
        unsigned n_records = 0, n_senders;

        if (argc > 2 || strlen(path) >= sizeof(address.sun_path))
                die_plainly("usage: journal-fill [SOCKET]");
        memcpy(address.sun_path, path, strlen(path));
        /* A sender may have less room than the journal: full is it when a new one can send nothing at all. */
        for (n_senders = 0; n_senders < SENDERS_MAX; n_senders++) {
                struct pollfd sender = {.fd = sender_new(&address), .events = POLLOUT};
                bool any = false;

                while (poll(&sender, 1, WAIT_MSEC) > 0 && n_records < RECORDS_MAX &&
                       send(sender.fd, record, sizeof(record) - 1, MSG_NOSIGNAL) >= 0) {
                        any = true;
                        n_records++;
                }
                if (!any)
                        break;
        }
        if (n_senders == SENDERS_MAX || n_records == RECORDS_MAX)
                die_plainly("%s takes everything", path);
        printf("%u\n", n_records);
        return 0;
}
