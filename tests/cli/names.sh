#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Names that would drive a terminal, add a line or are not UTF-8: shown escaped in text, exact or escaped in JSON, and
# the files are moved like others.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60
# MUTANTS: ESCAPE

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 1G
# shellcheck disable=SC2016  # that is the point
NAMES=($'new\nline' $'\e[31mred\e[0m' $'tab\there' $'invalid-\xff\xfe-utf8' 'back\slash' '"quotes"' $'umlaut-\xc3\xa4'
        ' leading and trailing ' -v --help '$(reboot)`reboot`' $'bidi-\xe2\x80\xae-override' $'c1-\xc2\x9b31m' '*' '%s%n'
        "$(head -c 255 /dev/zero | tr '\0' n)")
mkdir "$MNT/dir"
fragment --files="${#NAMES[@]}" --size=2M "$MNT"
for i in "${!NAMES[@]}"; do
        mv "$MNT/$(printf 'file%04d' "$i")" "$MNT/dir/${NAMES[i]}"
done
volume_remount volume
remember files "$MNT"

defrag 0 --dry-run -v "$MNT/dir"
grep -q $'[\x01-\x09\x0b-\x1f\x7f]' "$OUT" "$ERR" && lost "a control character in the text"
iconv -f utf-8 -t utf-8 "$OUT" >/dev/null || fail "the text is not UTF-8"
(($(grep -c ': skipped:dry-run' "$OUT") == ${#NAMES[@]})) || fail "not a line a file: $(cat "$OUT")"
grep -F 'new\x0aline' "$OUT" | grep -q dry-run || fail "the newline: $(cat "$OUT")"

# One by one, so that each is named by a person.
for name in "${NAMES[@]}"; do
        defrag 0 --no-budget "$MNT/dir/$name"
        grep -q ': moved' "$OUT" || fail "$name: $(cat "$OUT")"
        (($(wc -l <"$OUT") == 2)) || fail "$name: not two lines: $(cat "$OUT")"
        grep -q $'[\x01-\x09\x0b-\x1f\x7f]' "$OUT" "$ERR" && lost "a control character in the text"
done
(cd "$MNT/dir" && defrag 0 --no-budget -- -v --help)
expect_same files

defrag 0 --json "$MNT/dir"/*
grep -q $'[^\x20-\x7e]' "$OUT" && fail "not plain ASCII: $(cat "$OUT")"
for name in $'new\nline' $'\e[31mred\e[0m' $'tab\there' '"quotes"' 'back\slash' $'umlaut-\xc3\xa4'; do
        expect_outcome "$MNT/dir/$name" optimal
done
[[ $(said .optimal) == "${#NAMES[@]}" ]] || fail "$(said .)"
