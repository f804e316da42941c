#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The breaker: a device that gives errors and a file system that is damaged stop their volume for good, over kill -9 and umount, for the
# service and for --once; another volume goes on; removing the stop file is what clears it, without a restart.
# TSAN: no
# ENGINES: exchange
# LIMIT: 240
# KERNEL: I/O error, dev loop|Metadata CRC error|Metadata corruption detected|First 128 bytes of corrupted|Unmount and run xfs_repair|metadata I/O error|Corruption of in-memory data|[Ss]hutting down|Please unmount

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

need_command xfs_io xfs_db blkid

# The image of a volume keeps a name, so that it can be cut.
: >"$SCRATCH/volume.image"
ln "$SCRATCH/volume.image" "$SCRATCH/image"
test_volume 512M
volume_make other "$ENGINE" 512M
UUID=$(blkid -s UUID -o value "${DEVICE[volume]}")
service_config
printf '[Volume %s]\nEnabled=yes\n' "$SCRATCH/other" >>"$CONFIG"
STATE=$SCRATCH/state
# --once and the service share it.
export STATE_DIRECTORY=$STATE
mkdir "$STATE"
STOP=$STATE/stopped-$UUID

# The last byte of the device that a file has, as xfs_io tells it in sectors.
last_byte()
{
        xfs_io -r -c 'fiemap' "$1" | sed -n 's/.*: \([0-9]*\)\.\.\([0-9]*\)$/\1 \2/p' | sort --numeric-sort --key=2 |
                tail -n 1 | { read -r _ last; echo $(((last + 1) * 512)); }
}

stops()
{
        [[ -s $STOP ]] && status_is "$MNT: STOPPED by the breaker: $1.*; to go on remove stopped-$UUID" && told X_DEFRAGD_STATE=stopped
}

# What is said now, not some time before.
goes_on()
{
        [[ $(sed -n 's/^X_DEFRAGD_STATE=//p' "$TOLD" | tail -n 1) != stopped && $(status_now) != *STOPPED* ]]
}

# --- a device that gives errors ---

