#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the fuzzers have learned so far, once more: every file of every corpus through the parser that it was made for.
# LIMIT: 120
# ENGINES: no

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# Trees of files are made and removed for some of them.
export TMPDIR=$SCRATCH/memory
mkdir "$TMPDIR"
mount -t tmpfs none "$TMPDIR"

for source in "$TESTS"/fuzz/fuzz-*.c; do
        name=$(basename "$source" .c)
        name=${name#fuzz-}
        # Each path is printed before it is read. A corpus that is missing or empty is an error.
        "$BUILD/fuzz/$name" "$TESTS/fuzz/corpus/$name" >"$OUT" 2>"$ERR" || {
                tail -n 1 "$OUT" >&2
                cat "$ERR" >&2
                fail "$name"
        }
        echo "$name: $(tail -n 1 "$OUT")"
done
for corpus in "$TESTS"/fuzz/corpus/*; do
        [[ -e $TESTS/fuzz/fuzz-${corpus##*/}.c ]] || fail "nobody reads $corpus"
done
[[ ! $(ls "$TMPDIR") ]] || fail "something is left: $(ls "$TMPDIR")"
