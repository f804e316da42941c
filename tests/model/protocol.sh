#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The protocol of protocol.pml, searched whole: with all of its protections nothing can get lost, for either engine, with
# either kind of stamps; without any one of them spin finds the loss that the protection is there for.
#
# $WHOLE: two programs and the power going, too, which takes minutes.
# ENGINES: no
# LIMIT: 1200
# WHOLE: 1800

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"
need_command spin gcc

MODEL=$TESTS/model/protocol.pml
# A gigabyte for all.
N_AT_ONCE=2
MIB_EACH=450

# The engines, with coarse stamps (the kernels before 6.13) and distinct ones.
declare -A FLAGS=(
        [exchange]='' [exchange-coarse]='-DCOARSE' [swapext]='-DSWAPEXT' [swapext-coarse]='-DSWAPEXT -DCOARSE'
)
declare -A KINDS=([buffered]=1 [direct]=2 [mapped]=3 [pinned]=4)

# What the expression in pan's message is about.
loss_of()
{
        case $1 in
        *acknowledged*) echo LOST_WRITE ;;
        *synced*) echo LOST_FSYNC ;;
        *'&128'*) echo LOST_BITS ;;
        *'!(is_exchanged)'*) echo moves ;;
        *) echo "$1" ;;
        esac
}

# search NUMBER EXPECTED ENGINE [NAME=VALUE|NAME...]: EXPECTED is "safe" for a search of everything that finds nothing, or what is
# lost. Prints a line; fails when that is not what came out.
search()
{
        local number=$1 expected=$2 engine=$3 found said states depth optimize=-O0 one
        local -a flags
        local name="${*:3}"

        shift 3
        read -ra flags <<<"${FLAGS[$engine]}"
        for one; do
                case $one in
                # One program of one kind.
                buffered | direct | mapped | pinned) flags+=(-DWRITERS=1 "-DKIND=${KINDS[$one]}") ;;
                one) flags+=(-DWRITERS=1) ;;
                *) flags+=("-D$one") ;;
                esac
        done
        # What ends with the first loss is searched in less time than an optimizer takes.
        [[ $expected != safe ]] || optimize=-O1
        mkdir "$SCRATCH/$number"
        cd "$SCRATCH/$number"
        spin -a "${flags[@]}" "$MODEL" >spin.log || { cat spin.log; fail "spin: $name"; }
        # States are kept whole, not as bits of a hash.
        gcc -w "$optimize" -DSAFETY -DCOLLAPSE "-DMEMLIM=$MIB_EACH" -o pan pan.c
        ./pan -m10000 -w20 >pan.log 2>&1 || true
        said=$(sed -n 's/^pan:[0-9]*: \(assertion violated .*\) (at depth [0-9]*)$/\1/p' pan.log)
        states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log)
        depth=$(sed -n 's/.*depth reached \([0-9]*\),.*/\1/p' pan.log)
        if grep --quiet --extended-regexp 'max search depth too small|out of memory|reached -DMEMLIM|BITSTATE|Bit statespace' pan.log; then
                found='not searched whole'
        elif [[ $said ]]; then
                found=$(loss_of "$said")
        elif grep --quiet 'errors: 0$' pan.log && grep --quiet '^Full statespace search' pan.log &&
                ! grep --quiet 'Search not completed' pan.log; then
                found=safe
        else
                found='no answer'
        fi
        printf '%-52s %s, %s states, depth %s\n' "$name:" "$found" "$states" "$depth"
        [[ $found == "$expected" ]] && return
        cat pan.log
        [[ ! -s protocol.pml.trail ]] || spin -t -p -g "${flags[@]}" "$MODEL" | tail -n 300
        fail "$name: $found, not $expected"
}

searches()
{
        local engine

        for engine in exchange exchange-coarse swapext swapext-coarse; do
                # Two programs, all pairs of kinds.
                echo safe $engine
                # One program, and the power may go at any instant; a bit may flip.
                echo safe $engine one CRASH FLIP
                # It would prove nothing if nothing was ever moved.
                echo moves $engine one NEVER_MOVES
                [[ ! ${WHOLE:-} ]] || echo safe $engine CRASH FLIP
        done
        # These do not depend on the stamps.
        for engine in exchange swapext; do
                echo LOST_WRITE $engine buffered WITHOUT_LEASE
                echo LOST_WRITE $engine direct WITHOUT_LEASE
                echo LOST_WRITE $engine pinned WITHOUT_LEASE
                echo LOST_WRITE $engine buffered WITHOUT_ONE_COOKIE
                echo LOST_WRITE $engine direct WITHOUT_ONE_COOKIE
                echo LOST_WRITE $engine mapped WITHOUT_ONE_COOKIE
                echo LOST_WRITE $engine buffered WITHOUT_FLUSH
                echo LOST_WRITE $engine mapped WITHOUT_FLUSH
                echo LOST_WRITE $engine buffered WITHOUT_ORDER
                echo LOST_BITS $engine one FLIP WITHOUT_VERIFY
                echo LOST_FSYNC $engine one CRASH WITHOUT_DURABLE
                # A store through a page that is dirty and mapped already needs no lease: the cookie comes first, and the flush takes the
                # mapping's right to store without a fault (hazard/dirty-mapped-store).
                echo safe $engine mapped WITHOUT_LEASE
        done
        for engine in exchange-coarse swapext swapext-coarse; do
                echo LOST_WRITE $engine WITHOUT_SAME_TICK
        done
        # START_COMMIT itself asks for the stamps, which is enough where they are distinct then.
        echo safe exchange WITHOUT_SAME_TICK
        for engine in exchange-coarse swapext-coarse; do
                echo LOST_WRITE $engine WITHOUT_GUARD
        done
        for engine in swapext swapext-coarse; do
                echo LOST_WRITE $engine pinned WITHOUT_COMMIT_LEASE
        done
        # The kernel takes a lease away from whoever stands still for fs.lease-break-time.
        echo safe exchange one LEASE_BREAK
        echo LOST_WRITE exchange buffered LEASE_BREAK WITHOUT_LEASE_KEPT
        echo LOST_WRITE exchange direct LEASE_BREAK WITHOUT_LEASE_KEPT
        echo safe swapext buffered LEASE_BREAK
        echo safe swapext direct LEASE_BREAK
        echo safe swapext mapped LEASE_BREAK
        echo LOST_WRITE swapext direct LEASE_BREAK WITHOUT_LEASE_KEPT
        # Not covered (docs/SAFETY.md): stopped so long between taking the second lease and SWAPEXT.
        echo LOST_WRITE swapext pinned LEASE_BREAK
}

number=0
searching=()
while read -r -a arguments; do
        while (($(jobs -pr | wc -l) >= N_AT_ONCE)); do
                wait -n || true
        done
        number=$((number + 1))
        (search "$number" "${arguments[@]}") >"$SCRATCH/said-$number" 2>&1 &
        searching+=($!)
done < <(searches)

worst=0
for ((i = 0; i < number; i++)); do
        status=0
        wait "${searching[i]}" || status=$?
        cat "$SCRATCH/said-$((i + 1))"
        ((status == 0)) || worst=1
done
((number >= 40)) || fail "only $number searches"
exit "$worst"
