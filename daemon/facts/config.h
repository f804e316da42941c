/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The configuration: /etc/defragd/defragd.conf over /run/defragd/ over /usr/lib/defragd/, then the drop-ins
 * defragd.conf.d/<name>.conf of all three merged by file name (the same name in a stronger directory replaces, a link to
 * /dev/null masks), in the order that `systemd-analyze cat-config` shows.
 *
 * Keys and values are spelled as in systemd.syntax(7). Parsed by libinih. A key that is set again replaces what an
 * earlier file said; a repeatable key adds, and an empty value empties the list. Worker threads only read a Config
 * that nobody changes any more. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/schedule.h"
#include "base/units.h"

typedef enum Enabled {
        ENABLED_NO,      /* the service leaves it alone */
        ENABLED_YES,     /* watched, swept, moved */
        ENABLED_OBSERVE, /* watched, swept, reported, never moved */
} Enabled;

typedef enum SolidState {
        SOLID_STATE_AUTO, /* move on flash only what is pathological there */
        SOLID_STATE_YES,  /* treat flash like a disk that seeks */
        SOLID_STATE_NO,   /* never move anything on flash */
} SolidState;

/* What may be said for one volume; [Policy] and [Budget] say it for all. */
typedef struct VolumeConfig {
        char *mount_path; /* NULL in Config.defaults */
        Enabled enabled;  /* Enabled=; [Policy] Enabled=no leaves a volume to its own section */
        bool enabled_here; /* Enabled= stands in the volume's own section: then removable, remote and thin disks are meant, too */
        bool broken; /* a mistake in the volume's own section: the service must leave it alone until it is mended */
        uint64_t settle_usec;    /* SettleSec= */
        uint64_t min_file_bytes; /* MinFileSize= */
        uint64_t min_extents;    /* MinExtents=; 0: found by gain */
        char **excludes;         /* Exclude=; glob patterns on absolute paths */
        size_t n_excludes;
        SolidState solid_state;    /* SolidState= */
        bool executables;          /* Executables= */
        bool shared_extents;       /* SharedExtents=: also move what other files share, which costs space */
        bool busy_files;           /* BusyFiles=: come back to files that were in use */
        uint64_t max_rate;         /* MaxRate=; bytes a second or BYTES_INFINITY */
        bool daily_writes_is_set;  /* not set: by the kind of disk, decide/budget */
        Amount daily_writes;       /* DailyWrites= */
        Amount free_space_reserve; /* FreeSpaceReserve= */
        bool on_battery;           /* OnBattery=: also while the machine runs on battery */
        Schedule hours;            /* Hours= */
        uint64_t sweep_usec;       /* SweepSec=; USEC_INFINITY: only when something was missed */
} VolumeConfig;

typedef struct Config {
        VolumeConfig defaults;
        VolumeConfig *volumes; /* one a [Volume PATH] section, complete: defaults filled in */
        size_t n_volumes;
        bool limits_broken; /* a mistake in what limits us (MaxRate, DailyWrites, FreeSpaceReserve, Hours, Exclude, OnBattery) or in what cannot be
                             * told apart from that: nothing may be moved until it is mended */
} Config;

/* Where and what, ready to be shown (text escaped): "FILE:LINE: Unknown key ...". */
typedef void (*on_config_complaint)(const char *file, unsigned line, const char *text, void *userdata);

/* root is prefixed to the three directories ("" in production). file, if not NULL, is read alone instead of all of
 * them. Each mistake is reported and its default kept. Returns the number of complaints; -ENOENT when file is named and
 * missing (having no configuration at all is no mistake); -errno. On >= 0 *ret is complete and is released with
 * config_done(). */
int config_load(const char *root, const char *file, on_config_complaint on_complaint, void *userdata,
                Config *ret);
void config_done(Config *config);

/* What holds for the volume mounted at mount_path. The result lives as long as config. */
const VolumeConfig *config_for(const Config *config, const char *mount_path);

/* True when one of the patterns covers path: "*" and "?" stay within a component, "**" crosses them, "[...]" is a
 * set. Pure. */
bool config_excludes(const VolumeConfig *config, const char *path);

/* False when no pattern can cover directory (absolute), what is below it or what leads to it. Errs on the side of
 * true. Pure. */
bool config_may_exclude_below(const VolumeConfig *config, const char *directory);
