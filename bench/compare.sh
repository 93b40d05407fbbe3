#!/bin/sh
# How many times faster than PyTorch: bnnep-bench beside bench/peer.py, plain and with its shortcuts, one after the other in
# several rounds, as a table in Markdown.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bench=${BENCH:-$here/../build/release/bench/bnnep-bench}
train=${TRAIN:-$here/../build/release/programs/bnnep-train}
peer=${PEER:-$here/peer.py}
python=${PYTHON:-/usr/bin/python3}
rounds=3
fraction=1
threads=2
batches=5
after=0
data=
cifar10=

usage() {
    cat <<'USAGE'
usage: compare.sh [OPTION...] [PRESET...]

Compares all presets of the baseline, or those that are named, and prints a table in Markdown.

  --rounds N      times each is run, in turn [3]
  --fraction X    do this part of the baseline's steps in networks slower than mnist-fc1 and mnist-fc1-bin, and
                  extrapolate; the table says where [1: all steps]
  --threads N     threads of both [2]
  --batches N     batches that bnnep-bench measures a round [5]
  --after N       measure networks that were trained on N batches, PyTorch's with shortcuts too; needs --data [0: new]
  --data DIR      MNIST for bnnep-bench [the sample]
  --cifar10 DIR   CIFAR-10 for bnnep-bench; without it cifar10-conv is left out
  --help          print this and exit

Environment: BENCH, the program [build/release/bench/bnnep-bench]; PEER, the baseline [bench/peer.py], another one must
take the same words and print the same line; PYTHON, what runs it [Debian's]; TRAIN, bnnep-train, for --after; BACKEND,
bnnep-bench's backend, such as cuda:0, in place of threads; DEVICE, where PyTorch computes, such as cuda.
USAGE
}

complain() {
    echo "compare.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --rounds | --fraction | --threads | --batches | --after | --data | --cifar10)
        [ $# -gt 1 ] || complain "$1 needs a value"
        case $1 in
        --rounds) rounds=$2 ;;
        --fraction) fraction=$2 ;;
        --threads) threads=$2 ;;
        --batches) batches=$2 ;;
        --after) after=$2 ;;
        --data) data=$2 ;;
        --cifar10) cifar10=$2 ;;
        esac
        shift 2
        ;;
    -*) complain "unknown option '$1'" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || set -- mnist-fc1 mnist-fc2 mnist-conv cifar10-conv mnist-fc1-bin mnist-fc2-bin mnist-conv-bin
[ -x "$bench" ] || complain "no program $bench: build it, or set BENCH"
[ "$after" = 0 ] || [ -n "$data" ] || complain "--after needs --data"

where="--threads $threads"
[ -z "${BACKEND:-}" ] || where="--backend $BACKEND"
[ "$after" = 0 ] || where="$where --after $after"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
results=$work/results

# note PRESET WHAT SECONDS [REMARK]: a result for the table
note() {
    echo "$*" >>"$results"
}

run_peer() {
    part=$fraction
    case $1 in
    mnist-fc1 | mnist-fc1-bin) part=1 ;;
    esac
    if [ "$part" = 1 ]; then set -- "$1"; else set -- "$1" "$part"; fi
    said=$(NT=$threads "$python" "$peer" time "$@")
    # "PRESET seconds_per_batch X (from 15+2 of 150+10 steps)"
    note "$1" peer "$(echo "$said" | sed -n 's/.*seconds_per_batch //p')"
}

# run_short PRESET: PyTorch with shortcuts, its network trained as long
run_short() {
    set -- "$1" --shortcuts 1e-6
    if [ "$after" != 0 ]; then
        [ -e "$work/$1" ] || "$train" --preset "$1" --fast --data "$data" --epochs 1 --train-limit $((64 * after)) \
            --test-limit 1 --threads "$threads" --out "$work/$1" >"$work/said" 2>&1 || complain "$(cat "$work/said")"
        set -- "$@" --data "$data" --network "$(find "$work/$1" -name network.safetensors)"
    fi
    said=$(NT=$threads "$python" "$here/peer.py" time "$@")
    note "$1" short "$(echo "$said" | sed -n 's/.*seconds_per_batch \([^ ]*\).*/\1/p')"
}

