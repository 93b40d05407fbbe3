#!/bin/sh
# Trains presets to the end and keeps their curves: the runs behind docs/results.md. Whatever was interrupted goes on when
# the same line is given again, bit for bit as if it had not been.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
train=${TRAIN:-$here/../build/release/programs/bnnep-train}
runs=$here/../build/results
kept=$here/../docs/results
seeds="1 2 3 4 5"
ways=plain
threads=1
data=
limit=
epochs=

usage() {
    cat <<'USAGE'
usage: results.sh [OPTION...] PRESET...

Trains each preset once a seed, with the paper's options, epochs and batches, and keeps each finished run's results.csv
as KEPT/PRESET-WAY-SEED.csv, with a line in KEPT/runs.csv that says where and when. bench/results.py makes docs/results.md
and its plots from these. Runs that are kept already are not trained again.

  --data DIR      the data set; needed
  --seeds LIST    seeds, in quotes ["1 2 3 4 5"]
  --ways LIST     plain, as in the paper, and fast: bnnep-train --fast ["plain"]
  --epochs N      end after N epochs, and keep the run as cut short [the preset's]
  --limit N       train on the first N images [all]
  --threads N     threads of a run [1]
  --runs DIR      where run folders are, unfinished ones too [build/results]
  --kept DIR      where curves of finished runs are kept [docs/results]
  --help          print this and exit

Environment: TRAIN, the program [build/release/programs/bnnep-train].
USAGE
}

complain() {
    echo "results.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --data | --seeds | --ways | --epochs | --limit | --threads | --runs | --kept)
        [ $# -gt 1 ] || complain "$1 needs a value"
        case $1 in
        --data) data=$2 ;;
        --seeds) seeds=$2 ;;
        --ways) ways=$2 ;;
        --epochs) epochs=$2 ;;
        --limit) limit=$2 ;;
        --threads) threads=$2 ;;
        --runs) runs=$2 ;;
        --kept) kept=$2 ;;
        esac
        shift 2
        ;;
    -*) complain "unknown option '$1'" ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || complain "which presets? see --help"
[ -n "$data" ] || complain "--data is needed: curves of the sample say nothing"
[ -x "$train" ] || complain "no program $train: build it, or set TRAIN"
mkdir -p "$runs" "$kept"
machine=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)

# train_run PRESET WAY SEED: trains, or goes on
train_run() {
    place=$runs/$1-$2-$3
    folder=$(find "$place" -name Hyperparameters.txt -exec dirname {} \; 2>/dev/null | head -n 1)
    if [ -n "$folder" ]; then
        "$train" --resume "$folder" --threads "$threads" || return 1
    else
        way=$2
        set -- --preset "$1" --seed "$3"
        [ "$way" = plain ] || set -- "$@" "--$way"
        [ -z "$epochs" ] || set -- "$@" --epochs "$epochs"
        [ -z "$limit" ] || set -- "$@" --train-limit "$limit"
        "$train" "$@" --data "$data" --threads "$threads" --out "$place" || return 1
        folder=$(find "$place" -name Hyperparameters.txt -exec dirname {} \; | head -n 1)
    fi
}

# keep NAME: the curve of a run that came to its end, and a line about it
keep() {
    wanted=$(sed -n 's/^epochs = //p' "$folder/Hyperparameters.txt")
    [ "$(($(wc -l <"$folder/results.csv") - 1))" -ge "$wanted" ] || return 1
    images=$(sed -n 's/^train-limit = //p' "$folder/Hyperparameters.txt")
    how=$(sed -n 's/^schedule = //p' "$folder/Hyperparameters.txt"),$(sed -n 's/^settle = //p' "$folder/Hyperparameters.txt")
    grid=$(sed -n 's/^grid = //p' "$folder/Hyperparameters.txt")
    [ -e "$kept/runs.csv" ] || echo "Run,Schedule,Settle,Images,Epochs,Threads,Machine,Date,Program,Grid" >"$kept/runs.csv"
    cp "$folder/results.csv" "$kept/$1.csv"
    echo "$1,$how,${images:-all},$wanted,$threads,$machine,$(date -u +%F),$("$train" --version),${grid:-0}" >>"$kept/runs.csv"
}

for seed in $seeds; do
    for preset in "$@"; do
        for way in $ways; do
            name=$preset-$way-$seed
            [ ! -e "$kept/$name.csv" ] || continue
            echo "$name"
            train_run "$preset" "$way" "$seed"
            keep "$name" || complain "$name was interrupted: the same line again goes on with it"
        done
    done
done
