#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# While it waits, the volume is unmounted and another one is mounted from the same device, with files of the same numbers: a disk was
# replaced. It is not the volume that was meant, and nothing on it is touched.
# ASAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60
# MUTANTS: UUID

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

new_uuid()
{
        case $ENGINE in
        exchange | plain)
                need_command xfs_admin
                [[ $ENGINE == plain ]] || exchange-bit off "$1"
                xfs_admin -U generate "$1" >/dev/null
                [[ $ENGINE == plain ]] || exchange-bit on "$1"
                ;;
        ext4)
                need_command tune2fs
                e2fsck -fp "$1" >/dev/null
                tune2fs -U random "$1" >/dev/null
                ;;
        btrfs)
                need_command btrfstune
                btrfstune -f -u "$1" >/dev/null
                ;;
        esac
}

test_volume 320M
fragment --files=5 --size=2M "$MNT"
volume_umount volume
other=$SCRATCH/other.image
cp --sparse=always "${DEVICE[volume]}" "$other"
new_uuid "$other"
volume_mount volume
before=$(runs "$MNT"/file*)

printf '[Budget]\nMaxRate=2M\n' >>"$CONFIG"
"$DEFRAGD" --once --config="$CONFIG" --json "$MNT" >"$OUT" 2>"$ERR" </dev/null &
pid=$!
wait_until 20 test -s "$OUT" || fail "nothing happens: $(cat "$ERR")"
kill -STOP "$pid"
unmount()
{
        # Once it waits, nothing is in the way.
        umount "$MNT" 2>/dev/null && return
        kill -CONT "$pid"
        sleep 0.02
        kill -STOP "$pid"
        return 1
}
wait_until 20 unmount || fail "umount while it waits: $(cat "$ERR")"
dd if="$other" of="${DEVICE[volume]}" bs=4M conv=fsync,notrunc status=none
volume_mount volume
remember other "$MNT"
[[ $(runs "$MNT"/file*) == "$before" ]] || fail "the copy is not as it was"
kill -CONT "$pid"
wait_until 40 eval "! kill -0 $pid 2>/dev/null" || fail "it does not end: $(cat "$ERR")"
status=0
wait "$pid" || status=$?
expect_same other
[[ $(runs "$MNT"/file*) == "$before" ]] || lost "$before -> $(runs "$MNT"/file*) extents on another volume"
((status < 128)) || fail "status $status"
tail -n 3 "$ERR"
volume_check volume
