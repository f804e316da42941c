/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The questions that are asked of a volume, in the order of what they cost, and what one file's fate says of the rest. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <syslog.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "base/units.h"
#include "service/examine.h"
#include "service/privilege.h"

/* A region costs at least its handful of flushes: with a very low MaxRate= one of a mebibyte a few seconds apart is
 * gentler than a hundred tiny ones. */
#define REGION_BYTES_MIN MIB

/* The UUID of another mounted volume. Best effort: what cannot be asked, because something else is mounted over it or the
 * device is gone, cannot be mixed up with ours by its path either. */
static bool mount_has_uuid(const Mount *mount, const uint8_t uuid[static 16])
{
        _cleanup_close_ int path_fd = -EBADF, fd = -EBADF;
        struct stat status;
        FsFacts facts;
        dev_t device;

        path_fd = open(mount->target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (path_fd < 0 || fstat(path_fd, &status) < 0 || mount_device(path_fd, &status, &device) < 0 ||
            device != mount->device)
                return false;
        fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
        return fd >= 0 && file_system_read(fd, &facts) >= 0 && memcmp(facts.uuid, uuid, 16) == 0;
}

static bool has_twin(const FsVolume *fs, const MountTable *table)
{
        for (size_t i = 0; i < table->n_mounts; i++) {
                const Mount *mount = &table->mounts[i];

                if (mount->device != fs->device && file_system_find(mount->type) &&
                    mount_has_uuid(mount, fs->facts.uuid))
                        return true;
        }
        return false;
}

bool volume_is_covered(const MountTable *table, const Mount *mount)
{
        for (const Mount *later = mount + 1; later < table->mounts + table->n_mounts; later++)
                if (strcmp(later->target, mount->target) == 0)
                        return true;
        return false;
}

/* trusted.defragd.enabled of the root directory. Anything that is not a clear yes is a no: who set it meant something.
 * Returns 1 when the volume wants to be left alone, 0 when not, -errno. */
static int opted_out(const FsVolume *fs)
{
        _cleanup_close_ int root_fd = -EBADF;
        char text[16];
        ssize_t n_bytes;
        bool enabled;

        root_fd = fs_volume_open(fs);
        if (root_fd < 0)
                return root_fd;
        n_bytes = fgetxattr(root_fd, "trusted.defragd.enabled", text, sizeof(text) - 1);
        if (n_bytes < 0)
                return errno == ENODATA || errno == EOPNOTSUPP ? 0 : errno == ERANGE ? 1 : -errno;
        text[n_bytes] = '\0';
        return parse_bool(text, &enabled) < 0 || !enabled;
}

static VolumeVerdict skip(Reason reason, int level, const char *text)
{
        return (VolumeVerdict){
                .stopped = true, .outcome = OUTCOME_SKIPPED, .reason = reason, .level = level, .text = text};
}

static VolumeVerdict failure(int error, const char *text)
{
        return (VolumeVerdict){
                .stopped = true, .outcome = OUTCOME_FAILED, .error = error, .level = LOG_ERR, .text = text};
}

/* Which of two sections is the narrower one: the higher, the narrower; 0 for none. */
static int narrowness(const VolumeConfig *settings)
{
        if (!settings->mount_path)
                return 0;
        if (settings->broken || settings->enabled == ENABLED_NO)
                return 3;
        return settings->enabled == ENABLED_OBSERVE ? 2 : 1;
}

VolumeVerdict volume_tripped(bool just_now, int error)
{
        return (VolumeVerdict){
                .stopped = true,
                .outcome = OUTCOME_FAILED,
                .reason = FAILED_STOPPED,
                .error = error,
                .level = just_now ? LOG_CRIT : LOG_ERR,
                .text = just_now ? "stopped by the breaker, leaving the rest" : "stopped by the breaker",
        };
}

static bool leads_to(const char *target, const char *path)
{
        const size_t n = strlen(target);

        return strcmp(target, "/") == 0 ||
               (strncmp(path, target, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

/* The higher, the more. */
static int enables(const VolumeConfig *settings)
{
        if (settings->broken || settings->enabled == ENABLED_NO)
                return 0;
        return settings->enabled == ENABLED_OBSERVE ? 1 : 2;
}

/* Is a the better mount to reach a part of its file system by? */
static bool is_better_part(const Mount *a, const VolumeConfig *for_a, const Mount *b,
                           const VolumeConfig *for_b, const char *path)
{
        const int by_section = enables(for_a) - enables(for_b);

        if (path && strcmp(a->target, b->target) != 0)
                return strlen(a->target) > strlen(b->target);
        if (!path && by_section != 0)
                return by_section > 0;
        if (!path && a->writable != b->writable)
                return a->writable;
        /* Of two in one place the later one is seen. */
        return path || strlen(a->root) < strlen(b->root);
}

static const Mount *part_mount(const MountTable *table, dev_t device, const Config *config, const char *path,
                               const VolumeConfig **ret_settings)
{
        const Mount *best = NULL;

        for (size_t i = 0; i < table->n_mounts; i++) {
                const Mount *mount = &table->mounts[i];
                const VolumeConfig *settings;

                if (mount->device != device || (path && !leads_to(mount->target, path)))
                        continue;
                settings = config_for(config, mount->target);
                if (best && !is_better_part(mount, settings, best, *ret_settings, path))
                        continue;
                best = mount;
                *ret_settings = settings;
        }
        return best;
}

const Mount *volume_mount(const MountTable *table, dev_t device, const Config *config, const char *path,
                          const VolumeConfig **ret_settings)
{
        const Mount *best = mount_table_find(table, device);
        int best_narrowness;

        if (device_is_anonymous(device))
                return part_mount(table, device, config, path, ret_settings);
        if (!best)
                return NULL;
        *ret_settings = config_for(config, best->target);
        best_narrowness = narrowness(*ret_settings);
        for (size_t i = 0; i < table->n_mounts; i++) {
                const Mount *mount = &table->mounts[i];
                const VolumeConfig *settings;

                if (mount->device != device || strcmp(mount->root, "/") != 0)
                        continue;
                settings = config_for(config, mount->target);
                if (narrowness(settings) > best_narrowness) {
                        best_narrowness = narrowness(settings);
                        best = mount;
                        *ret_settings = settings;
                }
        }
        return best;
}

/* Which parts of it belong to the volume: those with the same settings. */
static int note_parts(FsVolume *fs, const MountTable *table, const Config *config,
                      const VolumeConfig *settings)
{
        int r = 0;

        if (!fs->facts.type->directory_path)
                return 0;
        for (size_t i = 0; i < table->n_mounts && r >= 0; i++) {
                const Mount *mount = &table->mounts[i];

                if (mount->device == fs->device)
                        r = fs_volume_add_mount(fs, mount->root, mount->target,
                                                config_for(config, mount->target) == settings &&
                                                        !volume_is_covered(table, mount));
        }
        return r;
}

int volume_examine(dev_t device, const MountTable *table, const Config *config, const StopList *stops,
                   unsigned flags, const char *path, char **ret_path, FsVolume *ret_fs,
                   VolumeVerdict *ret_verdict)
{
        const VolumeConfig *settings;
        const Mount *mount = volume_mount(table, device, config, path, &settings);
        int r;

        *ret_path = NULL;
        *ret_fs = (FsVolume){0};
        *ret_verdict = skip(SKIP_UNSUPPORTED_FILESYSTEM, LOG_DEBUG, NULL);
        if (!mount)
                return 0;
        *ret_path = strdup(mount->target);
        if (!*ret_path)
                return -ENOMEM;
        if (!file_system_find(mount->type))
                return 0;
        if (!mount->writable && PROTECTED_BY(READ_ONLY)) {
                *ret_verdict = skip(SKIP_READ_ONLY, LOG_DEBUG, NULL);
                return 0;
        }

        if (volume_is_covered(table, mount)) {
                *ret_verdict =
                        skip(SKIP_HIDDEN, LOG_NOTICE, "something else is mounted over it, leaving it alone");
                return 0;
        }
        r = fs_volume_init(ret_fs, mount->target, device);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                if (r == -ENODEV || r == -ENOENT)
                        *ret_verdict = skip(SKIP_HIDDEN, LOG_NOTICE,
                                            "its mount point leads elsewhere from here, leaving it alone");
                else if (r != -EOPNOTSUPP)
                        *ret_verdict = failure(-r, "cannot look at it");
                return 0;
        }

        r = note_parts(ret_fs, table, config, settings);
        if (r < 0)
                return r;

        /* Before anything is made writable. */
        if (stop_list_has(stops, ret_fs->uuid, NULL)) {
                *ret_verdict = volume_tripped(false, 0);
                return 0;
        }
        if ((flags & EXAMINE_UNASKED) && (ret_fs->disk.removable || !ret_fs->disk.local) &&
            !settings->enabled_here) {
                *ret_verdict = skip(SKIP_REMOVABLE, LOG_DEBUG, NULL);
                return 0;
        }
        if ((flags & EXAMINE_UNASKED) && ret_fs->disk.copies_on_write && !settings->enabled_here) {
                *ret_verdict =
                        skip(SKIP_COPY_ON_WRITE, LOG_INFO,
                             "thin-provisioned or with a snapshot below, where moving takes space: left "
                             "alone unless its own section has Enabled=yes");
                return 0;
        }
        if (settings->solid_state == SOLID_STATE_NO && !ret_fs->disk.rotational) {
                *ret_verdict = skip(SKIP_SOLID_STATE, LOG_DEBUG, NULL);
                return 0;
        }
        r = opted_out(ret_fs);
        if (r != 0) {
                *ret_verdict = r < 0 ? failure(-r, "cannot read trusted.defragd.enabled")
                                     : skip(SKIP_OPTED_OUT, LOG_DEBUG, NULL);
                return 0;
        }
        if (has_twin(ret_fs, table) && PROTECTED_BY(TWIN)) {
                *ret_verdict = skip(SKIP_DUPLICATE_UUID, LOG_WARNING,
                                    "another mounted volume has the same UUID, leaving both alone");
                return 0;
        }
        r = flags & EXAMINE_WRITE ? privilege_open_volume(*ret_path, device) : 0;
        *ret_verdict = r < 0 ? failure(-r, "cannot make the mount writable in our own namespace")
                             : (VolumeVerdict){0};
        return 0;
}

RelocationOptions volume_relocation_options(const FsVolume *fs, const VolumeConfig *config, bool no_budget)
{
        bool costs_seeks = fs->disk.rotational || config->solid_state == SOLID_STATE_YES;
        uint64_t max_rate = no_budget ? BYTES_INFINITY : config->max_rate;

        return (RelocationOptions){
                .policy =
                        {
                                .min_file_bytes = config->min_file_bytes,
                                .executables = config->executables,
                                .busy_files = config->busy_files,
                        },
                .limits =
                        {
                                .max_region_bytes =
                                        u64_min(PLAN_REGION_BYTES, u64_max(REGION_BYTES_MIN, max_rate)),
                                .max_region_runs = PLAN_REGION_RUNS,
                                .bytes_per_run = plan_bytes_per_run(costs_seeks),
                                .min_runs = config->min_extents,
                                .unshare = config->shared_extents,
                        },
                .reserve_bytes = amount_of(config->free_space_reserve, fs->facts.total_bytes),
                /* Whoever lifts the budget waits for the result, and for nothing in between. */
                .max_sliced_bytes = no_budget ? PLAN_SLICED_BYTES : 0,
                .max_rate = max_rate,
                .max_bytes = BYTES_INFINITY,
        };
}

static const char *crash_unsafe_text(const FileSystemType *type)
{
        if (type == &file_system_xfs)
                return "has neither exchange-range nor a reverse-mapping tree: after a swap of extents a "
                       "crash could make it "
                       "unmountable, so nothing is moved on it";
        if (type == &file_system_btrfs)
                return "keeps parity (RAID 5 or 6), which a crash while something is written can make "
                       "wrong, so nothing is "
                       "moved on it";
        return "has no journal that keeps moved data through a crash (none at all, nobarrier, "
               "journal_async_commit, "
               "fast_commit), so nothing is moved on it";
}

static bool learn_from_skip(const FsVolume *fs, Reason reason, VolumeVerdict *ret)
{
        if (reason == SKIP_READ_ONLY)
                *ret = skip(reason, LOG_NOTICE, "read-only, leaving the rest");
        else if (reason == SKIP_NO_LEASES)
                *ret = skip(
                        reason, LOG_WARNING,
                        "leases are switched off (fs.leases-enable) or not to be had, nothing can be moved "
                        "safely");
        else if (reason == SKIP_CRASH_UNSAFE)
                *ret = skip(reason, LOG_WARNING, crash_unsafe_text(fs->facts.type));
        else if (reason == SKIP_BIGALLOC)
                *ret = skip(reason, LOG_NOTICE,
                            "allocates in clusters (bigalloc), nothing can be moved on it");
        else if (reason == SKIP_JOURNALLED_DATA && fs_volume_refusal(fs) == reason)
                *ret = skip(reason, LOG_NOTICE, "mounted with data=journal, nothing can be moved on it");
        else if (reason == SKIP_INDIRECT_MAPPED && fs_volume_refusal(fs) == reason)
                *ret = skip(reason, LOG_NOTICE,
                            "an ext2 or ext3 without extents, nothing can be moved on it");
        else if (reason == SKIP_NO_ENGINE || (reason == SKIP_QUOTA && fs_volume_refusal(fs) == reason))
                *ret = skip(reason, LOG_WARNING, "the probes found no engine that works here");
        else
                return false;
        return true;
}

static const char disk_was_taken_away[] = "its disk was taken away, leaving the rest";

bool volume_may_be_gone(int error)
{
        const TripKind kind = breaker_judge_error(error, false);

        return error == ENODEV || kind == TRIP_DEVICE || kind == TRIP_SHUTDOWN;
}

bool volume_is_gone(const FsVolume *fs, int error, VolumeVerdict *ret_verdict)
{
        if (!volume_may_be_gone(error) || !fs_volume_disk_is_gone(fs))
                return false;
        *ret_verdict = failure(ENODEV, disk_was_taken_away);
        return true;
}

int volume_error_of(const RelocationResult *result)
{
        return result->trip.kind != TRIP_NONE ? result->trip.error : result->error;
}

void volume_excuse(const FsVolume *fs, RelocationResult *result)
{
        VolumeVerdict verdict;

        if (!volume_is_gone(fs, volume_error_of(result), &verdict))
                return;
        result->trip = (Trip){0};
        /* What was moved before stays moved. */
        if (result->outcome == OUTCOME_FAILED)
                result->error = ENODEV;
}

bool volume_learn(const FsVolume *fs, const RelocationResult *result, VolumeVerdict *ret_verdict)
{
        if (result->trip.kind != TRIP_NONE) {
                *ret_verdict = volume_tripped(true, result->trip.error);
                return true;
        }
        switch (result->outcome) {
        case OUTCOME_NO_SPACE:
                if (result->reason != NO_SPACE_FULL)
                        return false;
                *ret_verdict = (VolumeVerdict){
                        .stopped = true,
                        .outcome = OUTCOME_NO_SPACE,
                        .reason = NO_SPACE_FULL,
                        .level = LOG_NOTICE,
                        .text = "full, leaving the rest",
                };
                return true;
        case OUTCOME_SKIPPED:
                return learn_from_skip(fs, result->reason, ret_verdict);
        case OUTCOME_FAILED:
                switch (result->error) {
                case EROFS:
                        return learn_from_skip(fs, SKIP_READ_ONLY, ret_verdict);
                case ENODEV:
                        *ret_verdict = failure(ENODEV, fs_volume_disk_is_gone(fs) ? disk_was_taken_away
                                                                                  : "leaving the rest");
                        return true;
                default:
                        return false;
                }
        case OUTCOME_MOVED:
        case OUTCOME_OPTIMAL:
        case OUTCOME_CHANGED:
        case OUTCOME_BUSY:
        case OUTCOME_CANCELLED:
        case OUTCOME_MAX_:
                break;
        }
        return false;
}
