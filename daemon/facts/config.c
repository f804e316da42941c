/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One configuration file after the other, line by line, into a table of settings that remembers which were made, so that
 * a [Volume] section may stand before the [Policy] that it builds on. Where the files are found: config_files.c. */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The library of Debian 12 is built with line numbers though its header says otherwise; test-config pins it. */
#define INI_HANDLER_LINENO 1
#include <ini.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/number.h"
#include "facts/config.h"
#include "facts/config_files.h"
#include "facts/config_keys.h"

/* Far above any sane line; what is longer is refused, not cut. */
#define LINE_MAX_BYTES 65536
/* Thousands of volumes; somebody has linked a log or an image here. */
#define FILE_MAX_BYTES (1024 * 1024)

/* One section's settings as far as they were made. */
typedef struct Section {
        VolumeConfig settings;
        uint64_t is_set;       /* a bit for each of config_keys */
        bool broken;           /* there is a mistake in it */
        bool excludes_emptied; /* an empty Exclude= forgets what the wider section said */
} Section;

typedef struct Parser {
        on_config_complaint on_complaint;
        void *userdata;
        int n_complaints;
        int error; /* first -errno that ends everything */

        Section general;
        bool limits_broken;
        Section *volumes;
        size_t n_volumes;

        /* Of the file being read. */
        const char *file;
        FILE *stream;
        char *line; /* getline()'s */
        size_t line_room;
        unsigned line_number;

        /* The section that the next key belongs to. libinih would cut its name at 49 bytes. */
        Section *section;
        const char *kind; /* "Policy", "Budget", "Volume"; NULL: none yet, or one that was refused */
        bool any_section;
} Parser;

