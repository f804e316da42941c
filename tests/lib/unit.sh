# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# defragd.service in a booted system, for scripts in service/: they begin with
#         . "$(dirname "$0")/../lib/unit.sh"
#         test_begin "$@"
# and get what lib/scratch.sh, lib/roots.sh and lib/booted.sh have, too.

. "$(dirname "${BASH_SOURCE[0]}")/scratch.sh"
. "$(dirname "${BASH_SOURCE[0]}")/roots.sh"
. "$(dirname "${BASH_SOURCE[0]}")/booted.sh"

# Longer than it takes to make files: a try while they are still open for writing is followed by one ten minutes later.
SETTLE=3
# A question is a process or more of the container's, and many are asked at the same time.
POLL=0.2

# unit_config [LINE...]: the configuration inside; the lines follow those that have defragd work at once and without limits.
# Nothing is looked after but what they enable.
unit_config()
{
        mkdir -p "$BOOTED/etc/defragd"
        {
                printf '[Policy]\nEnabled=no\nSolidState=yes\nMinFileSize=4K\nSettleSec=%ss\n' "$SETTLE"
                printf '[Budget]\nOnBattery=yes\nDailyWrites=infinity\n'
                (($# == 0)) || printf '%s\n' "$@"
        } >"$BOOTED/etc/defragd/defragd.conf"
}

# unit_drop_in UNIT LINE...: for this test.
unit_drop_in()
{
        mkdir -p "$BOOTED/etc/systemd/system/$1.d"
        printf '%s\n' "${@:2}" >"$BOOTED/etc/systemd/system/$1.d/test.conf"
        in_booted systemctl daemon-reload
}

# inside PATH: as it is seen from here.
inside()
{
        echo "/proc/$BOOTED_INIT/root$1"
}

# fragmented PATH [OPTION...]: files of fragment(1) there. While they are made there is no free space, and who finds one of them then
# has to leave it for later: therefore the service is paused.
fragmented()
{
        in_booted systemctl kill --signal=USR1 defragd.service
        fragment "${@:2}" "$(inside "$1")"
        in_booted systemctl kill --signal=USR2 defragd.service
}

# property NAME [UNIT]
property()
{
        in_booted systemctl show --property="$1" --value "${2:-defragd.service}"
}

status_is()
{
        property StatusText | grep --quiet --extended-regexp -- "$1"
}

# journal [OPTION...]: what the service said. Never while its disk does not answer.
journal()
{
        in_booted journalctl --sync
        in_booted journalctl --no-pager --quiet --unit=defragd.service "$@"
}

journal_has()
{
        journal --output=cat >"$OUT"
        grep --quiet --extended-regexp -- "$1" "$OUT"
}

# expect SECONDS COMMAND...: happens within five times the seconds that were promised.
expect()
{
        wait_until $(($1 * 5)) "${@:2}" || fail "after $(($1 * 5)) s still not: ${*:2}; STATUS $(property StatusText)"
}

# lies_in_at_most N FILE...: runs of all of them together. Whoever asks has the files open, and what is open is not moved: first
# wait for STATUS.
lies_in_at_most()
{
        (($(runs "${@:2}") <= $1))
}
