/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The questions that are asked of a volume before the first file on it: may it be worked on, and within which limits?
 *
 * Shared by --once and the service, so that both give the same answers. Logs nothing: what a person should know comes
 * back as text. Workers only (or the only thread there is). */

#include <stdbool.h>
#include <sys/types.h>

#include "decide/outcome.h"
#include "facts/config.h"
#include "facts/mounts.h"
#include "fs/volume.h"
#include "work/relocation.h"
#include "work/stop_file.h"

/* Why a volume is left alone. */
typedef struct VolumeVerdict {
        bool stopped; /* false: it may be worked on, and nothing else is set */
        Outcome outcome;
        Reason reason;
        int error;        /* of OUTCOME_FAILED, positive */
        int level;        /* of the log line, syslog(3) */
        const char *text; /* constant; NULL where nobody needs to be told */
} VolumeVerdict;

/* How a volume is reached and what is said of it, as one of its mounts (a volume may be mounted several times). A [Volume] section
 * that is for any of them counts: first one that is broken or says no, so that another mount does not undo it, then any other; a
 * volume without one is reached by mount_table_find(). Returns NULL when no mount shows the whole file system.
 *
 * Where mounts show different parts (subvolumes of btrfs) a section is for its part alone: path says which is meant, the innermost mount
 * that leads to it; NULL: the one that enables most, of these the one that shows most. What is seen by mounts with other
 * settings does not belong to the volume then. Pure. */
const Mount *volume_mount(const MountTable *table, dev_t device, const Config *config, const char *path,
                          const VolumeConfig **ret_settings);

/* A later mount at the same place hides this one: by path we would reach that one, which may be read-only on purpose. Pure. */
bool volume_is_covered(const MountTable *table, const Mount *mount);

#define EXAMINE_WRITE 1u /* make its mount writable in our own namespace */
#define EXAMINE_UNASKED                                                                                     \
        2u /* nobody named it: a removable, remote or thin disk must have a section of its own that enables it */

/* Asks everything of the volume that device is, as the host's mount table shows it. path: as for volume_mount(). *ret_path (owned by the caller) is NULL when no mount shows the whole file system; *ret_fs is
 * filled in as far as it went and is released with fs_volume_done(). Returns 0 or -ENOMEM. */
int volume_examine(dev_t device, const MountTable *table, const Config *config, const StopList *stops,
                   unsigned flags, const char *path, char **ret_path, FsVolume *ret_fs,
                   VolumeVerdict *ret_verdict);

/* The breaker has stopped it: just_now, or some time before. error: errno, positive, or 0. */
VolumeVerdict volume_tripped(bool just_now, int error);

/* What the configuration and the kind of disk allow there. cancel and the budget of bytes are the caller's to set. */
RelocationOptions volume_relocation_options(const FsVolume *fs, const VolumeConfig *config, bool no_budget);

/* What became of one file may be what would become of all others, too: true with *ret_verdict when nothing more
 * should be tried on this volume. */
bool volume_learn(const FsVolume *fs, const RelocationResult *result, VolumeVerdict *ret_verdict);

/* A disk that was pulled out answers like one that is broken, but it may come back as it was. Is this such an errno (positive)? Then
 * sysfs tells which of the two it is: it forgets the disk some tenths of a second after the first error, which is worth waiting for, with
 * nothing held. Pure. */
bool volume_may_be_gone(int error);
/* What went wrong with a file: of what has tripped, else of the outcome; 0: nothing. Pure. */
int volume_error_of(const RelocationResult *result);
#define REMOVAL_USEC      (3 * USEC_PER_SEC)
#define REMOVAL_LOOK_USEC (100 * USEC_PER_SEC / 1000)

/* It is gone: true, with a verdict that stops the volume until it is mounted anew. */
bool volume_is_gone(const FsVolume *fs, int error, VolumeVerdict *ret_verdict);

/* The same for a file that was being moved: neither it nor the volume is to blame. */
void volume_excuse(const FsVolume *fs, RelocationResult *result);
