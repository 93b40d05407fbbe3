# The Debian packages that the project needs; sourced by the other scripts.
# shellcheck shell=sh disable=SC2034
build_packages="gcc libc6-dev cmake ninja-build pkg-config libopenblas-dev zlib1g-dev librandom123-dev libjansson-dev"
# what scripts/test.sh runs needs these and no more
test_packages="$build_packages g++ libcmocka-dev python3 python3-numpy"
# what the programs in Python and their slow tests need; without one of these, such a test is skipped
python_packages="python3 python3-numpy python3-matplotlib python3-pandas python3-torch python3-sklearn \
    python3-pip python3-setuptools python3-wheel"
# for the example in Rust; without it, its test is left out
rust_packages="rustc"
# what runs exported networks on a Cortex-M4; without one of these, that test is skipped
device_packages="gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm python3"
# what the documentation and the checks of the manual pages need
doc_packages="doxygen python3 python3-numpy python3-matplotlib groff man-db mandoc"
# what building for other processors and running that takes
foreign_packages="$build_packages qemu-user-static dpkg"
aarch64_packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
i386_packages="gcc-i686-linux-gnu libc6-dev-i386-cross"
armhf_packages="gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"
# and of the other architecture, unpacked only
foreign_libraries="libc6 libgcc-s1 libgfortran5 libopenblas0-pthread libopenblas-pthread-dev libjansson4 libjansson-dev \
    zlib1g zlib1g-dev libcmocka0 libcmocka-dev"
# what scripts/fuzz.sh needs: libFuzzer and the sanitizers of clang
fuzz_packages="$build_packages clang libclang-rt-14-dev"
# what CI needs besides
check_packages="clang clang-format-14 clang-tidy-14 shellcheck abigail-tools gcovr lintian dpkg-dev file"
