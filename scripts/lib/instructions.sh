# shellcheck shell=bash
# Counts the instructions of small subjects under valgrind and compares them with a reference.
# Unlike times, they hardly depend on the machine and not at all on its load.
#
#   instructions_check PROGRAM SAVE    fails if one grew by more than 10 %; with SAVE, makes what it
#                                      counted the reference
#
# Needs scripts/lib/machine.sh, and the project as working directory.

# The number of calls is large where a call is cheap.
INSTRUCTIONS_SUBJECTS=(verify:2000 parse:1000 batch:50 render:30)

# The instructions of a run with so many calls.
instructions_of_run() {
    local counted
    counted=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1) ||
        fail "valgrind cannot run the subject:" "$counted"
    printf '%s\n' "$counted" | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

# The instructions of one call: what twice the calls cost more.
instructions_of_call() {
    local program=$1 subject=$2 calls=$3 once twice
    once=$(instructions_of_run "$program" "$subject" "$calls")
    twice=$(instructions_of_run "$program" "$subject" "$((2 * calls))")
    echo $(((twice - once) / calls))
}

instructions_check() {
    local program=$1 save=$2 reference subject count before status=0 counts=
    reference=benches/instructions/$(uname -m).txt
    if ! command -v valgrind >/dev/null; then
        install_package valgrind valgrind valgrind valgrind - || true
    fi
    if ! command -v valgrind >/dev/null; then
        say "SKIPPED: no instruction counts, because valgrind is missing and could not be installed"
        return
    fi
    if [ -z "$save" ] && [ ! -e "$reference" ]; then
        say "SKIPPED: no instruction counts, because there is no $reference"
        return
    fi
    printf '\n| instructions of one call | reference | counted | ÷ reference | |\n|---|---|---|---|---|\n'
    for subject in "${INSTRUCTIONS_SUBJECTS[@]}"; do
        count=$(instructions_of_call "$program" "${subject%:*}" "${subject#*:}")
        subject=${subject%:*}
        counts+="$subject $count"$'\n'
        before=$(sed -n "s/^$subject //p" "$reference" 2>/dev/null || true)
        awk -v name="$subject" -v before="${before:-$count}" -v count="$count" 'BEGIN {
            grown = count > before * 1.1
            printf "| %s | %d | %d | %.3f | %s |\n", name, before, count, count / before, grown ? "not" : "ok"
            exit grown
        }' || status=1
    done
    if [ -n "$save" ]; then
        printf '%s' "$counts" >"$reference"
        say "saved in $reference"
        return
    fi
    [ "$status" = 0 ] || say "a count grew by more than 10 %: find out why, or save it with scripts/bench --save"
    return "$status"
}