static void complain(Parser *parser, unsigned line, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static void complain(Parser *parser, unsigned line, const char *format, ...)
{
        char text[1024];
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        parser->n_complaints++;
        /* What is wrong in a volume's own section is about that volume; anywhere else it may have been meant to limit us. */
        if (parser->kind && strcmp(parser->kind, "Volume") == 0)
                parser->section->broken = true;
        else
                parser->limits_broken = true;
        if (parser->on_complaint)
                parser->on_complaint(parser->file, line, text, parser->userdata);
}

/* The value of a complaint, fit to be shown. */
static void complain_about(Parser *parser, unsigned line, const char *what, const char *key,
                           const char *value)
{
        _cleanup_free_ char *shown_key = escape_text_max(key, 80), *shown = escape_text_max(value, 200);

        complain(parser, line, "%s %s%s%s", what, shown_key ? shown_key : "?", *value ? "=" : "",
                 shown ? shown : "?");
}

static void section_done(Section *section)
{
        config_excludes_clear(&section->settings);
        free(section->settings.mount_path);
}

/* Makes the section of the volume at path the current one. Returns 0; -EINVAL for a path that no volume can have; -ENOMEM. */
static int volume_enter(Parser *parser, const char *path)
{
        _cleanup_free_ char *clean = NULL;
        Section *grown;
        int r;

        if (*path != '/')
                return -EINVAL;
        r = config_path_clean(path, &clean);
        if (r < 0)
                return r;
        for (size_t i = 0; i < parser->n_volumes; i++)
                if (strcmp(parser->volumes[i].settings.mount_path, clean) == 0) {
                        parser->section = &parser->volumes[i];
                        return 0;
                }
        grown = reallocarray(parser->volumes, parser->n_volumes + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        parser->volumes = grown;
        parser->section = &grown[parser->n_volumes++];
        *parser->section = (Section){.settings.mount_path = TAKE_PTR(clean)};
        return 0;
}

static const char *const general_sections[] = {"Policy", "Budget", "Schedule"};

/* What stands between "[" and "]". A refused section takes its keys with it: they must not end up in the one before. */
static void section_enter(Parser *parser, const char *name)
{
        const char *path = name + 6;
        int r;

        parser->any_section = true;
        parser->kind = NULL;
        for (size_t i = 0; i < ELEMENTS(general_sections); i++)
                if (strcmp(name, general_sections[i]) == 0) {
                        parser->kind = general_sections[i];
                        parser->section = &parser->general;
                        return;
                }
        if (strncmp(name, "Volume", 6) != 0 || (*path != '\0' && !isspace((unsigned char)*path))) {
                complain_about(parser, parser->line_number, "Unknown section, ignoring:", name, "");
                return;
        }
        while (isspace((unsigned char)*path))
                path++;
        r = volume_enter(parser, path);
        if (r == 0)
                parser->kind = "Volume";
        else if (r == -EINVAL)
                complain_about(parser, parser->line_number,
                               "Not an absolute path in section, ignoring:", name, "");
        else
                parser->error = r;
}

/* The setting of one key; an empty value of a list empties it. */
static int section_set(Section *section, const ConfigKey *key, const char *value)
{
        if (key->parse)
                return key->parse(value, (char *)&section->settings + key->offset);
        if (*value)
                return config_excludes_add(&section->settings, value);
        config_excludes_clear(&section->settings);
        section->excludes_emptied = true;
        return 0;
}

static void value_refused(Parser *parser, unsigned line, const ConfigKey *key, const char *value, int error)
{
        const bool was_broken = parser->limits_broken;
        const char *what = error == -ERANGE ? "Value out of range, ignoring:" : "Invalid value, ignoring:";

        if (error == -ENOMEM) {
                parser->error = error;
                return;
        }
        complain_about(parser, line, what, key->name, value);
        /* The default is as narrow as anything that could have been meant, or says only when a file is looked at. What an
         * earlier line or file set need not be: then it counts as a limit. */
        if (parser->section == &parser->general && !key->narrows &&
            !(parser->general.is_set & config_key_bit(key->name)))
                parser->limits_broken = was_broken;
}

static int on_line(void *userdata, const char *section_name, const char *name, const char *value,
                   int line_number)
{
        Parser *parser = userdata;
        unsigned line = (unsigned)line_number;
        Section *section = parser->section;
        const char *kind = parser->kind;
        int r;

        (void)section_name;
        if (!kind) {
                if (!parser->any_section)
                        complain_about(parser, line, "Key before the first section, ignoring:", name, "");
                return 1;
        }
        for (size_t i = 0; i < config_n_keys; i++) {
                if (strcmp(config_keys[i].name, name) != 0 ||
                    (strcmp(kind, "Volume") != 0 && strcmp(kind, config_keys[i].section) != 0))
                        continue;
                r = section_set(section, &config_keys[i], value);
                if (r == 0)
                        section->is_set |= UINT64_C(1) << i;
                else
                        value_refused(parser, line, &config_keys[i], value, r);
                return 1;
        }
        complain_about(parser, line, "Unknown key, ignoring:", name, "");
        return 1;
}

/* Looks at a line before libinih does, which says nothing about text behind a section's name, takes "KEY: VALUE", tells
 * only of the first line that it cannot read, and cuts what is long. Returns a complaint or NULL. */
static const char *line_check(Parser *parser, size_t length, size_t limit)
{
        static const char byte_order_mark[] = "\xef\xbb\xbf";
        char *start = parser->line, *end = parser->line + strlen(parser->line);
        size_t sign;
        bool is_whole = (size_t)(end - start) == length && length <= limit;

        if (parser->line_number == 1 && strncmp(start, byte_order_mark, 3) == 0)
                start += 3;
        while (isspace((unsigned char)*start))
                start++;
        while (end > start && isspace((unsigned char)end[-1]))
                end--;
        if (*start == '[' || (!is_whole && *start == '\0')) {
                _cleanup_free_ char *name = NULL;

                parser->any_section = true;
                parser->kind = NULL;
                if (is_whole && end[-1] != ']')
                        return "Section name without ] at the end of the line, ignoring";
                if (is_whole) {
                        for (end--; end > start + 1 && isspace((unsigned char)end[-1]);)
                                end--;
                        name = strndup(start + 1, (size_t)(end - start - 1));
                        if (name)
                                section_enter(parser, name);
                        else
                                parser->error = -ENOMEM;
                        return NULL;
                }
        }
        if (!is_whole)
                return length > limit ? "Line too long, ignoring" : "NUL byte in line, ignoring";
        if (*start == '\0' || *start == '#' || *start == ';' || *start == '[')
                return NULL;
        sign = strcspn(start, "=:");
        if (sign == 0 || start[sign] != '=')
                return "Neither a section nor KEY=VALUE, ignoring";
        return end[-1] == '\\' ? "A line cannot be continued on the next, ignoring" : NULL;
}

/* Hands libinih a line at a time. */
static char *on_read(char *buffer, int buffer_bytes, void *userdata)
{
        Parser *parser = userdata;
        const char *complaint;
        ssize_t n;

        errno = 0;
        n = getline(&parser->line, &parser->line_room, parser->stream);
        if (n < 0) {
                if (errno == ENOMEM) {
                        parser->error = -ENOMEM;
                } else if (errno != 0) {
                        complain(parser, parser->line_number + 1, "Cannot be read: %s", strerror(errno));
                        /* The rest of the file could say anything about any volume. */
                        parser->limits_broken = true;
                }
                return NULL;
        }
        parser->line_number++;
        /* The newline and the terminating NUL have to fit. */
        complaint = line_check(parser, (size_t)n, (size_t)buffer_bytes - 2);
        if (complaint) {
                complain(parser, parser->line_number, "%s", complaint);
                /* It may have been the head of another section, so that what follows was not meant for this volume. */
                parser->limits_broken = true;
                memcpy(buffer, "\n", 2);
        } else {
                memcpy(buffer, parser->line, (size_t)n + 1);
        }
        return buffer;
}

/* Nothing but a file: opening a FIFO would wait for whoever writes into it. Returns a stream, or NULL after a complaint. */
static FILE *file_open(Parser *parser, const char *path)
{
        _cleanup_close_ int fd = -EBADF;
        struct stat status;
        FILE *stream;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &status) < 0) {
                complain(parser, 0, "Cannot be opened: %s", strerror(errno));
                return NULL;
        }
        if (!S_ISREG(status.st_mode)) {
                complain(parser, 0, "Not a regular file");
                return NULL;
        }
        if (status.st_size > FILE_MAX_BYTES) {
                complain(parser, 0, "Larger than %d bytes", FILE_MAX_BYTES);
                return NULL;
        }
        stream = fdopen(fd, "r");
        if (!stream) {
                parser->error = -errno;
                return NULL;
        }
        (void)TAKE_FD(fd);
        return stream;
}

