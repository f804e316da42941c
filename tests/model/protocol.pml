/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a file is moved, against whoever writes to it meanwhile: every order of their steps is searched.
 *
 * The steps of Mover() are those of daemon/fs/user_copy.c, xfs_exchange.c and xfs_swapext.c, in their order and each with the
 * name of its function. Around them are the file (two blocks, the second one preallocated and not yet written), its page
 * cache, its stamps, the lease, the device with a volatile cache, the log, and programs that write: through the page cache, with
 * direct I/O, through a shared mapping, and by direct I/O from elsewhere into a page of a shared mapping (a pinned page).
 *
 * What has to hold:
 *   LOST_WRITE   when all have ended and the cache is written back and dropped, every acknowledged write is in the file
 *   LOST_FSYNC   whatever instant the power goes at, every write that fsync has returned for is in the file
 *   LOST_BITS    nothing is in the file that nobody wrote
 *
 * spin -D takes:
 *   SWAPEXT         XFS_IOC_SWAPEXT instead of START_COMMIT and COMMIT_RANGE
 *   COARSE          stamps as coarse as a clock tick (kernels before 6.13); else distinct ones where somebody looked in between
 *   WRITERS=n       how many programs, 1 or 2; each is of any kind in turn, or of the one kind that is named by
 *   KIND=k          1 buffered, 2 direct, 3 mapped, 4 pinned
 *   CRASH           the power may go: fsync, the log and the device's cache are looked at, too
 *   FLIP            a bit may change between the read and the device
 *   LEASE_BREAK     we stand still with a lease in hand for so long that the kernel gives the file to a foreign open()
 *   WITHOUT_X       the protocol without one of its protections: SAME_TICK, LEASE, LEASE_KEPT, COMMIT_LEASE, ONE_COOKIE, FLUSH and
 *                   VERIFY, as daemon/base/protection.h has them; ORDER (map and flush come before the sample); DURABLE (the donor is not
 *                   flushed before the commit); GUARD (the age guard is as short as the clock tick is late)
 *   NEVER_MOVES     claims that the file is never moved, to see that it is
 *
 * What is simpler here than it is, and why nothing gets lost by that:
 *   - A block holds one bit for each write, and none is ever overwritten: programs that write the same bytes at the same time can
 *     hurt each other without us. For the same reason direct writes are to another block than those of the page cache.
 *   - One stamp stands for ctime and mtime. ctime alone is compared with no less by the kernel, and cannot be set by anybody.
 *   - Of times there is only what can be told of them: whether the stamp is of the tick that the kernel is in (a change would not
 *     move it), how old it is in ticks up to the guard, whether the kernel's tick is late (one tick at most; the guard of the code is ten
 *     times the slowest tick and more), whether it is still the sampled one. The wall clock is never set.
 *   - Write-back of a page is one step; so is a direct read, after its own flush of the page. The kernel's commit waits for both.
 *   - The region is the whole file. Size, truncation, holes, other metadata, shared extents and the free space are left out: they
 *     are tested on real files.
 *   - The log becomes durable at any moment and in order; the device's cache only when it is flushed. XFS does better: it flushes the device
 *     before each write to the log. What is safe here does not depend on that.
 *   - Blocks that were given back are not used again before the log says so; this is for XFS to keep.
 *   - A pin ends before its mapping does (docs/SAFETY.md, "Not covered"). */

#ifdef WITHOUT_SAME_TICK
#define SAME_TICK 0
#else
#define SAME_TICK 1
#endif
#ifdef WITHOUT_LEASE
#define LEASE 0
#else
#define LEASE 1
#endif
#ifdef WITHOUT_LEASE_KEPT
#define LEASE_KEPT 0
#else
#define LEASE_KEPT 1
#endif
#ifdef WITHOUT_COMMIT_LEASE
#define COMMIT_LEASE 0
#else
#define COMMIT_LEASE 1
#endif
#ifdef WITHOUT_ONE_COOKIE
#define ONE_COOKIE 0
#else
#define ONE_COOKIE 1
#endif
#ifdef WITHOUT_FLUSH
#define FLUSH 0
#else
#define FLUSH 1
#endif
#ifdef WITHOUT_ORDER
#define ORDER 0
#else
#define ORDER 1
#endif
#ifdef WITHOUT_VERIFY
#define VERIFY 0
#else
#define VERIFY 1
#endif
#ifdef WITHOUT_DURABLE
#define DURABLE 0
#else
#define DURABLE 1
#endif
/* A tick is late by one at most, so that a stamp which is two ticks old by the clock is not of the kernel's tick. */
#define LATE_MAX 1
#ifdef WITHOUT_GUARD
#define GUARD 1
#else
#define GUARD 2
#endif
#define AGE_MAX 2

