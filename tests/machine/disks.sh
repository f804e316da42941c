#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Kinds of disks and volumes that only a machine can have. A disk that cannot be read where a file lies, or not be written: the
# file failed, and is what it was. Thin pools and snapshots: left alone unless their section says otherwise. Quota: a
# user near the limit does not notice, SWAPEXT is not used. Realtime files are left alone.
# KERNELS: 6.1 6.12
# MUTANTS: QUOTA_ROOM
# SAMPLE: no
# LIMIT: 400
# KERNEL: dm-[0-9]

. "$(dirname "$0")/../lib/machine.sh"
machine_begin "$@"
need_command xfs_quota

if [[ $KERNEL == 6.1 ]]; then
        ENGINE=plain
else
        ENGINE=exchange
fi

# image NAME exchange|plain [MKFS_OPTION...]
disks=()
image()
{
        truncate --size 384M "$SCRATCH/$1.image"
        mkfs.xfs -q "${@:3}" "$SCRATCH/$1.image" || fail "no $1"
        [[ $2 == plain ]] || exchange-bit on "$SCRATCH/$1.image"
        disks+=("$SCRATCH/$1.image")
}

image failing "$ENGINE" -m reflink=1,rmapbt=1
image pool plain -m reflink=1,rmapbt=1
image limited "$ENGINE" -m reflink=1,rmapbt=1
image unlimited plain -m reflink=1,rmapbt=1
# What is behind it is not in this machine's kernel everywhere.
truncate --size 64M "$SCRATCH/realtime.data"
truncate --size 320M "$SCRATCH/spare"
image realtime "$ENGINE" -m reflink=0,rmapbt=0 -d rtinherit=1 -r "rtdev=$SCRATCH/realtime.data"

# What the machine's root does not have, with its libraries.
tree=$SCRATCH/programs.tree
mkdir "$tree"
cp --dereference /usr/sbin/xfs_quota "$tree"
cp "$BUILD/mutants/QUOTA_ROOM/defragd" "$tree/without-quota-room"
ldd /usr/sbin/xfs_quota | awk '$3 ~ "/lib(edit|bsd|md|tinfo)" { print $3 }' |
        xargs cp --dereference --target-directory="$tree"
image_make "$tree" "$SCRATCH/programs" 64M

machine_boot "$KERNEL" "$SCRATCH/programs" "${disks[@]}" "$SCRATCH/realtime.data" "$SCRATCH/spare"
booted=${EPOCHREALTIME/./}
failing=/dev/vde pool=/dev/vdf limited=/dev/vdg unlimited=/dev/vdh realtime=/dev/vdi realtime_data=/dev/vdj spare=/dev/vdk
sectors=$((384 << 11))
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        mkdir -p /srv/{programs,failing,thin,origin,limited,unlimited,realtime} /etc/defragd
        mount -o ro /dev/vdd /srv/programs
        printf "%s\n" "[Policy]" SolidState=yes MinFileSize=4K "[Budget]" DailyWrites=infinity >/etc/defragd/defragd.conf'

done_after()
{
        echo "$1 after $(((${EPOCHREALTIME/./} - booted) / 1000)) ms"
}

# defrag_in_machine EXPECTED_STATUS ARGUMENT...: as defrag of lib/scratch.sh.
defrag_in_machine()
{
        local expected=$1 status=0

        in_machine defragd --once --json --config=/etc/defragd/defragd.conf "${@:2}" >"$OUT" 2>"$ERR" || status=$?
        [[ "|$expected|" == *"|$status|"* ]] || fail "defragd --once ${*:2}: status $status, not $expected: $(cat "$OUT" "$ERR")"
}

# remount DEVICE NAME [OPTION...]: cold caches.
remount()
{
        in_machine bash -ec 'umount "$1" && mount "${@:3}" "$2" "$1"' - "/srv/$2" "$1" "${@:3}"
}

# table NAME: exchanges the table of a mapping for the one on standard input.
table()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                printf "%s" "$2" >/tmp/table
                dmsetup load "$1" /tmp/table
                dmsetup suspend --nolockfs "$1"
                dmsetup resume "$1"' - "$1" "$(cat)"
}

# --- a disk that fails ---

# The breaker has stopped the volume; somebody has looked at it.
clear_breaker()
{
        in_machine bash -ec 'rm /var/lib/defragd/stopped-*' || fail "the breaker has not stopped it"
}

