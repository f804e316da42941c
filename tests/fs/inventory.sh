#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The service's sweep finds exactly the fragmented files of a volume with their names, in whatever slices, and holds nothing
# between two of them.
# ASAN: no
# LIMIT: 90
# ENGINES: no
# KERNEL: Metadata (CRC error|corruption) detected at xfs_dir3|First 128 bytes of corrupted|metadata I/O error in "xfs_da_read_buf|User initiated shutdown|Log I/O Error .*xfs_fs_goingdown|Unmount and run xfs_repair

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command chattr xfs_db xfs_io
volume_make volume plain 1G
MNT=$SCRATCH/volume
FOUND=$SCRATCH/found
FIGURES=$SCRATCH/figures

# inventory EXPECTED_STATUS ARGUMENT...: the lines in $FOUND, the figures in $FIGURES.
inventory()
{
        local expected=$1 status=0

        shift
        part-inventory "$@" >"$FOUND" 2>"$FIGURES" || status=$?
        ((status == expected)) && return
        cat "$FIGURES" >&2
        fail "part-inventory $*: status $status, not $expected"
}

figure()
{
        sed -n "s/.*\<$1=\([0-9]*\).*/\1/p" "$FIGURES"
}

# What is in several runs and has at least 64 KiB, by another program: inodes, sorted.
judge()
{
        find "$MNT" -xdev -type f -size +63k -exec extents {} + |
                while read -r n path; do
                        ((n < 2)) || stat --format=%i "$path"
                done | sort -u
}

# expect FILE WHY: $FOUND has the inodes of FILE and no others, and each line is true.
expect()
{
        local inode parent n name path

        while IFS=$'\t' read -r inode parent n name path; do
                ((n >= 2)) || fail "$2: $path in $n extents"
                [[ $(stat --format=%i "$path") == "$inode" ]] || fail "$2: $path is not inode $inode"
                [[ $(stat --format=%i "${path%/*}") == "$parent" ]] || fail "$2: $path is not in directory $parent"
                [[ $name == "${path##*/}" ]] || fail "$2: $path is called $name"
        done <"$FOUND"
        cut -f 1 "$FOUND" | sort | diff "$1" - >"$SCRATCH/diff" || {
                cat "$SCRATCH/diff" >&2
                fail "$2: other files than expected"
        }
}

# without INODES PATH...: all of $SCRATCH/all but these, into the file INODES.
without()
{
        stat --format=%i "${@:2}" | sort -u | comm -23 "$SCRATCH/all" - >"$1"
        ! cmp -s "$1" "$SCRATCH/all" || fail "nothing left out: ${*:2}"
}

# --- a tree with everything in it ---

mkdir -p "$MNT"/{a/b/c,d1,d2,d3,d4,hidden/deep,still,"with blank"}
fragment --files=16 --size=256K --piece=16K "$MNT"
fragment --files=4 --name=small --size=32K --piece=4K "$MNT/a"
for n in 1 2 3 4; do
        dd if=/dev/zero of="$MNT/a/whole$n" bs=256K count=1 status=none
        : >"$MNT/a/empty$n"
        ln -s "$MNT/file0000" "$MNT/a/link$n"
done
mv "$MNT/file0000" "$MNT/a/b/c/one"
mv "$MNT/file0001" "$MNT/a/ two\\"
mv "$MNT/file0002" "$MNT/with blank/$(printf '\303\244 (deleted)')"
mv "$MNT/file0003" "$MNT/d1/linked"
ln "$MNT/d1/linked" "$MNT/d4/linked too"
mv "$MNT/file0004" "$MNT/d4/linked"
ln "$MNT/d4/linked" "$MNT/d1/linked too"
ln "$MNT/d4/linked" "$MNT/d4/and again"
mv "$MNT/file0005" "$MNT/hidden/deep/five"
mv "$MNT/file0006" "$MNT/still/six"
# Blocks of a directory are given to entries from front to back.
mkdir "$MNT/big"
mv "$MNT/file0007" "$MNT/big/early"
(cd "$MNT/big" && seq --format='entry number %.0f' 1 10000 | tr '\n' '\0' | xargs -0 touch)
mv "$MNT/file0008" "$MNT/big/middle"
(cd "$MNT/big" && seq --format='entry number %.0f' 10001 20000 | tr '\n' '\0' | xargs -0 touch)
mv "$MNT/file0009" "$MNT/big/late"
ln "$MNT/big/late" "$MNT/d2/late"
ln "$MNT/big/early" "$MNT/d3/early"
chattr +i "$MNT/still"
volume_remount volume
judge >"$SCRATCH/all"
[[ $(wc -l <"$SCRATCH/all") == 16 ]] || fail "$(wc -l <"$SCRATCH/all") files in pieces, not 16"

