/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* inject [OPTION...] COMMAND [ARG...]
 *
 * Runs COMMAND and, at one of its system calls, does what a bad day would do. All threads and children are followed.
 *
 * Which calls count:
 *   --from=PATH         those from the first open of PATH or of something below it; before that libraries are loaded
 *   --below=PATH        those whose descriptor or path is PATH or lies below it
 * Which one it is:
 *   --at=N              the N-th
 *   --at=NAME:N         the N-th of that name; the names are those of the report
 *   --for-ever          and every later one of the same name
 *   --then=ERRNO        and the next one of the same name fails with that
 * What happens there:
 *   --fail=ERRNO        it fails with that (EIO, ...) and is not carried out
 *   --fail-after=ERRNO  it is carried out and fails all the same
 *   --lie               it is not carried out and succeeds
 *   --half              half of a read or write is carried out
 *   --stop=MODE[:PATH]  the file system of PATH is shut down: "flush" with, "cut" without flushing its log
 *   --clone=IMAGE:COPY  COPY becomes what IMAGE is at that moment (FICLONE): of the image that a loop device is on what the device
 *                       would be after a crash, with all that was written to it, flushed or not
 *   --run=COMMAND       the shell runs this, and is waited for
 *   --kill              SIGKILL, after stop and clone if they are asked for, too
 *   --after             clone, kill and stop after the call instead of before it
 *
 * --report=FILE gets a line "N NAME K" for every call that counts: the N-th of all and the K-th of its name; "*" in front of it
 * where something happened. Status: that of COMMAND, 128 + N if signal N ended it; 77 where this machine cannot.
 *
 * SIGTERM and others of its kind are passed on to COMMAND.
 *
 * What only asks for the time, for memory that was there, or for another thread does not count. A seccomp filter lets those pass, so
 * they cost nothing; the others stop the thread once or twice. */

#include <getopt.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "inject-names.h"
#include "tool.h"

#if defined(__x86_64__) || defined(__aarch64__)

#include "inject-registers.h"

/* As the kernel's headers have it; not in all of them. */
#define IOC_GOINGDOWN    _IOR('X', 125, uint32_t)
#define DOWN_LOG_FLUSHED 1U
#define DOWN_CUT         2U

typedef enum Action { NOTHING, FAIL, FAIL_AFTER, LIE, HALF, END } Action;

static const char *arg_from, *arg_below, *arg_at_name, *arg_run;
static uint64_t arg_at;
static bool arg_for_ever, arg_after, arg_kill;
static Action arg_action;
static int arg_errno, arg_then;
static uint32_t arg_down; /* 0: no shutdown */
static FILE *report;
static int down_fd = -1;
static int image_fd = -1, copy_fd = -1;
static pid_t leader;

/* Threads whose next stop is the end of a call in which something has to happen. */
static pid_t at_exit[64];
static size_t n_at_exit;

static struct {
        char name[48];
        uint64_t n;
} seen[256];
static size_t n_seen;
static uint64_t n_counted;
static bool begun, hit;
static char hit_name[48];

static uint64_t number_of(const Name *names, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(names[i].name, name) == 0)
                        return names[i].number;
        die_plainly("not known: %s", name);
}

static const char *name_in(const Name *names, size_t n, uint64_t number)
{
        for (size_t i = 0; i < n; i++)
                if (names[i].number == number)
                        return names[i].name;
        return NULL;
}

/* What the call goes by in reports. */
static void call_name(const struct __ptrace_syscall_info *info, char *ret, size_t room)
{
        const uint64_t *args = info->seccomp.args;
        const char *name;

        if (info->seccomp.nr == SYS_ioctl) {
                name = name_in(ioctls, N(ioctls), args[1] & UINT32_MAX);
                if (name)
                        (void)snprintf(ret, room, "ioctl-%s", name);
                else
                        (void)snprintf(ret, room, "ioctl-%c%u", (char)(args[1] >> 8 & 0x7f),
                                       (unsigned)(args[1] & 0xff));
        } else if (info->seccomp.nr == SYS_fcntl) {
                name = name_in(fcntls, N(fcntls), args[1] & UINT32_MAX);
                if (name)
                        (void)snprintf(ret, room, "fcntl-%s", name);
                else
                        (void)snprintf(ret, room, "fcntl-%u", (unsigned)args[1]);
        } else {
                name = name_in(calls, N(calls), info->seccomp.nr);
                if (name)
                        (void)snprintf(ret, room, "%s", name);
                else
                        (void)snprintf(ret, room, "call-%u", (unsigned)info->seccomp.nr);
        }
}

