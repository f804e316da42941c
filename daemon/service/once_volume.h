/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One volume in one run of --once: may it be worked on, within which limits, and what has been found on it. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "decide/outcome.h"
#include "facts/config.h"
#include "facts/mounts.h"
#include "fs/volume.h"
#include "service/once.h"
#include "service/once_breaker.h"
#include "service/report.h"
#include "work/candidate.h"
#include "work/inode_map.h"
#include "work/relocation.h"

typedef struct OnceVolume {
        dev_t device;
        char *mount_path; /* NULL when no mount shows the whole file system */
        /* Of an unsupported file system only these two and the verdict are set. */
        FsVolume fs;
        const VolumeConfig *config;
        RelocationOptions relocation;
        CandidateList list;
        InodeMap seen;              /* every file that was met, by whatever name */
        InodeMap excluded;          /* those of them that Exclude= covers by one of their names */
        InodeMap named;             /* files that a PATH stood for */
        bool announced;             /* what the probe found was logged */
        Report *report;             /* borrowed: its progress line makes way for log lines */
        const OnceBreaker *breaker; /* borrowed */

        /* Once true, nothing more is done here and every file shares this fate. */
        bool stopped;
        Outcome outcome;
        Reason reason;
        int error; /* of OUTCOME_FAILED, positive */
} OnceVolume;

/* Looks at the volume that device is (of its parts, where it has such, at the one that path lies in), as the host's mount table shows it, and makes it writable for us unless
 * dry_run. A volume that must be left alone comes back stopped, with a log line where that needs explaining. Returns 0
 * or -ENOMEM. */
int once_volume_new(dev_t device, const char *path, const MountTable *table, const Config *config,
                    const OnceOptions *options, const OnceBreaker *breaker, Report *report,
                    OnceVolume **ret);
OnceVolume *once_volume_free(OnceVolume *volume);

/* Is it still mounted and writable by the host's mount table? Stops the volume when not. */
void once_volume_recheck(OnceVolume *volume, const MountTable *table);

/* Stops the volume if what became of one file would become of all others, too. */
void once_volume_learn(OnceVolume *volume, const RelocationResult *result);

/* True when no engine will ever work on it, whatever the file. */
bool once_volume_is_unsupported(const OnceVolume *volume);

/* A line of the report that is filled in as far as the volume goes; the outcome is the volume's own when it has stopped. */
ReportFile once_volume_report(const OnceVolume *volume, const char *path, FileId id);

/* Says what became of a file. */
void once_volume_say(const OnceVolume *volume, const Candidate *candidate, const RelocationResult *result);
/* The same of one that was not opened: it is excluded, or its volume has stopped. */
void once_volume_say_unopened(const OnceVolume *volume, const Candidate *candidate, bool excluded);