#ifndef WRITERS
#define WRITERS 2
#endif

#define BUFFERED 1
#define DIRECT   2
#define MAPPED   3
#define PINNED   4

/* --- the file --- */

/* Block b is dev[b] and is_written[b] of the target as it was, dev[2 + b] and is_written[2 + b] of the donor; after the exchange the file
 * is the other pair. Contents are sets of writes. */
#define BLOCKS  2
#define OLD     64  /* what was in the file to begin with */
#define FLIPPED 128 /* what nobody wrote */
byte dev[4];
bit is_written[4];
bit is_exchanged;
#define HERE(b) (is_exchanged * BLOCKS + (b))

/* The page cache has the block that is not written directly. */
bit direct_block;
#define CACHED_BLOCK (!direct_block)
byte page;
bit is_cached, is_dirty;
bit is_mapped[WRITERS];    /* that program can store to it without a fault */
bit is_pinned[WRITERS];    /* for a request whose data will land in this very page; 0 again when the page was dropped */

/* The file's locks, i_rwsem and the mapping's invalidate_lock. */
bit is_writing;            /* held by a buffered write */
bit is_committing;         /* both are held by the kernel's commit */
byte n_in_flight;          /* direct writes */

/* Open descriptors, mappings and requests of others: what a lease is refused for. */
byte n_holders;
bit lease;

/* Writes that were acknowledged, and those of them that fsync was for. */
byte acknowledged[BLOCKS];

byte n_ended;

#ifdef CRASH
byte synced[BLOCKS];
byte stable[4];            /* what is on the device for good */
bit logged_written[4], logged_exchange; /* the log as it is on the device */

inline log_force()
{
        logged_written[0] = is_written[0];
        logged_written[1] = is_written[1];
        logged_written[2] = is_written[2];
        logged_written[3] = is_written[3];
        logged_exchange = is_exchanged
}

inline device_flush()
{
        stable[0] = dev[0];
        stable[1] = dev[1];
        stable[2] = dev[2];
        stable[3] = dev[3]
}

#define RECOVERED(b) (logged_written[logged_exchange * BLOCKS + (b)] -> stable[logged_exchange * BLOCKS + (b)] : 0)
#define LOST_FSYNC   ((synced[0] & ~RECOVERED(0)) | (synced[1] & ~RECOVERED(1)))

/* What a crash leaves depends on the durable state alone: it is looked at wherever that has changed. */
inline crash_here()
{
        assert(!(LOST_FSYNC))
}
#else
inline log_force() { skip }
inline device_flush() { skip }
inline crash_here() { skip }
#endif

/* --- the kernel --- */

byte age = AGE_MAX;        /* of the stamp, by the clock */
byte late;                 /* how far the kernel's tick is behind the clock */
bit is_looked_at;          /* by statx or START_COMMIT, since the stamp was made */
bit facts_differ;          /* the stamp is not job->sampled any more */
bit cookie_differs;        /* nor job->cookie */

/* What a change does to the stamp. */
inline stamp()
{
        if
#ifndef COARSE
        :: is_looked_at ->
                age = 0;
                is_looked_at = 0;
                facts_differ = 1;
                cookie_differs = 1
        :: else ->
#else
        :: true ->
#endif
                if
                :: age <= late -> skip /* of this tick, or later */
                :: else ->
                        age = late;
                        is_looked_at = 0;
                        facts_differ = 1;
                        cookie_differs = 1
                fi
        fi
}