# run_ours PRESET TOLERANCE, or PRESET fast
run_ours() {
    case $1 in
    cifar10-*) folder=$cifar10 ;;
    *) folder=$data ;;
    esac
    if [ "$2" = fast ]; then way="-- --fast"; else way="--settle $2"; fi
    # shellcheck disable=SC2086 # several words
    "$bench" --preset "$1" $where --batches "$batches" ${folder:+--data "$folder"} $way \
        >"$work/lines" 2>"$work/said" || complain "$(cat "$work/said")"
    note "$1" "$2" "$(tail -n 1 "$work/lines" | sed -n 's/.*seconds_per_batch=\([^ ]*\).*/\1/p')"
}

left_out=
for round in $(seq "$rounds"); do
    for preset in "$@"; do
        if [ "$preset" = cifar10-conv ] && { [ -z "$cifar10" ] || [ "$after" != 0 ]; }; then
            left_out="cifar10-conv is left out: no data were given, or it was to be trained."
            continue
        fi
        echo "round $round of $rounds: $preset" >&2
        run_peer "$preset"
        run_ours "$preset" 0
        run_ours "$preset" 1e-6
        run_short "$preset"
        run_ours "$preset" fast
    done
done

awk '
    # The median of values[1..n].
    function median(values, n,    i, j, swap) {
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && values[j] < values[j - 1]; j--) {
                swap = values[j]
                values[j] = values[j - 1]
                values[j - 1] = swap
            }
        return (values[int((n + 1) / 2)] + values[int((n + 2) / 2)]) / 2
    }
    function seconds(preset, what,    i, values) {
        for (i = 1; i <= rounds[preset, what]; i++)
            values[i] = result[preset, what, i]
        return median(values, i - 1)
    }
    function ratio(preset, slow, what,    i, values, middle) {
        for (i = 1; i <= rounds[preset, what]; i++)
            values[i] = result[preset, slow, i] / result[preset, what, i]
        middle = median(values, i - 1)
        product[slow, what] += log(middle)
        return middle
    }
    function timed(preset, what) {
        return sprintf("%.4g s | %.1f×", seconds(preset, what), ratio(preset, "peer", what))
    }
    function mean(slow, what) {
        return sprintf("%.1f×", exp(product[slow, what] / count))
    }
    !($1 in seen) { seen[$1] = 1; presets[++count] = $1 }
    { result[$1, $2, ++rounds[$1, $2]] = $3 }
    NF > 3 { remark[$1] = $0; sub(/^[^(]*/, "", remark[$1]) }
    END {
        if (!count)
            exit
        print "| preset | PyTorch | settle 0 | ratio | settle 1e-6 | ratio | --fast | ratio | PyTorch with shortcuts | ratio | |"
        print "|---|---|---|---|---|---|---|---|---|---|---|"
        for (p = 1; p <= count; p++)
            printf "| %s | %.4g s | %s | %s | %s | %.4g s | %.1f× | %s |\n", presets[p], seconds(presets[p], "peer"),
                timed(presets[p], "0"), timed(presets[p], "1e-6"), timed(presets[p], "fast"),
                seconds(presets[p], "short"), ratio(presets[p], "short", "fast"),
                remark[presets[p]] ? "PyTorch extrapolated " remark[presets[p]] : ""
        printf "| geometric mean | | | %s | | %s | | %s | | %s | |\n", mean("peer", "0"), mean("peer", "1e-6"),
            mean("peer", "fast"), mean("short", "fast")
    }' "$results"

model=$(lscpu | sed -n 's/^Model name: *//p' | head -n 1)
[ -z "$left_out" ] || printf '\n%s\n' "$left_out"
cat <<END

Seconds a batch of 64, $threads threads, medians of $rounds rounds in turn; a ratio is the median of the rounds' ratios,
the last one that of --fast beside PyTorch with shortcuts at 1e-6. Networks after $after batches.
$model, $(date -u +%Y-%m-%d), PyTorch $("$python" -c 'import torch; print(torch.__version__)'). Commands:

    ${DEVICE:+DEVICE=$DEVICE }NT=$threads ${peer##*/} time PRESET$([ "$fraction" = 1 ] || echo " $fraction")
    NT=$threads peer.py time PRESET --shortcuts 1e-6$([ "$after" = 0 ] || echo " --data DIR --network FILE")
    bnnep-bench --preset PRESET $where --batches $batches --settle 0
    bnnep-bench --preset PRESET $where --batches $batches --settle 1e-6
    bnnep-bench --preset PRESET $where --batches $batches -- --fast
END
