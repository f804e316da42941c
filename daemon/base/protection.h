/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Protections that a test's program can be built without, to show that their test fails then.
 *
 * PROTECTED_BY(LEASE) is 1 in every binary that is installed. Only a compiler flag, -DDEFRAGD_WITHOUT_LEASE=1, makes
 * it 0: there is no variable, option or environment that could (tests/mutants/installed.sh looks). Each name is explained
 * in docs/SAFETY.md, and stands in .c files only: these are what tests/CMakeLists.txt compiles once more. */

#ifndef PROTECTED_BY
#define PROTECTED_BY(name) (!DEFRAGD_WITHOUT_##name)
#endif

#ifndef DEFRAGD_WITHOUT_SAME_TICK
#define DEFRAGD_WITHOUT_SAME_TICK 0 /* age guard; stamps asked for before the cookie and equal to it */
#endif
#ifndef DEFRAGD_WITHOUT_LEASE
#define DEFRAGD_WITHOUT_LEASE 0 /* write lease at the sample */
#endif
#ifndef DEFRAGD_WITHOUT_LEASE_KEPT
#define DEFRAGD_WITHOUT_LEASE_KEPT 0 /* the lease of the sample was not taken away meanwhile */
#endif
#ifndef DEFRAGD_WITHOUT_READ_COLLISION
#define DEFRAGD_WITHOUT_READ_COLLISION 0 /* a direct read that met a store is no error of the device */
#endif
#ifndef DEFRAGD_WITHOUT_READ_LEASE
#define DEFRAGD_WITHOUT_READ_LEASE 0 /* write lease while a slice is read into the page cache */
#endif
#ifndef DEFRAGD_WITHOUT_LEASE_YIELDED
#define DEFRAGD_WITHOUT_LEASE_YIELDED 0 /* that lease goes back as soon as somebody waits for it */
#endif
#ifndef DEFRAGD_WITHOUT_ASK_FAST
#define DEFRAGD_WITHOUT_ASK_FAST 0 /* nothing is in the queue of a slow disk in front of a commit */
#endif
#ifndef DEFRAGD_WITHOUT_COMMIT_LEASE
#define DEFRAGD_WITHOUT_COMMIT_LEASE 0 /* write lease again around SWAPEXT */
#endif
#ifndef DEFRAGD_WITHOUT_ONE_COOKIE
#define DEFRAGD_WITHOUT_ONE_COOKIE 0 /* the cookie is older than the first read and never refreshed */
#endif
#ifndef DEFRAGD_WITHOUT_FLUSH
#define DEFRAGD_WITHOUT_FLUSH 0 /* dirty data is written back between the sample and the copy */
#endif
#ifndef DEFRAGD_WITHOUT_VERIFY
#define DEFRAGD_WITHOUT_VERIFY 0 /* the donor is read back and compared before the commit */
#endif
#ifndef DEFRAGD_WITHOUT_DURABLE_DONOR
#define DEFRAGD_WITHOUT_DURABLE_DONOR 0 /* the donor is flushed to stable storage before the commit */
#endif
#ifndef DEFRAGD_WITHOUT_APPENDER
#define DEFRAGD_WITHOUT_APPENDER 0 /* asked by a read lease first: open for writing anywhere? */
#endif
#ifndef DEFRAGD_WITHOUT_LEASE_SIGNAL
#define DEFRAGD_WITHOUT_LEASE_SIGNAL 0 /* the signal of a lease break is chosen, and ignored */
#endif
#ifndef DEFRAGD_WITHOUT_RING_IDLE
#define DEFRAGD_WITHOUT_RING_IDLE 0 /* a lease is kept until what was asked of a ring is over */
#endif
#ifndef DEFRAGD_WITHOUT_LET_GO
#define DEFRAGD_WITHOUT_LET_GO 0 /* when a move is over no request of a ring keeps its file open */
#endif
#ifndef DEFRAGD_WITHOUT_UNDISTURBED
#define DEFRAGD_WITHOUT_UNDISTURBED 0 /* a ring interrupts no call of the thread that uses it */
#endif
#ifndef DEFRAGD_WITHOUT_CLOCK_STEP
#define DEFRAGD_WITHOUT_CLOCK_STEP 0 /* no commit when the wall clock was set since the sample */
#endif
#ifndef DEFRAGD_WITHOUT_SHARED_WALLS
#define DEFRAGD_WITHOUT_SHARED_WALLS 0 /* shared extents are not moved */
#endif
#ifndef DEFRAGD_WITHOUT_CLONED_MEANWHILE
#define DEFRAGD_WITHOUT_CLONED_MEANWHILE 0 /* no commit when more is shared than was planned */
#endif
#ifndef DEFRAGD_WITHOUT_SAME_MAP
#define DEFRAGD_WITHOUT_SAME_MAP 0 /* the donor has blocks exactly where the target has some */
#endif
#ifndef DEFRAGD_WITHOUT_UNWRITTEN
#define DEFRAGD_WITHOUT_UNWRITTEN 0 /* only what is written is read and written */
#endif
#ifndef DEFRAGD_WITHOUT_GAIN
#define DEFRAGD_WITHOUT_GAIN 0 /* committed only if the number of runs falls */
#endif
#ifndef DEFRAGD_WITHOUT_RESERVE
#define DEFRAGD_WITHOUT_RESERVE 0 /* FreeSpaceReserve= stays free */
#endif
#ifndef DEFRAGD_WITHOUT_QUOTA_ROOM
#define DEFRAGD_WITHOUT_QUOTA_ROOM 0 /* owners near a quota limit are left alone */
#endif
#ifndef DEFRAGD_WITHOUT_NOTHING_HELD
#define DEFRAGD_WITHOUT_NOTHING_HELD 0 /* no descriptor on the volume outlives a region */
#endif
#ifndef DEFRAGD_WITHOUT_DONOR_PRIVATE
#define DEFRAGD_WITHOUT_DONOR_PRIVATE 0 /* the donor is root's, 0600, and can never be given a name */
#endif
#ifndef DEFRAGD_WITHOUT_CACHE_REFILL
#define DEFRAGD_WITHOUT_CACHE_REFILL 0 /* what was in the page cache is read again after the commit */
#endif
#ifndef DEFRAGD_WITHOUT_GENERATION
#define DEFRAGD_WITHOUT_GENERATION 0 /* an inode is its number and its generation */
#endif
#ifndef DEFRAGD_WITHOUT_UUID
#define DEFRAGD_WITHOUT_UUID 0 /* the UUID of the volume at every opening */
#endif
#ifndef DEFRAGD_WITHOUT_VOLUME_LOCK
#define DEFRAGD_WITHOUT_VOLUME_LOCK 0 /* flock(2) on the root directory */
#endif
#ifndef DEFRAGD_WITHOUT_REVERSE_MAP
#define DEFRAGD_WITHOUT_REVERSE_MAP 0 /* SWAPEXT only where there is a reverse-mapping tree */
#endif
#ifndef DEFRAGD_WITHOUT_JOURNAL
#define DEFRAGD_WITHOUT_JOURNAL 0 /* ext4 only where a crash finds each block in one place or the other */
#endif
#ifndef DEFRAGD_WITHOUT_DURABLE_MOVE
#define DEFRAGD_WITHOUT_DURABLE_MOVE                                                                        \
        0 /* what MOVE_EXT did is in the journal before anybody can open the file */