inline write_back()
{
        if
        :: is_dirty ->
                dev[HERE(CACHED_BLOCK)] = page;
                is_written[HERE(CACHED_BLOCK)] = 1;
                is_dirty = 0;
                unmap()
        :: else -> skip
        fi
}

/* No program can store to the page without a fault any more. */
inline unmap()
{
        is_mapped[0] = 0;
#if WRITERS > 1
        is_mapped[1] = 0
#endif
}

inline page_drop()
{
        page = 0;
        is_cached = 0;
        unmap();
        is_pinned[0] = 0;
#if WRITERS > 1
        is_pinned[1] = 0
#endif
}

inline page_get()
{
        if
        :: !is_cached ->
                page = (is_written[HERE(CACHED_BLOCK)] -> dev[HERE(CACHED_BLOCK)] : 0);
                is_cached = 1
        :: else -> skip
        fi
}

/* The first store of a program to a page of a shared mapping, whoever else has that mapped: xfs_filemap_page_mkwrite(). */
inline fault()
{
        stamp();
        page_get();
        is_dirty = 1;
        is_mapped[id] = 1
}

/* --- the others --- */

inline foreign_open()
{
#ifdef LEASE_BREAK
        if
        :: atomic { !lease -> n_holders++ }
        :: atomic { lease -> lease = 0; n_holders++ }
        fi
#else
        atomic { !lease -> n_holders++ }
#endif
}

/* Two writes at most, which are bits of their own. */
#define FIRST  (1 << (2 * id))
#define SECOND (2 << (2 * id))

inline foreign_fsync(bits)
{
#ifdef CRASH
        if
        :: d_step { write_back() };
           d_step {
                log_force();
                device_flush();
                synced[b] = synced[b] | (bits);
                crash_here()
           }
        :: skip
        fi
#else
        skip
#endif
}

inline write_buffered()
{
        atomic { !is_committing && !is_writing -> is_writing = 1; d_step { stamp() } };
        atomic { d_step { page_get(); page = page | FIRST; is_dirty = 1; acknowledged[b] = acknowledged[b] | FIRST; is_writing = 0 } };
        foreign_fsync(FIRST)
}

/* The descriptor may be closed long before the data land; the request still holds the file. */
inline write_direct()
{
        atomic {
                !is_committing && !is_writing ->
                d_step { stamp(); where = HERE(b); n_in_flight++ }
        };
        d_step {
                dev[where] = dev[where] | FIRST;
                is_written[HERE(b)] = 1;
                acknowledged[b] = acknowledged[b] | FIRST;
                n_in_flight--;
                where = 0
        };
        foreign_fsync(FIRST)
}

/* Two stores; the second one without a fault, if nothing came in between. */
inline store(bits)
{
        do
        :: atomic { !is_mapped[id] && !is_committing -> d_step { fault() } }
        :: atomic { is_mapped[id] -> d_step { page = page | (bits); acknowledged[b] = acknowledged[b] | (bits) } }; break
        od
}

inline write_mapped()
{
        store(FIRST);
        store(SECOND);
        foreign_fsync(FIRST | SECOND)
}

inline write_pinned()
{
        /* Pinning for a write faults like a store does. */
        do
        :: atomic { !is_mapped[id] && !is_committing -> d_step { fault() } }
        :: atomic { is_mapped[id] -> is_pinned[id] = 1 }; break
        od;
        /* It lands in the page that was pinned, whether or not that is still the file's; only then is the page dirty. */
        atomic {
                if
                :: is_pinned[id] -> page = page | FIRST; is_dirty = 1; is_pinned[id] = 0
                :: else -> skip
                fi;
                acknowledged[b] = acknowledged[b] | FIRST
        };
        foreign_fsync(FIRST)
}

proctype Writer(byte id; byte kind)
{
        byte b, where;

        b = (kind == DIRECT -> direct_block : CACHED_BLOCK);
        foreign_open();
        if
        :: kind == BUFFERED -> write_buffered()
        :: kind == DIRECT -> write_direct()
        :: kind == MAPPED -> write_mapped()
        :: kind == PINNED -> write_pinned()
        fi;
        d_step { is_mapped[id] = 0; n_holders--; n_ended++; kind = 0; b = 0 }
}