if in_machine modprobe dm-flakey; then
        in_machine dmsetup create failing --table "0 $sectors linear $failing 0"
        in_machine mount /dev/mapper/failing /srv/failing
        in_machine fragment --files=2 --size=4M --piece=64K /srv/failing
        before=$(in_machine filestate /srv/failing)
        # A block of the first file in the middle of an extent, in sectors.
        bad=$(in_machine filefrag -e -b512 /srv/failing/file0000 |
                awk '$1 == "20:" { sub("[.][.]", "", $4); print $4 + 16 }')
        [[ $bad =~ ^[0-9]+$ ]] || fail "where does it lie: $(in_machine filefrag -e -b512 /srv/failing/file0000)"
        remount /dev/mapper/failing failing
        table failing <<EOT
0 $bad linear $failing 0
$bad 8 error
$((bad + 8)) $((sectors - bad - 8)) linear $failing $((bad + 8))
EOT
        defrag_in_machine 1 /srv/failing/file0000
        expect_outcome /srv/failing/file0000 failed
        grep -q 'Input/output error\|EIO' "$OUT" "$ERR" || fail "another error: $(cat "$OUT" "$ERR")"
        table failing <<<"0 $sectors linear $failing 0"
        remount /dev/mapper/failing failing
        [[ $(in_machine filestate /srv/failing) == "$before" ]] || fail "something is not as before (read)"
        clear_breaker

        # Reads are fine, writes fail.
        table failing <<<"0 $sectors flakey $failing 0 0 60 1 error_writes"
        defrag_in_machine '1|75' /srv/failing/file0001
        expect_outcome /srv/failing/file0001 failed
        table failing <<<"0 $sectors linear $failing 0"
        remount /dev/mapper/failing failing
        [[ $(in_machine filestate /srv/failing) == "$before" ]] || fail "something is not as before (write)"
        clear_breaker
        # Nothing is in the way any more.
        defrag_in_machine 0 /srv/failing/file0000 /srv/failing/file0001
        (($(in_machine extents --total /srv/failing/file0000 /srv/failing/file0001) == 2)) || fail "not moved: $(cat "$OUT")"
        in_machine umount /srv/failing
        in_machine dmsetup remove failing
        done_after "a disk that fails"
fi

# --- thin, and with a snapshot ---

# expect_left_alone NAME: unless its section says otherwise.
expect_left_alone()
{
        local status=0

        in_machine defragd --once --all --json --config=/etc/defragd/defragd.conf >"$OUT" 2>"$ERR" || status=$?
        grep -q "/srv/$1: thin-provisioned or with a snapshot below" "$OUT" "$ERR" || fail "not told: $(cat "$OUT" "$ERR")"
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -c 'printf "%s\n" "[Policy]" Enabled=no SolidState=yes "[Budget]" DailyWrites=infinity "[Volume /srv/$1]" Enabled=yes \
                >/tmp/enabled.conf' - "$1"
        in_machine defragd --once --all --json --config=/tmp/enabled.conf >"$OUT" 2>"$ERR" ||
                fail "not even where its section says so: $(cat "$OUT" "$ERR")"
        grep -q 'thin-provisioned' "$OUT" "$ERR" && fail "not even where its section says so: $(cat "$OUT" "$ERR")"
        # shellcheck disable=SC2016  # jq's
        [[ $(said '.files // .moved') != null ]] || fail "nothing was looked at: $(cat "$OUT")"
}

# The names are LVM's: what people have is made by it.
if in_machine modprobe dm-thin-pool && in_machine modprobe dm-snapshot; then
        in_machine dmsetup create origin-real --uuid LVM-volumegrouporigin-real --table "0 $sectors linear $pool 0"
        in_machine dmsetup create origin --uuid LVM-volumegrouporigin --table "0 $sectors snapshot-origin /dev/mapper/origin-real"
        in_machine mount /dev/mapper/origin /srv/origin
        expect_left_alone origin
        in_machine umount /srv/origin
        # The same file system once more, in a pool.
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                dmsetup create meta --table "0 8192 linear $2 0"
                dmsetup create data --table "0 $((256 << 11)) linear $2 8192"
                dd if=/dev/zero of=/dev/mapper/meta bs=4k count=1 status=none
                dmsetup create pool --uuid LVM-volumegrouppool-tpool \
                        --table "0 $((256 << 11)) thin-pool /dev/mapper/meta /dev/mapper/data 128 0 1 skip_block_zeroing"
                dmsetup message pool 0 "create_thin 0"
                dmsetup create thin --uuid LVM-volumegroupthin --table "0 $1 thin /dev/mapper/pool 0"
                dd if=/dev/mapper/origin of=/dev/mapper/thin bs=64k conv=sparse,notrunc status=none
                mount /dev/mapper/thin /srv/thin' - "$sectors" "$spare"
        expect_left_alone thin
        in_machine umount /srv/thin
        in_machine dmsetup remove thin pool data meta origin origin-real
        done_after "thin, and with a snapshot"