static bool is_below(const char *path, const char *directory)
{
        size_t n = strlen(directory);

        return strncmp(path, directory, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static void text_of(pid_t pid, uint64_t address, char *ret, size_t room)
{
        const size_t page = 4096;
        size_t done = 0;

        /* Up to the end of a page at a time: what lies behind may not be there. */
        while (done < room - 1) {
                size_t n = page - (address + done) % page;
                struct iovec here = {.iov_base = ret + done,
                                     .iov_len = n < room - 1 - done ? n : room - 1 - done};
                struct iovec there = {.iov_base = (void *)(uintptr_t)(address + done),
                                      .iov_len = here.iov_len};
                ssize_t read = process_vm_readv(pid, &here, 1, &there, 1, 0);

                if (read <= 0)
                        break;
                done += (size_t)read;
                if (memchr(here.iov_base, 0, (size_t)read))
                        return;
        }
        ret[done] = '\0';
}

/* The path that a call is about: its own, or that of its descriptor. */
static void path_of(pid_t pid, const struct __ptrace_syscall_info *info, char *ret, size_t room)
{
        const uint64_t *args = info->seccomp.args;
        char link[64];
        ssize_t n;

        *ret = '\0';
        switch (info->seccomp.nr) {
        case SYS_openat:
        case SYS_openat2:
        case SYS_newfstatat:
        case SYS_statx:
        case SYS_mkdirat:
        case SYS_unlinkat:
        case SYS_open_tree:
                text_of(pid, args[1], ret, room);
                if (*ret == '/')
                        return;
                break;
        case SYS_mmap:
        case SYS_mprotect:
        case SYS_madvise:
        case SYS_clone:
        case SYS_clone3:
                return;
        default:
                break;
        }
        (void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", pid, (int)args[0]);
        n = readlink(link, ret, room - 1);
        ret[n > 0 ? n : 0] = '\0';
}

static bool counts(pid_t pid, const struct __ptrace_syscall_info *info, const char *name)
{
        char path[PATH_MAX];

        if (strncmp(name, "write", 5) == 0 && info->seccomp.args[0] <= 2)
                return false; /* what it has to say */
        if (!begun || arg_below)
                path_of(pid, info, path, sizeof(path));
        if (!begun) {
                if (strncmp(name, "open", 4) != 0 || !is_below(path, arg_from))
                        return false;
                begun = true;
        }
        return !arg_below || is_below(path, arg_below);
}

/* --- what happens --- */

static void the_end(void)
{
        /* Fails on what is shut down already. */
        if (arg_down && ioctl(down_fd, IOC_GOINGDOWN, &arg_down) < 0 && errno != EIO)
                die("GOINGDOWN");
        if (copy_fd >= 0 && ioctl(copy_fd, FICLONE, image_fd) < 0)
                die("FICLONE");
        if (arg_run && system(arg_run) != 0) /* NOLINT: a shell is what is wanted */
                die_plainly("%s: failed", arg_run);
        if (arg_kill && kill(leader, SIGKILL) < 0 && errno != ESRCH)
                die("kill");
}

/* Returns true when the end of the call has to be seen. */
static bool happens(pid_t pid, const struct __ptrace_syscall_info *info)
{
        const uint64_t nr = info->seccomp.nr, count = info->seccomp.args[2];
        const bool is_write = nr == SYS_write || nr == SYS_pwrite64;

        switch (arg_action) {
        case NOTHING:
                return false;
        case FAIL:
                call_skip(pid, -arg_errno);
                return false;
        case LIE:
                call_skip(pid, is_write ? (int64_t)count : 0);
                return false;
        case HALF:
                /* Direct I/O wants whole blocks. */
                if (is_write || nr == SYS_read || nr == SYS_pread64)
                        third_argument_set(pid, count >= 8192 ? count / 8192 * 4096 : (count + 1) / 2);
                return false;
        case FAIL_AFTER:
                return true;
        case END:
                if (arg_after)
                        return true;
                the_end();
                return false;
        }
        return false;
}

/* A call is about to be carried out. Returns true when its end has to be seen. */
static bool on_call(pid_t pid)
{
        struct __ptrace_syscall_info info;
        char name[48];
        bool now;
        size_t i;

        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0)
                return false; /* killed meanwhile */
        call_name(&info, name, sizeof(name));
        if (!counts(pid, &info, name))
                return false;
        n_counted++;
        for (i = 0; i < n_seen && strcmp(seen[i].name, name) != 0; i++)
                ;
        if (i == n_seen) {
                if (n_seen == N(seen))
                        die_plainly("too many names");
                (void)snprintf(seen[n_seen++].name, sizeof(seen[0].name), "%s", name);
        }
        seen[i].n++;
        if (arg_at_name)
                now = strcmp(name, arg_at_name) == 0 && seen[i].n == arg_at;
        else
                now = n_counted == arg_at;
        if (now) {
                hit = true;
                (void)snprintf(hit_name, sizeof(hit_name), "%s", name);
        } else if (hit && strcmp(name, hit_name) == 0) {
                now = arg_for_ever || arg_then != 0;
                if (arg_then != 0) {
                        arg_action = FAIL;
                        arg_errno = arg_then;
                        arg_then = 0;
                }
        }
        if (report) {
                fprintf(report, "%s%llu %s %llu\n", now ? "*" : "", (unsigned long long)n_counted, name,
                        (unsigned long long)seen[i].n);
        }
        return now && happens(pid, &info);
}

static void on_exit_of_call(pid_t pid)
{
        if (arg_action == FAIL_AFTER)
                result_set(pid, -arg_errno);
        else
                the_end();
}

static bool take_at_exit(pid_t pid)
{
        for (size_t i = 0; i < n_at_exit; i++)
                if (at_exit[i] == pid) {
                        at_exit[i] = at_exit[--n_at_exit];
                        return true;
                }
        return false;
}

/* --- the tracer --- */

static void child_run(char *argv[])
{
        struct sock_filter filter[3 + 2 * N(passed)];
        struct sock_fprog program = {.filter = filter};
        size_t n = 0;

        filter[n++] =
                (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        for (size_t i = 0; i < N(passed); i++) {
                filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, passed[i], 0, 1);
                filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        }
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
        program.len = (unsigned short)n;
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
                die("TRACEME");
        if (raise(SIGSTOP) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                die("seccomp");
        execvp(argv[0], argv);
        die("%s", argv[0]);
}

static void pass_on(int signal)
{
        int saved = errno;

        (void)kill(leader, signal);
        errno = saved;
}

static int follow(void)
{
        const long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE |
                             PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
                             PTRACE_O_EXITKILL;
        int result = STATUS_ERROR, status;
        pid_t pid;

        if (waitpid(leader, &status, 0) < 0 || !WIFSTOPPED(status) ||
            ptrace(PTRACE_SETOPTIONS, leader, 0, options) < 0 || ptrace(PTRACE_CONT, leader, 0, 0) < 0)
                die("ptrace");
        while ((pid = waitpid(-1, &status, __WALL)) > 0) {
                long how = PTRACE_CONT, signal = 0;

                if (WIFEXITED(status) || WIFSIGNALED(status)) {
                        (void)take_at_exit(pid);
                        if (pid == leader)
                                result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
                        continue;
                }
                switch (status >> 8) {
                case SIGTRAP | PTRACE_EVENT_SECCOMP << 8:
                        if (on_call(pid)) {
                                if (n_at_exit == N(at_exit))
                                        die_plainly("too many threads");
                                at_exit[n_at_exit++] = pid;
                                how = PTRACE_SYSCALL;
                        }
                        break;
                case SIGTRAP | 0x80:
                        if (take_at_exit(pid))
                                on_exit_of_call(pid);
                        break;
                case SIGTRAP | PTRACE_EVENT_CLONE << 8:
                case SIGTRAP | PTRACE_EVENT_FORK << 8:
                case SIGTRAP | PTRACE_EVENT_VFORK << 8:
                case SIGTRAP | PTRACE_EVENT_EXEC << 8:
                case SIGSTOP: /* the first stop of a new thread; nobody sends it otherwise */
                        break;
                default:
                        signal = WSTOPSIG(status);
                }
                if (ptrace((enum __ptrace_request)how, pid, 0, signal) < 0 && errno != ESRCH)
                        die("ptrace");
        }
        return result;
}

static void at_parse(char *text)
{
        char *colon = strchr(text, ':');

        if (colon) {
                *colon = '\0';
                arg_at_name = text;
                text = colon + 1;
        }
        arg_at = size_of_text(text);
        if (arg_at == 0)
                die_plainly("calls are counted from 1");
}

static void stop_parse(char *text)
{
        char *colon = strchr(text, ':');
        const char *path = colon ? colon + 1 : arg_from;

        if (colon)
                *colon = '\0';
        if (!path)
                die_plainly("stop what?");
        arg_down = strcmp(text, "flush") == 0 ? DOWN_LOG_FLUSHED : strcmp(text, "cut") == 0 ? DOWN_CUT : 0;
        if (arg_down == 0)
                die_plainly("not a way to stop: %s", text);
        down_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (down_fd < 0)
                die("%s", path);
}

static void clone_parse(char *text)
{
        char *colon = strchr(text, ':');

        if (!colon)
                die_plainly("clone what to where?");
        *colon = '\0';
        image_fd = open(text, O_RDONLY | O_CLOEXEC);
        if (image_fd < 0)
                die("%s", text);
        copy_fd = open(colon + 1, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (copy_fd < 0)
                die("%s", colon + 1);
}

int main(int argc, char *argv[])
{
        enum {
                FROM = 1,
                BELOW,
                AT,
                FOR_EVER,
                THEN,
                FAIL_WITH,
                FAIL_AFTER_WITH,
                LYING,
                HALVED,
                STOP,
                CLONE,
                RUN,
                KILL,
                AFTER,
                REPORT
        };
        static const struct option options[] = {
                {"from", required_argument, NULL, FROM},
                {"below", required_argument, NULL, BELOW},
                {"at", required_argument, NULL, AT},
                {"for-ever", no_argument, NULL, FOR_EVER},
                {"then", required_argument, NULL, THEN},
                {"fail", required_argument, NULL, FAIL_WITH},
                {"fail-after", required_argument, NULL, FAIL_AFTER_WITH},
                {"lie", no_argument, NULL, LYING},
                {"half", no_argument, NULL, HALVED},
                {"stop", required_argument, NULL, STOP},
                {"clone", required_argument, NULL, CLONE},
                {"run", required_argument, NULL, RUN},
                {"kill", no_argument, NULL, KILL},
                {"after", no_argument, NULL, AFTER},
                {"report", required_argument, NULL, REPORT},
                {0},
        };
        const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
        const struct sigaction passing = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
        int option, status;

        while ((option = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
                switch (option) {
                case FROM:
                        arg_from = optarg;
                        break;
                case BELOW:
                        arg_below = optarg;
                        break;
                case AT:
                        at_parse(optarg);
                        break;
                case FOR_EVER:
                        arg_for_ever = true;
                        break;
                case THEN:
                        arg_then = (int)number_of(errors, N(errors), optarg);
                        break;
                case FAIL_WITH:
                case FAIL_AFTER_WITH:
                        arg_action = option == FAIL_WITH ? FAIL : FAIL_AFTER;
                        arg_errno = (int)number_of(errors, N(errors), optarg);
                        break;
                case LYING:
                        arg_action = LIE;
                        break;
                case HALVED:
                        arg_action = HALF;
                        break;
                case STOP:
                        arg_action = END;
                        stop_parse(optarg);
                        break;
                case CLONE:
                        arg_action = END;
                        clone_parse(optarg);
                        break;
                case RUN:
                        arg_action = END;
                        arg_run = optarg;
                        break;
                case KILL:
                        arg_action = END;
                        arg_kill = true;
                        break;
                case AFTER:
                        arg_after = true;
                        break;
                case REPORT:
                        report = fopen(optarg, "we");
                        if (!report)
                                die("%s", optarg);
                        break;
                default:
                        return STATUS_ERROR;
                }
        }
        if (optind == argc)
                die_plainly("usage: inject [OPTION...] COMMAND [ARG...]");
        begun = !arg_from;
        leader = fork();
        if (leader < 0)
                die("fork");
        if (leader == 0)
                child_run(argv + optind);
        for (size_t i = 0; i < N(signals); i++)
                if (sigaction(signals[i], &passing, NULL) < 0)
                        die("sigaction");
        status = follow();
        if (report && fclose(report) != 0)
                die("report");
        return status;
}

#else

int main(void)
{
        puts("system calls can be told apart on x86_64 and aarch64 only");
        return 77;
}

#endif
