#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: the kernel looks for a place for each 128 KiB of compressed data by itself, and writes them uncompressed where it finds none. So where free space is in
# short pieces compressed files stay where they are.
# LIMIT: 120
# ENGINES: btrfs
# MUTANTS: CHUNK_ROOM CHUNK_GAIN

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# fragments COUNT KIB: so many files of that length, or as many as there is room for, and of those that lie side by side every other one goes, and in one
# place some more.
fragments()
{
        mkdir "$MNT/fragments"
        head --bytes="$(($1 * $2))K" /dev/zero | tr '\0' x | split --bytes="$2K" --suffix-length=4 - "$MNT/fragments/" 2>"$SCRATCH/split.err" || true
        sync --file-system "$MNT"
        find "$MNT/fragments" -type f -print0 | xargs --null filefrag -v |
                awk '/^File size of / { path = $4 } /^ +0:/ { sub(/\.\..*/, "", $4); print $4, path }' |
                sort --numeric-sort | awk 'NR % 2 || NR > 100 && NR < 106 { print $2 }' | xargs rm
        sync --file-system "$MNT"
}

# stays FILE: not a byte of it is moved.
stays()
{
        local was

        was=$(encoding "$1")
        remember files "$1"
        defrag '0|75' --no-budget --json "$1"
        expect_same files
        [[ $(encoding "$1") == "$was" && $(said_of "$1" .bytes_moved) == 0 ]] || lost "$1: $was, now $(encoding "$1"): $(<"$OUT")"
        expect_outcome "$1" no-space:fragmented
}

export COMPRESSIBLE_CONTENT=yes

# scene NAME SIZE EXTENT_KIB COUNT KIB [MKFS_OPTION...]: a volume at $MNT with a compressed file in extents of that length, and fragments.
scene()
{
        volume_make "$1" btrfs "$2" "${@:6}"
        MNT=$SCRATCH/$1
        volume_remount "$1" -o compress=zstd:1
        fragment --size=4M --piece="$3K" "$MNT"
        volume_remount "$1"
        fragments "$4" "$5"
        volume_remount "$1" -o compress=zstd:1
}

# No piece is as long as what 128 KiB are compressed to, but for one, which has room for the first of them.
scene volume 320M 16 12000 32 --metadata single
stays "$MNT/file0000"
volume_check volume

# There are long ones, too, but the kernel may take the others, and what is as long as that now would come to lie in as many.
scene roomy 1G 128 400 96
stays "$MNT/file0000"
# What is shorter becomes better in any case.
fragment --size=4M --piece=16K --name=short "$MNT"
defrag 0 --no-budget --json "$MNT/short0000"
expect_outcome "$MNT/short0000" moved
volume_check roomy
