#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the scripts in machine/ share: a virtual machine with a kernel of Debian's, a systemd and the defragd of this build.
#
# A test begins with
#         # KERNELS: 6.1 6.12
#         . "$(dirname "$0")/../lib/machine.sh"
#         machine_begin "$@"
# and is run once for each of these kernels, which $KERNEL names; "# SAMPLE_KERNELS: 6.12" names fewer for a run of all tests. All that
# lib/scratch.sh says holds here, too. The messages of the machine's kernel are judged like those of the host's.
#
# Emulated, because where continuous integration runs there is no virtualization within: a boot takes 11 s, and programs
# several times as long as on the host. No network. The machine, what its disks differ in from the cached ones and what the
# test adds to it are in the test's sandbox and go with it. Cached are build/kernels/RELEASE (a kernel and its modules), with a
# link for each name in KERNELS, and build/machine (the root that lib/roots.sh makes, as a disk).

. "$(dirname "${BASH_SOURCE[0]}")/scratch.sh"
. "$(dirname "${BASH_SOURCE[0]}")/roots.sh"

# Seconds. A boot takes 11 on two idle cores, and took 45 on two that others kept busy.
MACHINE_BOOT_LIMIT=${MACHINE_BOOT_LIMIT:-180}
MACHINE_COMMAND_LIMIT=${MACHINE_COMMAND_LIMIT:-120}
MACHINE_END_LIMIT=${MACHINE_END_LIMIT:-60}

# What nobody asks for in a machine like this, a process or more each: an emulated boot consists of starting programs.
MACHINE_MASKED=(getty@tty1.service serial-getty@ttyS0.service e2scrub_reap.service e2scrub_all.timer apt-daily.timer
        apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer modprobe@{configfs,drm,efi_pstore,fuse}.service
        systemd-{binfmt,pstore,random-seed,update-utmp,update-utmp-runlevel}.service proc-sys-fs-binfmt_misc.automount
        dev-{hugepages,mqueue}.mount sys-kernel-{config,debug,tracing}.mount sys-fs-fuse-connections.mount)

# The machine ends when its kernel panics. Nobody attacks it.
# shellcheck disable=SC2054  # the kernel's commas
MACHINE_APPEND=(console=ttyS0 quiet panic=-1 mitigations=off modprobe.blacklist=kvm_amd,kvm_intel systemd.show_status=no)

KERNELS_DIRECTORY=$(realpath --canonicalize-missing "$TESTS/../build/kernels")
MACHINE_DIRECTORY=$(realpath --canonicalize-missing "$TESTS/../build/machine")

machine_need()
{
        [[ $(uname -m) == x86_64 ]] || skip "the machines are of x86_64, with programs of this one"
        need_command qemu-system-x86_64 mkfs.ext4 cpio depmod dpkg-deb apt-get
}

# machine_begin [KERNEL]: goes on inside a sandbox, once for each kernel if none is named.
machine_begin()
{
        local status=0 worst=0 kernels

        KERNEL=${1:-}
        if [[ ! $KERNEL ]]; then
                read -r -a kernels < <(sed -n 's/^# KERNELS: //p' "$0")
                for KERNEL in "${kernels[@]}"; do
                        echo "--- $KERNEL"
                        "$0" "$KERNEL" || {
                                status=$?
                                ((status == 77 && worst != 0)) || worst=$status
                        }
                done
                exit "$worst"
        fi
        machine_need
        # Before the sandbox, so that its end does not end a half-made cache.
        in_sandbox || machine_prepare "$KERNEL"
        test_begin "$KERNEL"
}

# --- what is cached ---

# image_make DIRECTORY IMAGE SIZE: an ext4 that shows the directory. Nothing in it has to survive a crash: no journal.
image_make()
{
        truncate --size "$3" "$2"
        mkfs.ext4 -q -O ^has_journal -m 0 -d "$1" "$2"
}

