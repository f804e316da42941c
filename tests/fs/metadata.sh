#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Owner, mode, times, extended attributes, ACL, capabilities, project, flags and hints: moved or left alone, nothing
# of it changes.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 120

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command setfacl setfattr setcap chattr
# ext4 has projects where it is told so, and mounts them where the kernel has all kinds of quota.
has_projects=
case $ENGINE in
exchange | plain) has_projects=1 ;;
ext4) ! volume_make with-projects ext4 64M -O quota,project 2>"$ERR" || has_projects=1 ;;
esac
if [[ $ENGINE == ext4 && $has_projects ]]; then
        test_volume 2G -O quota,project
else
        test_volume
fi
LEFT=(executable immutable append-only opted-out)
MOVED=(plain owner mode xattrs large-xattr acl times nodump noatime sync)
# How long one value may be depends on the blocks of the volume.
LARGE=3000
case $ENGINE in
exchange | plain) LEFT+=(nodefrag) MOVED+=(hinted0000) LARGE=20000 ;;
esac
[[ ! $has_projects ]] || MOVED+=(project)
NAMES=(plain owner mode xattrs acl times project extsize privileged-mode capability executable nodump sync noatime
        nodefrag opted-out immutable append-only large-xattr)
fragment --files=${#NAMES[@]} --size=2M "$MNT"
for i in "${!NAMES[@]}"; do
        mv "$MNT/$(printf 'file%04d' "$i")" "$MNT/${NAMES[i]}"
done
volume_remount volume

chown 1234:5678 "$MNT/owner"
chmod 0600 "$MNT/owner"
chmod 0000 "$MNT/mode"
setfattr -n user.colour -v green "$MNT/xattrs"
setfattr -n trusted.secret -v 0x00ff00 "$MNT/xattrs"
setfattr -n security.note -v 'a note' "$MNT/xattrs"
setfattr -n user.large -v "$(head -c "$LARGE" /dev/zero | tr '\0' x)" "$MNT/large-xattr"
setfacl -m u:1000:rw,g:2000:r,m::rwx "$MNT/acl"
chmod a-x "$MNT/acl"
touch -d '2001-02-03 04:05:06.789012345' "$MNT/times"
touch -a -d '1999-12-31 23:59:59.999999999' "$MNT/times"
[[ ! $has_projects ]] || xfs_io -c 'chproj 4711' "$MNT/project"
case $ENGINE in
exchange | plain)
        xfs_io -f -c 'extsize 64k' "$MNT/extsize-hint"
        fragment --size=2M --name=hinted "$MNT"
        xfs_io -c 'cowextsize 128k' "$MNT/hinted0000"
        # A hint can only be set while the file has no extents.
        mkdir "$MNT/hints"
        xfs_io -c 'extsize 64k' "$MNT/hints"
        fragment --size=2M --piece=64K --name=inherited "$MNT/hints"
        xfs_io -c 'chattr +f' "$MNT/nodefrag"
        ;;
esac
chmod 4644 "$MNT/privileged-mode"
setcap cap_net_raw+ep "$MNT/capability"
chmod 0755 "$MNT/executable"
chattr +d "$MNT/nodump"
chattr +S "$MNT/sync"
chattr +A "$MNT/noatime"
setfattr -n user.defragd -v off "$MNT/opted-out"
chattr +i "$MNT/immutable"
chattr +a "$MNT/append-only"
volume_remount volume
before=$(runs "$MNT"/plain)
remember files "$MNT"

defrag 0 --no-budget --json "$MNT"
jq --raw-output 'select(.path) | "\(.path) \(.outcome):\(.reason) \(.extents_before) -> \(.extents_after)"' "$OUT"
expect_same files
for name in "${MOVED[@]}"; do
        expect_outcome "$MNT/$name" moved
        (($(runs "$MNT/$name") < before / 4)) || fail "$name still has $(runs "$MNT/$name") extents"
done
for name in "${LEFT[@]}"; do
        expect_outcome "$MNT/$name" "skipped:$name"
done
for name in privileged-mode capability; do
        case $ENGINE in
        exchange) expect_outcome "$MNT/$name" skipped:privileged ;;
        *) [[ $(said_of "$MNT/$name" .outcome) == @(moved|skipped) ]] || fail "$name: $(said_of "$MNT/$name" .)" ;;
        esac
done
getcap "$MNT/capability" | grep -q cap_net_raw || fail "the capability is gone"

# With Executables=yes.
printf 'Executables=yes\n' >>"$CONFIG"
defrag 0 --no-budget --json "$MNT/executable"
expect_outcome "$MNT/executable" moved
expect_same files

# A volume that does not want it.
setfattr -n trusted.defragd.enabled -v no "$MNT"
defrag 0 --json "$MNT/plain"
expect_outcome "$MNT/plain" skipped:opted-out
chattr -i "$MNT/immutable"
chattr -a "$MNT/append-only"
volume_remount volume
volume_check volume
