#!/bin/sh
# Lets calls below the library and its programs fail, and machines lose their power (tests/faults), beyond what the
# tests of a change have time for, and prints what came of it:
#     faults.sh --whole    each call of each operation in turn; some half an hour on two processors
#     faults.sh HOURS      some of them, chosen and with networks drawn anew each round, until the hours are over
# With TMPDIR in memory (/dev/shm) it takes less time. Exit status 1 if anything is not as promised. The cuda backend is
# emulated, with memory of its own on its device.
set -eu
cd "$(dirname "$0")/.."
case ${1:-} in
--whole) hours=0 ;;
'' | *[!0-9]*)
    echo "usage: faults.sh --whole | HOURS" >&2
    exit 2
    ;;
*) hours=$1 ;;
esac

for preset in dev cuda-emulated; do
    cmake --preset $preset >/dev/null
    cmake --build --preset $preset >/dev/null
done
build=build/dev
failed=0

# round STATES OPTION...: all harnesses once; STATES: how many states of the disk, as an option, or nothing for all
round() {
    states=$1
    shift
    "$build/tests/test_faults" "$@" ref cpu/2 || failed=1
    BNNEP_BACKEND_PATH=$PWD/build/cuda-emulated build/cuda-emulated/tests/test_faults "$@" cuda || failed=1
    /usr/bin/python3 tests/faults/programs.py "$build/programs" "$build/tests/faults/libfaults_layer.so" "$@" ||
        failed=1
    # shellcheck disable=SC2086
    /usr/bin/python3 tests/faults/replay.py "$build/programs/bnnep-train" "$build/tests/faults/libfaults_record.so" \
        "$@" $states || failed=1
}

if [ "$hours" -eq 0 ]; then
    round ""
    exit $failed
fi
end=$(($(date +%s) + 3600 * hours))
seed=1
while [ "$(date +%s)" -lt "$end" ]; do
    echo "--- round $seed"
    round "--most 1000" --most 40 --seed $seed
    seed=$((seed + 1))
done
exit $failed
