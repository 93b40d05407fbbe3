# shellcheck shell=sh
# What the tests of bnnep-train share. Their arguments: PROGRAM SAMPLE_FOLDER
unset BNNEP_DATA
train=$1
# shellcheck disable=SC2034 # of those who source this
sample=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
passed=0

ok() {
    passed=$((passed + 1))
}
wrong() {
    failed=$((failed + 1))
    echo "FAILED: $*"
    sed 's/^/  stdout: /' "$work/out"
    sed 's/^/  stderr: /' "$work/err"
}
# run STATUS ARGUMENT...: runs the program, expects the exit status
run() {
    expected=$1
    shift
    (cd "$work" && "$train" "$@") >"$work/out" 2>"$work/err" </dev/null
    status=$?
    if [ "$status" -eq "$expected" ]; then ok; else wrong "status $status, expected $expected: $*"; fi
}
# says FILE PATTERN: the output (out or err) holds a line that matches
says() {
    if grep -Eq -e "$2" "$work/$1"; then ok; else wrong "std$1 does not say: $2"; fi
}
silent() {
    if [ -s "$work/$1" ]; then wrong "std$1 is not empty"; else ok; fi
}
# forge FILE EXPRESSION: changes a checkpoint as sed does, and its digest, so that it is whole
forge() {
    tail -c +9 "$1" | LC_ALL=C sed -e 's/"digest":"[0-9a-f]*"/"digest":"00000000"/' -e "$2" >"$work/body"
    digest=$(gzip -c "$work/body" | tail -c 8 | od -An -t x4 -N 4 | tr -d ' ')
    {
        head -c 8 "$1"
        LC_ALL=C sed 's/"digest":"00000000"/"digest":"'"$digest"'"/' "$work/body"
    } >"$work/forged"
    mv "$work/forged" "$1"
}
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
