# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Small Debian systems, with the systemd of their release, to install this build's defragd in: lib/booted.sh boots them in
# a container, others in a virtual machine. Wants lib/scratch.sh.
#
# They are made once, in build/roots, from where this machine's own packages come from; delete them to have newer ones.

ROOTS=$(realpath --canonicalize-missing "$TESTS/../build/roots")

# What boots, also as a machine with modules and devices of its own, and the libraries of defragd. xfsprogs is left out: it would bring Python along, and a volume can as well be
# made outside.
ROOT_PACKAGES=(systemd systemd-sysv udev kmod dbus mount e2fsprogs
        libcap-ng0 libinih1 libjson-c5 libmount1 libsystemd0 liburing2 libxxhash0)

# Prints the first place that apt has for the release of this machine: its address, the release and where it is configured.
root_source()
{
        local release uri codename

        release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
        # shellcheck disable=SC2016  # the dollars are apt's
        while IFS='|' read -r uri codename _; do
                [[ $codename == "$release" ]] || continue
                echo "$uri"
                return 0
        done < <(apt-get indextargets --format '$(REPO_URI)|$(RELEASE)' 'Created-By: Packages' 'Component: main')
        return 1
}

# Prints the file with the keys that apt trusts for the address $1, where it has one of its own.
root_keyring()
{
        local entry

        # shellcheck disable=SC2016  # the dollars are apt's
        entry=$(apt-get indextargets --format '$(SOURCESENTRY)' "Repo-URI: $1" | head -n 1)
        grep -Eios 'signed-by *[:=] */[^], ]+' "${entry%:*}" | grep -o '/.*' | head -n 1
}

# In a sandbox of its own, below build/roots: makes the root $1 and puts it where it belongs when it is complete.
root_debootstrap()
{
        local name=$1 uri=$2 keyring=$3 root=$SCRATCH/root include

        umask 022
        # Nobody needs a cached root after a power cut: dpkg need not wait for the disk after each file.
        mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
        printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
                'path-exclude=/usr/share/locale/*' >"$root/etc/dpkg/dpkg.cfg.d/small"
        include=$(IFS=, && echo "${ROOT_PACKAGES[*]}")
        debootstrap --variant=minbase --include="$include" ${keyring:+--keyring="$keyring"} "$name" "$root" "$uri" \
                ${ROOT_SCRIPT:+"$ROOT_SCRIPT"} || return
        rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/debootstrap
        # Nobody logs in there.
        ln -sfn multi-user.target "$root/etc/systemd/system/default.target"
        mv --no-target-directory "$root" "$ROOTS/$name"
}

# root_make bookworm|trixie: there is a $ROOTS/NAME afterwards. Skips where it cannot be had.
root_make()
{
        local name=$1 uri keyring lock log=$ROOTS/$1.log script=

        [[ ! -d $ROOTS/$name ]] || return 0
        need_command debootstrap apt-get
        uri=$(root_source) || skip "apt has no source for the release of this machine"
        keyring=$(root_keyring "$uri") || true
        # A debootstrap that is older than the release has no script for it; the one for unstable does.
        [[ -e /usr/share/debootstrap/scripts/$name ]] || script=sid
        mkdir -p "$ROOTS"
        exec {lock}>"$ROOTS/.lock"
        flock "$lock"
        # Someone else may have made it meanwhile.
        if [[ ! -d $ROOTS/$name ]]; then
                # Of one that was killed.
                rm -rf --one-file-system "$ROOTS"/defragd-test.*
                # shellcheck disable=SC2016  # the inner shell's
                if ! SANDBOX_PARENT=$ROOTS ROOT_SCRIPT=${script:+/usr/share/debootstrap/scripts/$script} \
                        "$BASH" "$TESTS/lib/sandbox.sh" "$BASH" -c \
                        'set -e; . "$1/lib/scratch.sh"; . "$1/lib/roots.sh"; shift; root_debootstrap "$@"' \
                        - "$TESTS" "$name" "$uri" "$keyring" {lock}>&- </dev/null >"$log" 2>&1; then
                        tail -n 20 "$log" >&2
                        skip "no root $name could be made"
                fi
        fi
        exec {lock}>&-
}

# root_install NAME DIRECTORY: DIRECTORY becomes a root NAME of this test's own with defragd in it.
root_install()
{
        local name=$1 directory=$2 said

        root_make "$name"
        mkdir -p "$directory" "$SCRATCH/changes-$name/upper" "$SCRATCH/changes-$name/work"
        if ! mount -t overlay -o "lowerdir=$ROOTS/$name,upperdir=$SCRATCH/changes-$name/upper" \
                -o "workdir=$SCRATCH/changes-$name/work" root "$directory" 2>/dev/null; then
                # Overlays cannot be stacked at will.
                cp --archive --reflink=auto --no-target-directory "$ROOTS/$name" "$directory"
        fi
        DESTDIR=$directory cmake --install "$BUILD" --prefix /usr >"$SCRATCH/install.log" 2>&1 ||
                {
                        cat "$SCRATCH/install.log" >&2
                        fail "cmake --install"
                }
        said=$(chroot "$directory" /usr/sbin/defragd --version 2>&1) && return
        [[ $said != *"version \`GLIBC_"* ]] || skip "what is built here is too new for $name"
        fail "defragd does not start in $name: $said"
}
