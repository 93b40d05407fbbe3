#!/bin/sh
# bnnep-classify and bnnep-settle with networks that bnnep-train made: test_classify.sh TRAIN_PROGRAM SAMPLE_FOLDER
set -u
# shellcheck source=tests/programs/program.sh
. "$(dirname "$0")/program.sh"
train_program=$train
classify_program=$(dirname "$train")/bnnep-classify
settle_program=$(dirname "$train")/bnnep-settle

# classify STATUS ARGUMENT...
classify() {
    train=$classify_program
    run "$@"
    train=$train_program
}
line='^image=[0-9]+ class=[0-9] scores=([0-9.-]+,){9}[0-9.-]+$'

run 0 --layersList 784 40 10 --gamma 1e-3 1e-3 --gradThreshold 1e-5 1e-5 --lrBias 0.025 0.05 --T 20 --data "$sample" \
    --train-limit 200 --test-limit 100 --epochs 1 --out mnist
network=$(find "$work/mnist" -name network.safetensors)

# IDX, and the same image as PGM
classify 0 "$network" "$sample/t10k-images-idx3-ubyte.gz"
if [ "$(grep -Ec "$line" "$work/out")" -eq 1000 ]; then ok; else wrong "classes"; fi
sed -n 2p "$work/out" >"$work/second"
gzip -dc "$sample/t10k-images-idx3-ubyte.gz" >"$work/images"
tail -c +801 "$work/images" | head -c 784 >"$work/pixels"
{ printf 'P5\n# a digit\n28 28\n255\n'; cat "$work/pixels"; } >"$work/digit.pgm"
classify 0 "$network" "$work/digit.pgm"
if [ "$(sed 's/image=0/image=1/' "$work/out")" = "$(cat "$work/second")" ]; then ok; else wrong "PGM and IDX differ"; fi

# whatever the threads
classify 0 --threads 1 "$network" "$work/digit.pgm"
if [ "$(sed 's/image=0/image=1/' "$work/out")" = "$(cat "$work/second")" ]; then ok; else wrong "--threads 1 differs"; fi
classify 2 --threads 0 "$network" "$work/digit.pgm"
says err "--threads: '0' is not a whole number from 1 to 64"

# the same scores with all their digits
classify 0 --exact "$network" "$work/digit.pgm"
cp "$work/out" "$work/exact"
rounded=$(sed 's/.*scores=//' "$work/exact" | tr ',' '\n' | xargs printf '%.4f,')
if [ "${rounded%,}" = "$(sed 's/.*scores=//' "$work/second")" ]; then ok; else wrong "exact scores differ"; fi

# how a network comes to rest: a line a step, a share a layer
settle() {
    train=$settle_program
    run "$@"
    train=$train_program
}
settle 0 --backend ref "$network" "$sample/t10k-images-idx3-ubyte.gz"
if [ "$(grep -Ec '^step=[0-9]+ changed=(0|1|0\.[0-9]+|[0-9.]+e-0[5-9]),(0|1|0\.[0-9]+|[0-9.]+e-0[5-9])$' "$work/out")" -eq 20 ]
then ok; else wrong "not a line a step"; fi
settle 0 --count 1 --steps 500 --backend ref "$network" "$sample/t10k-images-idx3-ubyte.gz"
if [ "$(wc -l <"$work/out")" -eq 500 ]; then ok; else wrong "not 500 steps"; fi
if [ "$(head -n 1 "$work/out")" != "step=1 changed=0,0" ]; then ok; else wrong "nothing moves"; fi
settle 0 --count 1 --threads 2 "$network" "$sample/t10k-images-idx3-ubyte.gz"
settle 2 --count 0 "$network" "$sample/t10k-images-idx3-ubyte.gz"
settle 1 "$network" "$sample/t10k-labels-idx1-ubyte.gz"
says err 'another number of values|dimensions'
settle 1 "$network" nowhere
settle 1 --backend nothing "$network" "$sample/t10k-images-idx3-ubyte.gz"
says err "no backend 'nothing'"

# values from 0 to another largest one
{ printf 'P5 28 28 1\n'; tr '\1-\377' '\1' <"$work/pixels"; } >"$work/one.pgm"
{ printf 'P5 28 28 255\n'; tr '\1-\377' '\377' <"$work/pixels"; } >"$work/full.pgm"
classify 0 "$network" "$work/one.pgm"
cp "$work/out" "$work/one"
classify 0 "$network" "$work/full.pgm"
if cmp -s "$work/out" "$work/one"; then ok; else wrong "the largest value is not heeded"; fi
classify 1 "$network" "$work/full.pgm" "$work/pixels"
{ printf 'P5 28 28 200\n'; head -c 784 /dev/zero | tr '\0' '\377'; } >"$work/above.pgm"
classify 1 "$network" "$work/above.pgm"
says err 'above.pgm: has a pixel above'

