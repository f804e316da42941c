/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* verity-on FILE: from now on the kernel checks what is read of it (FS_IOC_ENABLE_VERITY), and nobody can write it any more. */

#include <linux/fsverity.h>

#include "tool.h"

int main(int argc, char *argv[])
{
        struct fsverity_enable_arg arg = {
                .version = 1,
                .hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
                .block_size = 4096,
        };
        int fd;

        if (argc != 2)
                die_plainly("usage: verity-on FILE");
        fd = open(argv[1], O_RDONLY | O_CLOEXEC);
        if (fd < 0 || ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) < 0)
                die("%s", argv[1]);
        return 0;
}
