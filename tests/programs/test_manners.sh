#!/bin/sh
# What all programs do alike, and what they keep from doing where nobody looks on:
#     test_manners.sh TRAIN_PROGRAM SAMPLE_FOLDER PROGRAM...
set -u
# shellcheck source=tests/programs/program.sh
. "$(dirname "$0")/program.sh"
train_program=$train
shift 2

# plain FILE...: neither carriage returns nor escape sequences
plain() {
    if (cd "$work" && cat "$@") | LC_ALL=C grep -q "$(printf '[\r\033]')"; then wrong "carriage returns or escapes: $*"; else ok; fi
}
# lines FILE COUNT
lines() {
    if [ "$(wc -l <"$work/$1")" -eq "$2" ]; then ok; else wrong "std$1 has not $2 lines"; fi
}

for train in "$train_program" "$@"; do
    name=$(basename "$train")
    run 0 --help
    silent err
    says out "^usage: $name "
    says out '^  --help  +print this and exit$'
    says out '^  --version  +print the version and exit$'
    cp "$work/out" "$work/help"
    run 0 -h
    if cmp -s "$work/out" "$work/help"; then ok; else wrong "$name: -h prints another help"; fi
    run 0 --version
    silent err
    lines out 1
    says out "^$name [0-9]+\.[0-9]+\.[0-9]+\$"
    run 2 --nonsense
    silent out
    says err "^$name: unknown option '--nonsense'"
    [ "$train" = "$train_program" ] || lines err 1 # bnnep-train says on a second one where there is help
    if [ "$name" = bnnep-settle ] || [ "$name" = bnnep-classify ]; then
        run 2 --backend
        says err "^$name: a value is missing after '--backend'; see $name --help\$"
    fi
done

# the first 200 images of each part
mkdir "$work/few"
for part in train t10k; do
    { printf '\0\0\010\03\0\0\0\310\0\0\0\034\0\0\0\034' && gzip -dc "$sample/$part-images-idx3-ubyte.gz" | tail -c +17 | head -c 156800; } \
        >"$work/few/$part-images-idx3-ubyte"
    { printf '\0\0\010\01\0\0\0\310' && gzip -dc "$sample/$part-labels-idx1-ubyte.gz" | tail -c +9 | head -c 200; } \
        >"$work/few/$part-labels-idx1-ubyte"
done

# files that nobody vouches for
train=$train_program
run 0 --preset mnist-fc1 --layersList 784 20 10 --epochs 1 --data few --out limited
network=$(cd "$work" && find limited -name network.safetensors)
for train in "$train_program" "$@"; do
    case $(basename "$train") in
    bnnep-train) command="--resume $(dirname "$network")" ;;
    bnnep-info) command=$network ;;
    bnnep-export) command="--c $network" ;;
    bnnep-classify | bnnep-settle) command="$network few/t10k-images-idx3-ubyte" ;;
    *) continue ;;
    esac
    # shellcheck disable=SC2086
    {
        run 0 --max-memory 64M $command
        run 1 --max-memory 1K $command
        says err "bytes are more than the context's max_bytes, 1024"
        for size in '' 0 -1 12Q 1KB 99999999999999999999 20000000000G; do
            run 2 --max-memory "$size" $command
            says err "--max-memory: '$size' is not a number of bytes, such as 512M\$"
        done
    }
done

# progress is not for files and pipes
train=$train_program
small="--preset mnist-fc1 --layersList 784 20 10 --epochs 2 --no-save --data $work/few"
# shellcheck disable=SC2086
run 0 $small
silent err
lines out 2
plain out
for train in "$@"; do
    [ "$(basename "$train")" = bnnep-quickstart ] || continue
    run 0 few
    lines err 5
    plain out err
    run 2 few few
done

# on a terminal, it is drawn without anything that NO_COLOR would have to turn off
if script -qec true /dev/null >"$work/out" 2>"$work/err" </dev/null; then
    for no_color in '' 1; do
        NO_COLOR=$no_color script -qec "'$train_program' $small" /dev/null >"$work/drawn" 2>"$work/err" </dev/null
        if grep -q 'epoch 1/2 \[.*images/s.*left' "$work/drawn"; then ok; else wrong "no progress on a terminal"; fi
        tr -d '\r' <"$work/drawn" >"$work/written"
        plain written
    done
fi
finish
