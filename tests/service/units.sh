#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The units as each system's own systemd sees them: nothing to complain of, a sandbox that is closed enough, a reason for
# each line; and an entry in the journal's catalog for each kind of event.
# LIMIT: 600
# ROOTS: bookworm trixie
# ASAN: no

. "$(dirname "$0")/../lib/scratch.sh"
. "$(dirname "$0")/../lib/roots.sh"
test_begin "$@"

UNITS=(defragd.service defragd-sweep.service defragd-sweep.timer system-defragd.slice)
TOP=$(realpath "$TESTS/..")
TREE=$SCRATCH/tree

root_install "$ROOT" "$TREE"
mount -t proc proc "$TREE/proc"
mount -t sysfs -o ro sysfs "$TREE/sys"
mount -t tmpfs tmpfs "$TREE/run"

# --- nothing to complain of ---

verify()
{
        # Unknown lines are reported and yet no failure.
        chroot "$TREE" systemd-analyze verify "$@" >"$OUT" 2>&1 || true
}
verify "${UNITS[@]/#//usr/lib/systemd/system/}"
[[ ! -s $OUT ]] || fail "verify: $(cat "$OUT")"

# And verify would have said something.
sed '/^\[Service\]/a NoSuchLine=yes' "$TREE/usr/lib/systemd/system/defragd.service" >"$TREE/root/defragd.service"
verify /root/defragd.service
grep -q NoSuchLine "$OUT" || fail "verify does not see an unknown line"

# --- closed enough ---

# exposure UNIT: in tenths.
exposure()
{
        chroot "$TREE" systemd-analyze security --offline=yes --no-pager "$1" |
                sed -n 's/.*Overall exposure level for .*: \([0-9]*\)\.\([0-9]\).*/\1\2/p'
}
for unit in defragd.service defragd-sweep.service; do
        tenths=$(exposure "/usr/lib/systemd/system/$unit")
        [[ $tenths ]] || fail "no exposure of $unit"
        ((10#$tenths <= 23)) || fail "exposure of $unit: $tenths tenths"
        echo "exposure of $unit: $tenths tenths"
done

# The administrator's mount table must not be hidden from it.
if grep -E '^(ProtectProc|ProcSubset|MountFlags|RuntimeDirectory)=' "$TREE"/usr/lib/systemd/system/defragd*.service; then
        fail "a line that must not be there"
fi

# --- a reason for each line ---

# Titles explain themselves.
awk '/^#/ { explained = 1; next }
        /^[A-Z][A-Za-z]*=/ && !/^Description=/ && !explained { print FILENAME ":" FNR ": " $0 }
        { explained = 0 }' "${UNITS[@]/#/"$TREE"/usr/lib/systemd/system/}" >"$OUT"
[[ ! -s $OUT ]] || fail "lines without a reason: $(cat "$OUT")"

# --- the catalog ---

sed -n 's/^#define JOURNAL_ID_[A-Z_]* "\([0-9a-f]\{32\}\)"$/\1/p' "$TOP/daemon/service/journal_ids.h" >"$SCRATCH/ids"
(($(wc -l <"$SCRATCH/ids") == $(grep -c '^#define JOURNAL_ID_' "$TOP/daemon/service/journal_ids.h"))) ||
        fail "an id that is none"
sed -n 's/^-- //p' "$TREE/usr/lib/systemd/catalog/defragd.catalog" >"$SCRATCH/entries"
for list in ids entries; do
        repeated=$(sort "$SCRATCH/$list" | uniq --repeated)
        [[ ! $repeated ]] || fail "twice in the $list: $repeated"
done
diff <(sort "$SCRATCH/ids") <(sort "$SCRATCH/entries") || fail "ids and catalog differ"

# What the system's own journalctl makes of it, and all fields in it are ours.
chroot "$TREE" journalctl --update-catalog
while read -r id; do
        chroot "$TREE" journalctl --dump-catalog "$id" >"$OUT" || fail "no entry for $id"
        grep -q '^Defined-By: defragd$' "$OUT" || fail "the entry for $id is not ours"
        grep -q '^Subject: .' "$OUT" || fail "no subject for $id"
        (($(sed '1,/^$/d' "$OUT" | wc -w) >= 20)) || fail "hardly a word about $id"
done <"$SCRATCH/ids"
fields=$(grep -o '@[^@ ]*@' "$TREE/usr/lib/systemd/catalog/defragd.catalog" | sort -u |
        grep -Evx '@(DEFRAGD_(VOLUME|PATH|INODE|ENGINE|OUTCOME|REASON|EXTENTS_(BEFORE|AFTER)|BYTES|USEC|UUID|STEP|REGION|STOP_FILE)|CONFIG_(FILE|LINE))@' || true)
[[ ! $fields ]] || fail "unknown fields: $fields"
