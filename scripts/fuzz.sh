#!/bin/sh
# Runs the fuzz targets of tests/fuzz with libFuzzer (clang), two at a time:
#     sh scripts/fuzz.sh [--seconds N] [--keep] [RUNS] [TARGET...]
# RUNS: inputs of each target [10000000]. --seconds: no longer than that each, as many as come. TARGET: such as idx and
# calls [all]. Prints a line for each target; fails if there was a finding, which then lies in build/fuzz/findings.
# Inputs that reach new code stay in build/fuzz/found, and the next time begins there. --keep: of them and those in
# tests/fuzz/corpus, those that together reach all code are put there, for `git add`: up to 40 files and 12 kB of each
# target.
set -eu
cd "$(dirname "$0")/.."
runs=10000000
seconds=0
keep=no
targets=
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) seconds=$2 && shift ;;
        --keep) keep=yes ;;
        -*) sed -n '2,9s/^# //p' "$0" >&2 && exit 2 ;;
        *[!0-9]*) targets="$targets $1" ;;
        *) runs=$1 ;;
    esac
    shift
done
[ -n "$targets" ] || targets=$(sed -n 's/^ *bnnep_fuzz(\([a-z0-9]*\) [0-9].*/\1/p' tests/fuzz/CMakeLists.txt)
[ "$seconds" -eq 0 ] || runs=-1

# A file may ask for what the library allows by default, 1 GiB for a network, and no more.
limits="-rss_limit_mb=2560 -malloc_limit_mb=1100 -timeout=10"
export ASAN_OPTIONS=malloc_context_size=8 # a third of the time goes to longer ones
build=build/fuzz
programs=
for target in $targets; do
    programs="$programs fuzz_$target"
done
CC=clang cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DBNNEP_SANITIZE=address,undefined \
    -DBNNEP_FUZZ=ON -DBNNEP_CUDA=OFF -DBNNEP_BUILD_BENCH=OFF >/dev/null
# shellcheck disable=SC2086
cmake --build $build --target make_corpus $programs >$build/build.log || { tail -n 40 $build/build.log && exit 1; }
here=$build/tests/fuzz
$here/make_corpus $build/corpus

# Everything of one target; what it prints is in findings/TARGET.log.
for target in $targets; do
    mkdir -p "$build/found/$target" "$build/findings" "$build/corpus/$target" "tests/fuzz/corpus/$target"
    rm -f "$build/findings/$target"-*
    cat <<END
$here/fuzz_$target $limits -runs=$runs -max_total_time=$seconds -max_len=8192 -close_fd_mask=1 -print_final_stats=1 \
-artifact_prefix=$build/findings/$target- -verbosity=0 \
$build/found/$target $build/corpus/$target tests/fuzz/corpus/$target >$build/findings/$target.log 2>&1 || true
END
done | xargs -d '\n' -P 2 -n 1 sh -c

keep_some() {
    merged=$build/merged/$1 kept=tests/fuzz/corpus/$1 count=0 bytes=0
    rm -rf "$merged" && mkdir -p "$merged"
    "$here/fuzz_$1" -merge=1 -max_len=1500 "$merged" "$kept" "$build/found/$1" >"$build/findings/$1.merge" 2>&1
    rm -f "$kept"/*
    # by their names, which are digests: as good as at random, and the same each time
    find "$merged" -type f -size +0 -printf '%f %s\n' | sort | while read -r name size; do
        count=$((count + 1)) bytes=$((bytes + size))
        if [ $count -gt 40 ] || [ $bytes -gt 12288 ]; then
            break
        fi
        cp "$merged/$name" "$kept/$name"
    done
}

stat() {
    sed -n "s/^stat::$2: *//p" "$build/findings/$1.log"
}

printf '%-12s%12s%10s%14s  %s\n' target runs 'runs/s' 'new inputs' findings
failed=0
for target in $targets; do
    findings=$(find $build/findings -name "$target-*" ! -name '*.log' | sort | tr '\n' ' ')
    [ -n "$(stat "$target" number_of_executed_units)" ] || findings="none made: see $build/findings/$target.log"
    [ -z "$findings" ] || failed=1
    printf '%-12s%12s%10s%14s  %s\n' "$target" "$(stat "$target" number_of_executed_units)" \
        "$(stat "$target" average_exec_per_sec)" "$(stat "$target" new_units_added)" "${findings:-none}"
    [ $keep = no ] || keep_some "$target"
done
# what a finding is, for whoever has nothing but what this prints
for finding in $(find $build/findings -type f ! -name '*.log' ! -name '*.merge' | sort); do
    target=$(basename "$finding" | cut -d- -f1)
    echo "--- $finding, of $target, in base64:"
    base64 "$finding"
    grep -n -m 1 -A 12 -E 'runtime error|ERROR: ' "$build/findings/$target.log" || tail -n 12 "$build/findings/$target.log"
done
exit $failed
