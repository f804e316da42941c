#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ext4: encrypted files are left alone, whether the kernel has their key or not, and the others beside them are moved.
# LIMIT: 60
# ENGINES: ext4

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

volume_make volume ext4 512M -O encrypt
MNT=$SCRATCH/volume
mkdir "$MNT/secret"
status=0
encrypt on "$MNT/secret" || status=$?
((status != 77)) || skip "this kernel does not encrypt"
((status == 0)) || fail "encrypt: $status"
fragment --files=1 --size=2M --piece=16K "$MNT/secret"
fragment --files=1 --size=2M --piece=16K --name=plain "$MNT"
plain=$MNT/plain0000
volume_remount volume

# The key went with the mount. So the file has a name that only the kernel knows, and cannot be opened.
secret=$(echo "$MNT"/secret/*)
[[ ${secret##*/} != file* ]] || fail "the key is there still"
! cat "$secret" 2>/dev/null || fail "it can be read without the key"
defrag 0 --no-budget --json "$MNT"
expect_outcome "$secret" skipped:encrypted
expect_outcome "$plain" moved

encrypt on "$MNT/secret"
secret=$MNT/secret/file0000
before=$(runs "$secret")
remember secret "$secret"
for option in --dry-run --no-budget; do
        defrag 0 "$option" --json "$secret"
        expect_outcome "$secret" skipped:encrypted
done
expect_same secret
(($(runs "$secret") == before)) || lost "it lies otherwise"

# As when its owner logs out.
encrypt forget "$MNT"
defrag 0 --no-budget --json "$MNT"
expect_outcome "$(echo "$MNT"/secret/*)" skipped:encrypted
volume_check volume