static void parser_read_file(Parser *parser, const char *path)
{
        _cleanup_fclose_ FILE *stream = NULL;
        int r;

        parser->file = path;
        parser->kind = NULL;
        parser->any_section = false;
        stream = file_open(parser, path);
        if (!stream)
                return;
        parser->stream = stream;
        parser->line_number = 0;
        r = ini_parse_stream(on_read, parser, on_line, parser);
        if (r > 0) {
                parser->kind = NULL;
                complain(parser, (unsigned)r, "Neither a section nor KEY=VALUE");
        } else if (r < 0) {
                parser->error = -ENOMEM;
        }
}

static void library_setup(void)
{
        ini_allow_multiline = false;
        ini_allow_inline_comments = false;
        ini_use_stack = false;
        ini_allow_realloc = true;
        ini_max_line = LINE_MAX_BYTES;
        ini_initial_alloc = LINE_MAX_BYTES;
        ini_stop_on_first_error = false;
}

/* What a section says over what holds without it. */
static int settings_merge(VolumeConfig *ret, const Section *section)
{
        int r;

        for (size_t i = 0; i < config_n_keys; i++)
                if (config_keys[i].parse && (section->is_set & UINT64_C(1) << i))
                        memcpy((char *)ret + config_keys[i].offset,
                               (const char *)&section->settings + config_keys[i].offset,
                               config_keys[i].bytes);
        if (section->is_set & config_key_bit("DailyWrites"))
                ret->daily_writes_is_set = true;
        if (section->excludes_emptied)
                config_excludes_clear(ret);
        for (size_t i = 0; i < section->settings.n_excludes; i++) {
                r = config_excludes_add(ret, section->settings.excludes[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* All but the path. */
static int settings_copy(VolumeConfig *ret, const VolumeConfig *from)
{
        char *path = ret->mount_path;
        int r;

        *ret = *from;
        ret->mount_path = path;
        ret->excludes = NULL;
        ret->n_excludes = 0;
        for (size_t i = 0; i < from->n_excludes; i++) {
                r = config_excludes_add(ret, from->excludes[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int config_fill(const Parser *parser, Config *config)
{
        int r;

        config->defaults = (VolumeConfig){
                .enabled = ENABLED_YES,
                .settle_usec = 600 * USEC_PER_SEC,
                .busy_files = true,
                .sweep_usec = 7 * 86400 * USEC_PER_SEC,
                .min_file_bytes = 256 * KIB,
                .solid_state = SOLID_STATE_AUTO,
                .max_rate = BYTES_INFINITY,
                .free_space_reserve = {.is_permille = true, .value = 50},
        };
        (void)schedule_parse("always", &config->defaults.hours);
        /* Boot loaders find their files by block lists. */
        r = config_excludes_add(&config->defaults, "/boot/**");
        if (r < 0)
                return r;
        r = settings_merge(&config->defaults, &parser->general);
        if (r < 0)
                return r;

        config->limits_broken = parser->limits_broken;
        config->volumes = calloc(parser->n_volumes + 1, sizeof(*config->volumes));
        if (!config->volumes)
                return -ENOMEM;
        config->n_volumes = parser->n_volumes;
        for (size_t i = 0; i < parser->n_volumes; i++) {
                char *path = strdup(parser->volumes[i].settings.mount_path);

                if (!path)
                        return -ENOMEM;
                config->volumes[i].mount_path = path;
                r = settings_copy(&config->volumes[i], &config->defaults);
                if (r < 0)
                        return r;
                r = settings_merge(&config->volumes[i], &parser->volumes[i]);
                if (r < 0)
                        return r;
                config->volumes[i].broken = parser->volumes[i].broken;
                config->volumes[i].enabled_here = parser->volumes[i].is_set & config_key_bit("Enabled");
        }
        return 0;
}

int config_load(const char *root, const char *file, on_config_complaint on_complaint, void *userdata,
                Config *ret)
{
        _cleanup_(config_files_done) ConfigFiles files = {0};
        Parser parser = {.on_complaint = on_complaint, .userdata = userdata};
        Config config = {0};
        int r;

        library_setup();
        r = config_files_find(root, file, &files);
        if (r < 0)
                return r;
        for (size_t i = 0; i < files.n_paths && parser.error == 0; i++)
                parser_read_file(&parser, files.paths[i]);

        r = parser.error < 0 ? parser.error : config_fill(&parser, &config);
        section_done(&parser.general);
        for (size_t i = 0; i < parser.n_volumes; i++)
                section_done(&parser.volumes[i]);
        free(parser.volumes);
        free(parser.line);
        if (r < 0) {
                config_done(&config);
                return r;
        }
        *ret = config;
        return parser.n_complaints;
}

void config_done(Config *config)
{
        config_excludes_clear(&config->defaults);
        for (size_t i = 0; i < config->n_volumes; i++) {
                config_excludes_clear(&config->volumes[i]);
                free(config->volumes[i].mount_path);
        }
        free(config->volumes);
        *config = (Config){0};
}

const VolumeConfig *config_for(const Config *config, const char *mount_path)
{
        size_t length = strlen(mount_path);

        while (length > 1 && mount_path[length - 1] == '/')
                length--;
        for (size_t i = 0; i < config->n_volumes; i++)
                if (strlen(config->volumes[i].mount_path) == length &&
                    strncmp(config->volumes[i].mount_path, mount_path, length) == 0)
                        return &config->volumes[i];
        return &config->defaults;
}