# The package of the newest kernel $1, as apt with these options sees it; nothing if there is none.
kernel_package()
{
        local pattern=${1//./\\.}

        pattern="linux-image-$pattern\.[0-9][^a-z]*([+]deb[0-9]+)?-cloud-amd64"
        apt-cache "${@:2}" pkgnames "linux-image-$1" | grep -xE "$pattern" | sort --version-sort | tail -n 1 || true
}

# Where this system's package lists lack the kernel, or name one that is gone, its sources are asked anew, and the lists
# kept here.
kernel_download()
{
        local kernel=$1 work=$2 package options=()

        package=$(kernel_package "$kernel")
        if [[ ! $package ]] || ! (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package"); then
                mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
                options=(-o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root)
                apt-get -q "${options[@]}" update
                package=$(kernel_package "$kernel" "${options[@]}")
                [[ $package ]] || fail "apt knows no cloud kernel $kernel"
                (cd "$work" && apt-get -q "${options[@]}" download "$package")
        fi
}

# The modules without which there is no disk and no way to talk, in the order in which they must be loaded.
kernel_early_modules()
{
        local tree=$1 release=$2 target=$3 name path number=10

        mkdir "$target"
        for name in virtio_pci virtio_blk virtio_console; do
                modprobe --dirname "$tree" --set-version "$release" --show-depends "$name"
        done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$target.list"
        while read -r path; do
                name=$number-$(basename "${path%.xz}")
                case $path in
                *.xz) xz --decompress --stdout "$path" >"$target/$name" ;;
                *) cp "$path" "$target/$name" ;;
                esac
                number=$((number + 1))
        done <"$target.list"
        rm "$target.list"
}

