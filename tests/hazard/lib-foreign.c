/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Children that talk by a socket, and control groups that hold their I/O.
 *
 * blk-throttle holds a bio that its group may not yet send in a queue of its own: the request was submitted and accepted, stamps
 * have moved, and the data are nowhere. That is a slow device which can be stopped at will. */

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define CGROUP_V1 "/sys/fs/cgroup/blkio"
#define CGROUP_V2 "/sys/fs/cgroup"

void foreign_start(Foreign *foreign, void (*body)(int socket, void *context), void *context)
{
        pid_t parent = getpid();
        int sockets[2];

        fflush(NULL);
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
        foreign->pid = fork();
        must(foreign->pid >= 0);
        if (foreign->pid == 0) {
                hazard_undo_forget(); /* also of the scratch directory */
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != parent)
                        _exit(HAZARD_WRONG);
                (void)close(sockets[0]);
                body(sockets[1], context);
                _exit(0);
        }
        (void)close(sockets[1]);
        foreign->socket = sockets[0];
}

void foreign_say(int socket, char word)
{
        must(send(socket, &word, 1, MSG_NOSIGNAL) == 1);
}

char foreign_hear(int socket)
{
        ssize_t n;
        char word;

        do
                n = recv(socket, &word, 1, 0);
        while (n < 0 && errno == EINTR);
        return n == 1 ? word : 0;
}

char foreign_ask(const Foreign *foreign, char word)
{
        foreign_say(foreign->socket, word);
        return foreign_answer(foreign);
}

char foreign_answer(const Foreign *foreign)
{
        char word = foreign_hear(foreign->socket);

        /* The child has printed why. */
        if (word == 0)
                exit(HAZARD_WRONG);
        return word;
}

bool foreign_is_stuck(const Foreign *foreign, int msec)
{
        struct pollfd socket = {.fd = foreign->socket, .events = POLLIN};

        return poll(&socket, 1, msec) == 0;
}

int foreign_end(Foreign *foreign)
{
        int status;

        foreign->socket = fd_close(foreign->socket);
        must(waitpid(foreign->pid, &status, 0) == foreign->pid);
        return status;
}

static bool trace_begin(pid_t pid)
{
        int status;

        if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0)
                return false;
        must(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0);
        must(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status));
        return true;
}

bool trace_when_told(int socket, pid_t pid)
{
        bool traces;

        must(foreign_hear(socket) == 't');
        traces = trace_begin(pid);
        foreign_say(socket, traces ? 't' : 'n');
        return traces;
}

void trace_until(pid_t pid, bool (*is_there)(const struct __ptrace_syscall_info *call, void *context),
                 void *context)
{
        struct __ptrace_syscall_info call;
        int status, signal_number = 0;

        do {
                must(ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signal_number) == 0);
                must(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status));
                /* Of a system call, an event of the tracing, or a signal, which is passed on. */
                signal_number = status >> 16 ? 0 : WSTOPSIG(status);
                call.op = PTRACE_SYSCALL_INFO_NONE;
                if (signal_number == (SIGTRAP | 0x80)) {
                        signal_number = 0;
                        must(ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(call), &call) > 0);
                }
        } while (call.op == PTRACE_SYSCALL_INFO_NONE || !is_there(&call, context));
}

void trace_end(pid_t pid)
{
        must(ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0);
}

uint8_t *foreign_map(const char *path, size_t n_bytes, int *ret_fd)
{
        void *memory;

        *ret_fd = open(path, O_RDWR | O_CLOEXEC);
        must(*ret_fd >= 0);
        memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
        must(memory != MAP_FAILED);
        return memory;
}

bool uring_allowed(void)
{
        struct io_uring ring;

        if (io_uring_queue_init(4, &ring, 0) < 0)
                return false;
        io_uring_queue_exit(&ring);
        return true;
}

void *shared_memory(size_t n_bytes)
{
        void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        must(memory != MAP_FAILED);
        return memory;
}

/* The kernel lets go of what is held before the group is gone. A dying member may keep it for a moment. */
static void group_remove(const char *path, const char *text)
{
        const struct timespec moment = {.tv_nsec = 5 * 1000 * 1000};

        (void)text;
        for (unsigned i = 0; i < 200 && rmdir(path) < 0 && errno == EBUSY; i++)
                (void)nanosleep(&moment, NULL);
}

static void group_release(const char *path, const char *text)
{
        (void)write_text(path, text);
}

static bool readable(const char *path)
{
        return access(path, W_OK) == 0;
}

const char *throttle_new(dev_t device, bool writes, Throttle *ret)
{
        Throttle throttle;
        bool v1 = readable(CGROUP_V1 "/blkio.throttle.write_bps_device");
        const char *file =
                v1 ? (writes ? "blkio.throttle.write_bps_device" : "blkio.throttle.read_bps_device")
                   : "io.max";

        if (!v1 && !write_text(CGROUP_V2 "/cgroup.subtree_control", "+io"))
                return "neither the blkio nor the io controller can be used here";
        snprintf(throttle.group, sizeof(throttle.group), "%s/defragd-hazard-XXXXXX",
                 v1 ? CGROUP_V1 : CGROUP_V2);
        if (!mkdtemp(throttle.group))
                return "no control group can be made here";
        snprintf(throttle.rule, sizeof(throttle.rule), "%s/%s", throttle.group, file);
        if (v1) {
                snprintf(throttle.limit, sizeof(throttle.limit), "%u:%u 1024", major(device), minor(device));
                snprintf(throttle.no_limit, sizeof(throttle.no_limit), "%u:%u 0", major(device),
                         minor(device));
        } else {
                snprintf(throttle.limit, sizeof(throttle.limit), "%u:%u %cbps=1024", major(device),
                         minor(device), writes ? 'w' : 'r');
                snprintf(throttle.no_limit, sizeof(throttle.no_limit), "%u:%u %cbps=max", major(device),
                         minor(device), writes ? 'w' : 'r');
        }
        hazard_undo(group_remove, throttle.group, "");
        hazard_undo(group_release, throttle.rule, throttle.no_limit);
        if (!write_text(throttle.rule, throttle.limit))
                return "the kernel has no I/O throttle for this device";
        *ret = throttle;
        return NULL;
}

void throttle_join(const Throttle *throttle)
{
        char path[sizeof(throttle->group) + 32];

        snprintf(path, sizeof(path), "%s/cgroup.procs", throttle->group);
        must(write_text(path, "0"));
}

void throttle_lift(const Throttle *throttle)
{
        must(write_text(throttle->rule, throttle->no_limit));
}

void throttle_set(const Throttle *throttle)
{
        must(write_text(throttle->rule, throttle->limit));
}
