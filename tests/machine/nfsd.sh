#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The machine serves its volumes by NFS 4.2, and is its own client. What a client has open is busy, and so is a file of which a client
# has a delegation: it is recalled, what the client has cached arrives, then the file is moved. Clients that write meanwhile, through
# their page cache and past it, open all the time and opened again and again, get back every byte, of the server as of the client.
# Without the lease the exchange engine moves a file under a client that has it open for writing.
# $RACE_SECONDS: how long the clients write.
# KERNELS: 6.12
# SAMPLE: no
# LIMIT: 2400

. "$(dirname "$0")/../lib/machine.sh"
machine_begin "$@"

RACE_SECONDS=${RACE_SECONDS:-60}
MACHINE_COMMAND_LIMIT=300

N_RACERS=12
VOLUMES=(exchange plain)
# 6.1 has no such engine.
[[ $KERNEL != 6.1 ]] || VOLUMES=(plain)

disks=()
for volume in "${VOLUMES[@]}"; do
        truncate --size 384M "$SCRATCH/$volume.image"
        image_format "$volume" "$SCRATCH/$volume.image"
        disks+=("$SCRATCH/$volume.image")
done
mkdir "$SCRATCH/programs.tree"
cp "$BUILD/mutants/LEASE/defragd" "$SCRATCH/programs.tree/without-lease"
strip "$SCRATCH/programs.tree/without-lease"
# NFS 3 wants to be registered with an rpcbind, which the machine's root has not.
versions="-3 +4 -4.0 -4.1 +4.2"
if [[ -e /etc/netconfig ]] && (cd "$SCRATCH" && apt-get -q -o APT::Sandbox::User=root download rpcbind) >"$OUT" 2>&1; then
        versions="+3 +4 -4.0 -4.1 +4.2"
        dpkg-deb --extract "$SCRATCH"/rpcbind_*.deb "$SCRATCH/rpcbind"
        cp "$SCRATCH/rpcbind/sbin/rpcbind" /etc/netconfig "$SCRATCH/programs.tree"
        ldd "$SCRATCH/programs.tree/rpcbind" |
                awk '$3 ~ "/lib(tirpc|wrap|gssapi|krb5|k5crypto|com_err|keyutils|nsl)" { print $3 }' |
                xargs cp --dereference --target-directory="$SCRATCH/programs.tree"
else
        echo "no rpcbind can be had: without NFS 3"
fi
image_make "$SCRATCH/programs.tree" "$SCRATCH/programs" 64M

machine_boot "$KERNEL" "$SCRATCH/programs" "${disks[@]}"
booted=${EPOCHREALTIME/./}

done_after()
{
        echo "$1 after $(((${EPOCHREALTIME/./} - booted) / 1000)) ms"
}

# --- server and client ---

