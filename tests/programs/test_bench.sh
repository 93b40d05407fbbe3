#!/bin/sh
# bnnep-bench says what it should; how fast is not tested: test_bench.sh PROGRAM SAMPLE_FOLDER
set -u
unset BNNEP_DATA
bench=$1
sample=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
passed=0

# run STATUS ARGUMENT...: runs the program, expects the exit status
run() {
    expected=$1
    shift
    "$bench" "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
    check "status $status, expected $expected: $*" [ "$status" -eq "$expected" ]
}
# check WHAT COMMAND...: the command succeeds
check() {
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
        sed 's/^/  /' "$work/out" "$work/err"
    fi
}
# line PATTERN: a line of the output is all of the pattern, in which @ stands for a number and spaces for spaces
line() {
    pattern=$(printf '%s\n' "$1" | sed 's/@/[-+.0-9e]+/g')
    check "no line is $1" grep -Eqx -e "$pattern" "$work/out"
}
# lines COUNT: the output has so many lines
lines() {
    check "not $1 lines" [ "$(wc -l <"$work/out")" -eq "$1" ]
}
# A small batch of a small preset, once.
tiny() {
    run 0 --data "$sample" --batch-size 8 --batches 1 --threads 2 --backend cpu "$@"
}

start="preset=mnist-fc1 backend=cpu threads=2 settle=0 batch=8"
times="seconds_per_batch=@ drive=@ free=@ nudged=@ learn=@ steps_free=@ steps_nudged=@"
peaks="copy=@ multiply_adds=@ bit_products=@ bit_logic=@"

tiny --preset mnist-fc1
lines 1
line "$start after=0 $times"

tiny --preset mnist-fc1 --after 2
lines 2
line "$start after=0 $times"
line "$start after=2 $times"

tiny --preset mnist-fc1-bptt
line "preset=mnist-fc1-bptt .* free=@ backpropagate=@ learn=@ steps_free=@ steps_backpropagate=11"

tiny --preset mnist-fc1 --settle -1 -- --layersList 784 16 10 --T 7 --Kmax 3
line ".* settle=-1 .* steps_free=7 steps_nudged=3"

tiny --preset mnist-fc1 --limits
lines 1
line "$start after=0 $times drive_share=@ free_share=@ nudged_share=@ learn_share=@ $peaks"

run 0 --limits --threads 1
lines 1
line "threads=1 $peaks"

tiny --preset mnist-fc1 --json
lines 1
line '\{"preset": "mnist-fc1", "backend": "cpu", "threads": 2, "settle": 0\.0, "batch": 8, "after": 0, "seconds_per_batch": @, "drive": @, "free": @, "nudged": @, "learn": @, "steps_free": @, "steps_nudged": @\}'
if command -v python3 >"$work/err"; then
    check "Python does not take it for JSON" python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$work/out"
fi

run 0 --help
check "--help does not tell of --limits" grep -q -e --limits "$work/out"
run 2
run 2 --batches 0
run 2 --preset mnist-fc1 --data "$sample" word
run 2 --preset nothing
run 1 --preset mnist-fc1 --data "$work"
run 1 --preset mnist-fc1 --data "$sample" --batch-size 5001

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
