#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who writes a file on a marked volume is told of with file, directory, name and process; what was lost is told, too;
# and the mark holds nothing.
# LIMIT: 60
# ENGINES: no

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"
need_command xfs_io

MNT=$SCRATCH/volume
volume_make volume plain

coproc WATCH { exec part-watch "$MNT"; }
# Bash forgets it when the process has ended.
# shellcheck disable=SC2153  # set by coproc
watch_job=$WATCH_PID
read -r -t 10 _ watch_pid <&"${WATCH[0]}"

# ask COMMAND...: the answer in $answer, what comes behind its "done" in $done_with.
ask()
{
        local line

        answer=
        echo "$*" >&"${WATCH[1]}"
        while read -r -t 30 line <&"${WATCH[0]}"; do
                if [[ $line == done* ]]; then
                        done_with=${line#done}
                        done_with=${done_with# }
                        return
                fi
                answer+=$line$'\n'
        done
        fail "no answer to $*"
}

# expect_events LINE...: these and no others wait, in any order.
expect_events()
{
        local expected

        expected=$(printf '%s\n' "$@")
        ask read
        [[ $(sort <<<"${answer%$'\n'}") == "$(sort <<<"$expected")" ]] ||
                fail "expected:"$'\n'"$expected"$'\n'"came:"$'\n'"$answer"
}

# What the volume itself says of the inode number $1.
generation_of()
{
        local answer

        answer=$(xfs_io -r -c "bulkstat_single $1" "$MNT")
        # The next inode is shown where there is no such.
        [[ $(sed -n 's/.*bs_ino = //p' <<<"$answer") == "$1" ]] || fail "no inode $1"
        printf '%u\n' "$(sed -n 's/.*bs_gen = //p' <<<"$answer")"
}

# event PATH NAME PID: the line that tells of a file under this name.
event()
{
        local inode parent

        inode=$(stat --format=%i "$1")
        parent=$(stat --format=%i "$(dirname "$1")")
        echo "event inode=$inode generation=$(generation_of "$inode") parent=$parent" \
                "parent-generation=$(generation_of "$parent") pid=$3 name=$2"
}

# Writes the file $1 as a process of its own, whose id is in $writer.
write_file()
{
        # shellcheck disable=SC2016  # the inner shell's
        writer=$("$BASH" -c 'echo $$; echo text >>"$1"' - "$1")
}

ask mark
fsid=$done_with
[[ $fsid =~ ^[0-9a-f]+$ && $fsid != 0 ]] || fail "file system id $fsid"
mkdir "$MNT/directory"
ask read
[[ ! $answer ]] || fail "a directory was made: $answer"

# Written and closed, once and again; only read, only created anew by a name.
write_file "$MNT/directory/file"
expect_events "$(event "$MNT/directory/file" file "$writer")"
write_file "$MNT/directory/file"
expect_events "$(event "$MNT/directory/file" file "$writer")"
cat "$MNT/directory/file" >/dev/null
ask read
[[ ! $answer ]] || fail "a file was read: $answer"

# The same again after a second mark: once, not twice.
ask mark
[[ $done_with == "$fsid" ]] || fail "the second mark says $done_with"
write_file "$MNT/file"
expect_events "$(event "$MNT/file" file "$writer")"

# By another name of it.
ln "$MNT/directory/file" "$MNT/link"
write_file "$MNT/link"
expect_events "$(event "$MNT/link" link "$writer")"

# Any bytes make a name.
write_file "$MNT/"$'new\nline \xff\xc3'
expect_events "$(event "$MNT/"$'new\nline \xff\xc3' 'new\x0aline \xff\xc3' "$writer")"

# Renamed before the event is read: the same file under the name that it was written by.
write_file "$MNT/old"
expected=$(event "$MNT/old" old "$writer")
mv "$MNT/old" "$MNT/directory/new"
expect_events "$expected"

# Deleted before: told nevertheless, as what it was.
write_file "$MNT/short-lived"
expected=$(event "$MNT/short-lived" short-lived "$writer")
rm "$MNT/short-lived"
expect_events "$expected"

# Deleted while it is open.
exec {file}>"$MNT/open"
expected=$(event "$MNT/open" open $$)
rm "$MNT/open"
exec {file}>&-
expect_events "$expected"

# Renamed while it is open: the name is that of the close.
exec {file}>"$MNT/before"
mv "$MNT/before" "$MNT/directory/after"
exec {file}>&-
expect_events "$(event "$MNT/directory/after" after $$)"

# Another file under the same inode number is another file.
write_file "$MNT/first"
first=$(event "$MNT/first" first "$writer")
inode=$(stat --format=%i "$MNT/first")
rm "$MNT/first"
for ((i = 0; i < 200; i++)); do
        write_file "$MNT/second"
        [[ $(stat --format=%i "$MNT/second") != "$inode" ]] || break
        mv "$MNT/second" "$MNT/other-$i"
done
if ((i < 200)); then
        second=$(event "$MNT/second" second "$writer")
        ask read
        [[ $answer == "$first"$'\n'* && $answer == *$'\n'"$second"$'\n' ]] || fail "of a reused inode: $answer"
        [[ $first != *" generation=$(generation_of "$inode") "* ]] || fail "a reused inode has its old generation"
else
        fail "no inode number was used again"
fi

# The one who watches writes.
ask write "$MNT/own"
expect_events "$(event "$MNT/own" own "$watch_pid")"

# Files without a name are told of, with an invented name that begins with "#", in the directory they were made
# in, even if they get a name: who watches and makes such donors has to know itself by its pid.
ask unnamed "$MNT/directory"
inode=$done_with
ask read
[[ $answer == "event inode=$inode "*" parent=$(stat --format=%i "$MNT/directory") "*" pid=$watch_pid name=#$inode"$'\n' ]] ||
        fail "of O_TMPFILE: $answer"
ask unnamed "$MNT/directory" named
inode=$done_with
ask read
[[ $answer == "event inode=$inode "*" pid=$watch_pid name=#$inode"$'\n' ]] || fail "of O_TMPFILE with a name: $answer"

# More than the kernel keeps.
limit=$(</proc/sys/fs/fanotify/max_queued_events)
((limit <= 200000)) || skip "a queue of $limit events is too long to fill"
mkdir "$MNT/flood"
ask flood "$MNT/flood" $((limit + 100))
flood_usec=$done_with
ask count
read -r n_events n_overflows n_bytes usec <<<"$done_with"
[[ $n_events == "$limit" ]] || fail "$n_events events of a queue of $limit"
[[ $n_overflows == 1 ]] || fail "$n_overflows overflows"
echo "$n_events events, $n_bytes bytes: read in $usec us, written in $flood_usec us"
# Then all is as before.
write_file "$MNT/file"
expect_events "$(event "$MNT/file" file "$writer")"

# Nothing is held: neither by the mark nor by events that wait.
write_file "$MNT/file"
umount "$MNT" || fail "umount of a marked volume"
volume_is_free volume || fail "the device of a marked volume is in use after umount"
# They can still be read. The mark went with the volume.
ask read
[[ $answer == event*name=file$'\n' ]] || fail "after umount: $answer"
volume_mount volume
write_file "$MNT/file"
ask read
[[ ! $answer ]] || fail "a mark that outlived its volume: $answer"
ask mark
[[ $done_with == "$fsid" ]] || fail "the same device has another id: $done_with"
write_file "$MNT/file"
expect_events "$(event "$MNT/file" file "$writer")"

# Small inode numbers have handles of another shape.
volume_umount volume
volume_mount volume -o inode32
ask mark
write_file "$MNT/file"
expect_events "$(event "$MNT/file" file "$writer")"

commands=${WATCH[1]}
exec {commands}>&-
wait "$watch_job"
volume_check volume
