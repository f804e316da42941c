#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Options and paths that make no sense are refused with status 2 and a word about it; --help and --version work.
# LIMIT: 30
# ENGINES: no

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# refused ARGUMENT...
refused()
{
        local status=0

        "$DEFRAGD" "$@" >"$OUT" 2>"$ERR" </dev/null || status=$?
        ((status == 2)) || fail "defragd $*: status $status, not 2"
        [[ -s $ERR && ! -s $OUT ]] || fail "defragd $*: no complaint on standard error"
}
refused --once
refused --once --all /
refused --all
refused --json
refused --dry-run -v
refused --no-such-option
refused --once --no-such-option /
refused --once --json=yes /
refused --config
refused --check-config /tmp
refused --check-config --once
refused /tmp
refused -x
POSIXLY_CORRECT=1 refused --once /proc --dry-run
refused --once --config="$SCRATCH/missing.conf" /
refused --check-config --config="$SCRATCH/missing.conf"
refused --once $'--\e[31mred\n'
grep -q $'\e' "$ERR" && fail "an escape sequence in a complaint"
(($(wc -l <"$ERR") <= 2)) || fail "a newline in a complaint"

"$DEFRAGD" --help >"$OUT" || fail "--help"
for option in --once --all --dry-run --json --no-budget --check-config --config --version --help; do
        grep -q -- "$option" "$OUT" || fail "--help does not know $option"
done
"$DEFRAGD" --version | grep -Eq '^defragd [0-9]+\.[0-9]+' || fail "--version"

# A path like an option. What lies below $SCRATCH itself may be on a file system that can be worked on, which is not to be.
mkdir "$SCRATCH/odd"
mount -t tmpfs none "$SCRATCH/odd"
touch "$SCRATCH/odd/--json"
(cd "$SCRATCH/odd" && defrag 2 --json -- --json && expect_outcome "$SCRATCH/odd/--json" skipped)

# A path that is not there.
defrag 1 --json "$SCRATCH/missing"
expect_outcome "$SCRATCH/missing" failed:ENOENT

# File systems and things that cannot be done.
mkdir "$SCRATCH/tmpfs"
mount -t tmpfs none "$SCRATCH/tmpfs"
head -c 1M /dev/zero >"$SCRATCH/tmpfs/file"
for path in "$SCRATCH/tmpfs" "$SCRATCH/tmpfs/file" /proc /dev/null; do
        defrag 2 --json "$path"
        [[ $(jq --raw-output 'select(.path) | .outcome' "$OUT") == skipped ]] || fail "$path: $(cat "$OUT")"
done
expect_outcome /dev/null skipped:not-a-file

# As nobody.
status=0
setpriv --reuid 65534 --regid 65534 --clear-groups "$DEFRAGD" --once "$SCRATCH" >"$OUT" 2>"$ERR" || status=$?
((status == 1 || status == 126)) || fail "status $status for an ordinary user"
