#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every system call with which the ledger is stored or read fails, or does half of its work: the old one or the new one stands, it is
# never set aside, and the next store succeeds. Then the same under a running service, which goes on, says why, and stops in order.
# LIMIT: 120
# WHOLE: 900
# ENGINES: exchange
# ASAN: no

. "$(dirname "$0")/../lib/service.sh"
. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"

need_inject
n_runs=0

# --- the calls by themselves ---

dir=$SCRATCH/ledgers
mkdir "$dir"
faults_of()
{
        case $1 in
        openat) echo EIO ENOSPC EMFILE EROFS ;;
        write) echo ENOSPC EIO EINTR half ;;
        read) echo EIO EINTR half lie ;;
        fsync) echo EIO ENOSPC ;;
        renameat | unlinkat) echo EIO EROFS ENOSPC ;;
        close) echo after:EIO ;;
        *) echo EIO ;;
        esac
}

# with FAULT N COMMAND...: status in $status.
with()
{
        local -a how

        case $1 in
        lie | half) how=("--$1") ;;
        after:*) how=("--fail-after=${1#after:}") ;;
        *) how=("--fail=$1") ;;
        esac
        status=0
        timeout 60 inject --below="$dir" --report="$SCRATCH/report" --at="$2" "${how[@]}" "${@:3}" >"$OUT" 2>"$ERR" || status=$?
        grep -q '^\*' "$SCRATCH/report" || fail "nothing happened: $*"
        n_runs=$((n_runs + 1))
}

part-ledger store "$dir" 2
inject --below="$dir" --report="$SCRATCH/stores" part-ledger store "$dir" 2
inject --below="$dir" --report="$SCRATCH/loads" part-ledger load "$dir" >"$OUT"
while read -r n name _ <&3; do
        for fault in $(faults_of "$name"); do
                part-ledger store "$dir" 2
                with "$fault" "$n" part-ledger store "$dir" 3
                there=$(part-ledger load "$dir")
                case "$status $there" in
                "0 3 volumes" | "1 2 volumes") ;;
                # Renamed; that it will stay so after a crash is not known.
                "1 3 volumes") [[ $name == fsync ]] || fail "$name $fault: status $status, $there" ;;
                *) fail "$name $fault: status $status, $there; $(cat "$ERR")" ;;
                esac
                ((status == 0)) || [[ -s $ERR ]] || fail "$name $fault: it does not say why"
                part-ledger store "$dir" 4
                [[ $(part-ledger load "$dir") == "4 volumes" ]] || fail "$name $fault: not stored again"
        done
done 3<"$SCRATCH/stores"
while read -r n name _ <&3; do
        for fault in $(faults_of "$name"); do
                part-ledger store "$dir" 2
                with "$fault" "$n" part-ledger load "$dir"
                [[ $status == 1 || $(cat "$OUT") == @("2 volumes"|damaged*) ]] ||
                        fail "$name $fault: status $status, $(cat "$OUT")"
                # What could not be read is set aside as it was, so that no store takes its place.
                if [[ $(cat "$OUT") == damaged* ]]; then
                        aside=("$dir"/ledger?*)
                        ((${#aside[@]} == 1)) || fail "$name $fault: $(ls "$dir")"
                        mv "${aside[0]}" "$dir/ledger"
                fi
                [[ $(part-ledger load "$dir") == "2 volumes" ]] || fail "$name $fault: it was whole before: $(ls "$dir")"
        done
done 3<"$SCRATCH/loads"
[[ $(ls "$dir") == ledger ]] || fail "$(ls "$dir")"
echo "$n_runs faults of single calls"

# --- under the service ---

test_volume 1G
# With a budget, what is going to be spent is stored before the move.
service_config DailyWrites=900M
PROGRAM=$DEFRAGD
DEFRAGD=$SCRATCH/defragd
STATE=$SCRATCH/state
# service_with OPTION...: from its next start on.
service_with()
{
        printf '#!/bin/bash\nexec inject --below=%q --report=%q %s %q "$@"\n' "$STATE" "$SCRATCH/report" "$*" "$PROGRAM" \
                >"$SCRATCH/defragd"
        chmod +x "$SCRATCH/defragd"
}

all_done()
{
        is_swept && status_is ' 0 files waiting' && lies_in_at_most $((n_files * 2)) "$MNT"/file*
}

# settled OPTION...: what has been made ready is moved, or it is said why not. A state directory that cannot be read for a moment is read again.
settled()
{
        all_done || logged 'Cannot store the ledger|The ledger cannot be used' ||
                { [[ " $* " == *" --for-ever "* ]] && logged 'The state directory cannot be read'; }
}

n_files=0
one_service()
{
        service_with "$@"
        fragment --files=2 --size=1M --name="file$n_files-" "$MNT"
        n_files=$((n_files + 2))
        remember files "$MNT"
        # One of other volumes; what the last service has remembered is no matter here.
        mkdir -p "$STATE"
        part-ledger store "$STATE" 2
        service_start
        expect 20 settled "$@"
        service_is_alive || fail "$*: it has ended: $(cat "$ERR")"
        service_stop
        expect_same files
        case $(part-ledger load "$STATE") in
        none | *" volumes") ;;
        *) fail "$*: $(part-ledger load "$STATE")" ;;
        esac
        [[ ! -e $STATE/ledger.set-aside ]] || fail "$*: a ledger was damaged"
        # How often the ledger is stored in that time is the service's affair; once at the least.
        grep -q '^\*' "$SCRATCH/report" || [[ $1 == --at=*:[2-9] ]] || fail "$*: nothing happened: $(cat "$SCRATCH/report")"
        if [[ " $* " == *" --at=fsync:1 "*" --for-ever "* ]]; then
                ! logged ': moved, ' || fail "moved without a ledger: $(cat "$ERR")"
        fi
        n_services=$((n_services + 1))
}

n_services=0
if [[ ${WHOLE:-} ]]; then
        for call in openat unlinkat write fsync renameat; do
                for k in 1 2 3; do
                        # By the first open it takes the directory for itself; see below.
                        [[ $call:$k != openat:1 ]] || continue
                        for fault in $(faults_of "$call"); do
                                [[ $fault != half ]] || continue
                                one_service --at="$call:$k" --fail="$fault"
                                [[ $fault == EINTR ]] || one_service --at="$call:$k" --fail="$fault" --for-ever
                        done
                done
        done
else
        one_service --at=write:1 --fail=ENOSPC
        one_service --at=renameat:2 --fail=EIO
        one_service --at=fsync:1 --fail=EIO --for-ever
fi
# Without its directory it does not start, and says so.
service_with --at=openat:1 --fail=EIO
mkdir -p "$STATE"
status=0
STATE_DIRECTORY=$STATE timeout 60 "$DEFRAGD" --config="$CONFIG" >"$OUT" 2>"$ERR" </dev/null || status=$?
((status == 1)) && logged 'Cannot prepare.*Input/output error' || fail "status $status: $(cat "$ERR")"

part-ledger store "$STATE" 2
# And everything that was left undone is done by one that nobody hinders.
service_with --report=/dev/null
service_start
expect 20 all_done
service_stop
expect_same files
volume_check volume
echo "$n_services services"
