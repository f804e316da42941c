/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* is-free DEVICE: status 0 when nobody has the block device mounted or for itself in another way, 1 when somebody has. Nothing is
 * changed. */

#include "tool.h"

int main(int argc, char *argv[])
{
        int fd;

        if (argc != 2)
                die_plainly("usage: is-free DEVICE");
        fd = open(argv[1], O_RDONLY | O_EXCL | O_CLOEXEC);
        if (fd < 0 && errno == EBUSY)
                return STATUS_WRONG;
        if (fd < 0)
                die("%s", argv[1]);
        return 0;
}