# What exportfs and mountd do: they fill the caches in which the kernel looks up who may see what. All file handles have a number of
# the volume in them; 0 is the directory above the volumes, of which nobody sees more than these. Without nfsdcld nobody
# remembers clients over a restart: for the grace period, here the shortest that there is, the first open waits.
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        versions=$1
        shift
        mkdir -p /srv/programs /etc/defragd
        mount -o ro /dev/vdd /srv/programs
        modprobe --all nfsd nfsv4
        mount -t nfsd nfsd /proc/fs/nfsd

        insecure_port=0x2 no_subtree_check=0x400 nohide=0x200 fsid=0x2000 crossmount=0x4000 v4root=0x10000
        never=2147483647
        # export NUMBER PATH FLAGS
        export_path()
        {
                printf "here %s %d %d 65534 65534 %d\n" "$2" "$never" $((insecure_port | no_subtree_check | fsid | $3)) "$1" \
                        >/proc/net/rpc/nfsd.export/channel
                printf "here 1 \\\\x%02x000000 %d %s\n" "$1" "$never" "$2" >/proc/net/rpc/nfsd.fh/channel
        }
        printf "nfsd 127.0.0.1 %d here\n" "$never" >/proc/net/rpc/auth.unix.ip/channel
        export_path 0 /srv $((v4root | crossmount))
        disks=(/dev/vd{e,f}) number=0
        for volume; do
                mkdir -p "/srv/$volume" "/mnt/$volume"
                mount "${disks[number]}" "/srv/$volume"
                number=$((number + 1))
                export_path "$number" "/srv/$volume" "$nohide"
        done
        echo 10 >/proc/fs/nfsd/nfsv4leasetime
        echo 10 >/proc/fs/nfsd/nfsv4gracetime
        echo 10 >/proc/sys/fs/nfs/nlm_grace_period
        if [[ $versions == +3* ]]; then
                modprobe nfsv3
                cp /srv/programs/netconfig /etc
                echo "_rpc:x:106:65534::/run/rpcbind:/usr/sbin/nologin" >>/etc/passwd
                mkdir -p /run/rpcbind
                LD_LIBRARY_PATH=/srv/programs /srv/programs/rpcbind
        fi
        echo "$versions" >/proc/fs/nfsd/versions
        echo "tcp 2049" >/proc/fs/nfsd/portlist
        echo 8 >/proc/fs/nfsd/threads
        for volume; do
                mount --internal-only -t nfs4 -o vers=4.2,addr=127.0.0.1,clientaddr=127.0.0.1 "127.0.0.1:/$volume" "/mnt/$volume"
                if [[ $versions == +3* ]]; then
                        mkdir -p "/mnt/$volume-3"
                        nfs3-mount here "/srv/$volume" "/mnt/$volume-3"
                fi
        done
        printf "%s\n" "[Policy]" SolidState=yes MinFileSize=4K "[Budget]" DailyWrites=infinity >/etc/defragd/defragd.conf' \
        - "$versions" "${VOLUMES[@]}"

for volume in "${VOLUMES[@]}"; do
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -ec '
                fragment --files=8 --size=1M --piece=64K --name=quiet "/srv/$1"
                fragment --files=3 --size=1M --piece=64K --name=open --seed=2 "/srv/$1"
                fragment --files="$2" --size=1M --piece=64K --name=race --seed=3 "/srv/$1"
                sync --file-system "/srv/$1"' - "$volume" "$N_RACERS"
done
done_after "served and filled"