/* Write-back, the clock and the log go on by themselves. */
proctype Time()
{
end:    do
        :: d_step { is_dirty -> write_back() }
        :: d_step { late < LATE_MAX -> late++; if :: age < AGE_MAX -> age++ :: else -> skip fi }
        :: d_step { late > 0 -> late = 0 }
#ifdef CRASH
        :: d_step { log_force(); crash_here() }
#endif
        od
}

/* --- us --- */

byte read_back[BLOCKS];    /* what was read of the target, for verify: its checksum, in the code */
bit map[BLOCKS];           /* job->map: which blocks are written */

/* lease_take_write(): 1 granted. */
inline lease_take(ret)
{
        d_step {
                if
                :: n_holders == 0 -> lease = 1; ret = 1
                :: else -> ret = 0
                fi
        }
}

/* extent_map_read() of FIEMAP with FIEMAP_FLAG_SYNC: the kernel writes back and waits, then reads the map. */
inline flush_and_map()
{
        if
        :: FLUSH -> d_step { write_back() }
        :: else -> skip
        fi;
        d_step { map[0] = is_written[0]; map[1] = is_written[1] }
}

/* copier_step(): the kernel writes the page back before it reads past it. */
inline copy_block(b)
{
        if
        :: map[b] ->
                if
                :: b == CACHED_BLOCK -> atomic { !is_writing -> d_step { write_back() } }
                :: else -> skip
                fi;
                atomic { !is_writing -> d_step { read_back[b] = dev[b] } };
                if
                :: d_step { dev[2 + b] = read_back[b]; is_written[2 + b] = 1 }
#ifdef FLIP
                :: d_step { dev[2 + b] = read_back[b] | FLIPPED; is_written[2 + b] = 1 }
#endif
                fi
        :: else -> skip
        fi
}

inline drop_cache()
{
        d_step { write_back(); page_drop() }
}

