/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* nfs3-mount DOMAIN EXPORT DIRECTORY
 *
 * Mounts by NFS 3 what this machine's own kernel exports to DOMAIN, without asking a mountd for the handle of its root: the
 * server's file system tells it (Linux has /proc/fs/nfsd/filehandle since 2.6), and mount(2) takes it in the oldest of its
 * forms, as a structure. Nobody locks. */

#include <arpa/inet.h>
#include <linux/nfs_mount.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "tool.h"

#define SERVER_PORT 2049

/* The server answers with "\x" and the handle in hexadecimal digits. */
static void handle_read(const char *domain, const char *path, struct nfs3_fh *ret)
{
        char text[2 * NFS3_FHSIZE + 16];
        int n, fd = open("/proc/fs/nfsd/filehandle", O_RDWR | O_CLOEXEC);
        ssize_t n_bytes;

        if (fd < 0)
                die("/proc/fs/nfsd/filehandle");
        n = snprintf(text, sizeof(text), "%s %s %d\n", domain, path, NFS3_FHSIZE);
        if (n < 0 || (size_t)n >= sizeof(text))
                die_plainly("%s: too long", path);
        if (write(fd, text, (size_t)n) != n)
                die("%s: handle", path);
        n_bytes = read(fd, text, sizeof(text) - 1);
        if (n_bytes < 4 || text[0] != '\\' || text[1] != 'x')
                die_plainly("%s: not a handle", path);
        text[n_bytes] = '\0';
        ret->size = 0;
        for (const char *digits = text + 2;
             ret->size < NFS3_FHSIZE && sscanf(digits, "%2hhx", &ret->data[ret->size]) == 1; digits += 2)
                ret->size++;
        (void)close(fd);
}

int main(int argc, char *argv[])
{
        struct nfs_mount_data data = {
                .version = NFS_MOUNT_VERSION,
                .fd = -1,
                .flags = NFS_MOUNT_VER3 | NFS_MOUNT_TCP | NFS_MOUNT_NONLM,
                .timeo = 600,
                .retrans = 2,
                .acregmin = 3,
                .acregmax = 60,
                .acdirmin = 30,
                .acdirmax = 60,
                .addr = {.sin_family = AF_INET, .sin_port = htons(SERVER_PORT)},
                .hostname = "127.0.0.1",
                .pseudoflavor = 1, /* AUTH_SYS */
        };
        char source[512];

        if (argc != 4)
                die_plainly("usage: nfs3-mount DOMAIN EXPORT DIRECTORY");
        if ((size_t)snprintf(source, sizeof(source), "%s:%s", data.hostname, argv[2]) >= sizeof(source))
                die_plainly("%s: too long", argv[2]);
        data.addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        handle_read(argv[1], argv[2], &data.root);
        if (mount(source, argv[3], "nfs", 0, &data) < 0)
                die("%s", argv[3]);
        return 0;
}
