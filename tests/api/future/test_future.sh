#!/bin/sh
# test_future.sh SOURCE_FOLDER COMPILER: what docs/abi.md promises of structures that grow. A later library is made of this
# one by later.patch, which adds a field for each kind of what is coming. A program compiled with today's headers runs with
# it as with today's library; one compiled with the later headers runs with today's library, until it sets a field that
# this does not know: then it is refused, and the message says where. The same of a file that needs something new. Without
# the program patch: exit status 77.
set -eu
source=$1 compiler=$2
command -v patch >/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/today" "$work/later"
for part in CMakeLists.txt backends cmake docs examples include lib programs tests; do
    cp -R "$source/$part" "$work/today/"
    cp -R "$source/$part" "$work/later/"
done
patch -d "$work/later" -p1 <"$source/tests/api/future/later.patch" >/dev/null
for version in today later; do
    cmake -S "$work/$version" -B "$work/$version/build" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_C_FLAGS=-O1 -DBNNEP_WERROR=ON -DBNNEP_CUDA=OFF -DBNNEP_BUILD_EXAMPLES=OFF -DBNNEP_BUILD_TESTS=OFF \
        -DBNNEP_INSTALL=OFF >/dev/null
    cmake --build "$work/$version/build" --parallel 2 --target bnnep >"$work/built" || { cat "$work/built" && exit 1; }
    "$compiler" -Wall -Wextra -Werror -D"$(echo $version | tr "[:lower:]" "[:upper:]")" -I"$work/$version/include" \
        "$source/tests/api/future/program.c" -o "$work/$version/program" -L"$work/$version/build" -lbnnep
done

passed=0
# run PROGRAM LIBRARY ARGUMENT...: what it prints goes to $work/said
run() {
    program=$1 library=$2
    shift 2
    LD_LIBRARY_PATH=$work/$library/build "$work/$program/program" "$@" >"$work/said" 2>&1
}
expect() {
    echo "FAILED: $*"
    cat "$work/said"
    exit 1
}

run today today run "$work/file" || expect "today's program with today's library"
cp "$work/said" "$work/wanted"
for pair in "today later" "later today" "later later"; do
    # shellcheck disable=SC2086
    run $pair run "$work/file" || expect "program and library: $pair"
    cmp "$work/said" "$work/wanted" || expect "the same results of program and library: $pair"
    passed=$((passed + 1))
done

# Each field, and what today's library says of it.
while read -r name said; do
    run later later set "$name" "$work/file" || expect "the later library to know $name"
    ! run later today set "$name" "$work/file.today" || expect "today's library to refuse $name"
    grep -q "$said" "$work/said" || expect "'$said' of $name"
    passed=$((passed + 1))
done <<'FIELDS'
limits BNNEP_ERROR_UNSUPPORTED: bnnep_context_options: a field at byte
network BNNEP_ERROR_UNSUPPORTED: bnnep_network_options: a field at byte
nudge nudge is 3; known are 0 (random sign), 1 (fixed) and 2 (centred)
threshold BNNEP_ERROR_UNSUPPORTED: bnnep_optimizer_options: a field at byte
counter BNNEP_ERROR_UNSUPPORTED: bnnep_optimizer_options: a field at byte
collectives BNNEP_ERROR_UNSUPPORTED: bnnep_run_options: a field at byte
relaxation BNNEP_ERROR_UNSUPPORTED: bnnep_relaxation: a field at byte
FIELDS

run later later set network "$work/file" || expect "a file that needs delays"
! run today today set file "$work/file" || expect "today's library to refuse it"
grep -q "BNNEP_ERROR_UNSUPPORTED: .*requires 'delays', which libbnnep" "$work/said" || expect "its need by name"
echo "future: $((passed + 1)) passed, 0 failed"
