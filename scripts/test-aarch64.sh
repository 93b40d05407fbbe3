#!/bin/sh
# Cross-builds for 64-bit ARM and runs there, under qemu-user, what tests the kernels and the backends: installs what is
# missing, the libraries' arm64 packages beside the native ones.
#     test-aarch64.sh [TEST...]      default: those with the label machine
set -eu
cd "$(dirname "$0")/.."
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
cmake --preset aarch64 >/dev/null
cmake --build --preset aarch64
ran=$(qemu-aarch64-static build/aarch64/tests/test_kernels 2>/dev/null)
echo "$ran" | grep -qx neon || {
    echo "The NEON kernels did not run" >&2
    exit 1
}
if [ $# -eq 0 ]; then
    ctest --preset aarch64 -j "$(nproc)" -L machine
else
    ctest --preset aarch64 -j "$(nproc)" -R "^($(echo "$*" | tr ' ' '|'))\$"
fi
