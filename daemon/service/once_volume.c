/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The questions that are asked of a volume before the first file on it, in the order of what they cost. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/number.h"
#include "base/units.h"
#include "service/once_volume.h"
#include "service/privilege.h"

/* A region costs at least its handful of flushes: with a very low MaxRate= one of a mebibyte a few seconds apart is
 * gentler than a hundred tiny ones. */
#define REGION_BYTES_MIN MIB

static void volume_stop(OnceVolume *volume, Outcome outcome, Reason reason, int error)
{
        volume->stopped = true;
        volume->outcome = outcome;
        volume->reason = reason;
        volume->error = error;
}

static void volume_log(const OnceVolume *volume, int level, const char *text, int error)
{
        _cleanup_free_ char *name = escape_text(volume->mount_path);

        report_hide_progress(volume->report);
        log_line(level, "%s: %s%s%s", name ? name : "volume", text, error != 0 ? ": " : "",
                 error != 0 ? strerror(error) : "");
}

/* The UUID of another mounted XFS. Best effort: what cannot be asked, because something else is mounted over it or the
 * device is gone, cannot be mixed up with ours by its path either. */
static bool mount_has_uuid(const Mount *mount, const uint8_t uuid[static 16])
{
        _cleanup_close_ int path_fd = -EBADF, fd = -EBADF;
        struct stat status;
        XfsGeometry geometry;

        path_fd = open(mount->target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (path_fd < 0 || fstat(path_fd, &status) < 0 || status.st_dev != mount->device)
                return false;
        fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
        return fd >= 0 && xfs_geometry_read(fd, &geometry) >= 0 && memcmp(geometry.uuid, uuid, 16) == 0;
}

static bool has_twin(const OnceVolume *volume, const MountTable *table)
{
        for (size_t i = 0; i < table->n_mounts; i++) {
                const Mount *mount = &table->mounts[i];

                if (mount->device != volume->device && strcmp(mount->type, "xfs") == 0 &&
                    mount_has_uuid(mount, volume->fs.xfs.uuid))
                        return true;
        }
        return false;
}

/* A later mount at the same place hides this one: by path we would reach that one, which may be read-only on purpose. */
static bool is_covered(const Mount *mount, const MountTable *table)
{
        for (const Mount *later = mount + 1; later < table->mounts + table->n_mounts; later++)
                if (strcmp(later->target, mount->target) == 0)
                        return true;
        return false;
}

/* trusted.defragd.enabled of the root directory. Anything that is not a clear yes is a no: who set it meant something.
 * Returns 1 when the volume wants to be left alone, 0 when not, -errno. */
static int opted_out(const OnceVolume *volume)
{
        _cleanup_close_ int root_fd = -EBADF;
        char text[16];
        ssize_t n_bytes;
        bool enabled;

        root_fd = fs_volume_open(&volume->fs);
        if (root_fd < 0)
                return root_fd;
        n_bytes = fgetxattr(root_fd, "trusted.defragd.enabled", text, sizeof(text) - 1);
        if (n_bytes < 0)
                return errno == ENODATA || errno == EOPNOTSUPP ? 0 : errno == ERANGE ? 1 : -errno;
        text[n_bytes] = '\0';
        return parse_bool(text, &enabled) < 0 || !enabled;
}

static void volume_set_limits(OnceVolume *volume, const OnceOptions *options)
{
        const VolumeConfig *config = volume->config;
        bool costs_seeks = volume->fs.disk.rotational || config->solid_state == SOLID_STATE_YES;
        uint64_t max_rate = options->no_budget ? BYTES_INFINITY : config->max_rate;

        volume->relocation = (RelocationOptions){
                .policy =
                        {
                                .min_file_bytes = config->min_file_bytes,
                                .executables = config->executables,
                        },
                .limits =
                        {
                                .max_region_bytes =
                                        u64_min(PLAN_REGION_BYTES, u64_max(REGION_BYTES_MIN, max_rate)),
                                .max_region_runs = PLAN_REGION_RUNS,
                                .bytes_per_run = plan_bytes_per_run(costs_seeks),
                                .min_runs = config->min_extents,
                        },
                .reserve_bytes = amount_of(config->free_space_reserve, volume->fs.xfs.total_bytes),
                .max_rate = max_rate,
                .max_bytes = BYTES_INFINITY,
                .dry_run = options->dry_run,
                .cancel = options->cancel,
        };
}

/* Finds out all there is to know. Leaves the volume stopped, or ready. Returns 0 or -ENOMEM. */
static int volume_prepare(OnceVolume *volume, const MountTable *table, const Config *config,
                          const OnceOptions *options)
{
        const Mount *mount = mount_table_find(table, volume->device);
        int r;

        if (!mount) {
                volume_stop(volume, OUTCOME_SKIPPED, SKIP_UNSUPPORTED_FILESYSTEM, 0);
                return 0;
        }
        volume->mount_path = strdup(mount->target);
        if (!volume->mount_path)
                return -ENOMEM;
        if (strcmp(mount->type, "xfs") != 0) {
                volume_stop(volume, OUTCOME_SKIPPED, SKIP_UNSUPPORTED_FILESYSTEM, 0);
                return 0;
        }
        if (!mount->writable) {
                volume_stop(volume, OUTCOME_SKIPPED, SKIP_READ_ONLY, 0);
                return 0;
        }

        r = is_covered(mount, table) ? -ENODEV : fs_volume_init(&volume->fs, mount->target, volume->device);
        if (r == -ENOMEM)
                return r;
        if (r == -EOPNOTSUPP) {
                volume_stop(volume, OUTCOME_SKIPPED, SKIP_UNSUPPORTED_FILESYSTEM, 0);
                return 0;
        }
        if (r < 0) {
                volume_log(volume, LOG_ERR,
                           r == -ENODEV ? "something else is mounted over it" : "cannot look at it",
                           r == -ENODEV ? 0 : -r);
                volume_stop(volume, OUTCOME_FAILED, REASON_NONE, -r);
                return 0;
        }
        volume->config = config_for(config, volume->mount_path);
        volume_set_limits(volume, options);

        if (volume->config->solid_state == SOLID_STATE_NO && !volume->fs.disk.rotational) {
                volume_stop(volume, OUTCOME_SKIPPED, SKIP_SOLID_STATE, 0);
                return 0;
        }
        r = opted_out(volume);
        if (r < 0) {
                volume_log(volume, LOG_ERR, "cannot read trusted.defragd.enabled", -r);
                volume_stop(volume, OUTCOME_FAILED, REASON_NONE, -r);
                return 0;
        }
        if (r > 0) {
                volume_stop(volume, OUTCOME_SKIPPED, SKIP_OPTED_OUT, 0);
                return 0;
        }
        if (has_twin(volume, table)) {
                volume_log(volume, LOG_WARNING,
                           "another mounted volume has the same UUID, leaving both alone", 0);
                volume_stop(volume, OUTCOME_SKIPPED, SKIP_DUPLICATE_UUID, 0);
                return 0;
        }
        if (options->dry_run)
                return 0;
        r = privilege_open_volume(volume->mount_path, volume->device);
        if (r < 0) {
                volume_log(volume, LOG_ERR, "cannot make the mount writable in our own namespace", -r);
                volume_stop(volume, OUTCOME_FAILED, REASON_NONE, -r);
        }
        return 0;
}

int once_volume_new(dev_t device, const MountTable *table, const Config *config, const OnceOptions *options,
                    Report *report, OnceVolume **ret)
{
        OnceVolume *volume = calloc(1, sizeof(*volume));
        int r;

        if (!volume)
                return -ENOMEM;
        volume->device = device;
        volume->report = report;
        r = volume_prepare(volume, table, config, options);
        if (r < 0) {
                once_volume_free(volume);
                return r;
        }
        *ret = volume;
        return 0;
}

OnceVolume *once_volume_free(OnceVolume *volume)
{
        if (volume) {
                fs_volume_done(&volume->fs);
                candidate_list_done(&volume->list);
                inode_map_done(&volume->seen);
                inode_map_done(&volume->excluded);
                inode_map_done(&volume->named);
                free(volume->mount_path);
                free(volume);
        }
        return NULL;
}

void once_volume_recheck(OnceVolume *volume, const MountTable *table)
{
        const Mount *mount = mount_table_find(table, volume->device);

        if (volume->stopped || (mount && mount->writable))
                return;
        volume_log(volume, LOG_NOTICE,
                   mount ? "now read-only, leaving the rest" : "unmounted, leaving the rest", 0);
        if (mount)
                volume_stop(volume, OUTCOME_SKIPPED, SKIP_READ_ONLY, 0);
        else
                volume_stop(volume, OUTCOME_FAILED, REASON_NONE, ENODEV);
}

void once_volume_learn(OnceVolume *volume, const RelocationResult *result)
{
        if (!volume->announced && volume->fs.engine && !volume->relocation.dry_run) {
                _cleanup_free_ char *name = escape_text(volume->mount_path);
                char guard[USEC_TEXT];

                report_hide_progress(volume->report);
                log_info("%s: engine %s, stamps %s within a clock tick, age guard %s",
                         name ? name : "volume", result->engine ? result->engine : "unknown",
                         volume->fs.has_distinct_stamps ? "distinct" : "not distinct",
                         format_usec(volume->fs.guard_nsec / NSEC_PER_USEC, guard));
                volume->announced = true;
        }
        if (volume->stopped)
                return;

        switch (result->outcome) {
        case OUTCOME_NO_SPACE:
                if (result->reason != NO_SPACE_FULL)
                        break;
                volume_log(volume, LOG_NOTICE, "full, leaving the rest", 0);
                volume_stop(volume, OUTCOME_NO_SPACE, NO_SPACE_FULL, 0);
                break;
        case OUTCOME_SKIPPED:
                if (result->reason == SKIP_READ_ONLY) {
                        volume_log(volume, LOG_NOTICE, "read-only, leaving the rest", 0);
                        volume_stop(volume, OUTCOME_SKIPPED, SKIP_READ_ONLY, 0);
                } else if (result->reason == SKIP_NO_LEASES) {
                        volume_log(volume, LOG_WARNING,
                                   "leases are switched off (fs.leases-enable) or not to be had, nothing "
                                   "can be moved "
                                   "safely",
                                   0);
                        volume_stop(volume, OUTCOME_SKIPPED, SKIP_NO_LEASES, 0);
                } else if (result->reason == SKIP_CRASH_UNSAFE) {
                        volume_log(volume, LOG_WARNING,
                                   "has neither exchange-range nor a reverse-mapping tree: after a swap of "
                                   "extents "
                                   "a crash could make it unmountable, so nothing is moved on it",
                                   0);
                        volume_stop(volume, OUTCOME_SKIPPED, SKIP_CRASH_UNSAFE, 0);
                } else if (result->reason == SKIP_NO_ENGINE ||
                           (result->reason == SKIP_QUOTA && !volume->fs.engine)) {
                        volume_log(volume, LOG_WARNING, "the probes found no engine that works here", 0);
                        volume_stop(volume, OUTCOME_SKIPPED, result->reason, 0);
                }
                break;
        case OUTCOME_FAILED:
                switch (result->error) {
                case EROFS:
                        volume_log(volume, LOG_NOTICE, "read-only, leaving the rest", 0);
                        volume_stop(volume, OUTCOME_SKIPPED, SKIP_READ_ONLY, 0);
                        break;
                case EIO:
                case EUCLEAN:
                case ENODEV:
                case ESHUTDOWN:
                        volume_log(volume, LOG_ERR, "leaving the rest", result->error);
                        volume_stop(volume, OUTCOME_FAILED, REASON_NONE, result->error);
                        break;
                default:
                        break;
                }
                break;
        case OUTCOME_MOVED:
        case OUTCOME_OPTIMAL:
        case OUTCOME_CHANGED:
        case OUTCOME_BUSY:
        case OUTCOME_CANCELLED:
        case OUTCOME_MAX_:
                break;
        }
}

bool once_volume_is_unsupported(const OnceVolume *volume)
{
        return volume->stopped && volume->outcome == OUTCOME_SKIPPED &&
               (volume->reason == SKIP_UNSUPPORTED_FILESYSTEM || volume->reason == SKIP_NO_ENGINE ||
                volume->reason == SKIP_CRASH_UNSAFE);
}

ReportFile once_volume_report(const OnceVolume *volume, const char *path, uint64_t inode)
{
        uint64_t unused;

        return (ReportFile){
                .path = path,
                .volume = volume->mount_path,
                .inode = inode,
                .outcome = volume->outcome,
                .reason = volume->reason,
                .error = volume->error,
                .named = inode_map_find(&volume->named, inode, &unused),
        };
}
