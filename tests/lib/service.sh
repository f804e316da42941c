# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The service started by hand, without systemd, for the scripts in daemon/. A script begins with
#         . "$(dirname "$0")/../lib/service.sh"
#         test_begin "$@"
# and gets, next to what lib/scratch.sh has: what it told its manager in $TOLD, its log in $ERR, its state in $STATE.

. "$(dirname "${BASH_SOURCE[0]}")/scratch.sh"

# service_config [LINE...]: a configuration in which only $SCRATCH/volume is looked after; the lines go into its section.
service_config()
{
        {
                printf '[Policy]\nEnabled=no\nSolidState=yes\nMinFileSize=4K\nSettleSec=1s\n'
                printf '[Budget]\nOnBattery=yes\nDailyWrites=infinity\n'
                printf '[Volume %s]\nEnabled=yes\n' "$SCRATCH/volume"
                (($# == 0)) || printf '%s\n' "$@"
        } >"$CONFIG"
}

# service_start [ARGUMENT...]: until it is ready. $service_pid is the process.
service_start()
{
        STATE=$SCRATCH/state
        TOLD=$SCRATCH/told
        mkdir -p "$STATE"
        if [[ ! ${notify_pid:-} ]]; then
                notify-log "$SCRATCH/notify" >"$TOLD" &
                notify_pid=$!
                wait_until 10 test -S "$SCRATCH/notify" || fail "no notify socket"
        fi
        : >"$TOLD"
        : >"$ERR"
        NOTIFY_SOCKET=$SCRATCH/notify STATE_DIRECTORY=$STATE "$DEFRAGD" -v --config="$CONFIG" "$@" >"$OUT" 2>>"$ERR" </dev/null &
        service_pid=$!
        wait_until 25 told READY=1 || fail "not ready: $(cat "$ERR")"
}

service_is_alive()
{
        kill -0 "$service_pid" 2>/dev/null
}

service_is_gone()
{
        ! service_is_alive
}

# service_stop [SIGNAL]: it is gone within 5 s, times five on a busy machine, with status 0.
service_stop()
{
        kill -s "${1:-TERM}" "$service_pid" 2>/dev/null || fail "it has ended by itself: $(cat "$ERR")"
        wait_until 25 service_is_gone || fail "still there after SIG${1:-TERM}"
        status=0
        wait "$service_pid" || status=$?
        ((status == 0)) || fail "status $status: $(tail -n 40 "$ERR")"
}

# told PATTERN: a line like that was told (grep -E, the whole line).
told()
{
        grep --quiet --extended-regexp --line-regexp -- "$1" "$TOLD"
}

# STATUS as it is now.
status_now()
{
        sed -n 's/^STATUS=//p' "$TOLD" | tail -n 1
}

status_is()
{
        status_now | grep --quiet --extended-regexp -- "$1"
}

# logged PATTERN: a line of its log has it.
logged()
{
        grep --quiet --extended-regexp -- "$1" "$ERR"
}

# How often a line with it was logged.
n_logged()
{
        grep --count --extended-regexp -- "$1" "$ERR" || true
}

# expect SECONDS COMMAND...: happens within five times the seconds that were promised.
expect()
{
        wait_until $(($1 * 5)) "${@:2}" || fail "after $(($1 * 5)) s still not: ${*:2}; STATUS $(status_now); log: $(tail -n 30 "$ERR")"
}

# lies_in_at_most N FILE...: runs of all of them together. Whoever asks has the files open, and what is open is not moved: first wait for what
# the service says.
lies_in_at_most()
{
        (($(runs "${@:2}") <= $1))
}

# are_moved FILE...: the service says so of each.
are_moved()
{
        local file

        for file; do
                logged "^defragd: $file: moved, " || return 1
        done
}

# The sweep at the start is over.
is_swept()
{
        logged "$SCRATCH/volume: swept"
}

is_paused()
{
        [[ $(sed -n 's/^X_DEFRAGD_STATE=//p' "$TOLD" | tail -n 1) == paused ]]
}

# The tool, while the service is paused: its files are open, and the volume is full, for as long as the disk takes. A try within that time
# would find them in use, and the next one comes ten minutes later.
fragment()
{
        local resume=0

        if [[ ${service_pid:-} ]] && service_is_alive && ! is_paused; then
                kill -s USR1 "$service_pid"
                expect 5 is_paused
                resume=1
        fi
        command fragment "$@"
        ((!resume)) || kill -s USR2 "$service_pid"
}
