#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: compressed files are moved where they would be compressed the same way, and are so afterwards: by the same algorithm, as short as before
# at least, and with the file's flags as they were. What could come out longer stays.
# LIMIT: 120
# ENGINES: btrfs
# MUTANTS: COMPRESSIBLE WHOLE_CHUNKS TRIED NOT_GROWN COMPRESSED_ALONE

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

readonly WORDS=$SCRATCH/words NOISE=$SCRATCH/noise SAME=$SCRATCH/same
awk 'BEGIN {
        srand(1)
        for (; n_words < 3000; n_words++)
                for (left = 3 + int(rand() * 7); left > 0; left--)
                        words[n_words] = words[n_words] sprintf("%c", 97 + int(rand() * 26))
        for (; n_bytes < 8 * 1048576; n_bytes += length(word) + 1) {
                word = words[int(rand() * n_words)]
                printf "%s ", word
        }
}' >"$WORDS"
head --bytes=4M /dev/urandom >"$NOISE"
awk 'BEGIN { for (; n < 65536; n++) print "the same again" }' >"$SAME"

# pieces FILE SOURCE KIB: SOURCE in pieces, of which no two that follow each other were written one after the other; each is an extent of its own.
pieces()
{
        local i n

        n=$(($(stat --format=%s "$2") / 1024 / $3))
        for i in $(seq 0 2 $((n - 1))) $(seq 1 2 $((n - 1))); do
                dd if="$2" of="$1" bs="$3K" count=1 skip="$i" seek="$i" conv=notrunc,fsync iflag=fullblock status=none
        done
}

# before FILE...: what is to be compared later.
declare -A BEFORE
before()
{
        local path

        sync --file-system "$MNT"
        for path in "$@"; do
                BEFORE[$path]=$(encoding "$path")
        done
        remember files "$MNT"
}

# expect_encoding FILE ALGORITHM [MOST_BYTES]: all of it is still so, in no more bytes than before or MOST_BYTES more.
expect_encoding()
{
        local -A is
        local -a was

        read -ra was <<<"${BEFORE[$1]}"
        read -r "is[none]" "is[zlib]" "is[lzo]" "is[zstd]" "is[bytes]" "is[runs]" < <(encoding "$1")
        ((is[none] + is[zlib] + is[lzo] + is[zstd] == is[$2])) || lost "$1: not all of it is $2: ${is[*]@K}"
        ((is[bytes] <= was[4] + ${3:-0})) || lost "$1: ${is[bytes]} bytes, before: ${was[4]}"
        RUNS=${is[runs]}
}

# expect_moved FILE ALGORITHM: the same, and it lies in few runs now.
expect_moved()
{
        expect_outcome "$1" moved
        expect_encoding "$1" "$2"
        ((RUNS <= 4)) || fail "$1: $RUNS runs"
}

# --- Chunks: noise that is in one extent with a text here and there would be a chunk of noise. ---

test_volume
volume_remount volume -o compress-force=zstd:3
dd if="$SAME" of="$MNT/chunks" bs=64K count=5 conv=notrunc,fsync status=none
for i in 1 2 3 4; do
        {
                head --bytes=104K "$SAME"
                dd if="$NOISE" bs=176K count=1 skip="$i" status=none
                head --bytes=40K "$SAME"
        } >"$SCRATCH/chunk$i"
        for part in '0 64' '64 128' '192 128'; do
                read -r from length <<<"$part"
                dd if="$SCRATCH/chunk$i" of="$MNT/chunks" bs=64K skip=$((from / 64)) seek=$(((i * 320 + from) / 64)) \
                        count=$((length / 64)) conv=notrunc,fsync status=none
                # Something in between, so that the next one does not lie behind it.
                head --bytes=64K "$NOISE" >"$MNT/between-$i-$from"
                sync --file-system "$MNT"
        done
done
before "$MNT/chunks"
defrag 0 --no-budget --json "$MNT/chunks"
expect_same files
expect_encoding "$MNT/chunks" zstd
expect_outcome "$MNT/chunks" moved

# --- Moved: by the mount's word and by its own, short extents and full ones, in lengths that make whole chunks and that do not. ---

