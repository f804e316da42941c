/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Somebody else: a process that does on demand what any program may do, and a throttle that holds its I/O in flight. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/types.h>

typedef struct Foreign {
        pid_t pid;
        int socket;
} Foreign;

/* Runs body in a child, which dies with us. Start it before a relocation has descriptors open: it would inherit them. */
void foreign_start(Foreign *foreign, void (*body)(int socket, void *context), void *context);
/* Between the two, one character at a time. hear returns 0 once the other side is gone, ask hears the answer. */
void foreign_say(int socket, char word);
char foreign_hear(int socket);
char foreign_ask(const Foreign *foreign, char word);
/* Waits for an answer of a child that is still busy with the last demand. */
char foreign_answer(const Foreign *foreign);
/* True when it still has not answered after that time. */
bool foreign_is_stuck(const Foreign *foreign, int msec);
/* Hangs up and waits for its end. Returns its wait status. */
int foreign_end(Foreign *foreign);

/* Once the other side says 't': follows another process from one system call to the next; it stands still in between. Answers 't', or 'n'
 * and returns false where nobody can be traced. */
bool trace_when_told(int socket, pid_t pid);
/* Until is_there says so, where a call begins or returns. */
void trace_until(pid_t pid, bool (*is_there)(const struct __ptrace_syscall_info *call, void *context),
                 void *context);
/* Lets it go on by itself. */
void trace_end(pid_t pid);

/* A file from its beginning, mapped shared and writable. *ret_fd stays open. */
uint8_t *foreign_map(const char *path, size_t n_bytes, int *ret_fd);

/* May programs use io_uring here? */
bool uring_allowed(void);

/* Memory that children share with us, zeroed. Never released. */
void *shared_memory(size_t n_bytes);

/* A control group whose members' reads or writes on one device crawl at one KiB a second. */
typedef struct Throttle {
        char group[160];
        char rule[200]; /* file that takes the limit */
        char limit[96], no_limit[96];
} Throttle;

/* Returns NULL, or why this machine has no such thing. The group is removed at exit. */
const char *throttle_new(dev_t device, bool writes, Throttle *ret);
/* Of a child: joins the group. */
void throttle_join(const Throttle *throttle);
/* What is held goes on at full speed; and again at a crawl. */
void throttle_lift(const Throttle *throttle);
void throttle_set(const Throttle *throttle);
