#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No temporary file can be made in an immutable directory; another directory does.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command chattr
test_volume
mkdir -p "$MNT/sub"
fragment --files=2 --size=8M "$MNT"
fragment --files=2 --size=8M "$MNT/sub"
volume_remount volume
before=$(runs "$MNT"/file* "$MNT/sub"/*)
chattr +i "$MNT"
remember files "$MNT"

defrag 0 --no-budget --json "$MNT"
after=$(runs "$MNT"/file* "$MNT/sub"/*)
echo "$before -> $after extents"
[[ $(said .failed) == 0 && $(said .moved) == 4 ]] || fail "summary: $(said .)"
expect_same files
((after <= 8)) || fail "$before -> $after extents"
lsattr -d "$MNT" | grep -q '^[^ ]*i' || fail "the root directory is no longer immutable"
chattr -i "$MNT"

# Where every directory is immutable nothing can be done, and nothing must go wrong.
fragment --files=1 --name=late --size=8M "$MNT/sub"
chattr +i "$MNT" "$MNT/sub"
remember late "$MNT/sub/late0000"
defrag '0|1|2|75' --no-budget --json "$MNT/sub/late0000"
cat "$OUT"
expect_same late
chattr -i "$MNT" "$MNT/sub"
volume_check volume
