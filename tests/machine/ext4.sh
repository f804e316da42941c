#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ext4 with what not every kernel has: project ids, quota, verity; with blocks of 4 KiB and of 1 KiB. The programs of hazard/ lose nothing
# there, a user at their limit does not notice that a file of theirs is moved, what everybody has is counted right afterwards, and
# files with verity are left alone.
# KERNELS: 6.1 6.12
# SAMPLE: no
# LIMIT: 900

. "$(dirname "$0")/../lib/machine.sh"
machine_begin "$@"
need_command xfs_quota e2fsck

PROGRAMS=(metadata-race holes-and-eof page-cache racing-writers inode-reused)
MACHINE_COMMAND_LIMIT=300

disks=()
for block in 4096 1024; do
        truncate --size 512M "$SCRATCH/ext4-$block.image"
        # 6.1 has verity only where blocks are pages.
        features=quota,project
        ((block == 1024)) || features+=,verity
        mkfs.ext4 -q -F -b "$block" -O "$features" -E quotatype=usrquota:grpquota:prjquota,lazy_itable_init=0,lazy_journal_init=0 \
                "$SCRATCH/ext4-$block.image"
        disks+=("$SCRATCH/ext4-$block.image")
done
# What the machine's root does not have, with its libraries.
tree=$SCRATCH/programs.tree
mkdir "$tree"
for one in "${PROGRAMS[@]}"; do
        cp "$BUILD/hazard/$one" "$tree"
done
find "$tree" -type f -exec strip {} +
cp --dereference /usr/sbin/xfs_quota "$tree"
ldd /usr/sbin/xfs_quota | awk '$3 ~ "/lib(edit|bsd|md|tinfo)" { print $3 }' |
        xargs cp --dereference --target-directory="$tree"
image_make "$tree" "$SCRATCH/programs" 64M

machine_boot "$KERNEL" "$SCRATCH/programs" "${disks[@]}"
booted=${EPOCHREALTIME/./}
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        mkdir -p /srv/{programs,4096,1024} /etc/defragd
        mount -o ro /dev/vdd /srv/programs
        mount -o usrquota,grpquota,prjquota /dev/vde /srv/4096
        mount -o usrquota,grpquota,prjquota /dev/vdf /srv/1024
        printf "%s\n" "[Policy]" SolidState=yes MinFileSize=4K "[Budget]" DailyWrites=infinity >/etc/defragd/defragd.conf'

# --- hazards ---

for block in 4096 1024; do
        for one in "${PROGRAMS[@]}"; do
                start=${EPOCHREALTIME/./}
                status=0
                in_machine "/srv/programs/$one" "/srv/$block" >"$OUT" 2>"$ERR" || status=$?
                # 77: this kernel cannot show it, and it says why.
                ((status == 0 || status == 77)) || fail "$one, blocks of $block: status $status: $(cat "$OUT" "$ERR")"
                echo "$one, blocks of $block: status $status ($(((${EPOCHREALTIME/./} - start) / 1000)) ms)"
                sed 's/^/  | /' "$OUT"
        done
done

# --- project ids and quota ---

# defrag_in_machine EXPECTED_STATUS ARGUMENT...: as defrag of lib/scratch.sh.
defrag_in_machine()
{
        local expected=$1 status=0

        in_machine defragd --once --json --config=/etc/defragd/defragd.conf "${@:2}" >"$OUT" 2>"$ERR" || status=$?
        ((status == expected)) || fail "defragd --once ${*:2}: status $status, not $expected: $(cat "$OUT" "$ERR")"
}

# quota BLOCK COMMAND
quota()
{
        in_machine env LD_LIBRARY_PATH=/srv/programs /srv/programs/xfs_quota -f -x -c "$2" "/srv/$1"
}

# used BLOCK: KiB of the user, of the project.
used()
{
        quota "$1" 'quota -u -b -N -v 1000' | awk '{ print "user", $2 }'
        quota "$1" 'quota -p -b -N -v 42' | awk '{ print "project", $2 }'
}

