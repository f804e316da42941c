#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every system call of a run fails, once and from then on, with what the kernel may say there; reads and writes are cut short; a write is
# lost, a commit is said to be done and is not. Whatever happens: the file is as it was, nothing is left behind, and what is said
# about it is so.
# LIMIT: 200
# WHOLE: 3600
# ENGINES: exchange plain
# WHOLE_ENGINES: ext4 btrfs btrfs-zstd btrfs-raid1 ext4-1k ext4-2k

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"

# What may go wrong there, the likeliest first: --fail=, or a word of inject(1) itself.
faults_of()
{
        case $1 in
        openat) echo EIO ENOSPC ENOMEM EMFILE EROFS EPERM ESTALE ;;
        ioctl-OPEN_BY_HANDLE) echo ESTALE EIO EAGAIN ETXTBSY ENOMEM EUCLEAN EROFS ;;
        ioctl-COMMIT_RANGE | ioctl-SWAPEXT) echo EIO lie after:EIO EBUSY ENOSPC EINVAL EPERM ENOMEM EUCLEAN EROFS ;;
        ioctl-MOVE_EXT | ioctl-DEFRAG_RANGE) echo EIO lie after:EIO EBUSY ENOSPC EINVAL EPERM ENOMEM EUCLEAN EROFS EDQUOT EOPNOTSUPP EINTR ;;
        ioctl-START_COMMIT | ioctl-FSBULKSTAT_SINGLE) echo EIO EOPNOTSUPP ENOMEM lie ;;
        ioctl-FIEMAP) echo EIO EINTR ENOMEM EUCLEAN lie ;;
        ioctl-FSSETXATTR) echo EIO EPERM ENOSPC EROFS lie ;;
        ioctl-*) echo EIO ENOMEM ;;
        fcntl-SETLEASE) echo EAGAIN EINVAL ENOMEM ;;
        fcntl-*) echo EINVAL ;;
        fallocate) echo ENOSPC EIO EINTR EDQUOT EOPNOTSUPP EFBIG lie ;;
        ftruncate) echo EIO ENOSPC EINTR lie ;;
        read) echo EIO EINTR half lie ;;
        pread64) echo EIO half EINTR EAGAIN lie ;;
        pwrite64) echo EIO lie half ENOSPC EINTR EDQUOT ;;
        write) echo ENOSPC EIO EINTR half ;;
        fsync | fdatasync) echo EIO ENOSPC lie ;;
        io_uring_enter) echo EAGAIN ENOMEM EINTR EBUSY EIO lie ;;
        io_uring_setup | io_uring_register) echo ENOMEM EPERM ENOSYS ;;
        flock) echo EAGAIN EINTR ;;
        statx | newfstatat | fstat*) echo EIO ESTALE ENOMEM ;;
        fgetxattr | flistxattr) echo EIO ENOMEM EPERM ;;
        mmap | mremap | mprotect) echo ENOMEM ;;
        clone | clone3) echo EAGAIN ;;
        # It is closed all the same.
        close) echo after:EIO ;;
        poll | ppoll) echo EINTR ;;
        *) echo EIO EPERM ;;
        esac
}

n_runs=0
declare -A N_OUTCOME=()

# one_run SHAPE NAME:K FAULT [--for-ever]
one_run()
{
        local -a how

        case $3 in
        lie | half) how=("--$3") ;;
        after:*) how=("--fail-after=${3#after:}") ;;
        *) how=("--fail=$3") ;;
        esac
        injected_until_hit "$1" "$2" "${how[@]}" "${@:4}"
        file_is_same
        outcome_is_sensible
        # A lost write is seen when the donor is read back.
        if [[ $3 == lie && $2 == pwrite64:* && $OUTCOME == moved ]]; then
                ((${2#*:} <= n_probe_writes)) || wrong "a write was lost and nobody has noticed"
        fi
        n_runs=$((n_runs + 1))
        N_OUTCOME[${OUTCOME:-nothing}]=$((${N_OUTCOME[${OUTCOME:-nothing}]:-0} + 1))
        if ((n_runs % 40 == 0)); then
                echo "$n_runs runs so far"
                nothing_is_left
        fi
}

# every_call SHAPE [NAME...]: all of its calls, or the first and the last of each name in a sample; only these names. From the last to the first: there
# is most to lose where the file is at stake. Before its region is begun each call fails in one way only.
every_call()
{
        local shape=$1 name k n fault faults last region
        local -A n_last=()

        shift
        file_take "$shape"
        calls >"$SCRATCH/calls"
        while read -r _ name k; do
                n_last[$name]=$k
        done <"$SCRATCH/calls"
        region=$(sed -n 's/ flock 2$//p' "$SCRATCH/calls")
        # The probe has a buffer and single bytes to write; what comes after it is the copy.
        n_probe_writes=$(awk -v region="$region" '$1 < region && $2 == "pwrite64" { k = $3 } END { print k }' "$SCRATCH/calls")
        while read -r n name k <&3; do
                (($# == 0)) || [[ " $* " == *" $name "* ]] || continue
                last=${n_last[$name]}
                [[ ${WHOLE:-} || $k == 1 || $k == "$last" ]] || continue
                # A sanitizer takes memory by mmap, and ends the program where it gets none.
                [[ $name != mmap || $BUILD != *san ]] || continue
                read -ra faults <<<"$(faults_of "$name")"
                [[ ${WHOLE:-} ]] && ((n >= region)) || faults=("${faults[0]}")
                for fault in "${faults[@]}"; do
                        one_run "$shape" "$name:$k" "$fault"
                        # Interrupted for ever is nothing that happens; two lies make no truth.
                        [[ $fault == EINTR || $fault == lie ]] || ((k == last)) ||
                                one_run "$shape" "$name:$k" "$fault" --for-ever
                done
        done 3< <(tac "$SCRATCH/calls")
}

files_make
every_call mixed
RUN=(without-uring setup)
every_call whole pread64 pwrite64 fdatasync ftruncate fallocate
if [[ ! ${WHOLE:-} ]]; then
        # What is worth more than a first fault.
        file_take whole
        calls >"$SCRATCH/calls"
        for fault in pread64:half pread64:lie pwrite64:half pwrite64:lie; do
                k=$(sed -n "s/^[0-9]* ${fault%:*} //p" "$SCRATCH/calls" | tail -n 1)
                one_run whole "${fault%:*}:$k" "${fault#*:}"
        done
        point=$(commit_point <"$SCRATCH/calls")
        for fault in lie after:EIO; do
                one_run whole "$point" "$fault"
        done
fi
nothing_is_left
files_are_same
volume_is_whole
for outcome in "${!N_OUTCOME[@]}"; do
        echo "$outcome: ${N_OUTCOME[$outcome]}"
done
missed_few "$n_runs"
echo "$n_runs runs"
