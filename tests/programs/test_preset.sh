#!/bin/sh
# A command of the paper, as it is printed, trains three batches of eight images; on the cpu where there is no GPU:
#     test_preset.sh PROGRAM SAMPLE_FOLDER PRESET
# MNIST's sample; for CIFAR-10 the folder in BNNEP_CIFAR10, else files made here in its format.
set -u
train=$1
data=$2
preset=$3
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $preset in
cifar10-*)
    data=${BNNEP_CIFAR10:-}
    if [ -z "$data" ]; then
        data=$work
        # five files of five images each and a test set: a label, then 3072 bytes
        for file in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
            for label in 1 2 3 4 5; do
                printf '%b' "\\00$label"
                head -c 3072 /dev/urandom
            done >"$work/$file.bin"
        done
    fi
    ;;
esac
command=$(sed -n "s/^$preset //p" "$here/paper_commands.txt")
# shellcheck disable=SC2086
"$train" $command --data "$data" --no-save --batchSize 8 --epochs 1 --train-limit 24 --test-limit 1 >"$work/out" 2>"$work/err"
status=$?
cat "$work/out" "$work/err"
if [ $status -eq 0 ] && grep -Eq '^epoch=1 train_error=[0-9.]+ .* train_loss=[0-9.]+ .* flips=[0-9]+(,[0-9]+)+ seconds=[0-9.]+$' "$work/out"; then
    echo "1 passed, 0 failed"
else
    echo "0 passed, 1 failed"
    exit 1
fi
