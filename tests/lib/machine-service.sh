# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The service in a machine (lib/machine.sh), as the scripts in machine/ look at it. Volumes are mounted at /srv/NAME there; $pid is
# the service's process.

FILE_MOVED=8bb3acedef2e43d0a96c6d1859d625e5
SERVICE=defragd.service

elapsed_msec()
{
        echo $(((${EPOCHREALTIME/./} - $1) / 1000))
}

property()
{
        in_machine systemctl show --property="$1" --value "$SERVICE"
}

status_is()
{
        property StatusText | grep --quiet --extended-regexp -- "$1"
}

status_is_not()
{
        ! status_is "$1"
}

moved()
{
        status_is "; $1 files? moved"
}

# expect SECONDS COMMAND...
expect()
{
        wait_until $(($1 * 5)) "${@:2}" || fail "after $(($1 * 5)) s still not: ${*:2}; $(property StatusText); $(journal --lines=30)"
}

# What the service told.
journal()
{
        in_machine journalctl --no-pager --quiet --unit="$SERVICE" "$@"
}

# n_told MESSAGE_ID [FIELD=VALUE...]
n_told()
{
        journal --output=cat --no-hostname MESSAGE_ID="$1" "${@:2}" | wc -l
}

# Whoever looks at a file keeps it from being moved: it is told not to while the test does.
pause()
{
        in_machine kill -USR1 "$pid" || fail "it has ended: $(journal --lines=30)"
}

go_on()
{
        in_machine kill -USR2 "$pid" || fail "it has ended: $(journal --lines=30)"
}

# fragment_on VOLUME FILES NAME: ordinary files; what they are is remembered.
fragment_on()
{
        in_machine fragment --files="$2" --size=4M --piece=256K --name="$3" "/srv/$1"
        in_machine filestate "/srv/$1" >"$SCRATCH/state-$1"
}

# same VOLUME...: no byte of it is changed, and each file lies in one piece ($MOST_RUNS: or so many).
same()
{
        local volume

        for volume; do
                in_machine filestate "/srv/$volume" >"$SCRATCH/state-now"
                diff "$SCRATCH/state-$volume" "$SCRATCH/state-now" >"$SCRATCH/diff" ||
                        fail "/srv/$volume is not as before: $(head -n 40 "$SCRATCH/diff")"
                in_machine bash -c "extents --total /srv/$volume/* && ls /srv/$volume | wc -l" >"$OUT"
                (($(sed -n 1p "$OUT") <= ${MOST_RUNS:-1} * $(sed -n 2p "$OUT"))) || fail "/srv/$volume: extents, files: $(cat "$OUT")"
        done
}

# Not restarted since.
expect_same_process()
{
        [[ $(property MainPID) == "$pid" && $(property NRestarts) == 0 ]] ||
                fail "another process: $(property MainPID), $(property NRestarts) restarts; $(journal --lines=30)"
}
