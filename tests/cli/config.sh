#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Mistakes in the configuration are told as FILE:LINE, and nothing is done while there are any.
# LIMIT: 30
# ENGINES: no

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# check EXPECTED_STATUS TEXT: the text as a configuration file.
check()
{
        local status=0

        printf '%b' "$2" >"$CONFIG"
        "$DEFRAGD" --check-config --config="$CONFIG" >"$OUT" 2>"$ERR" || status=$?
        ((status == $1)) || fail "status $status, not $1, for: $2"
        [[ ! -s $OUT ]] || fail "something on standard output"
}
# wrong LINE TEXT: a complaint about that line.
wrong()
{
        check 2 "$2"
        grep -q "$CONFIG:$1: " "$ERR" || fail "no complaint about line $1 of: $2: $(cat "$ERR")"
}
check 0 ''
check 0 '# nothing\n\n; nothing\n'
check 0 '[Policy]\nMinFileSize=1M\nMinExtents=8\nSolidState=auto\nExecutables=no\nExclude=/srv/cache/**\nExclude=/tmp/*\n'
check 0 '[Budget]\nMaxRate=50M\nFreeSpaceReserve=10G\n'
check 0 '[Budget]\nMaxRate=infinity\nFreeSpaceReserve=2.5%\n'
check 0 '[Volume /srv]\nMinFileSize=4K\nMaxRate=1M\n'
check 0 '[Policy]\nEnabled=observe\nSettleSec=30s\nBusyFiles=no\nSharedExtents=no\n'
check 0 '[Volume /srv]\nSharedExtents=yes\n'
check 0 '[Budget]\nDailyWrites=20G\nOnBattery=yes\n[Schedule]\nHours=22:00-06:00 Sat,Sun 00:00-24:00\nSweepSec=infinity\n'
check 0 '[Volume /srv]\nEnabled=no\nDailyWrites=1%\nHours=always\nSweepSec=1d\n'
wrong 2 '[Policy]\nMinFileSize=many\n'
wrong 2 '[Policy]\nEnabled=perhaps\n'
wrong 2 '[Policy]\nSharedExtents=perhaps\n'
wrong 2 '[Budget]\nDailyWrites=much\n'
wrong 2 '[Schedule]\nHours=25:00-26:00\n'
wrong 2 '[Schedule]\nSweepSec=1s\n'
wrong 2 '[Policy]\nHours=always\n'
wrong 3 '[Policy]\nMinFileSize=1M\nSolidState=perhaps\n'
wrong 2 '[Policy]\nNoSuchKey=1\n'
wrong 1 '[NoSuchSection]\nMinFileSize=1M\n'
wrong 2 '[Budget]\nMaxRate=-1\n'
wrong 2 '[Budget]\nFreeSpaceReserve=101%\n'
wrong 2 '[Policy]\nno key at all\n'
wrong 1 'MinFileSize=1M\n'
wrong 4 '[Policy]\nMinFileSize=1M\n[Volume /srv]\nExecutables=maybe\n'
wrong 2 '[Policy]\nMinFileSize=99999999999999999999T\n'
# Several mistakes, each told.
check 2 '[Policy]\nA=1\nB=2\nSolidState=x\n'
for line in 2 3 4; do
        grep -q "$CONFIG:$line: " "$ERR" || fail "no complaint about line $line"
done
# A value that would drive a terminal.
check 2 '[Policy]\nSolidState=\\e[31mred\n'
grep -q $'\e' "$ERR" && fail "an escape sequence in a complaint"

# Nothing is moved with a mistake.
status=0
"$DEFRAGD" --once --config="$CONFIG" "$SCRATCH" >"$OUT" 2>"$ERR" || status=$?
((status == 2)) || fail "--once with a bad configuration: status $status"

# Files, drop-ins and masks, in the system's own places, which this namespace alone sees changed.
cp -a /etc "$SCRATCH/etc"
mount --bind "$SCRATCH/etc" /etc
mount -t tmpfs none /run
mkdir -p /etc/defragd/defragd.conf.d /run/defragd/defragd.conf.d
# system LINE_OF_COMPLAINT...: what the system's configuration is complained about, in this order.
system()
{
        local status=0 complaint

        "$DEFRAGD" --check-config 2>"$ERR" || status=$?
        for complaint; do
                grep -q "$complaint: " "$ERR" || fail "no complaint about $complaint: $(cat "$ERR")"
        done
        (($(wc -l <"$ERR") == $#)) || fail "other complaints than about $*: $(cat "$ERR")"
        ((status == ($# ? 2 : 0))) || fail "status $status"
}
system
printf '[Policy]\nSolidState=x\n' >/run/defragd/defragd.conf
system /run/defragd/defragd.conf:2
# The administrator's goes before the run-time one.
printf '[Policy]\n\nSolidState=x\n' >/etc/defragd/defragd.conf
system /etc/defragd/defragd.conf:3
printf '[Policy]\nA=1\n' >/run/defragd/defragd.conf.d/10-a.conf
printf '[Policy]\nB=1\n' >/run/defragd/defragd.conf.d/20-b.conf
printf 'not a drop-in' >/run/defragd/defragd.conf.d/README
system /etc/defragd/defragd.conf:3 /run/defragd/defragd.conf.d/10-a.conf:2 /run/defragd/defragd.conf.d/20-b.conf:2
# The same name in a stronger directory replaces, a link to /dev/null masks.
printf '[Policy]\n' >/etc/defragd/defragd.conf.d/10-a.conf
ln -s /dev/null /etc/defragd/defragd.conf.d/20-b.conf
system /etc/defragd/defragd.conf:3
ln -sf /dev/null /etc/defragd/defragd.conf
system