inventory 0 --min-size=65536 "$MNT"
expect "$SCRATCH/all" "all at once"
[[ $(figure files) -gt 20000 && $(figure inodes) -gt $(figure files) ]] || fail "figures: $(cat "$FIGURES")"
inventory 0 --min-size=65536 --exclude='/nowhere/**' --exclude='**/nobody*' "$MNT"
expect "$SCRATCH/all" "patterns for others"
inventory 0 --min-size=16384 "$MNT"
[[ $(grep -c $'\tsmall000' "$FOUND") == 4 ]] || fail "MinFileSize= is not heeded"

# --- excluded, by any name ---

for dir in d1 d4; do
        without "$SCRATCH/some" "$MNT"/d1/linked*
        inventory 0 --min-size=65536 --exclude="$MNT/$dir/**" "$MNT"
        expect "$SCRATCH/some" "names in $dir excluded"
done
without "$SCRATCH/some" "$MNT/d4/and again"
inventory 0 --min-size=65536 --exclude='**/and again' "$MNT"
expect "$SCRATCH/some" "one name of three excluded"
without "$SCRATCH/some" "$MNT/hidden/deep/five" "$MNT/a/b/c/one"
inventory 0 --min-size=65536 --exclude="$MNT/hidden" --exclude="$MNT/a/b" "$MNT"
expect "$SCRATCH/some" "directories excluded"
inventory 0 --min-size=65536 --exclude="$SCRATCH" "$MNT"
[[ ! -s $FOUND ]] || fail "found below what is excluded"

# --- slices ---

inventory 0 --min-size=65536 "$MNT"
cp "$FOUND" "$SCRATCH/whole"
for how in --slice=1000 --slice=1 --cancel; do
        inventory 0 --min-size=65536 "$how" "$MNT"
        cmp "$FOUND" "$SCRATCH/whole" || fail "$how: found something else"
        echo "$how: $(cat "$FIGURES")"
        [[ $how == --slice=1000 || $(figure slices) -gt 30 ]] || fail "$how: not in slices"
        [[ $how == --slice=1000 || $(figure inside) -gt 10 ]] || fail "$how: does not stop in a directory"
done

# Nothing is held between two slices, and the cursor outlives a mount.
inventory 0 --min-size=65536 --slice=1 \
        --between="umount '$MNT' && mount -t xfs '${DEVICE[volume]}' '$MNT'" "$MNT"
cmp "$FOUND" "$SCRATCH/whole" || fail "umount: found something else"
# What is not there is not replaced by what lies beneath.
inventory 2 --min-size=65536 --slice=1 --between="umount '$MNT'" "$MNT"
volume_is_free volume || fail "the device is still in use"
volume_mount volume

# --- interrupted in the middle of a directory ---

STATE=$SCRATCH/state
# stop_inside ARGUMENT...: leaves $STATE behind.
stop_inside()
{
        local phase subvolume cursor offset big

        big=$(stat --format=%i "$MNT/big")
        rm -f "$STATE"
        inventory 3 --min-size=65536 --state="$STATE" --slice=1 --inside=10 --at="$big" "$@" "$MNT"
        read -r phase subvolume cursor offset <"$STATE"
        [[ $phase == 2 && $subvolume == 0 && $cursor == "$big" && $offset != 0 ]] ||
                fail "stopped elsewhere: $phase $subvolume $cursor $offset"
}

