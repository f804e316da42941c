/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* replay of a corpus: NAME DIRECTORY|FILE... runs a target once for each file. What is found ends the program, as it ends a
 * fuzzer. Exit status 1 when a file cannot be read, or when there was none. */

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "fuzz.h"

static int replay_file(const char *path)
{
        _cleanup_fclose_ FILE *stream = fopen(path, "re");
        _cleanup_free_ uint8_t *data = NULL;
        struct stat status;

        if (!stream || fstat(fileno(stream), &status) < 0)
                return -errno;
        data = malloc((size_t)status.st_size + 1);
        if (!data)
                return -ENOMEM;
        if (fread(data, 1, (size_t)status.st_size, stream) != (size_t)status.st_size)
                return -EIO;
        /* Said beforehand: the last line names the file that a finding is in. */
        printf("%s\n", path);
        fflush(stdout);
        (void)LLVMFuzzerTestOneInput(data, (size_t)status.st_size);
        return 1;
}

/* Returns how many files there were, or -errno. */
static int replay(const char *path)
{
        _cleanup_closedir_ DIR *listing = opendir(path);
        struct dirent *entry;
        int n = 0;

        if (!listing)
                return errno == ENOTDIR ? replay_file(path) : -errno;
        while (errno = 0, (entry = readdir(listing))) {
                _cleanup_free_ char *file = NULL;
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                if (asprintf(&file, "%s/%s", path, entry->d_name) < 0) {
                        file = NULL;
                        return -ENOMEM;
                }
                r = replay(file);
                if (r < 0)
                        return r;
                n += r;
        }
        return errno != 0 ? -errno : n;
}

int main(int argc, char *argv[])
{
        int n = 0;

        for (int i = 1; i < argc; i++) {
                int r = replay(argv[i]);

                if (r < 0) {
                        fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
                        return EXIT_FAILURE;
                }
                n += r;
        }
        if (n == 0) {
                fprintf(stderr, "nothing to replay\n");
                return EXIT_FAILURE;
        }
        printf("%d files\n", n);
        return EXIT_SUCCESS;
}
