#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the owner or the kind of a file forbids: setuid and capabilities where the engine strips them, programs, files that do not want
# it. Whatever else is allowed, nothing of these changes, not even where it lies.
# ASAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60
# MUTANTS: PRIVILEGED EXECUTABLES NODEFRAG OPTED_OUT

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command setcap setfattr xfs_io chattr
test_volume 512M
# XFS alone has a flag for it.
case $ENGINE in
exchange | plain) LEFT=(executable nodefrag opted-out immutable append-only) ;;
*) LEFT=(executable opted-out immutable append-only) ;;
esac
NAMES=(plain privileged-mode capability "${LEFT[@]}")
fragment --files=${#NAMES[@]} --size=1M "$MNT"
for i in "${!NAMES[@]}"; do
        mv "$MNT/$(printf 'file%04d' "$i")" "$MNT/${NAMES[i]}"
done
chmod 4644 "$MNT/privileged-mode"
setcap cap_net_raw+ep "$MNT/capability"
chmod 0755 "$MNT/executable"
[[ ! -e $MNT/nodefrag ]] || xfs_io -c 'chattr +f' "$MNT/nodefrag"
setfattr -n user.defragd -v off "$MNT/opted-out"
chattr +i "$MNT/immutable"
chattr +a "$MNT/append-only"
volume_remount volume
remember files "$MNT"
where()
{
        local name

        for name in "${LEFT[@]}"; do
                xfs_io -r -c fiemap "$MNT/$name"
        done
}
where >"$SCRATCH/where"

defrag 0 --no-budget --json "$MNT"
expect_same files
expect_outcome "$MNT/plain" moved
for name in "${LEFT[@]}"; do
        expect_outcome "$MNT/$name" "skipped:$name"
done
[[ $ENGINE != exchange ]] || for name in privileged-mode capability; do
        expect_outcome "$MNT/$name" skipped:privileged
done
where | cmp "$SCRATCH/where" - || lost "something lies elsewhere"
chattr -i "$MNT/immutable"
chattr -a "$MNT/append-only"
volume_check volume