# what is not one image of the right shape
{ cat "$work/digit.pgm"; printf 'x'; } >"$work/long.pgm"
classify 1 "$network" "$work/long.pgm"
says err 'long.pgm: goes on after its last pixel'
head -c 700 "$work/digit.pgm" >"$work/short.pgm"
classify 1 "$network" "$work/short.pgm"
says err 'short.pgm: ends before its last pixel'
{ printf 'P5 784 1 255\n'; cat "$work/pixels"; } >"$work/flat.pgm"
classify 1 "$network" "$work/flat.pgm"
says err 'flat.pgm: is 1 x 1 x 784 .* takes 1 x 28 x 28'
classify 1 "$(dirname "$network")/results.csv" "$work/digit.pgm"
says err 'results.csv: '

# a network of vectors takes an image of as many values
mkdir "$work/vectors"
for part in train t10k; do
    gzip -dc "$sample/$part-labels-idx1-ubyte.gz" | tail -c +9 | head -c 100 >"$work/labels"
    { printf '\0\0\010\01\0\0\0\144'; cat "$work/labels"; } >"$work/vectors/$part-labels-idx1-ubyte"
    { printf '\0\0\010\02\0\0\0\144\0\0\03\020'; tail -c +17 "$work/images" | head -c 78400; } >"$work/vectors/$part-images-idx3-ubyte"
done
run 0 --layersList 784 20 10 --gamma 1e-3 1e-3 --gradThreshold 1e-5 1e-5 --lrBias 0.025 0.05 --data vectors --epochs 1 \
    --out of-vectors
network=$(find "$work/of-vectors" -name network.safetensors)
classify 0 "$network" "$work/vectors/t10k-images-idx3-ubyte"
sed -n 2p "$work/out" >"$work/second"
classify 0 "$network" "$work/digit.pgm"
if [ "$(sed 's/image=0/image=1/' "$work/out")" = "$(cat "$work/second")" ]; then ok; else wrong "PGM and vectors differ"; fi
{ printf 'P5 28 27 255\n'; cat "$work/pixels"; } >"$work/low.pgm"
classify 1 "$network" "$work/low.pgm"
says err 'low.pgm: is 1 x 27 x 28 .* takes 784 x 1 x 1'

# CIFAR-10: inputs are normalised as in training, by the network's note
mkdir "$work/cifar"
head -c 3072 "$work/images" >"$work/planes" # any bytes
for name in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    { printf '\3'; cat "$work/planes"; } >"$work/cifar/$name.bin"
done
run 0 --preset cifar10-conv --convList 4 4 4 4 3 --T 30 --Kmax 2 --data cifar --epochs 1 --out runs
network=$(find "$work/runs" -name network.safetensors)
if grep -aq ' mean=0.4914,0.4822,0.4465 deviation=0.247,0.243,0.261\\n' "$network"; then ok; else wrong "no normalisation in the note"; fi
pixel=1
while [ $pixel -le 1024 ]; do # from planes to interleaved
    for plane in 0 1024 2048; do
        echo $((plane + pixel))
    done
    pixel=$((pixel + 1))
done >"$work/places"
{
    printf 'P6 32 32 255\n'
    od -An -v -t o1 -w1 "$work/planes" | tr -d ' ' |
        awk 'NR == FNR { byte[NR] = $0; next } { printf "\\0%s", byte[$0] }' - "$work/places" >"$work/escaped"
    printf '%b' "$(cat "$work/escaped")"
} >"$work/colours.ppm"
{ printf '\0\0\010\04\0\0\0\1\0\0\0\3\0\0\0\040\0\0\0\040'; cat "$work/planes"; } >"$work/colours.idx"
classify 0 "$network" "$work/colours.ppm"
cp "$work/out" "$work/as-ppm"
classify 0 "$network" "$work/colours.idx"
if cmp -s "$work/out" "$work/as-ppm"; then ok; else wrong "PPM and IDX differ"; fi
# the loss that training told of the same image, from the scores of the four digits printed
loss=$(sed 's/.*scores=//' "$work/out" | awk -F, '{ for (i = 1; i <= 10; i++) sum += ($i - (i == 4)) ^ 2; print sum / 2 }')
told=$(tail -n 1 "$(dirname "$network")/results.csv" | cut -d, -f6)
if awk "BEGIN { exit !(($loss - $told) ^ 2 < 1e-6) }"; then ok; else wrong "loss $loss, training told $told"; fi

# what it says of itself
classify 0 --help
if grep -q '^  --single ' "$work/out"; then ok; else wrong "help"; fi
classify 0 --version
if grep -Eq '^bnnep-classify [0-9.]+$' "$work/out"; then ok; else wrong "version"; fi
classify 2 --nonsense
classify 2 "$network"

finish