for block in 4096 1024; do
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                mkdir "$1/user"
                fragment --files=2 --size=8M --piece=64K "$1/user"
                fragment --files=1 --size=4M --piece=16K --pattern=d64K,h64K,u64K --name=sparse "$1/user"
                head --bytes=32768 /dev/zero >"$1/user/small"
                chown -R 1000:1000 "$1/user"
                chattr -R -p 42 "$1/user"' - "/srv/$block"
        in_machine sync --file-system "/srv/$block"
        before=$(used "$block")
        n_kib=$(awk '$1 == "user" { print $2 }' <<<"$before")
        [[ $n_kib =~ ^[0-9]+$ ]] && ((n_kib > 16384)) || fail "blocks of $block: what has the user? $before"
        # 64 KiB are left, of which 32 are written over and over while their files are moved.
        quota "$block" "limit -u bhard=$((n_kib + 64))k 1000"
        in_machine setpriv --reuid=1000 --regid=1000 --clear-groups bash -c "head --bytes=1M /dev/zero >/srv/$block/user/small" \
                2>"$ERR" && fail "there is no limit"
        grep -q 'quota exceeded' "$ERR" || fail "$(cat "$ERR")"
        state=$(in_machine bash -c 'cd "$1" && filestate file0000 file0001 sparse0000' - "/srv/$block/user")
        status=0
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -uc '
                setpriv --reuid=1000 --regid=1000 --clear-groups bash -c "cd $1
                        until [[ -e /tmp/end ]]; do head --bytes=32768 /dev/zero >small && sync small || exit 1; done" &
                user=$!
                status=0
                defragd --once --json --config=/etc/defragd/defragd.conf "$1"/file* "$1"/sparse* || status=$?
                touch /tmp/end
                wait "$user" || status=99
                rm -f /tmp/end
                exit "$status"' - "/srv/$block/user" >"$OUT" 2>"$ERR" || status=$?
        ((status != 99)) || lost "blocks of $block: the user is at their limit while their files are moved: $(cat "$ERR")"
        ((status == 0)) || fail "blocks of $block: status $status: $(cat "$OUT" "$ERR")"
        for file in file0000 file0001 sparse0000; do
                expect_outcome "/srv/$block/user/$file" moved
        done
        [[ $(in_machine bash -c 'cd "$1" && filestate file0000 file0001 sparse0000' - "/srv/$block/user") == "$state" ]] ||
                lost "blocks of $block: something is not as before"
        in_machine sync --file-system "/srv/$block"
        after=$(used "$block")
        while read -r who n_before; do
                n_after=$(awk -v who="$who" '$1 == who { print $2 }' <<<"$after")
                # What the lists of extents take goes back.
                ((n_after <= n_before + 64 && n_after >= n_before - 512)) || fail "blocks of $block: $who has $n_after KiB, not $n_before"
        done <<<"$before"
        echo "blocks of $block: before" $before "KiB, after" $after "KiB"
done

# --- verity ---

in_machine fragment --files=1 --size=4M --piece=64K --name=sealed /srv/4096
if in_machine verity-on /srv/4096/sealed0000 2>"$ERR"; then
        state=$(in_machine filestate /srv/4096/sealed0000)
        defrag_in_machine 0 /srv/4096/sealed0000
        expect_outcome /srv/4096/sealed0000 skipped:verity
        [[ $(in_machine filestate /srv/4096/sealed0000) == "$state" ]] || lost "a file with verity is not as before"
        echo "verity: left alone"
else
        fail "no verity: $(cat "$ERR")"
fi
in_machine umount /srv/4096 /srv/1024
echo "tested in $(((${EPOCHREALTIME/./} - booted) / 1000)) ms"
machine_end

for disk in "${disks[@]}"; do
        # It counts what everybody has, too.
        e2fsck -fn "$disk" >"$SCRATCH/repair" 2>&1 || fail "e2fsck -fn complains about $disk: $(tail -n 40 "$SCRATCH/repair")"
        ! grep -q 'QUOTA WARNING' "$SCRATCH/repair" || fail "e2fsck -fn counts otherwise: $(cat "$SCRATCH/repair")"
done
