/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The steps that engines share which copy in user space and let the kernel check freshness at the commit.
 *
 * The law of HAZARDS that they keep, in the order of the steps: nobody writes (read lease) before we open for writing;
 * one O_RDWR descriptor from before the sample to the commit; quiet at the sample (write lease); older than the age
 * guard; stamps asked for before the cookie and equal to it; one cookie, older than the first read; dirty data flushed after
 * the sample; donor reserved and counted before any read; donor flushed and read back before the commit. */

#include "fs/engine.h"
#include "fs/xfs_commit.h"

int user_copy_open(EngineJob *job);
int user_copy_sample(EngineJob *job, const XfsCommit *commit);
int user_copy_reserve(EngineJob *job);
int user_copy_copy(EngineJob *job);
int user_copy_verify(EngineJob *job);
/* with_lease: nobody may open the file while the kernel works (SWAPEXT). */
int user_copy_commit(EngineJob *job, const XfsCommit *commit, bool with_lease);
int user_copy_recheck(const EngineJob *job, int fd);
void user_copy_close(EngineJob *job);