#endif
#ifndef DEFRAGD_WITHOUT_PRIVILEGED
#define DEFRAGD_WITHOUT_PRIVILEGED 0 /* setuid and capabilities: not where they would be stripped */
#endif
#ifndef DEFRAGD_WITHOUT_EXECUTABLES
#define DEFRAGD_WITHOUT_EXECUTABLES 0 /* files with an execute bit are left alone */
#endif
#ifndef DEFRAGD_WITHOUT_NODEFRAG
#define DEFRAGD_WITHOUT_NODEFRAG 0 /* FS_XFLAG_NODEFRAG */
#endif
#ifndef DEFRAGD_WITHOUT_OPTED_OUT
#define DEFRAGD_WITHOUT_OPTED_OUT 0 /* user.defragd=off */
#endif
#ifndef DEFRAGD_WITHOUT_REJUDGED
#define DEFRAGD_WITHOUT_REJUDGED 0 /* what a volume has become since it was judged */
#endif
#ifndef DEFRAGD_WITHOUT_TREE_ROOM
#define DEFRAGD_WITHOUT_TREE_ROOM 0 /* btrfs: nothing is tried where nearly nothing is free */
#endif
#ifndef DEFRAGD_WITHOUT_SWAP_SIGNATURE
#define DEFRAGD_WITHOUT_SWAP_SIGNATURE 0 /* files that look like swap space */
#endif
#ifndef DEFRAGD_WITHOUT_READ_ONLY
#define DEFRAGD_WITHOUT_READ_ONLY 0 /* a mount that is read-only in the mount table of the host */
#endif
#ifndef DEFRAGD_WITHOUT_TWIN
#define DEFRAGD_WITHOUT_TWIN 0 /* two mounted volumes with one UUID are left alone */
#endif
#ifndef DEFRAGD_WITHOUT_CHARGED_FIRST
#define DEFRAGD_WITHOUT_CHARGED_FIRST 0 /* DailyWrites= is charged on stable storage before the move */
#endif
#ifndef DEFRAGD_WITHOUT_ESCAPE
#define DEFRAGD_WITHOUT_ESCAPE 0 /* what is shown of a name is printable UTF-8 */
#endif
#ifndef DEFRAGD_WITHOUT_AUDIT
#define DEFRAGD_WITHOUT_AUDIT 0 /* a look at what was committed, and the breaker */
#endif
#ifndef DEFRAGD_WITHOUT_KEEPS_UNWRITTEN
#define DEFRAGD_WITHOUT_KEEPS_UNWRITTEN 0 /* preallocated stays so, or is not moved */
#endif
#ifndef DEFRAGD_WITHOUT_COMPRESSION
#define DEFRAGD_WITHOUT_COMPRESSION 0 /* what would not be encoded as it is does not move */
#endif
#ifndef DEFRAGD_WITHOUT_COMPRESSIBLE
#define DEFRAGD_WITHOUT_COMPRESSIBLE 0 /* the same where it hardly could be compressed */
#endif
#ifndef DEFRAGD_WITHOUT_WHOLE_CHUNKS
#define DEFRAGD_WITHOUT_WHOLE_CHUNKS 0 /* what is compressed together is made of whole extents (btrfs) */
#endif
#ifndef DEFRAGD_WITHOUT_NOT_GROWN
#define DEFRAGD_WITHOUT_NOT_GROWN                                                                           \
        0 /* what came out longer, or not compressed, is the last of the file that moves */
