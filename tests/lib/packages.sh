# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Installs the packages that tests/packages lists, on Debian and its relatives. Touches nothing, and needs no network,
# when nothing is missing.

# Prints the listed packages that are not installed, or nothing at all where there is no dpkg.
packages_missing()
{
        local package state

        command -v dpkg-query >/dev/null || return 0
        while read -r package _; do
                [[ $package && $package != \#* ]] || continue
                # A provided or a foreign package counts by its own name alone: the list has real names.
                # shellcheck disable=SC2016  # the dollars are dpkg's
                state=$(dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1) ||
                        state=
                [[ $state == installed ]] || echo "$package"
        done <"$1"
}

# packages_install LIST: says in a line what it installs; the installer's own talk is shown when it fails.
packages_install()
{
        local missing log

        mapfile -t missing < <(packages_missing "$1")
        ((${#missing[@]})) || return 0
        if ! command -v apt-get >/dev/null || ((EUID != 0)); then
                echo "not installed: ${missing[*]}" >&2
                return 1
        fi
        echo "installing ${missing[*]}"
        log=$(mktemp)
        if ! {
                apt-get update &&
                        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
                                -o Dpkg::Use-Pty=0 "${missing[@]}"
        } </dev/null >"$log" 2>&1; then
                tail -n 30 "$log" >&2
                rm -f "$log"
                return 1
        fi
        rm -f "$log"
}
