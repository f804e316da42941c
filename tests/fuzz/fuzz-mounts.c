/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mount table, twice from the same bytes: as text, where no line of an accepted table may be lost and none may be writable that says
 * otherwise, and as mounts that are written as the kernel writes them. */

#include <ctype.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/mounts.h"
#include "fuzz.h"

static int table_read(const char *text, size_t n_bytes, MountTable *ret)
{
        static int fd = -1;

        if (fd < 0) {
                fd = memfd_create("mountinfo", MFD_CLOEXEC);
                require(fd >= 0);
        }
        require(ftruncate(fd, 0) == 0);
        require(n_bytes == 0 || pwrite(fd, text, n_bytes, 0) == (ssize_t)n_bytes);
        return mount_table_read(fd, ret);
}

static bool has_option(const char *options, const char *word)
{
        const size_t n = strlen(word);

        for (const char *at = options; *at;) {
                const size_t length = strcspn(at, ",");

                if (length == n && strncmp(at, word, n) == 0)
                        return true;
                at += length + (at[length] == ',');
        }
        return false;
}

/* A line that is exactly of the kernel's form, held against what was made of it. */
static void check_line(const char *line, const Mount *mount)
{
        char device[32], options[256], type[128], source[128], super[256];
        const char *rest = strstr(line, " - ");
        unsigned major_number, minor_number;
        int n = 0;

        /* An empty source leaves two spaces, which sscanf(3) would take for one. */
        if (!rest || strlen(line) > 512 || strspn(line, "0123456789") == 0 || strstr(line, "  ") ||
            strpbrk(line, "\t\v\f\r"))
                return;
        if (sscanf(line, "%*u %*u %31s %*s %*s %255s", device, options) != 2 ||
            sscanf(rest, " - %127s %127s %255s%n", type, source, super, &n) != 3 || rest[n] != '\0')
                return;
        if (device[strspn(device, "0123456789:")] != '\0' ||
            sscanf(device, "%9u:%9u%n", &major_number, &minor_number, &n) != 2 || device[n] != '\0')
                return;
        require(mount->device == makedev(major_number, minor_number));
        if (has_option(options, "ro") || has_option(super, "ro"))
                require(!mount->writable);
}

static void check_text(const uint8_t *data, size_t n_bytes)
{
        _cleanup_(mount_table_done) MountTable table = {0}, again = {0};
        _cleanup_free_ char *text = fuzz_text(data, n_bytes);
        char *rest = text;
        size_t n_lines = 0;
        int r = table_read((const char *)data, n_bytes, &table);

        require(table_read((const char *)data, n_bytes, &again) == r);
        require(again.n_mounts == table.n_mounts);
        if (r < 0) {
                require(!table.mounts && table.n_mounts == 0);
                return;
        }
        require(r == 0);
        for (size_t i = 0; i < table.n_mounts; i++) {
                const Mount *mount = &table.mounts[i], *found = mount_table_find(&table, mount->device);

                require(mount->target && mount->root && mount->type);
                require(!found || (found->device == mount->device && strcmp(found->root, "/") == 0));
                if (strcmp(mount->root, "/") == 0)
                        require(found && (found->writable || !mount->writable));
        }
        /* libmount guesses what kind of table it is from the first line, and would take this one for /proc/swaps. No kernel writes it. */
        if (strlen(text) != n_bytes || strstr(text, "Filename"))
                return;
        for (char *line; (line = strsep(&rest, "\n"));) {
                const char *first = line + strspn(line, " \t\r");

                if (*first == '\0' || *first == '#')
                        continue;
                require(n_lines < table.n_mounts);
                check_line(line, &table.mounts[n_lines++]);
        }
        require(n_lines == table.n_mounts);
}

/* --- as the kernel writes it --- */

static void put_mangled(FILE *out, const char *text)
{
        for (; *text; text++)
                if (strchr(" \t\n\\#", *text))
                        fprintf(out, "\\%03o", (unsigned char)*text);
                else
                        fputc(*text, out);
}

/* "/" and up to 31 bytes. */
static char *path_of(FuzzBytes *bytes)
{
        size_t n = fuzz_take(bytes, 1) % 32;
        char text[40] = "/";

        for (size_t i = 0; i < n; i++)
                text[i + 1] = (char)fuzz_take(bytes, 1);
        return fuzz_text(text, n + 1);
}

static void check_mounts(const uint8_t *data, size_t n_bytes)
{
        FuzzBytes bytes = {data, data + n_bytes};
        const size_t n = fuzz_take(&bytes, 1) % 5;
        _cleanup_(mount_table_done) MountTable table = {0}, expected = {0};
        char *text;
        size_t n_text;
        FILE *out = open_memstream(&text, &n_text);

        require(out);
        expected.mounts = calloc(n + 1, sizeof(*expected.mounts));
        require(expected.mounts);
        for (; expected.n_mounts < n; expected.n_mounts++) {
                const uint8_t kind = (uint8_t)fuzz_take(&bytes, 1);
                Mount *mount = &expected.mounts[expected.n_mounts];

                *mount = (Mount){
                        .target = path_of(&bytes),
                        .root = path_of(&bytes),
                        .type = strdup(kind & 4 ? "xfs" : "fuse.some"),
                        .source = kind & 32 ? strdup("") : path_of(&bytes),
                        .device = makedev((unsigned)fuzz_take(&bytes, 1), (unsigned)fuzz_take(&bytes, 2)),
                        .writable = !(kind & 3),
                };
                fprintf(out, "%zu 1 %u:%u ", expected.n_mounts + 20, major(mount->device),
                        minor(mount->device));
                put_mangled(out, mount->root);
                fputc(' ', out);
                put_mangled(out, mount->target);
                fprintf(out, " %s,relatime%s%s - %s ", kind & 1 ? "ro" : "rw", kind & 8 ? " shared:3" : "",
                        kind & 16 ? " master:2" : "", mount->type);
                put_mangled(out, mount->source);
                fprintf(out, " %s,errors=remount-ro\n", kind & 2 ? "ro" : "rw");
        }
        require(fclose(out) == 0);
        require(table_read(text, n_text, &table) == 0);
        require(table.n_mounts == n);
        for (size_t i = 0; i < n; i++) {
                const Mount *a = &table.mounts[i], *b = &expected.mounts[i];

                require(strcmp(a->target, b->target) == 0);
                require(strcmp(a->root, b->root) == 0);
                require(strcmp(a->type, b->type) == 0);
                require(a->source && strcmp(a->source, b->source) == 0);
                require(a->device == b->device && a->writable == b->writable);
        }
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        check_text(data, n_bytes);
        check_mounts(data, n_bytes);
        return 0;
}
