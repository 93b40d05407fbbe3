#!/bin/sh
# How the cost of a batch grows with its size, with the width of a layer and with threads: tables in Markdown.
# usage: scaling.sh [DATA]   (MNIST; default: the sample)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bench=${BENCH:-$here/../build/release/bench/bnnep-bench}
[ $# -eq 0 ] || set -- --data "$1"

"$bench" --preset mnist-fc1 --batches 1 "$@" >/dev/null # what is wrong with the data is said once

value() { # KEY, from a line of key=value
    tr ' ' '\n' | sed -n "s/^$1=//p"
}

seconds() { # preset and options of bnnep-bench -> seconds a batch
    "$bench" --batches 3 "$@" | value seconds_per_batch
}

row() { # name, seconds, what it should be proportional to
    awk -v name="$1" -v seconds="$2" -v work="$3" \
        'BEGIN { printf "| %s | %.4g | %.3g |\n", name, seconds, 1e6 * seconds / work }'
}

for preset in mnist-fc1 mnist-fc1-bin; do
    printf '\n%s, batch size, 2 threads\n\n| batch | seconds | µs a sample |\n|---|---|---|\n' "$preset"
    for size in 1 2 4 8 16 32 64 128 256 512; do
        row "$size" "$(seconds --preset $preset --threads 2 --batch-size $size "$@")" "$size"
    done
done

printf '\nmnist-fc1 with a hidden layer of another width, 2 threads\n\n| width | seconds | µs a unit |\n|---|---|---|\n'
for width in 512 1024 2048 4096 8192 16384; do
    row "$width" "$(seconds --preset mnist-fc1 --threads 2 "$@" -- --layersList 784 $width 10)" "$width"
done

printf '\nmnist-fc2 at a tolerance of 1e-6 with two hidden layers of another width, 2 threads\n\n'
printf '| width | seconds | µs a thousand weights |\n|---|---|---|\n'
for width in 512 1024 2048 4096 8192 16384; do
    row "$width" "$(seconds --preset mnist-fc2 --threads 2 --settle 1e-6 "$@" -- --layersList 784 $width $width 10)" \
        "$(awk -v w=$width 'BEGIN { print w * (784 + w + 10) / 1000 }')"
done

printf '\nthreads\n\n| preset | 1 thread | 2 threads | ratio |\n|---|---|---|---|\n'
for preset in mnist-fc1 mnist-conv mnist-fc1-bin mnist-fc2-bin mnist-conv-bin; do
    one=$(seconds --preset $preset --threads 1 --settle 1e-6 "$@")
    two=$(seconds --preset $preset --threads 2 --settle 1e-6 "$@")
    awk -v p=$preset -v one="$one" -v two="$two" 'BEGIN { printf "| %s | %.4g | %.4g | %.2f |\n", p, one, two, one / two }'
done