# state VOLUME NAME: what clients have of a file, as the server knows it: "open rw deleg w" or nothing.
state()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -ec '
                device=$(printf "%02x:%02x" $(stat --format="%Hd %Ld" "/srv/$1"))
                cat /proc/fs/nfsd/clients/*/states |
                        sed -n "s|.*type: \([a-z]*\), access: \([-rw]*\),.*superblock: \"$device:.*filename: \"/$2\".*|\1 \2|p" |
                        sort --reverse | tr "\n" " "' - "$@" | sed 's/ $//'
}

state_is()
{
        [[ $(state "$1" "$2") == "$3" ]]
}

expect_state()
{
        wait_until 30 state_is "$@" || fail "/mnt/$1/$2: the server says \"$(state "$1" "$2")\", not \"$3\""
}

# client_open VOLUME NAME read|write [DATA]: a client opens the file, reads all of it or writes DATA to its beginning, and
# keeps it open. Nothing is flushed by that.
client_open()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                rm -f /tmp/done
                (
                        if [[ $3 == read ]]; then
                                exec 5<"/mnt/$1/$2"
                                cat <&5
                        else
                                exec 5<>"/mnt/$1/$2"
                                cat "$4" >&5
                        fi
                        touch /tmp/done
                        exec sleep infinity
                ) >/dev/null 2>/tmp/client &
                echo $! >/tmp/client.pid
                for ((i = 0; i < 600; i++)); do
                        [[ ! -e /tmp/done ]] || exit 0
                        sleep 0.1
                done
                cat /tmp/client >&2
                exit 1' - "$@" || fail "the client cannot $3 $1/$2"
}

client_close()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                pid=$(cat /tmp/client.pid)
                kill "$pid"
                while [[ -e /proc/$pid ]]; do sleep 0.02; done'
}

# defrag_in_machine [--by PROGRAM] PATH...
defrag_in_machine()
{
        local status=0 program=defragd

        if [[ $1 == --by ]]; then
                program=$2
                shift 2
        fi
        in_machine "$program" --once --no-budget --json --config=/etc/defragd/defragd.conf "$@" >"$OUT" 2>"$ERR" || status=$?
        [[ $status == @(0|75) ]] || fail "$program --once $*: status $status: $(cat "$OUT" "$ERR")"
}

# expect_moved_soon PATH: over and over; until then it may be busy, or have been changed.
expect_moved_soon()
{
        local outcome start=${EPOCHREALTIME/./} n=0

        while :; do
                defrag_in_machine "$1"
                n=$((n + 1))
                # shellcheck disable=SC2016  # jq's
                outcome=$(said_of "$1" '.outcome + ":" + (.reason // "")')
                case $outcome in
                moved:*) break ;;
                busy:* | changed:*) ((n < 20)) || fail "$1 is $outcome all the time" ;;
                *) fail "$1: $outcome" ;;
                esac
        done
        echo "$1: moved by run $n, after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
}

# expect_model VOLUME NAME [MOUNT]: a file is what it should be, /tmp/model: for a client as it is, as the server has it, as the disk has it, and for a client that asks
# the server.
expect_model()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -c '
                cmp /tmp/model "/mnt/$3/$2" &&
                cmp /tmp/model "/srv/$1/$2" &&
                dd if="/srv/$1/$2" bs=1M iflag=direct status=none | cmp /tmp/model &&
                dd if="/mnt/$3/$2" bs=1M iflag=direct status=none | cmp /tmp/model' - "$1" "$2" "${3:-$1}" >"$OUT" 2>&1 ||
                lost "$1/$2 is not what was written: $(cat "$OUT")"
}

# model VOLUME NAME SEED: /tmp/model is the file, with /tmp/data, which is new, at its beginning.
model()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                cp "/srv/$1/$2" /tmp/model
                head --bytes=150000 /dev/urandom >/tmp/data
                [[ $3 == same ]] || dd if=/tmp/data of=/tmp/model bs=150000 conv=notrunc status=none' - "$@"
}

# --- delegations ---

# None is granted in the grace period, be it that of NFS 3.
granted()
{
        client_open "${VOLUMES[0]}" quiet0000 read
        client_close
        state_is "${VOLUMES[0]}" quiet0000 "deleg r"
}
wait_until 200 granted || fail "the server grants no delegation"
done_after "grace period"

for volume in "${VOLUMES[@]}"; do
        # For reading, in use.
        model "$volume" quiet0000 same
        client_open "$volume" quiet0000 read
        expect_state "$volume" quiet0000 "open r- deleg r"
        defrag_in_machine "/srv/$volume/quiet0000"
        expect_outcome "/srv/$volume/quiet0000" busy:open
        expect_state "$volume" quiet0000 "open r-"
        client_close
        expect_moved_soon "/srv/$volume/quiet0000"
        expect_model "$volume" quiet0000

        # For reading, and only the delegation is left, with all of the file in the client's cache.
        model "$volume" quiet0001 same
        client_open "$volume" quiet0001 read
        client_close
        expect_state "$volume" quiet0001 "deleg r"
        expect_moved_soon "/srv/$volume/quiet0001"
        expect_state "$volume" quiet0001 ""
        expect_model "$volume" quiet0001

        # For writing: the client has the only copy of what it wrote.
        model "$volume" quiet0002 new
        client_open "$volume" quiet0002 write /tmp/data
        expect_state "$volume" quiet0002 "open rw deleg w"
        defrag_in_machine "/srv/$volume/quiet0002"
        expect_outcome "/srv/$volume/quiet0002" busy:open
        # That is why it has been recalled.
        expect_state "$volume" quiet0002 "open rw"
        expect_model "$volume" quiet0002
        client_close
        expect_moved_soon "/srv/$volume/quiet0002"
        expect_model "$volume" quiet0002

        # The same, and the client is gone before anybody asks for what it wrote.
        model "$volume" quiet0003 new
        client_open "$volume" quiet0003 write /tmp/data
        client_close
        expect_state "$volume" quiet0003 "deleg w"
        expect_moved_soon "/srv/$volume/quiet0003"
        expect_state "$volume" quiet0003 ""
        expect_model "$volume" quiet0003

        # A client that wrote and made it safe. And once more, to the file in its new place.
        for i in 1 2; do
                model "$volume" quiet0004 new
                client_open "$volume" quiet0004 write /tmp/data
                in_machine sync "/mnt/$volume/quiet0004"
                client_close
                ((i == 2)) || expect_moved_soon "/srv/$volume/quiet0004"
                expect_model "$volume" quiet0004
        done
        done_after "$volume: delegations"
done

# --- NFS 3 ---

# There is no open and close in it: the server keeps files open for some seconds after the last that it was asked, unless somebody
# asks for a lease.
for volume in "${VOLUMES[@]}"; do
        [[ $versions == +3* ]] || continue
        model "$volume" quiet0006 new
        in_machine dd if=/tmp/data of="/mnt/$volume-3/quiet0006" bs=150000 conv=notrunc,fsync status=none
        expect_moved_soon "/srv/$volume/quiet0006"
        expect_model "$volume" quiet0006 "$volume-3"
        model "$volume" quiet0007 same
        in_machine cmp /tmp/model "/mnt/$volume-3/quiet0007"
        expect_moved_soon "/srv/$volume/quiet0007"
        expect_model "$volume" quiet0007 "$volume-3"
        done_after "$volume: NFS 3"
done

# --- clients that write meanwhile ---

# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        n_racers=$1
        shift
        mkdir /tmp/writers
        cd /tmp/writers
        # start NAME ARGUMENT...
        start()
        {
                writer "${@:2}" >"$1.out" 2>&1 &
                echo $! >"$1.pid"
        }
        for volume; do
                kinds=(buffered direct mmap)
                for i in "${!kinds[@]}"; do
                        start "$volume-open$i" "${kinds[i]}" "/mnt/$volume/open000$i" --seed=$((i + 1)) --pause=300000 --sync
                done
                # So long that some pass for quiet, and some of those come back while they are copied.
                for ((i = 0; i < n_racers; i++)); do
                        start "$volume-race$i" "${kinds[i % 2]}" "$(printf "/mnt/%s/race%04d" "$volume" "$i")" --seed=$((i + 100)) \
                                --pause=4000000 --reopen --sync
                done
        done' - "$N_RACERS" "${VOLUMES[@]}"

# Every one of them, or of those that wait for the word.
writers_all()
{
        [[ $(in_machine bash -c "cd /tmp/writers && grep --files-with-matches -- '$1' *.out | wc -l; ls *.pid | wc -l" | uniq | wc -l) == 1 ]]
}

wait_until 200 writers_all ready || fail "the writers do not start: $(in_machine bash -c 'tail -n 2 /tmp/writers/*')"
done_after "writers"

declare -A outcomes=()
deadline=$((SECONDS + RACE_SECONDS))
n_rounds=0
while ((SECONDS < deadline || n_rounds < 3)); do
        for volume in "${VOLUMES[@]}"; do
                mapfile -t paths < <(printf "/srv/$volume/open%04d\n" {0..2}; seq --format="/srv/$volume/race%04.0f" 0 $((N_RACERS - 1)))
                defrag_in_machine "${paths[@]}"
                # shellcheck disable=SC2016  # jq's
                while read -r name outcome; do
                        case $name in
                        open*) [[ $outcome == @(busy|changed) ]] || lost "$volume/$name is open all the time: $outcome" ;;
                        race*)
                                [[ $outcome == @(busy|changed|moved|optimal) ]] || fail "$volume/$name: $outcome"
                                outcomes[$outcome]=$((${outcomes[$outcome]:-0} + 1))
                                ;;
                        esac
                done < <(jq --raw-output 'select(.path) | (.path | split("/") | last) + " " + .outcome' "$OUT")
        done
        n_rounds=$((n_rounds + 1))
done
for outcome in "${!outcomes[@]}"; do
        echo "$outcome: ${outcomes[$outcome]}"
done

# shellcheck disable=SC2016  # the machine's shell
in_machine bash -uc '
        cd /tmp/writers
        kill -TERM $(cat *.pid)
        for pid in *.pid; do
                while [[ -e /proc/$(cat "$pid") ]]; do sleep 0.1; done
        done'
in_machine bash -c 'grep -H . /tmp/writers/*.out' | grep -v ready >"$SCRATCH/writers" || true
if grep -q 'lost: \|[1-9][0-9]* blocks lost' "$SCRATCH/writers"; then
        lost "$(grep lost "$SCRATCH/writers")"
fi
n_ended=$(grep -c ' writes, 0 blocks lost$' "$SCRATCH/writers" || true)
((n_ended == ${#VOLUMES[@]} * (N_RACERS + 3))) || fail "$n_ended writers ended well: $(grep -v ' writes, 0 blocks lost$' "$SCRATCH/writers")"
echo "$n_rounds rounds, $(awk '{ sub(".*:", ""); n += $1 } END { print n }' "$SCRATCH/writers") writes acknowledged, 0 lost"
((${outcomes[moved]:-0} > 0 && ${outcomes[busy]:-0} + ${outcomes[changed]:-0} > 0)) || fail "writers and moves have never met"
done_after "clients that write meanwhile"

# --- without the lease ---

# The client has it open and may write at any moment; it is moved all the same. SWAPEXT has a lease of its own. Nothing is lost by
# that here: nfsd of these kernels writes through the page cache, under the lock that the copy takes, too.
for volume in "${VOLUMES[@]}"; do
        model "$volume" quiet0005 new
        client_open "$volume" quiet0005 write /tmp/data
        in_machine sync "/mnt/$volume/quiet0005"
        defrag_in_machine "/srv/$volume/quiet0005"
        expect_outcome "/srv/$volume/quiet0005" busy:open
        for i in {1..5}; do
                defrag_in_machine --by /srv/programs/without-lease "/srv/$volume/quiet0005"
                [[ $(said_of "/srv/$volume/quiet0005" .outcome) == changed ]] || break
        done
        expect_outcome "/srv/$volume/quiet0005" "$([[ $volume == exchange ]] && echo moved || echo busy:open)"
        expect_state "$volume" quiet0005 "open rw"
        expect_model "$volume" quiet0005
        client_close
done
done_after "without the lease"

# --- the end ---

# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        cd /
        sha256sum $(printf "/mnt/%s/* " "$@") | sort --key=2 >/tmp/client.sums
        umount /mnt/*
        echo 0 >/proc/fs/nfsd/threads
        for cache in nfsd.export nfsd.fh auth.unix.ip; do
                echo $(($(date +%s) + 1)) >"/proc/net/rpc/$cache/flush"
        done
        disks=(/dev/vd{e,f}) number=0
        for volume; do
                for ((i = 0; i < 100; i++)); do
                        umount "/srv/$volume" 2>/dev/null && break
                        sleep 0.1
                done
                mount "${disks[number]}" "/srv/$volume"
                number=$((number + 1))
        done
        sha256sum $(sed "s,.* /mnt,/srv," /tmp/client.sums) | sed "s, /srv, /mnt," | diff /tmp/client.sums -' - "${VOLUMES[@]}" >"$OUT" 2>&1 ||
        lost "the disk has something else than the client: $(head -n 20 "$OUT")"
machine_end

for volume in "${VOLUMES[@]}"; do
        image_check "$volume" "$SCRATCH/$volume.image"
done
done_after "all"
