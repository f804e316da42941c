#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the owner or the kind of a file forbids: setuid and capabilities where the engine strips them, programs, files that do not want
# it. Whatever else is allowed, nothing of these changes, not even where it lies.
# ASAN: no
# LIMIT: 60
# MUTANTS: PRIVILEGED EXECUTABLES NODEFRAG OPTED_OUT

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command setcap setfattr xfs_io chattr
test_volume 512M
NAMES=(plain privileged-mode capability executable nodefrag opted-out immutable append-only)
fragment --files=${#NAMES[@]} --size=1M "$MNT"
for i in "${!NAMES[@]}"; do
        mv "$MNT/$(printf 'file%04d' "$i")" "$MNT/${NAMES[i]}"
done
chmod 4644 "$MNT/privileged-mode"
setcap cap_net_raw+ep "$MNT/capability"
chmod 0755 "$MNT/executable"
xfs_io -c 'chattr +f' "$MNT/nodefrag"
setfattr -n user.defragd -v off "$MNT/opted-out"
chattr +i "$MNT/immutable"
chattr +a "$MNT/append-only"
volume_remount volume
remember files "$MNT"
where()
{
        local name

        for name in executable nodefrag opted-out immutable append-only; do
                xfs_io -r -c fiemap "$MNT/$name"
        done
}
where >"$SCRATCH/where"

defrag 0 --no-budget --json "$MNT"
expect_same files
expect_outcome "$MNT/plain" moved
for name in executable nodefrag opted-out immutable append-only; do
        expect_outcome "$MNT/$name" "skipped:$name"
done
[[ $ENGINE == plain ]] || for name in privileged-mode capability; do
        expect_outcome "$MNT/$name" skipped:privileged
done
where | cmp "$SCRATCH/where" - || lost "something lies elsewhere"
chattr -i "$MNT/immutable"
chattr -a "$MNT/append-only"
volume_check volume
