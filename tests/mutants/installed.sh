#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What is installed holds every protection and no way to go without one: its machine code is, object by object, that of sources in which
# each PROTECTED_BY(...) is a plain 1. The same comparison tells every mutant from it, and each protection has a test that has to
# fail without it.

. "$(dirname "$0")/../lib/scratch.sh"

need_command objcopy cmp
[[ -s $BUILD/mutants/objects ]] || fail "$BUILD has no mutants"
scratch=$(mktemp --directory)
trap 'rm -rf "$scratch"' EXIT

# same_code OBJECT OBJECT: but for what only a debugger reads.
same_code()
{
        objcopy --strip-debug "$1" "$scratch/one"
        objcopy --strip-debug "$2" "$scratch/other"
        cmp --quiet "$scratch/one" "$scratch/other"
}

declare -A installed
n_protected=0
while read -ra objects; do
        name=${objects[0]}
        n_different=0
        for object in "${objects[@]:1}"; do
                source=${object##*/daemon/}
                if [[ $name == installed ]]; then
                        installed[$source]=$object
                elif ! same_code "${installed[$source]}" "$object"; then
                        n_different=$((n_different + 1))
                        [[ $name != protected ]] || fail "$source: something else than 1 stands for a protection"
                elif [[ $name == protected ]]; then
                        n_protected=$((n_protected + 1))
                fi
        done
        [[ $name != @(installed|protected) ]] || continue
        ((n_different > 0)) || fail "$name: the mutant is what is installed"
        grep --quiet --word-regexp "MUTANTS:.*\<$name" "$TESTS"/hazard/*.c "$TESTS"/{cli,fs,daemon,crash,powercut,machine}/*.sh ||
                fail "$name: no test has to fail without it"
        echo "$name: $n_different of $((${#objects[@]} - 1)) objects differ"
done <"$BUILD/mutants/objects"
((n_protected > 0)) || fail "no source has a protection"
echo "$n_protected sources with protections are as if they had no switch"

# No other variable is ever asked for, and none by a name that is made up at run time.
asked=$(grep --recursive --no-filename --only-matching 'getenv([^)]*)' "$TESTS/../daemon" | sort --unique | paste -sd ' ')
[[ $asked == 'getenv("JOURNAL_STREAM") getenv("STATE_DIRECTORY")' ]] || fail "the environment: $asked"
