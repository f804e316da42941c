#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs on kernels that leave an extent where it is that has none next to it (before Linux 6.17): what is used does not grow by it. And on two
# devices, where each file is twice.
# KERNELS: 6.1 6.12
# SAMPLE: no
# LIMIT: 600

. "$(dirname "$0")/../lib/machine.sh"
machine_begin "$@"
need_command mkfs.btrfs btrfs

PROGRAMS=(btrfs-slices btrfs-undisturbed metadata-race page-cache racing-writers)
MACHINE_COMMAND_LIMIT=300

for name in space first second fresh; do
        truncate --size 512M "$SCRATCH/$name.image"
done
for name in space fresh; do
        mkfs.btrfs --quiet "$SCRATCH/$name.image" 2>/dev/null
done
mkfs.btrfs --quiet --data raid1 --metadata raid1 "$SCRATCH/first.image" "$SCRATCH/second.image" 2>/dev/null
mkdir "$SCRATCH/programs.tree"
for one in "${PROGRAMS[@]}"; do
        cp "$BUILD/hazard/$one" "$SCRATCH/programs.tree"
done
cp --dereference "$(command -v btrfs)" "$(command -v fragment)" "$(command -v encoding)" "$SCRATCH/programs.tree"
ldd "$(command -v btrfs)" | awk '$3 ~ "^/" && $3 !~ "/libc\\.so" { print $3 }' | xargs cp --dereference --target-directory="$SCRATCH/programs.tree"
find "$SCRATCH/programs.tree" -type f -exec strip {} +
image_make "$SCRATCH/programs.tree" "$SCRATCH/programs" 64M

machine_boot "$KERNEL" "$SCRATCH/programs" "$SCRATCH/space.image" "$SCRATCH/first.image" "$SCRATCH/second.image" "$SCRATCH/fresh.image"
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        mkdir -p /srv/{programs,space,twice,fresh} /etc/defragd
        mount -o ro /dev/vdd /srv/programs
        mount /dev/vde /srv/space
        mount -o device=/dev/vdf,device=/dev/vdg /dev/vdf /srv/twice
        mount /dev/vdh /srv/fresh
        printf "%s\n" "[Policy]" SolidState=yes MinFileSize=4K >/etc/defragd/defragd.conf'

# --- space ---

# overwritten NAME KIBIBYTES BLOCKS [STEP]: a file of one extent, with every eighth (or so) of so many blocks written again.
overwritten()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                head -c "${2}K" /dev/urandom >"/srv/space/$1"
                sync -f "/srv/space/$1"
                for ((i = 1; i < $3; i += ${4:-8})); do
                        head -c 4K /dev/urandom | dd of="/srv/space/$1" bs=4K seek="$i" conv=notrunc status=none
                done
                sync -f /srv/space; sync -f /srv/space' - "$@"
}

used()
{
        in_machine bash -euc 'sync -f /srv/space; env LD_LIBRARY_PATH=/srv/programs /srv/programs/btrfs filesystem sync /srv/space
                env LD_LIBRARY_PATH=/srv/programs /srv/programs/btrfs filesystem usage --raw /srv/space 2>/dev/null' | awk '$1 == "Used:" { print $2; exit }'
}

# moved NAME OUTCOME BYTES: and at least so many bytes fewer are used than before.
moved()
{
        local before after sum outcome

        before=$(used)
        sum=$(in_machine sha256sum "/srv/space/$1")
        in_machine defragd --once --no-budget --json "/srv/space/$1" >"$OUT" 2>"$ERR" || fail "$1: $(cat "$OUT" "$ERR")"
        after=$(used)
        outcome=$(jq --raw-output 'select(.path) | .outcome + ":" + (.reason // "")' "$OUT")
        echo "$1: $outcome, $(said .extents_before) -> $(said .extents_after) extents, $before -> $after bytes used"
        [[ $outcome == "$2" ]] || fail "$1: $(cat "$OUT" "$ERR")"
        [[ $(in_machine sha256sum "/srv/space/$1") == "$sum" ]] || lost "$1 is another file"
        ((after <= before - $3)) || lost "$1: $before bytes were used, $after are"
}

# 64 KiB more or less are trees.
overwritten long 16384 1024
moved long skipped:would-grow -65536
overwritten short 1024 256
moved short moved: $(((32 * 4 << 10) / 2))
# Longer than a slice, and handed over as one: the second slice of two would leave its last extent, of which a cluster of the kernel (256 KiB from where
# the slice begins) would end in the middle.
overwritten longer 1588 397 12
moved longer moved: $(((33 * 4 << 10) / 2))

# sparse NAME BLOCK END: blocks 0 to 50 and 75 to END, of which two are written again: block 25 and that BLOCK.
sparse()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                one() { head -c "$((($3 - $2) * 4))K" /dev/urandom | dd of="/srv/space/$1" bs=4K seek="$2" conv=notrunc iflag=fullblock status=none; }
                one "$1" 0 50
                one "$1" 75 "$3"
                sync -f /srv/space
                one "$1" 25 26
                one "$1" "$2" "$(($2 + 1))"
                sync -f /srv/space; sync -f /srv/space' - "$@"
}

# Behind the hole the kernel begins a cluster (64 blocks). With the last extent another one would begin, and it would stay, and all that it was written with.
sparse alone 138 142
moved alone skipped:would-grow -65536
# It lies in one with the extent before it.
sparse together 135 139
moved together moved: -65536

