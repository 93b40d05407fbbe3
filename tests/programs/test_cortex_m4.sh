#!/bin/sh
# Networks that bnnep-export wrote, compiled for a Cortex-M4 and run by QEMU on digits of the sample, give the classes and
# scores of the library on this machine, bit for bit: test_cortex_m4.sh TRAIN_PROGRAM SAMPLE_FOLDER
# Exit status 77: there is no such compiler, or no such emulator (gcc-arm-none-eabi, libnewlib-arm-none-eabi,
# qemu-system-arm).
set -u
for tool in arm-none-eabi-gcc qemu-system-arm; do
    command -v $tool >/dev/null || {
        echo "skipped: $tool is missing"
        exit 77
    }
done
# shellcheck source=tests/programs/program.sh
. "$(dirname "$0")/program.sh"
tests=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/programs/export/networks.sh
. "$tests/export/networks.sh"
board=$tests/cortex_m4
programs=$(dirname "$train")
images=10
flags="-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -Os -ffunction-sections -fdata-sections"
flags="$flags -Wall -Wextra -Wpedantic -Werror"

gzip -dc "$sample/t10k-images-idx3-ubyte.gz" >"$work/images"
tail -c +17 "$work/images" | head -c $((784 * images)) >"$work/digits.bin"
{ printf '\0\0\010\03\0\0\0%b\0\0\0\034\0\0\0\034' "$(printf '\\0%o' $images)"; cat "$work/digits.bin"; } >"$work/idx"

# compile ARGUMENT...
compile() {
    # shellcheck disable=SC2086
    (cd "$work" && arm-none-eabi-gcc $flags "$@") >"$work/out" 2>"$work/err"
    status=$?
    if [ $status -eq 0 ]; then ok; else wrong "compiler: $*"; fi
}
# bits: lines of bnnep-classify --exact as the device prints them
bits() {
    /usr/bin/python3 -c '
import struct, sys
for line in sys.stdin:
    image, label, scores = line.split()
    words = [struct.pack(">f", float(score)).hex() for score in scores[len("scores="):].split(",")]
    print(label[len("class="):], *words)'
}

for part in start main; do
    compile -std=c11 -c "$board/$part.c" -o $part.o
done
compile -c "$board/digits.S" -o digits.o
printf '%-10s %9s %9s %9s  bytes\n' network code constants RAM
for name in $networks; do
    # shellcheck disable=SC2046
    run 0 $(options_of "$name") --data "$sample" --out "$name"
    network=$(find "$work/$name" -name network.safetensors)
    "$programs/bnnep-export" --c "$network" -o "$work/net.c"
    compile -std=gnu99 -ffp-contract=fast -c net.c -o net.o
    compile -nostartfiles -T "$board/memory.ld" -Wl,--gc-sections start.o main.o digits.o net.o -o net.elf
    (cd "$work" && timeout 300 qemu-system-arm -machine mps2-an386 -nographic -monitor none -serial none \
        -semihosting-config enable=on,target=native -kernel net.elf) >"$work/by-device" 2>&1 </dev/null
    status=$?
    "$programs/bnnep-classify" --exact --backend ref "$network" "$work/idx" | bits >"$work/by-library"
    if [ "$(sort -u "$work/by-library" | wc -l)" -eq $images ]; then ok; else wrong "$name: images with equal scores"; fi
    if [ $status -eq 0 ] && cmp -s "$work/by-library" "$work/by-device"; then
        ok
    else
        cp "$work/by-device" "$work/out"
        wrong "$name: status $status, or other classes or scores"
    fi
    arm-none-eabi-size -A "$work/net.o" | awk -v name="$name" '
        /^\.text/ { code += $2 } /^\.rodata/ { constants += $2 } /^\.(bss|data)/ { ram += $2 }
        END { printf "%-10s %9d %9d %9d\n", name, code, constants, ram }'
done
finish
