#!/bin/sh
# The proof on a real GPU: builds the cuda backend with nvcc (or takes what was built), runs conformance and the golden
# cases on the device, the same under compute-sanitizer, then times every preset beside PyTorch on the GPU if that is
# there, and prints one table.
#     run_on_gpu.sh [--data DIR] [--cifar10 DIR] [--rounds N] [BUILD_FOLDER]
#     run_on_gpu.sh --pack FOLDER       a folder that runs by itself, without network or compiler: copy it to the
#                                       machine with the GPU and run tests/cuda/run_on_gpu.sh there
# Needs nvcc, CMake and what README names to build; a packed folder needs the driver alone (cuBLAS is packed too).
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
data=
cifar10=
rounds=3
pack=

usage() {
    sed -n 's/^#     //p' "$0" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case $1 in
    --data | --cifar10 | --rounds | --pack)
        [ $# -gt 1 ] || usage
        case $1 in
        --data) data=$2 ;;
        --cifar10) cifar10=$2 ;;
        --rounds) rounds=$2 ;;
        --pack) pack=$2 ;;
        esac
        shift 2
        ;;
    -*) usage ;;
    *) break ;;
    esac
done
build=${1:-$here/build/cuda}

if [ ! -e "$here/packed" ] && [ $# -eq 0 ]; then
    (cd "$here" && cmake --preset cuda -DBNNEP_BUILD_TESTS=ON && cmake --build --preset cuda) >&2
fi
if [ -n "$pack" ]; then
    mkdir -p "$pack/build/cuda/tests" "$pack/build/cuda/bench" "$pack/tests" "$pack/bench" "$pack/examples"
    cp -P "$build"/libbnnep*.so* "$pack/build/cuda/"
    for name in conformance convolutions golden settle gradients checkpoint; do
        cp "$build/tests/test_$name" "$pack/build/cuda/tests/"
    done
    cp "$build/bench/bnnep-bench" "$pack/build/cuda/bench/"
    cp -r "$here/tests/golden" "$here/tests/cuda/run_on_gpu.sh" "$pack/tests/"
    cp "$here/bench/compare.sh" "$here/bench/peer.py" "$pack/bench/"
    cp -r "$here/examples/data" "$pack/examples/"
    # the libraries that the programs were linked with, but for those of the system itself and what lies there already
    ldd "$build/libbnnep-cuda.so" "$pack"/build/cuda/tests/* "$build/bench/bnnep-bench" | awk '$2 == "=>" { print $3 }' |
        sort -u | grep -vF "$build/" | grep -vE '/(libc|libm|libpthread|libdl|librt)\.so' | xargs -I '{}' cp -L '{}' "$pack/build/cuda/"
    : >"$pack/packed"
    echo "packed: $pack"
    exit 0
fi

export BNNEP_BACKEND_PATH="$build" BNNEP_TEST_BACKEND=cuda
if [ -e "$here/packed" ]; then
    export LD_LIBRARY_PATH="$build${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
export BNNEP_DATA="${data:-$here/examples/data/mnist-sample}"
passed=0
failed=0
check() {
    echo "--- $*"
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}
golden() {
    "$@" "$build/tests/test_golden" --backend cuda:0 "$here"/tests/golden/*/
}

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || true
"$build/bench/bnnep-bench" --preset mnist-fc1 --backend cuda:0 --batches 1 >/dev/null || {
    echo "the cuda backend cannot be used here: nothing was tested" >&2
    exit 1
}
for name in conformance convolutions settle gradients checkpoint; do
    check "$build/tests/test_$name"
done
check golden env
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck initcheck; do
        check golden compute-sanitizer --tool "$tool" --error-exitcode 1
    done
else
    echo "no compute-sanitizer here: memcheck, racecheck, synccheck and initcheck were not run"
fi
echo "$passed passed, $failed failed"

python=${PYTHON:-$(command -v python3 || true)}
if [ -n "$python" ] && "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    BENCH=$build/bench/bnnep-bench PYTHON=$python BACKEND=cuda:0 DEVICE=cuda "$here/bench/compare.sh" --rounds "$rounds" \
        --data "$BNNEP_DATA" ${cifar10:+--cifar10 "$cifar10"}
else
    echo "no PyTorch with CUDA here: the times stand alone"
    for preset in mnist-fc1 mnist-fc1-bptt mnist-fc1-alpha mnist-fc2 mnist-fc2-bptt mnist-fc2-alpha mnist-conv \
        mnist-conv-bptt mnist-conv-alpha mnist-fc1-bin mnist-fc1-bin-alpha mnist-fc2-bin mnist-fc2-bin-alpha \
        mnist-conv-bin mnist-conv-bin-alpha cifar10-conv cifar10-conv-bptt cifar10-conv-alpha; do
        case $preset in
        cifar10-*)
            [ -n "$cifar10" ] || continue
            folder=$cifar10
            ;;
        *) folder=$BNNEP_DATA ;;
        esac
        "$build/bench/bnnep-bench" --preset "$preset" --backend cuda:0 --data "$folder"
    done
fi
[ "$failed" -eq 0 ] || {
    echo "$failed of the tests above failed" >&2
    exit 1
}
