/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* encrypt on DIRECTORY: what is made in it from now on is encrypted (fscrypt, policy version 2, with a key for all tests).
 * encrypt forget PATH: the kernel forgets the key on the file system of PATH, as when its owner logs out.
 *
 * Status 77 where the file system cannot. */

#include <linux/fscrypt.h>

#include "tool.h"

static int status_of(int error)
{
        return error == EOPNOTSUPP || error == ENOTTY || error == ENOPKG ? 77 : 1;
}

/* The key, and by what the kernel knows it. */
static struct fscrypt_key_specifier key_add(int fd)
{
        union {
                struct fscrypt_add_key_arg arg;
                uint8_t room[sizeof(struct fscrypt_add_key_arg) + 64];
        } key = {.arg = {.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER, .raw_size = 64}};

        memset(key.room + sizeof(key.arg), 'k', 64);
        if (ioctl(fd, FS_IOC_ADD_ENCRYPTION_KEY, &key.arg) < 0) {
                fprintf(stderr, "encrypt: no key: %s\n", strerror(errno));
                exit(status_of(errno));
        }
        return key.arg.key_spec;
}

int main(int argc, char *argv[])
{
        struct fscrypt_key_specifier key;
        int fd;

        if (argc != 3 || (strcmp(argv[1], "on") != 0 && strcmp(argv[1], "forget") != 0))
                die_plainly("usage: encrypt on|forget PATH");
        fd = open(argv[2], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                die("%s", argv[2]);
        key = key_add(fd);
        if (strcmp(argv[1], "on") == 0) {
                struct fscrypt_policy_v2 policy = {
                        .version = FSCRYPT_POLICY_V2,
                        .contents_encryption_mode = FSCRYPT_MODE_AES_256_XTS,
                        .filenames_encryption_mode = FSCRYPT_MODE_AES_256_CTS,
                        .flags = FSCRYPT_POLICY_FLAGS_PAD_32,
                };

                memcpy(policy.master_key_identifier, key.u.identifier, sizeof(policy.master_key_identifier));
                if (ioctl(fd, FS_IOC_SET_ENCRYPTION_POLICY, &policy) < 0) {
                        fprintf(stderr, "encrypt: %s: %s\n", argv[2], strerror(errno));
                        return status_of(errno);
                }
        } else {
                struct fscrypt_remove_key_arg arg = {.key_spec = key};

                if (ioctl(fd, FS_IOC_REMOVE_ENCRYPTION_KEY, &arg) < 0)
                        die("%s", argv[2]);
                if (arg.removal_status_flags != 0)
                        die_plainly("files are open still");
        }
        return 0;
}