fragment --files=4 --size=2M "$MNT"
# In the last allocation group, where nothing but it is needed by anybody: of pieces that lie one behind the other every second is cut
# out.
mkdir "$MNT"/directory{1..8}
directory=$(stat --format='%i %n' "$MNT"/directory* | sort --numeric-sort | tail -n 1)
victim=${directory#* }/victim
cuts=()
for ((i = 7; i > 0; i--)); do
        cuts+=(-c "fcollapse $(((2 * i - 1) * 65536)) 65536")
done
xfs_io -f -d -c 'pwrite -q -S 0x5a 0 960k' "${cuts[@]}" -c fsync "$victim"
# So few that they fit into the inode: what is missing is data, and no metadata. And so small that all is read before anything is
# written: a write behind the cut would make the image as long as before.
(($(runs "$victim") >= 8)) || fail "$(extents "$victim") runs"
end=$(last_byte "$victim")
inode=$(stat --format=%i "$victim")
size=$(stat --format=%s "$SCRATCH/image")
# Cold, so that it is read from the device.
volume_remount volume
cp --sparse=always "$SCRATCH/image" "$SCRATCH/whole"
truncate --size $((end - 32768)) "$SCRATCH/image"

service_start
expect 20 stops 'the device gave an error \(Input/output error\), on|the device gave an error \(Input/output error\)'
logged "STOPPED: the device gave an error \(Input/output error\) at the step copy, inode $inode, $victim \([0-9]+ bytes from [0-9]+\); .*$STOP" ||
        fail "$(cat "$ERR")"
for line in 'defragd-stopped 1' "Volume: $MNT" "UUID: $UUID" "Inode: $inode" "Path: $victim" 'Engine: xfs-exchange' 'Step: copy'; do
        grep --quiet --fixed-strings --line-regexp -- "$line" "$STOP" || fail "no $line in: $(cat "$STOP")"
done
[[ $(stat --format=%a "$STOP") == 600 ]] || fail "readable by others: $(ls -l "$STATE")"
[[ $(ls "$STATE") != *new-* ]] || fail "left over: $(ls "$STATE")"
# Others go on.
fragment --files=2 --size=2M "$SCRATCH/other"
remember other "$SCRATCH/other"
expect 20 are_moved "$SCRATCH/other"/file*
lies_in_at_most 2 "$SCRATCH/other"/file* || fail "$(extents "$SCRATCH/other"/file*)"
expect_same other

# Not forgotten by a kill, and nothing is even tried.
kill -KILL "$service_pid"
wait "$service_pid" 2>/dev/null || true
service_start
expect 10 stops 'the device gave an error'
logged "$MNT: stopped by the breaker: the device gave an error .*, on 20.*; nothing is moved on it until $STOP is removed" ||
        fail "$(cat "$ERR")"
expect 10 logged "$SCRATCH/other: swept"
! logged "$MNT: (swept|watching)" || fail "it is looked at: $(cat "$ERR")"
# --once leaves it alone, and says so; the other one is done.
defrag 1 --json "$victim" "$SCRATCH/other"
expect_outcome "$victim" failed:stopped
grep --quiet "$MNT: stopped by the breaker: .* until $STOP is removed" "$ERR" || fail "$(cat "$ERR")"
[[ $(said '.failed') == 1 ]] || fail "$(cat "$OUT")"
# Mounted anew it is the same file system.
volume_umount volume
expect 5 goes_on
cat "$SCRATCH/whole" 1<>"$SCRATCH/image" >&1
[[ $(stat --format=%s "$SCRATCH/image") == "$size" ]] || fail "the image is not whole"
volume_mount volume
expect 10 stops 'the device gave an error'
# Read anew, it stays.
kill -HUP "$service_pid"
expect 10 logged 'The configuration was read anew'
expect 10 stops 'the device gave an error'
! logged ': moved, .*MiB in' || fail "something was moved: $(cat "$ERR")"
# Somebody has looked at it.
remember files "$MNT"/file* "$victim"
rm "$STOP"
expect 5 goes_on
expect 10 logged "$MNT: watching"
fragment --files=2 --size=2M --name=later "$MNT"
expect 20 are_moved "$MNT"/later*
lies_in_at_most 2 "$MNT"/later* || fail "$(extents "$MNT"/later*)"
expect_same files

# --- by hand, and whatever has the name ---

: >"$STOP"
expect 10 status_is "$MNT: STOPPED by the breaker: its file in the state directory is empty"
rm "$STOP"
expect 10 goes_on
mkdir "$STOP"
expect 10 status_is "$MNT: STOPPED by the breaker: its file in the state directory cannot be read"
rmdir "$STOP"
expect 10 goes_on
printf 'defragd-stopped 2\n' >"$STATE/aside"
mv "$STATE/aside" "$STOP"
expect 10 status_is "$MNT: STOPPED by the breaker: a later version has stopped it"
defrag 1 "$MNT"
rm "$STOP"
defrag 0 "$MNT"
service_stop

# --- a file system that is damaged ---

fragment --files=4 --size=2M --name=damaged "$MNT"
remember files "$MNT"
inode=$(stat --format=%i "$MNT/damaged0002")
volume_umount volume
block=$(xfs_db -r -c "inode $inode" -c 'p u3.bmbt.ptrs[1]' "${DEVICE[volume]}" | sed 's/.*[=:]//')
block=$(xfs_db -r -c "convert fsblock $block daddr" "${DEVICE[volume]}" | sed -n 's/.*(\(.*\))/\1/p')
dd if="${DEVICE[volume]}" of="$SCRATCH/block" bs=512 skip="$block" count=8 iflag=direct status=none
dd if=/dev/zero of="${DEVICE[volume]}" bs=512 seek="$block" count=8 oflag=direct status=none
volume_mount volume
# --once meets it first, and stops it for the service, too.
defrag 1 --json "$MNT"
expect_outcome "$MNT/damaged0002" failed:EUCLEAN
grep --quiet "$MNT: STOPPED: the file system found itself damaged (Structure needs cleaning) at the step look: $MNT/damaged0002" "$ERR" ||
        fail "$(cat "$ERR")"
[[ -s $STOP ]] || fail "it is not kept: $(ls "$STATE")"
service_start
expect 10 stops 'the file system found itself damaged'
rm "$STOP"
# Nobody has mended it: there it is again.
expect 20 stops 'the file system found itself damaged'
logged "STOPPED: the file system found itself damaged \(Structure needs cleaning\) at the step look, inode $inode" || fail "$(cat "$ERR")"

# Nowhere to store it: stopped all the same, told, and stored when there is room.
service_stop
rm "$STOP"
mount -t tmpfs -o size=16k tmpfs "$STATE"
head -c 64k /dev/zero >"$STATE/full" 2>/dev/null || true
service_start
expect 20 status_is "$MNT: STOPPED by the breaker: the file system found itself damaged"
expect 5 logged 'Cannot store that .* is stopped: No space left'
service_stop
umount "$STATE"

# Mended.
volume_umount volume
dd if="$SCRATCH/block" of="${DEVICE[volume]}" bs=512 seek="$block" count=8 oflag=direct status=none
volume_mount volume
defrag 0 "$MNT"
lies_in_at_most 4 "$MNT"/damaged* || fail "$(cat "$OUT" "$ERR")"
expect_same files
volume_check volume
volume_check other