stop_inside
grep -q ' - *$\|/late$' "$STATE" || fail "all names are known already: $(cat "$STATE")"
inventory 0 --min-size=65536 --state="$STATE" "$MNT"
expect "$SCRATCH/all" "resumed in another process"

# It goes on from there, not from the beginning: what this process was not told, it does not find.
chattr -i "$MNT/still"
stop_inside --exclude="$MNT/nowhere/*"
sed -i '2,$s,^\(\([0-9]* \)\{5\}\).*,\10 0 0 -,' "$STATE"
inventory 0 --min-size=65536 --state="$STATE" --exclude="$MNT/nowhere/*" "$MNT"
grep -q $'\tlate\t' "$FOUND" || fail "the end of the directory was not read: $(cat "$FOUND")"
! grep -q $'\tbig/early$' "$FOUND" || fail "the directory was read from its beginning"

# The directory changes meanwhile.
stop_inside
rm "$MNT/big/entry number "{1,2}??
(cd "$MNT/big" && seq --format='new entry %.0f' 1 3000 | tr '\n' '\0' | xargs -0 touch)
inventory 0 --min-size=65536 --state="$STATE" "$MNT"
expect "$SCRATCH/all" "resumed after changes"

# What was found to be excluded stays so, on either side of the place.
for name in early late; do
        without "$SCRATCH/some" "$MNT/big/$name"
        stop_inside --exclude="$MNT/big/$name"
        inventory 0 --min-size=65536 --state="$STATE" --exclude="$MNT/big/$name" "$MNT"
        expect "$SCRATCH/some" "$name excluded, resumed"
done

# --- files without a name, and directories that refuse ---

exec {unnamed}<"$MNT/file0010"
inode=$(stat --format=%i "$MNT/file0010")
rm "$MNT/file0010"
inventory 0 --min-size=65536 "$MNT"
grep -q "^$inode	0	[0-9]*	-	-\$" "$FOUND" || fail "no pattern, and the deleted file is gone: $(cat "$FOUND")"
inventory 0 --min-size=65536 --exclude='**/x' "$MNT"
! grep -q "^$inode	" "$FOUND" || fail "a file that no name is known of may be excluded"
exec {unnamed}<&-

# The parent is where the file is to be found again; that no donor can be made there is no hindrance.
chattr +i "$MNT/still"
inventory 0 --min-size=65536 "$MNT"
grep -q "	$(stat --format=%i "$MNT/still")	.*/still/six\$" "$FOUND" || fail "not found in an immutable directory"
defrag 0 --no-budget --json "$MNT/still/six"
expect_outcome "$MNT/still/six" moved
chattr -i "$MNT/still"

# A directory that cannot be read is one directory.
inode=$(stat --format=%i "$MNT/big")
volume_umount volume
block=$(xfs_db -r -c "inode $inode" -c 'dblock 0' -c daddr "${DEVICE[volume]}" | sed -n 's/.*daddr is //p')
dd if=/dev/zero of="${DEVICE[volume]}" bs=512 seek="$block" count=1 conv=notrunc,fsync status=none
volume_mount volume
! ls "$MNT/big" >/dev/null 2>&1 || fail "the directory is not damaged"
inventory 0 --min-size=65536 --slice=1 --exclude='**/x' "$MNT"
grep -q '/a/b/c/one$' "$FOUND" || fail "a damaged directory ended the inventory"
! grep -q 'middle' "$FOUND" || fail "the directory is not damaged"
# A volume that is no more is another matter.
inventory 2 --min-size=65536 --slice=1 --between="xfs_io -x -c shutdown '$MNT'" "$MNT"
volume_umount volume

# --- more than it keeps ---

volume_make many plain 1G
mkdir "$SCRATCH/many/files"
part-inventory --make=5000 "$SCRATCH/many/files"
inventory 0 "$SCRATCH/many"
[[ $(figure dropped) == 904 ]] || fail "dropped: $(cat "$FIGURES")"
cut -f 4 "$FOUND" | diff - <(seq 0 4095) >"$SCRATCH/diff" || fail "not the best ones: $(head "$SCRATCH/diff")"
volume_umount many