# The file goes on right behind it, elsewhere on the disk, with so much that it is no part of what is moved: so the end of that is moved, though it reaches
# over a cluster.
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        append() { head -c "$2" /dev/urandom >>"/srv/space/$1"; sync "/srv/space/$1"; }
        append apart 1M
        append between 1M
        append apart 16M
        for ((i = 1; i < 128; i += 8)); do
                head -c 4K /dev/urandom | dd of=/srv/space/apart bs=4K seek="$i" conv=notrunc status=none
        done
        sync -f /srv/space; sync -f /srv/space'
moved apart moved: $(((16 * 4 << 10) / 2))

# touch_each_other NAME BLOCK: does that block of 4 KiB lie right behind the one before it?
touch_each_other()
{
        in_machine filefrag -v -b4096 "/srv/space/$1" | awk -v block="$2" '
                $1 ~ /^[0-9]+:$/ {
                        gsub(/[.:]/, " ")
                        first = $2
                        last = $3
                        place = $4
                        if (first <= block && block <= last)
                                at = place + block - first
                        if (first <= block - 1 && block - 1 <= last)
                                before = place + block - 1 - first
                }
                END { exit !(at == before + 1) }'
}

# The end of the second of three extents is not an extent of its own to the kernel where the third lies right behind it.
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        for ((j = 0; j < 3; j++)); do
                head -c 1M /dev/urandom >>/srv/space/appended
                sync /srv/space/appended
        done
        umount /srv/space
        mount /dev/vde /srv/space'
expected=moved:
! touch_each_other appended 512 || expected=skipped:would-grow
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        for ((i = 257; i < 384; i += 8)); do
                head -c 4K /dev/urandom | dd of=/srv/space/appended bs=4K seek="$i" conv=notrunc status=none
        done
        sync -f /srv/space; sync -f /srv/space'
moved appended "$expected" -65536

# --- hazards ---

for one in "${PROGRAMS[@]}"; do
        status=0
        in_machine "/srv/programs/$one" /srv/fresh >"$OUT" 2>"$ERR" || status=$?
        ((status == 0 || status == 77)) || fail "$one: status $status: $(cat "$OUT" "$ERR")"
        echo "$one: status $status"
        sed 's/^/  | /' "$OUT"
done

# --- compressed ---

# By each algorithm as the mount says, in extents that make whole chunks and in others. These kernels take the level of the mount, and cannot be told
# another one.
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        export COMPRESSIBLE_CONTENT=yes
        rm -rf /srv/fresh/*
        for option in zlib:9 zstd:1 zstd:15; do
                mount -o remount,compress-force=$option /srv/fresh
                for kib in 16 12 128; do
                        /srv/programs/fragment --size=3M --piece=${kib}K --name="$option-$kib-" /srv/fresh
                done
                sync -f /srv/fresh
                sha256sum /srv/fresh/$option-* >/tmp/sums
                for file in /srv/fresh/$option-*; do
                        printf "%s before " "$file"
                        /srv/programs/encoding "$file"
                done
                defragd --once --no-budget --json /srv/fresh/$option-* >&2
                echo 3 >/proc/sys/vm/drop_caches
                sha256sum --quiet --check /tmp/sums
                for file in /srv/fresh/$option-*; do
                        printf "%s after " "$file"
                        /srv/programs/encoding "$file"
                done
        done
        mount -o remount,compress-force=zstd:1 /srv/fresh
        defragd --once --no-budget --json /srv/fresh >&2 || (($? == 75))' >"$OUT" 2>"$ERR" || fail "compressed: $(cat "$OUT" "$ERR")"
cat "$OUT"
# The columns: path, when, none, zlib, lzo, zstd, bytes on the disk, runs.
awk '
        { column = $1 ~ "/zlib" ? 4 : 6 }
        $2 == "before" { bytes[$1] = $7; runs[$1] = $8 }
        { others = $3 + $4 + $5 + $6 - $column }
        others > 0 { print $1 ": not all of it is compressed so: " $0; wrong = 1 }
        $2 == "after" && ($7 > bytes[$1] || $8 > runs[$1] / 2 || runs[$1] < 20) { print $1 ": " runs[$1] " runs, " bytes[$1] " bytes before: " $0; wrong = 1 }
        $2 == "after" { n++ }
        END { exit wrong || n != 9 }' "$OUT" >"$SCRATCH/wrong" || lost "$(cat "$SCRATCH/wrong" "$ERR")"

# --- two devices ---

# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        /srv/programs/fragment --files=8 --size=4M /srv/twice
        umount /srv/twice
        mount -o device=/dev/vdf,device=/dev/vdg /dev/vdf /srv/twice
        sha256sum /srv/twice/file* >/tmp/sums
        defragd --once --no-budget --json /srv/twice
        umount /srv/twice
        mount -o device=/dev/vdf,device=/dev/vdg /dev/vdf /srv/twice
        sha256sum --quiet --check /tmp/sums
        env LD_LIBRARY_PATH=/srv/programs /srv/programs/btrfs scrub start -B /srv/twice >&2' >"$OUT" 2>"$ERR" || fail "twice: $(cat "$OUT" "$ERR")"
[[ $(said .moved) == 8 ]] || fail "twice: $(cat "$OUT" "$ERR")"
grep --quiet 'no errors found' "$ERR" || lost "twice: $(cat "$ERR")"
echo "twice: $(said .extents_before) -> $(said .extents_after) extents, no errors found in either copy"
in_machine umount /srv/space /srv/fresh /srv/twice
machine_end
btrfs check --readonly "$SCRATCH/space.image" >"$SCRATCH/repair" 2>&1 || lost "$(tail -n 20 "$SCRATCH/repair")"
