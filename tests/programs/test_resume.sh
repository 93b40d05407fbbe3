#!/bin/sh
# A run that is killed at random moments and gone on with each time ends as the run that was not:
#     test_resume.sh PROGRAM SAMPLE_FOLDER KILLS
set -u
unset BNNEP_DATA
train=$1
sample=$2
kills=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
options="--preset mnist-fc1-alpha --layersList 784 60 10 --gamma 1e-3 1e-3 --gradThreshold 1e-5 1e-5 --T 30 --batchSize 20
    --train-limit 1500 --test-limit 200 --epochs 6 --threads 1 --decayLrAlpha 10 --epochDecayLrAlpha 3 --data $sample"
fail() {
    echo "FAILED: $*"
    cat "$work"/*.err 2>/dev/null | tail -n 20
    echo "0 passed, 1 failed"
    exit 1
}
# data FILE: the tensors of a safetensors file
data() {
    length=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
    tail -c +$((9 + length)) "$1"
}

# start: begins the run that is going to be killed, and waits for its first checkpoint
start() {
    # shellcheck disable=SC2086
    "$train" $options --out "$work/killed" --checkpoint-minutes 0.0005 >"$work/killed.out" 2>"$work/killed.err" &
    pid=$!
    folder=
    until [ -n "$folder" ] && [ -e "$folder/checkpoint.safetensors" ]; do
        folder=$(dirname "$(find "$work/killed" -name results.csv 2>/dev/null)")
        kill -0 $pid 2>/dev/null || break
    done
}

# shellcheck disable=SC2086
"$train" $options --out "$work/whole" >"$work/whole.out" 2>"$work/whole.err" || fail "the run that is not killed"
whole=$(dirname "$(find "$work/whole" -name results.csv)")

start
seed=12345
killed=0
resumed=0
while [ $killed -lt "$kills" ]; do
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    sleep "0.$(printf '%03d' $((seed / 65536 % 250)))"
    kill -KILL $pid 2>/dev/null && killed=$((killed + 1))
    wait $pid 2>/dev/null
    status=$?
    if [ $status -eq 0 ]; then # it came to its end: start over from a copy of the beginning
        rm -rf "$work/killed"
        start
        continue
    fi
    [ $status -eq 137 ] || fail "a resumed run ended with status $status"
    "$train" --resume "$folder" >>"$work/killed.out" 2>"$work/killed.err" &
    pid=$!
    resumed=$((resumed + 1))
done
wait $pid || fail "the last run"

cut -d, -f1-14,16- "$whole/results.csv" >"$work/whole.csv"
cut -d, -f1-14,16- "$folder/results.csv" >"$work/killed.csv"
cmp "$work/whole.csv" "$work/killed.csv" || fail "results.csv differs"
for name in checkpoint checkpoint-best network; do
    data "$whole/$name.safetensors" >"$work/a"
    data "$folder/$name.safetensors" >"$work/b"
    cmp "$work/a" "$work/b" || fail "$name differs"
done
echo "killed $killed times, resumed $resumed times"
echo "1 passed, 0 failed"