#endif
#ifndef DEFRAGD_WITHOUT_TRIED
#define DEFRAGD_WITHOUT_TRIED 0 /* how long it comes out is tried on a file of our own */
#endif
#ifndef DEFRAGD_WITHOUT_CHUNK_ROOM
#define DEFRAGD_WITHOUT_CHUNK_ROOM                                                                          \
        0 /* what is compressed together finds room, or it would not be compressed */
#endif
#ifndef DEFRAGD_WITHOUT_CHUNK_GAIN
#define DEFRAGD_WITHOUT_CHUNK_GAIN 0 /* the same may come to lie apart, and then gains little */
#endif
#ifndef DEFRAGD_WITHOUT_COMPRESSED_ALONE
#define DEFRAGD_WITHOUT_COMPRESSED_ALONE                                                                    \
        0 /* nobody writes to a file while the kernel is told to compress it */
#endif
#ifndef DEFRAGD_WITHOUT_WHOLE_EXTENTS
#define DEFRAGD_WITHOUT_WHOLE_EXTENTS 0 /* what moving takes comes back: no part of an extent alone */
#endif
#ifndef DEFRAGD_WITHOUT_EXCLUSIVE_OPERATION
#define DEFRAGD_WITHOUT_EXCLUSIVE_OPERATION 0 /* balance, replace and their like are waited for */
#endif
#ifndef DEFRAGD_WITHOUT_WRITTEN
#define DEFRAGD_WITHOUT_WRITTEN 0 /* what could not be written to its new place goes back to the old one */
#endif
#ifndef DEFRAGD_WITHOUT_SETTLED
#define DEFRAGD_WITHOUT_SETTLED 0 /* what is under way ends before it is looked at */
#endif
#ifndef DEFRAGD_WITHOUT_WHOLE_SLICES
#define DEFRAGD_WITHOUT_WHOLE_SLICES 0 /* a slice moved in part goes back, or on (btrfs) */
#endif
#ifndef DEFRAGD_WITHOUT_THAWED
#define DEFRAGD_WITHOUT_THAWED 0 /* no lease is taken for what waits while the file system is frozen */
#endif
#ifndef DEFRAGD_WITHOUT_NOT_CACHED
#define DEFRAGD_WITHOUT_NOT_CACHED 0 /* what was not in the page cache is not there afterwards */
#endif