proctype Mover()
{
        bit granted;

        /* assess_file(): the file as it was when the region was planned, job->looked. */
        d_step { facts_differ = 0; is_looked_at = 1 };

        /* user_copy_open(): lease_take_read(). Whoever has it open here has it open for writing. */
        if
        :: LEASE && n_holders > 0 -> goto end_refused /* BUSY_OPEN */
        :: else -> skip
        fi;

        if
        :: !ORDER -> flush_and_map()
        :: else -> skip
        fi;

        /* user_copy_sample() */
        lease_take(granted);
        if
        :: LEASE && !granted -> goto end_refused /* BUSY_OPEN */
        :: else -> skip
        fi;
        granted = 0;

        /* sample_quiet(): file_facts_read(), age_check() */
        if
        :: SAME_TICK ->
                d_step { facts_differ = 0; is_looked_at = 1 };
                if
                :: age < GUARD -> goto end_refused /* ENGINE_YOUNG */
                :: else -> skip
                fi
        :: else -> skip
        fi;
#ifdef SWAPEXT
        /* swapext_take_cookie(): a bulkstat record, which does not count as a look; compared with job->sampled. */
        d_step {
                cookie_differs = 0;
                if
                :: !SAME_TICK -> facts_differ = 0
                :: else -> skip
                fi
        };
        if
        :: facts_differ -> goto end_refused /* CHANGED_WRITTEN */
        :: else -> skip
        fi;
#else
        /* exchange_take_cookie(): START_COMMIT, then file_facts_refresh(). */
        d_step { cookie_differs = 0; is_looked_at = 1 };
        if
        :: facts_differ -> goto end_refused /* CHANGED_WRITTEN */
        :: else -> skip
        fi;
#endif
        /* lease_release() */
        if
        :: LEASE && LEASE_KEPT && !lease -> goto end_refused /* BUSY_OPEN */
        :: else -> lease = 0
        fi;

        if
        :: ORDER -> flush_and_map()
        :: else -> skip
        fi;

        /* user_copy_reserve(): the donor, all of it unwritten. user_copy_copy(): */
        copy_block(0);
        copy_block(1);
        d_step { map[0] = 0; map[1] = 0 };

        /* user_copy_verify(): copier_verify_step(), copier_flush_wait() */
        if
        :: VERIFY && (dev[2] != read_back[0] || dev[3] != read_back[1]) -> goto end_refused /* EIO */
        :: else -> d_step { read_back[0] = 0; read_back[1] = 0 }
        fi;
        if
        :: DURABLE -> d_step { log_force(); device_flush(); crash_here() }
        :: else -> skip
        fi;

        /* user_copy_commit() */
#ifdef SWAPEXT
        if
        :: COMMIT_LEASE ->
                lease_take(granted);
                if
                :: !granted -> goto end_refused /* BUSY_OPEN */
                :: else -> granted = 0
                fi
        :: else -> skip
        fi;
#endif
        /* commit_checked(): file_facts_refresh(), file_facts_same() */
        d_step {
                is_looked_at = 1;
                if
                :: !ONE_COOKIE -> facts_differ = 0; cookie_differs = 0
                :: else -> skip
                fi
        };
        if
        :: facts_differ -> goto end_refused /* CHANGED_WRITTEN */
        :: else -> skip
        fi;

        atomic { !is_writing -> is_committing = 1 };
#ifdef SWAPEXT
        /* swapext_exchange(), in the kernel xfs_swap_extents(): the page cache goes first, then the stamps are compared. Direct writes in flight
         * are not waited for. */
        drop_cache();
        if
        :: cookie_differs -> goto end_refused /* EBUSY */
        :: else -> d_step { is_exchanged = 1; is_committing = 0 }
        fi;
#else
        /* exchange_commit_range(), in the kernel xfs_exchrange_prep(): direct writes in flight are waited for, then the stamps are compared,
         * then the page cache goes. */
        n_in_flight == 0;
        if
        :: cookie_differs -> goto end_refused /* EBUSY */
        :: else -> drop_cache()
        fi;
        d_step { is_exchanged = 1 };
        /* RANGE_DSYNC */
        d_step { log_force(); device_flush(); crash_here(); is_committing = 0 };
#endif
        atomic { lease = 0; n_ended++; goto end };

end_refused:
        /* user_copy_close(): the donor is gone. */
        skip;
        d_step {
                lease = 0;
                is_committing = 0;
                granted = 0;
                dev[2] = 0;
                dev[3] = 0;
                is_written[2] = 0;
                is_written[3] = 0;
                map[0] = 0;
                map[1] = 0;
                read_back[0] = 0;
                read_back[1] = 0;
                n_ended++
        };
end:
        skip
}

#define IN_FILE(b) (is_written[HERE(b)] -> dev[HERE(b)] : 0)
#define LOST_WRITE ((acknowledged[0] & ~IN_FILE(0)) | (acknowledged[1] & ~IN_FILE(1)))
#define LOST_BITS  ((IN_FILE(0) | IN_FILE(1)) & FLIPPED)

init
{
        byte kind;

        atomic {
                if
                :: direct_block = 0
                :: direct_block = 1
                fi;
                d_step {
                        dev[0] = OLD;
                        is_written[0] = 1;
                        acknowledged[0] = OLD;
#ifdef CRASH
                        synced[0] = OLD;
                        stable[0] = OLD;
                        logged_written[0] = 1;
#endif
                        skip
                };
                run Time();
#ifdef KIND
                run Writer(0, KIND);
#else
                select(kind : BUFFERED .. PINNED);
                run Writer(0, kind);
#endif
#if WRITERS > 1
#ifdef KIND
                run Writer(1, KIND);
#else
                /* Which of two is which does not matter. */
                select(kind : kind .. PINNED);
                run Writer(1, kind);
#endif
#endif
                kind = 0;
                run Mover()
        };
        n_ended == WRITERS + 1;
        d_step {
                write_back();
#ifdef NEVER_MOVES
                assert(!is_exchanged);
#endif
                assert(!(LOST_WRITE));
                assert(!(LOST_BITS))
        }
}