kernel_prepare()
{
        local kernel=$1 work release

        [[ -e $KERNELS_DIRECTORY/$kernel/vmlinuz ]] && return
        # Of one that was killed.
        rm -rf "$KERNELS_DIRECTORY"/new.*
        work=$(mktemp --directory "$KERNELS_DIRECTORY/new.XXXXXX")
        kernel_download "$kernel" "$work"
        dpkg-deb --extract "$work"/linux-image-*.deb "$work/tree"
        release=$(basename "$work"/tree/lib/modules/*)
        depmod --basedir "$work/tree" "$release"
        mkdir "$work/ready"
        mv "$work/tree/boot/vmlinuz-$release" "$work/ready/vmlinuz"
        kernel_early_modules "$work/tree" "$release" "$work/ready/early"
        image_make "$work/tree/lib/modules/$release" "$work/ready/modules.ext4" 512M
        rm -rf "${KERNELS_DIRECTORY:?}/$release"
        mv "$work/ready" "$KERNELS_DIRECTORY/$release"
        ln --symbolic --no-dereference --force "$release" "$KERNELS_DIRECTORY/$kernel"
        rm -rf "$work"
}

root_prepare()
{
        local root=$1 image=$MACHINE_DIRECTORY/root.ext4 package

        [[ -e $image && $image -nt $root ]] && return
        # A container misses neither.
        for package in kmod udev; do
                [[ -e $root/var/lib/dpkg/info/$package.list ]] || fail "$root has no $package: ROOT_PACKAGES in lib/roots.sh"
        done
        mkdir -p "$MACHINE_DIRECTORY"
        rm -f "$image.new"
        image_make "$root" "$image.new" 2G
        mv "$image.new" "$image"
}

# machine_prepare KERNEL...: what has to be fetched and made only once, by one test at a time.
machine_prepare()
{
        local kernel lock

        mkdir -p "$KERNELS_DIRECTORY"
        exec {lock}>"$KERNELS_DIRECTORY/lock"
        flock "$lock"
        for kernel; do
                kernel_prepare "$kernel"
        done
        root_make bookworm
        root_prepare "$ROOTS/bookworm"
        exec {lock}>&-
}

# --- a machine ---

# The first program, and the modules that it loads.
machine_initramfs()
{
        local tree=$SCRATCH/initramfs.tree

        mkdir -p "$tree"/{dev,root}
        cp --recursive "$KERNELS_DIRECTORY/$1/early" "$tree/modules"
        gcc -std=gnu17 -D_GNU_SOURCE -O1 -Wall -Wextra -static -o "$tree/init" "$TESTS/lib/init.c"
        (cd "$tree" && find . | cpio --quiet --create --format=newc) >"$SCRATCH/initramfs"
        rm -rf "$tree"
}

# What is copied over the root: this build as it is installed, the tools, and who answers in_machine.
machine_additions()
{
        local tree=$SCRATCH/additions.tree units=etc/systemd/system unit

        mkdir -p "$tree/usr/local/bin" "$tree/$units/multi-user.target.wants"
        # The root directory, too, becomes as this one is.
        chmod 755 "$tree"
        DESTDIR=$tree cmake --install "$BUILD" >"$SCRATCH/install.log"
        find "$TOOLS" -maxdepth 1 -type f -executable -exec cp --target-directory="$tree/usr/local/bin" {} +
        cp "$TESTS/lib/machine-agent" "$tree/usr/local/bin"
        for unit in "${MACHINE_MASKED[@]}"; do
                ln --symbolic /dev/null "$tree/$units/$unit"
        done
        # No first boot either.
        echo 00000000000000000000000000defa6d >"$tree/etc/machine-id"
        cat >"$tree/$units/machine-agent.service" <<'EOT'
[Unit]
Description=Answers what the test asks
After=multi-user.target

[Service]
ExecStart=/usr/local/bin/machine-agent
EOT
        ln --symbolic ../machine-agent.service "$tree/$units/multi-user.target.wants"
        image_make "$tree" "$SCRATCH/additions" 256M
        rm -rf "$tree"
}

# Its pipes are open, or it has already ended.
machine_has_started()
{
        [[ -e $SCRATCH/console ]] || ! kill -0 "$machine_pid" 2>/dev/null
}

# The emulator now and then trips over code that the kernel changes while it boots ("Oops: int3"): what ends like that before it is up is begun
# anew.
MACHINE_BOOT_TRIES=3

# machine_start DIRECTORY QEMU_ARGUMENT...: fails when it does not come up.
machine_start()
{
        local directory=$1 hold

        rm -f "$SCRATCH/console" "$SCRATCH"/agent.{in,out}
        mkfifo "$SCRATCH"/agent.{in,out}
        # The processor as it is: told to leave the virtualization out (svm=off), qemu 7.2 let the machine's kernel get the
        # paths in mountinfo wrong. So the module that it would load is left out instead.
        TMPDIR=$SCRATCH qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nodefaults -no-user-config \
                -display none -no-reboot -kernel "$directory/vmlinuz" -initrd "$SCRATCH/initramfs" \
                -append "${MACHINE_APPEND[*]}" \
                "${@:2}" "${MACHINE_DEVICES[@]}" -device virtio-serial-pci -chardev "pipe,id=agent,path=$SCRATCH/agent" \
                -device virtserialport,chardev=agent \
                -chardev "file,id=console,path=$SCRATCH/console" -serial chardev:console </dev/null &
        machine_pid=$!
        # Reading ends when the machine does; writing never gives a signal.
        # shellcheck disable=SC2094  # that is what pipes are for
        exec {hold}<>"$SCRATCH/agent.out" {MACHINE_FROM}<"$SCRATCH/agent.out" {MACHINE_TO}<>"$SCRATCH/agent.in"
        wait_until 30 machine_has_started || fail "qemu does not start"
        exec {hold}>&-
        # In a shell of its own, whose end is not ours.
        (machine_answer "$MACHINE_BOOT_LIMIT")
}

# machine_boot KERNEL [DISK_IMAGE...]: a machine that is up; the images are its /dev/vdd, /dev/vde, ... Of one that is given
# as "DISK_IMAGE>RECORD" all writes and flushes are recorded (tools/replay.c). What else it is to have stands in MACHINE_DEVICES, as
# qemu's arguments.
MACHINE_DEVICES=()
machine_boot()
{
        local kernel=$1 directory=$KERNELS_DIRECTORY/$1 disks=() image start=${EPOCHREALTIME/./} n=0 try failed record

        [[ -e $SCRATCH/initramfs ]] || machine_initramfs "$kernel"
        [[ -e $SCRATCH/additions ]] || machine_additions
        for image in "$MACHINE_DIRECTORY/root.ext4,snapshot=on" "$directory/modules.ext4,readonly=on" \
                "$SCRATCH/additions,readonly=on" "${@:2}"; do
                # The host does not crash: its cache is as good as a disk's.
                if [[ $image == *'>'* ]]; then
                        : >"${image#*>}"
                        record="driver=blklogwrites,node-name=disk$n,log-sector-size=512"
                        record+=",file.driver=file,file.cache.no-flush=on,file.filename=${image%>*}"
                        record+=",log.driver=file,log.cache.no-flush=on,log.filename=${image#*>}"
                        disks+=(-blockdev "$record")
                else
                        disks+=(-drive "if=none,id=disk$n,format=raw,cache=unsafe,discard=unmap,file=$image")
                fi
                disks+=(-device "virtio-blk-pci,drive=disk$n")
                n=$((n + 1))
        done
        for ((try = 1; ; try++)); do
                machine_start "$directory" "${disks[@]}" && break
                ((try < MACHINE_BOOT_TRIES)) && grep --quiet 'Oops\|Kernel panic' "$SCRATCH/console" || exit 1
                echo "its kernel has crashed while it booted: once more"
                kill -KILL "$machine_pid" 2>/dev/null || true
                wait "$machine_pid" || true
                exec {MACHINE_FROM}<&- {MACHINE_TO}>&-
        done
        # A bed that is broken must not pass for a defragd that is.
        failed=$(in_machine systemctl --failed --no-legend --plain)
        [[ ! $failed ]] || fail "the machine does not boot well: $failed"
        printf '%s is up after %d ms\n' "$(basename "$(realpath "$directory")")" $(((${EPOCHREALTIME/./} - start) / 1000))
}

# machine_answer SECONDS: the output and the status of what was asked.
machine_answer()
{
        local status n_out n_err

        if ! read -r -t "$1" -u "$MACHINE_FROM" status n_out n_err; then
                tail -n 60 "$SCRATCH/console" >&2
                fail "the machine does not answer"
        fi
        head --bytes "$n_out" <&"$MACHINE_FROM"
        head --bytes "$n_err" <&"$MACHINE_FROM" >&2
        return "$status"
}

# in_machine COMMAND [ARGUMENT...]: runs it in the machine as root, without standard input; output, standard error and
# status are as if it were run here.
in_machine()
{
        local request

        printf -v request '%q ' "$@"
        printf '%s\n' "$request" >&"$MACHINE_TO"
        machine_answer "$MACHINE_COMMAND_LIMIT"
}

# Fails if the machine's kernel said what it should not say.
machine_check_kernel()
{
        local pattern complaints

        pattern=$(sed -n 's/^# KERNEL: //p' "$0")
        complaints=$(in_machine dmesg |
                grep -E 'BUG|WARNING|Call Trace|XFS \(.*\): .*([Cc]orrupt|[Ee]rror|[Ss]hut|[Mm]etadata)|I/O error' |
                if [[ $pattern ]]; then grep -Ev "$pattern"; else cat; fi || true)
        [[ ! $complaints ]] || fail "the machine's kernel complains: $complaints"
}

# Powers it off; its disk images can be looked at then.
machine_end()
{
        local status=0

        machine_check_kernel
        printf '%s\n' 'systemctl poweroff' >&"$MACHINE_TO"
        # There is no more to read when qemu has ended.
        timeout "$MACHINE_END_LIMIT" cat <&"$MACHINE_FROM" >/dev/null || fail "the machine does not end"
        wait "$machine_pid" || status=$?
        ((status == 0)) || fail "qemu: status $status"
        exec {MACHINE_FROM}<&- {MACHINE_TO}>&-
}

# By itself, for tests/run: makes ready what the tests need.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
        machine_need
        mapfile -t kernels < <(sed -n 's/^# KERNELS: //p' "$TESTS"/machine/*.sh | tr ' ' '\n' | sort --unique)
        machine_prepare "${kernels[@]}"
fi