fi

# --- quota ---

# quota NAME COMMAND
quota()
{
        in_machine env LD_LIBRARY_PATH=/srv/programs /srv/programs/xfs_quota -x -c "$2" "/srv/$1"
}

# quota_run PATH PROGRAM: defragd on a file of a user who has 64 KiB left and writes 32 of them over and over meanwhile. Status 99 when
# they met their limit.
quota_run()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -uc '
                user="cd $(dirname "$1"); n=0
                        until [[ -e /tmp/end || \$n == \$0 ]]; do head --bytes=32768 /dev/zero >small || exit 1; n=\$((n + 1)); done"
                setpriv --reuid=1000 --regid=1000 --clear-groups bash -c "$user" 50 ||
                        { echo "the user is at their limit already" >&2; exit 98; }
                setpriv --reuid=1000 --regid=1000 --clear-groups bash -c "$user" 1000000 &
                user=$!
                status=0
                "$2" --once --json --config=/etc/defragd/defragd.conf "$1" || status=$?
                touch /tmp/end
                wait "$user" || status=99
                rm -f /tmp/end
                exit "$status"' - "$1" "$2" >"$OUT" 2>"$ERR"
}

# quota_begin NAME DEVICE
quota_begin()
{
        in_machine mount -o uquota "$2" "/srv/$1"
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                mkdir "$1/user"
                fragment --files=2 --size=8M --piece=64K "$1/user"
                head --bytes=32768 /dev/zero >"$1/user/small"
                chown -R 1000:1000 "$1/user"' - "/srv/$1"
        quota "$1" "limit -u bhard=$((16384 + 64))k 1000"
        remount "$2" "$1" -o uquota
        # There is a limit.
        in_machine setpriv --reuid=1000 --regid=1000 --clear-groups bash -c "head --bytes=1M /dev/zero >/srv/$1/user/small" \
                2>"$ERR" && fail "there is no limit"
        grep -q 'quota exceeded' "$ERR" || fail "$(cat "$ERR")"
}

quota_used()
{
        quota "$1" 'quota -u -b -N -v 1000' | awk '{ print $2 }'
}

for name in limited unlimited; do
        [[ $name == unlimited || $ENGINE == exchange ]] || continue
        quota_begin "$name" "${!name}"
        quota_run "/srv/$name/user/file0000" defragd || fail "status $?: $(cat "$OUT" "$ERR")"
        expect_outcome "/srv/$name/user/file0000" skipped:quota
        if [[ $name == limited ]]; then
                status=0
                quota_run "/srv/$name/user/file0000" /srv/programs/without-quota-room || status=$?
                ((status == 99)) || fail "without QUOTA_ROOM: status $status: $(cat "$OUT" "$ERR")"
                # With room enough it is moved, and the user has no more than before; the blocks of the extents' tree are theirs, too.
                quota "$name" "limit -u bhard=$((16384 + 65536))k 1000"
                used=$(quota_used "$name")
                defrag_in_machine 0 "/srv/$name/user/file0001"
                expect_outcome "/srv/$name/user/file0001" moved
                (($(quota_used "$name") <= used)) || fail "the user has $(quota_used "$name"), not $used"
        fi
        in_machine umount "/srv/$name"
done
done_after "quota"

# --- realtime ---

if in_machine mount -o "rtdev=$realtime_data" "$realtime" /srv/realtime 2>"$ERR"; then
        in_machine bash -c 'head --bytes=1M /dev/urandom >/srv/realtime/file && sync --file-system /srv/realtime'
        # Where there is no exchange-range, a volume without a reverse-mapping tree is left alone as a whole.
        if [[ $ENGINE == exchange ]]; then
                defrag_in_machine 0 /srv/realtime/file
                expect_outcome /srv/realtime/file skipped:realtime
        else
                defrag_in_machine 2 /srv/realtime/file
                expect_outcome /srv/realtime/file skipped:crash-unsafe
        fi
        in_machine umount /srv/realtime
        done_after "realtime"
else
        echo "no realtime volumes on $KERNEL"
fi
machine_end

for name in failing limited unlimited; do
        [[ $ENGINE == plain || $name == unlimited ]] || exchange-bit off "$SCRATCH/$name.image"
        xfs_repair -n "$SCRATCH/$name.image" >"$SCRATCH/repair" 2>&1 ||
                fail "xfs_repair -n complains: $(tail -n 40 "$SCRATCH/repair")"
done
