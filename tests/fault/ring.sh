#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# io_uring refuses a request, or to say what is done. The file that this meets fails; what is still in the ring then must not come with the
# next file's requests: that one is moved. On ext4 only hints go through a ring, and are done by hand where that fails.
# LIMIT: 120
# WHOLE: 1200
# ENGINES: exchange ext4

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"

need_inject
test_volume 1G
fragment --files=40 --size=5M "$MNT"
volume_remount volume
remember files "$MNT"

# Several pieces of 512 KiB are in flight at a time.
if [[ ${WHOLE:-} ]]; then
        points=({1..60})
        faults=(EAGAIN EBUSY ENOMEM EIO lie)
else
        points=(2 8 9 12 15 20 24 30 36 42)
        faults=(EAGAIN)
fi
n_runs=0
n_failed=0
one=0
for fault in "${faults[@]}"; do
        for k in "${points[@]}"; do
                if ((one >= 40)); then
                        expect_same files
                        rm -f "$MNT"/file*
                        fragment --files=40 --size=5M "$MNT"
                        volume_remount volume
                        remember files "$MNT"
                        one=0
                fi
                FILE=$(printf '%s/file%04d' "$MNT" "$one")
                next=$(printf '%s/file%04d' "$MNT" $((one + 1)))
                one=$((one + 2))
                how=("--fail=$fault")
                [[ $fault != lie ]] || how=(--lie)
                injected --at="io_uring_enter:$k" "${how[@]}" -- "$next"
                ((status != 124 && status < 128)) || wrong "status $status"
                # Of the wait for what is done there are sometimes more, sometimes fewer.
                [[ $HIT ]] || continue
                n_runs=$((n_runs + 1))
                ((status != 0)) || continue
                n_failed=$((n_failed + 1))
                # An I/O error stops the volume; a ring that refused is no matter of the volume's, whichever file came first.
                [[ $fault == EIO || "$(said .failed) $(said .moved)" == "1 1" ]] || wrong "it has met both files"
        done
done
((n_runs > 0)) || fail "the ring was never asked"
if [[ $ENGINE == ext4 ]]; then
        ((n_failed == 0)) || fail "a file failed because of the ring in $n_failed of $n_runs runs"
else
        ((n_failed > 0)) || fail "nothing ever failed"
fi
expect_same files
volume_check volume
echo "$n_runs runs, a file failed in $n_failed of them"
