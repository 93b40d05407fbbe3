#!/bin/sh
# What bnnep-export writes gives the classes and scores of the library, bit for bit:
#     test_export.sh TRAIN_PROGRAM SAMPLE_FOLDER IMAGES [NETWORKS]
# IMAGES, 200 or more, are the first of the test set. Networks with convolutions take a twentieth of them: the reference
# backend needs a quarter of a second for one, and each is thousands of sums that have to agree.
set -u
# shellcheck source=tests/programs/program.sh
. "$(dirname "$0")/program.sh"
here=$(cd "$(dirname "$0")/export" && pwd)
# shellcheck source=tests/programs/export/networks.sh
. "$here/networks.sh"
networks=${4:-$networks}
train_program=$train
programs=$(dirname "$train")
strict="-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Werror"

# program NAME STATUS ARGUMENT...
program() {
    train=$programs/$1
    shift
    run "$@"
    train=$train_program
}
# build FLAG...: net.c and its caller become the program `net`
build() {
    # shellcheck disable=SC2086
    if cc $strict "$@" "$here/main.c" "$work/net.c" -o "$work/net" 2>"$work/err"; then ok; else wrong "cc $*"; fi
}
# same BYTES VALUES: the classes and scores that `net` tells are those of the library
same() {
    "$work/net" "$1" "$2" >"$work/by-net" 2>"$work/err"
    head -n "$(wc -l <"$work/by-net")" "$work/by-library" >"$work/out"
    if [ -s "$work/out" ] && cmp -s "$work/out" "$work/by-net"; then ok; else wrong "$name: other classes or scores"; fi
}

# take IMAGES FEW: as many of the test set, in an IDX file and without its head; the few are for slow builds
take() {
    gzip -dc "$sample/t10k-images-idx3-ubyte.gz" | tail -c +17 | head -c $((784 * $1)) >"$work/bytes"
    head -c $((784 * $2)) "$work/bytes" >"$work/few"
    {
        printf '\0\0\010\03\0\0%b\0\0\0\034\0\0\0\034' "$(printf '\\0%o\\0%o' $(($1 / 256)) $(($1 % 256)))"
        cat "$work/bytes"
    } >"$work/idx"
}
for name in $networks; do
    case $name in
    conv*) images=$(($3 / 20)) && take "$images" 10 ;;
    *) images=$3 && take "$images" 40 ;;
    esac
    # shellcheck disable=SC2046
    run 0 $(options_of "$name") --data "$sample" --out "$name"
    network=$(find "$work/$name" -name network.safetensors)
    program bnnep-export 0 --c "$network" -o net.c
    silent err
    program bnnep-classify 0 --exact --backend ref "$network" idx
    mv "$work/out" "$work/by-library"
    if [ "$(wc -l <"$work/by-library")" -eq "$images" ]; then ok; else wrong "$name: not all images"; fi
    build -O2
    same "$work/bytes" 784
    if [ "$(wc -l <"$work/by-net")" -eq "$images" ]; then ok; else wrong "$name: not all images"; fi
    # nothing but what a freestanding compiler may call for by itself
    if cc -std=c99 -ffreestanding -O2 -c "$work/net.c" -o "$work/net.o" &&
        ! nm -u "$work/net.o" | grep -vE ' (memcpy|memset|memmove|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail)$'; then
        ok
    else
        wrong "$name: calls another library"
    fi
    # nor do the compiler's fused multiply-adds change a bit
    build -O3 -march=native -ffp-contract=fast
    same "$work/few" 784
    build -fsanitize=address,undefined -fno-sanitize-recover=all
    same "$work/few" 784
done

take 40 40

# another readout, another name; to standard output
program bnnep-export 0 --c "$network" --single --name digits
says out '^int digits_classify\(const float input\[784\], float scores\[10\]\);$'
sed 's/digits_classify/network_classify/' "$work/out" >"$work/net.c"
build -O2
program bnnep-classify 0 --single --exact --backend ref "$network" idx
mv "$work/out" "$work/by-library"
same "$work/few" 784

# colours, normalised by the network's note
mkdir "$work/cifar"
head -c 30720 "$work/bytes" >"$work/planes" # any bytes
for part in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    { printf '\3'; head -c 3072 "$work/planes"; } >"$work/cifar/$part.bin"
done
{ printf '\0\0\010\04\0\0\0\012\0\0\0\3\0\0\0\040\0\0\0\040'; cat "$work/planes"; } >"$work/colours"
for grid in "" "--grid 12" "--schedule alternating"; do
    name="cifar$grid"
    # shellcheck disable=SC2086
    run 0 --preset cifar10-conv --convList 4 4 4 4 3 --T 30 --Kmax 2 --data cifar --epochs 1 $grid --out "$name"
    network=$(find "$work/$name" -name network.safetensors)
    program bnnep-export 0 --c "$network" -o net.c
    program bnnep-classify 0 --exact --backend ref "$network" colours
    mv "$work/out" "$work/by-library"
    build -O2
    same "$work/planes" 3072
done

# what is not asked for rightly
program bnnep-export 2 "$network"
says err '^usage: bnnep-export --c'
program bnnep-export 1 --c --name 2nd "$network"
says err '2nd: is no name'
program bnnep-export 1 --c nowhere
says err 'nowhere'
program bnnep-export 1 --c "$network" -o nowhere/net.c
says err 'nowhere/net.c: No such file'
if [ -w /dev/full ]; then
    program bnnep-export 1 --c "$network" -o /dev/full
    says err '/dev/full: cannot be written'
fi

finish