rm "$MNT"/*
volume_remount volume -o compress=zstd:1
head --bytes=2M "$WORDS" >"$SCRATCH/short"
for kib in 16 12 36 128; do
        pieces "$MNT/of-$kib" "$SCRATCH/short" "$kib"
done
for algorithm in zlib lzo zstd; do
        touch "$MNT/$algorithm"
        btrfs property set "$MNT/$algorithm" compression "$algorithm"
done
# The shortest runs that LZO makes of words are no shorter than the words.
tr 'a-m' ' ' <"$SCRATCH/short" >"$SCRATCH/spaces"
for algorithm in zlib lzo zstd; do
        pieces "$MNT/$algorithm" "$SCRATCH/spaces" 16
done
# With holes, and to the end of a page.
pieces "$MNT/holes" "$SCRATCH/short" 32
fallocate --punch-hole --offset 256K --length 128K "$MNT/holes"
head --bytes=12345 "$WORDS" >>"$MNT/holes"
before "$MNT"/*
defrag 0 --no-budget --json "$MNT"
expect_same files
for kib in 16 12 36 128; do
        expect_moved "$MNT/of-$kib" zstd
done
for algorithm in zlib lzo zstd; do
        expect_moved "$MNT/$algorithm" "$algorithm"
done
expect_moved "$MNT/holes" zstd
defrag 0 --no-budget --json "$MNT"
(($(said .moved) == 0)) || fail "moved again: $(<"$OUT")"

# --- What lies well is no matter of how it is compressed. ---

rm "$MNT"/*
head --bytes=1M "$WORDS" >"$MNT/whole"
sync --file-system "$MNT"
read -r _ _ _ compressed _ n_runs < <(encoding "$MNT/whole")
((compressed > 1 && n_runs == 1)) || fail "$(encoding "$MNT/whole")"
volume_remount volume
defrag 0 --no-budget --json "$MNT/whole"
expect_outcome "$MNT/whole" optimal
volume_remount volume -o compress=zstd:1

# --- Compressed and not in one file, and parts of what was one extent: they stay. ---

rm "$MNT"/*
pieces "$MNT/mixed" "$SCRATCH/short" 16
dd if="$NOISE" of="$MNT/mixed" bs=64K count=1 seek=16 conv=notrunc,fsync status=none
pieces "$MNT/parts" "$SCRATCH/short" 64
for i in 5 9; do
        dd if="$WORDS" of="$MNT/parts" bs=16K count=1 seek=$((i * 4 + 1)) conv=notrunc,fsync status=none
done
before "$MNT"/*
was=$(encoding "$MNT/mixed")
defrag 0 --no-budget --json "$MNT"
expect_same files
expect_outcome "$MNT/mixed" moved
expect_outcome "$MNT/parts" moved
[[ $(encoding "$MNT/mixed") != "$was" ]] || fail "$was: nothing has moved"
read -r none _ < <(encoding "$MNT/mixed")
((none == 1)) || lost "mixed: $none extents are not compressed"
expect_encoding "$MNT/parts" zstd

# --- Neighbours of which each can be compressed, but not both together: they use halves of the alphabet. Only what lies in front of them moves. ---

rm "$MNT"/*
volume_remount volume -o compress-force=zstd:3
tr '\220-\377' '\0-\157' <"$NOISE" >"$SCRATCH/low"
tr '\0-\157' '\220-\377' <"$NOISE" >"$SCRATCH/high"
head --bytes=128K "$SAME" >"$SCRATCH/alphabet"
for ((i = 0; i < 8; i++)); do
        dd if="$SCRATCH/low" bs=64K count=1 skip="$i" status=none
        dd if="$SCRATCH/high" bs=64K count=1 skip="$i" status=none
done >>"$SCRATCH/alphabet"
pieces "$MNT/alphabet" "$SCRATCH/alphabet" 64
before "$MNT/alphabet"
defrag 0 --no-budget --json "$MNT/alphabet"
expect_same files
expect_encoding "$MNT/alphabet" zstd
expect_outcome "$MNT/alphabet" moved

# --- Written at a higher level than the mount has now: it is tried before anything of the file moves; and where the first chunk tells nothing it is seen
# at the first slice. ---

rm "$MNT"/*
volume_remount volume -o compress-force=zstd:15
pieces "$MNT/level" "$SCRATCH/short" 128
pieces "$MNT/two-levels" "$SCRATCH/short" 128
volume_remount volume -o compress-force=zstd:1
dd if="$SCRATCH/short" of="$MNT/two-levels" bs=128K count=1 conv=notrunc,fsync status=none
before "$MNT/level" "$MNT/two-levels"
defrag 0 --no-budget --json "$MNT/level" "$MNT/two-levels"
expect_same files
expect_encoding "$MNT/level" zstd
expect_outcome "$MNT/level" skipped:would-grow
expect_encoding "$MNT/two-levels" zstd 65536
expect_outcome "$MNT/two-levels" skipped:would-grow

# --- Somebody writes noise to the file meanwhile, which is written with the rest: told to compress it the kernel would try, and note in the inode that it was
# in vain. ---

rm "$MNT"/*
volume_remount volume -o compress=zstd:1
pieces "$MNT/open" "$SCRATCH/short" 16
before "$MNT/open"
exec {hold}<>"$MNT/open"
# Always at the same place: the file is as long as it was when it was looked at.
noise_write()
{
        dd if="$NOISE" of="$MNT/open" bs=64K count=1 seek=48 conv=notrunc status=none
}
noise_write
(for ((i = 0; i < 400; i++)); do noise_write; done) &
writer=$!
defrag '0|75' --no-budget --json "$MNT/open"
kill "$writer" 2>/dev/null || true
wait "$writer" || true
sync --file-system "$MNT"
[[ $(lsattr "$MNT/open") != *m*' '* ]] || lost "$(lsattr "$MNT/open")"
expect_outcome "$MNT/open" busy:open
exec {hold}>&-

volume_check volume
