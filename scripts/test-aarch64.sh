#!/bin/sh
# Cross-builds for 64-bit ARM and runs there, under qemu-user, what tests the kernels and the backends: installs what is
# missing, the libraries' arm64 packages beside the native ones.
#     test-aarch64.sh [TEST...]      default: those that take at most a minute or two each under qemu
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- kernels counts conformance golden determinism settle threads waiting
. scripts/packages.sh

if ! dpkg --print-foreign-architectures | grep -qx arm64; then
    [ "$(id -u)" -eq 0 ] || {
        echo "Only root can add the architecture: dpkg --add-architecture arm64" >&2
        exit 1
    }
    dpkg --add-architecture arm64
fi
# shellcheck disable=SC2086
sh scripts/install-packages.sh $aarch64_packages
cmake --preset aarch64 -DBNNEP_BUILD_EXAMPLES=OFF -DBNNEP_BUILD_TESTS=ON >/dev/null
for test in "$@"; do
    set -- "$@" "test_$test"
    shift
done
cmake --build --preset aarch64 --target "$@"
run=build/aarch64/tests
ran=$(qemu-aarch64-static "$run/test_kernels" 2>/dev/null)
echo "$ran" | grep -qx neon || {
    echo "The NEON kernels did not run" >&2
    exit 1
}
pattern=$(printf '|%s' "$@" | sed 's/test_//g; s/^|//')
ctest --preset aarch64 -j "$(nproc)" -R "^($pattern)\$"
