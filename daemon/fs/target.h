/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A target on its way to the commit, as far as that is the same for every engine: opened when it is quiet, old enough, still lying
 * as it was planned, and a donor that is reserved for it. Private to the engines. */

#include "fs/driver.h"
#include "fs/engine.h"

/* Two readings of the clocks' offset differ by more than this only when somebody set the wall clock: slewing moves it by
 * at most half a millisecond a second, and a region takes seconds at worst. */
#define TARGET_CLOCK_STEP_NSEC (10 * (int64_t)NSEC_PER_MSEC)

/* Notes the reason and returns the verdict. */
int target_verdict(EngineJob *job, EngineVerdict what, Reason why);

/* What an error (negative) of opening, reserving or committing means for the file, and what lease_take_*() said: a verdict, or what was
 * given where nobody expects it. */
int target_verdict_of_error(EngineJob *job, int error);
int target_verdict_of_lease(EngineJob *job, int r);

/* The same of an error of taking room: the volume is full, or somebody's quota is, which is no matter of the volume's. */
int target_verdict_of_room(EngineJob *job, int error);

/* What the file system looks like now: somebody may have mounted it anew with other options, or changed what it is. Returns ENGINE_DONE, a
 * verdict, -errno. */
int target_check_volume(EngineJob *job, const FsDriver *driver);

/* job->target_fd, for reading and writing, with these flags as well. */
int target_open(EngineJob *job, int flags);

/* ENGINE_DONE when job->sampled is old enough to stand for the content, ENGINE_YOUNG, ENGINE_CHANGED. */
int target_age_check(EngineJob *job);

/* The map that the job is about. Returns 0 or -errno. */
int target_map_read(const EngineJob *job, bool sync, ExtentMap *ret);

/* Is job->map still that of the region that was planned? And is more shared than the plan allows? */
bool target_is_as_planned(const EngineJob *job);
bool target_shares_more_than_planned(const EngineJob *job, const ExtentMap *map);

/* Makes the donor and allocates what job->map has, shift bytes further to the front, if there is room and something to gain. */
int target_reserve(EngineJob *job, uint64_t shift);

/* Is the target still as it was sampled, as far as stamps tell? ENGINE_DONE, ENGINE_CHANGED or -errno. */
int target_check_unchanged(EngineJob *job);

/* What does it mean that a direct read of the target failed with that error (negative)? XFS and ext4 also answer EIO where somebody stores
 * through a mapping into what has no place on the disk yet: of a file that had only data when it was sampled he has made a hole first, and both
 * moved its stamps. ENGINE_CHANGED or -errno. */
int target_verdict_of_read(EngineJob *job, int error);

/* How long the donor is, then. */
uint64_t target_donor_size(const EngineJob *job);
