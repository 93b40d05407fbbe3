#!/bin/sh
# bnnep-train as a user meets it: test_train_program.sh PROGRAM SAMPLE_FOLDER
set -u
# shellcheck source=tests/programs/program.sh
. "$(dirname "$0")/program.sh"

# like_first yes|no WHAT: is the last run's output, but for the time, that in the file "first"?
like_first() {
    if sed 's/ seconds.*//' "$work/out" | cmp -s - "$work/first"; then is=yes; else is=no; fi
    if [ $is = "$1" ]; then ok; else wrong "$2"; fi
}
small="--layersList 784 40 10 --gamma 1e-3 1e-3 --gradThreshold 1e-5 1e-5 --lrBias 0.025 0.05 --T 20 --data $sample"
few="--train-limit 200 --test-limit 100 --epochs 2"

# one line an epoch, nothing else
# shellcheck disable=SC2086
run 0 $small $few
silent err
line='^epoch=[12] train_error=[0-9]+\.[0-9]{2} test_error=[0-9]+\.[0-9]{2} train_error_single=[0-9]+\.[0-9]{2} test_error_single=[0-9]+\.[0-9]{2} train_loss=[0-9]\.[0-9]{4} test_loss=[0-9]\.[0-9]{4} flips=[0-9]+,[0-9]+ seconds=[0-9]+\.[0-9]$'
if [ "$(grep -Ec "$line" "$work/out")" -eq 2 ] && [ "$(wc -l <"$work/out")" -eq 2 ]; then ok; else wrong "lines"; fi

# the same seed, the same run, whatever the threads; another seed, another
sed 's/ seconds.*//' "$work/out" >"$work/first"
for threads in 1 3; do
    # shellcheck disable=SC2086
    run 0 $small $few --threads $threads --seed 0
    like_first yes "--threads $threads gives another run"
done
# shellcheck disable=SC2086
run 0 $small --train-limit 20 --test-limit 10 --epochs 1 --threads 2 --backend ref
# shellcheck disable=SC2086
run 0 $small $few --seed 1
like_first no "--seed 1 gives the run of seed 0"
# shellcheck disable=SC2086
run 0 $small $few --no-shuffle
like_first no "--no-shuffle changes nothing"
# shellcheck disable=SC2086
run 0 $small $few --momentum-noise
like_first no "--momentum-noise changes nothing"

# so does a grid, a run of its own
# shellcheck disable=SC2086
run 0 $small $few --grid 12 --threads 1
like_first no "--grid 12 changes nothing"
sed 's/ seconds.*//' "$work/out" >"$work/first"
# shellcheck disable=SC2086
run 0 $small $few --grid 12 --threads 3
like_first yes "--threads 3 gives another run on a grid"
# shellcheck disable=SC2086
run 2 $small $few --grid 7
says err 'grid is 7; it must be from 8 to 20'
# shellcheck disable=SC2086
run 2 $small $few --layersList 784 4096 10 --grid 19
says err 'grid_bits is 19, but sums of 4096 values fit into 32 bits up to 18'

# lrAlpha is divided from its epoch on, counted from 1, by decayLrAlpha
alpha="--learnAlpha 1 --lrAlpha 0.5 0.5"
# shellcheck disable=SC2086
run 0 $small $few $alpha
sed 's/ seconds.*//' "$work/out" >"$work/first"
cp "$work/first" "$work/undecayed"
# shellcheck disable=SC2086
run 0 $small $few $alpha --decayLrAlpha 4 --epochDecayLrAlpha 3
like_first yes "lrAlpha decays before its epoch"
# shellcheck disable=SC2086
run 0 $small $few $alpha --decayLrAlpha 4 --epochDecayLrAlpha 2
like_first no "lrAlpha does not decay in its epoch"
if [ "$(sed 's/ seconds.*//;q' "$work/out")" = "$(head -n 1 "$work/undecayed")" ]; then ok; else wrong "lrAlpha decays too early"; fi
# shellcheck disable=SC2086
run 0 $small $few --learnAlpha 1 --lrAlpha 0.125 0.125
sed 's/ seconds.*//' "$work/out" >"$work/first"
# shellcheck disable=SC2086
run 0 $small $few $alpha --decayLrAlpha 4 --epochDecayLrAlpha 1
like_first yes "lrAlpha is not divided by decayLrAlpha"
# shellcheck disable=SC2086
run 0 $small $few $alpha --decayLrAlpha 4 --epochDecayLrAlpha 1 --test_batchSize 7
like_first yes "--test_batchSize changes results"

# lists of the command line are output first: flips are input first
# shellcheck disable=SC2086
run 0 $small $few --gradThreshold 1e9 1e-5
says out 'flips=[1-9][0-9]*,0 '
says err '^bnnep-train: epoch 1: connection 1 flipped no weight$'
if [ "$(wc -l <"$work/err")" -eq 1 ]; then ok; else wrong "more warnings than one"; fi
run 0 --layersList 784 40 10 --T 20 --units deviations --gamma 0.02 0.02 --gradThreshold 0.1 0.1 --lrBias 0.01 0.01 \
    --train-limit 640 --test-limit 100 --epochs 3 --no-save --data "$sample"
says err '^bnnep-train: epoch 2: connection 1 flipped [1-9][0-9]* % of its weights$'

# a command of the paper, with the options of its page, and a preset with options over it
run 0 --dataset mnist --optim ep --archi fc --binary_settings bin_W --layersList 784 4096 10 --activationFun hardsigm \
    --T 50 --Kmax 10 --beta 0.3 --random_beta 1 --gamma 1e-5 1e-4 --gradThreshold 5e-7 5e-7 --lrBias 0.025 0.05 \
    --batchSize 64 --test_batchSize 512 --epochs 1 --learnAlpha 0 --device -1 --data "$sample" --train-limit 64 --test-limit 10
sed 's/ seconds.*//' "$work/out" >"$work/first"
run 0 --preset mnist-fc1 --epochs 1 --data "$sample" --train-limit 64 --test-limit 10
like_first yes "the preset is not the command"
run 0 --preset mnist-fc1-bin --layersList 784 50 100 --epochs 1 --train-limit 64 --test-limit 10 --data "$sample"
# the sample is the default, BNNEP_DATA goes before it
run 0 --preset mnist-fc1 --layersList 784 30 10 --epochs 1 --train-limit 5000 --test-limit 1000 --T 2
mkdir "$work/empty"
export BNNEP_DATA=empty
run 1 --preset mnist-fc1
unset BNNEP_DATA
says err '/empty: holds neither train-images-idx3-ubyte nor'
run 1 --preset mnist-fc1 --data /nowhere
says err '/nowhere: cannot be opened'

run 0 --list-presets
if [ "$(grep -vc "^fashion-" "$work/out")" -eq 18 ]; then ok; else wrong "18 presets of the paper"; fi
run 0 --help
says out '^  --gradThreshold X\.\.\.'
run 0 --version

# runs are kept in folders of their own, and can be gone on with
# shellcheck disable=SC2086
run 0 $small $few --out runs
# shellcheck disable=SC2086
run 0 $small $few --out runs
folder=$(dirname "$(find "$work/runs" -path '*/S-2/results.csv')")
for name in Hyperparameters.txt checkpoint.safetensors checkpoint-previous.safetensors checkpoint-best.safetensors network.safetensors; do
    if [ -s "$folder/$name" ]; then ok; else wrong "the run folder lacks $name"; fi
done
if [ "$(wc -l <"$folder/results.csv")" -eq 3 ]; then ok; else wrong "results.csv has no row an epoch"; fi
run 0 --resume "$folder" --epochs 3
says out '^epoch=3 '
if [ "$(wc -l <"$work/out")" -eq 1 ] && [ "$(wc -l <"$folder/results.csv")" -eq 4 ]; then ok; else wrong "--resume"; fi
run 2 --resume "$folder" --T 21
says err "checkpoint.safetensors: is of another run: its network's free_steps is 20, here it is 21"
run 1 --resume "$work"
says err 'checkpoint.safetensors: cannot be opened'
# shellcheck disable=SC2086
run 0 $small $few --no-save --out unwanted
if [ -e "$work/unwanted" ]; then wrong "--no-save keeps something"; else ok; fi

# results.csv: the errors that were printed, then a group of columns a connection, output first
# shellcheck disable=SC2086
run 0 $small $few --gradThreshold 1e9 1e-5 --out columns
csv=$(find "$work/columns" -name results.csv)
if [ "$(head -n 1 "$csv")" = 'Ave_Train_Error,Ave_Test_Error,Single_Train_Error,Single_Test_Error,Train_Loss,Test_Loss,Nb_Change_Weights_0,Threshold_0,Gamma_0,Alpha_0,Nb_Change_Weights_1,Threshold_1,Gamma_1,Alpha_1,Seconds,Steps_Free,Steps_Nudged,Edge_0,Contrast_0,Edge_1,Contrast_1' ]; then ok; else wrong "the columns' names"; fi
awk -F'[= ,]' '{ printf "%g,%g,%g,%g\n", $4, $6, $8, $10 }' "$work/out" >"$work/printed"
if sed 1d "$csv" | cut -d, -f1-4 | cmp -s - "$work/printed"; then ok; else wrong "the errors of results.csv are not those printed"; fi
flips=$(sed -n '1s/.*flips=\([0-9]*\),0 .*/\1/p' "$work/out")
groups=$(awk -v flips="$flips" 'BEGIN { printf "-20.723266,1e+09,0.001,%.6f,1e-05,0.001", log(flips / (784 * 40) + 1e-9) }')
if [ "$(sed -n 2p "$csv" | cut -d, -f7-9,11-13)" = "$groups" ]; then ok; else wrong "the groups are not $groups"; fi
run 0 --archi conv --convList 3 2 1 --layersList 10 --kernelSize 5 --padding 0 --Fpool 2 --T 3 --Kmax 1 --classi_gamma 1e-3 \
    --conv_gamma 1e-3 1e-3 --classi_threshold 1 --conv_threshold 1 1 --lrBias 0 0 0 --data "$sample" --train-limit 8 \
    --test-limit 4 --epochs 1 --out conv
names=$(head -n 1 "$(find "$work/conv" -name results.csv)" | cut -d, -f7,11,15)
if [ "$names" = 'Nb_Change_Weights_fc_0,Nb_Change_Weights_conv_0,Nb_Change_Weights_conv_1' ]; then ok; else wrong "names: $names"; fi

# a run that learns nothing, gone on with from elsewhere: finds its data, keeps its best, cuts back what is too much
ln -s "$sample" "$work/here"
# shellcheck disable=SC2086
run 0 $small $few --gradThreshold 1e9 1e9 --lrBias 0 0 --epochs 1 --data here --out still
still=$(dirname "$(find "$work/still" -name results.csv)")
cp "$still/checkpoint-best.safetensors" "$work/best"
echo 'a row that was not finished' >>"$still/results.csv"
(cd / && "$train" --resume "$still" --epochs 2) >"$work/out" 2>"$work/err" || wrong "--resume from another folder"
if cmp -s "$work/best" "$still/checkpoint-best.safetensors"; then ok; else wrong "an error that is no lower is the best"; fi
if grep -q 'not finished' "$still/results.csv"; then wrong "results.csv is not cut back"; else ok; fi
head -n 2 "$still/results.csv" >"$work/short"
cp "$work/short" "$still/results.csv"
run 1 --resume "$still" --epochs 3
says err 'has 1 rows, the checkpoint stands after epoch 2'

# shellcheck disable=SC2086
run 0 $small --compare-gradients --Kmax 3 --batchSize 8 --train-limit 20
says out '^connection=1 step=3 cosine=-?[0-9.]+ relative_error=[0-9.]+$'

# eight runs that start at once (all wait for the file "go") have folders of their own, and all of them are whole
pids=
for number in 1 2 3 4 5 6 7 8; do
    # shellcheck disable=SC2086
    (until [ -e "$work/go" ]; do :; done && exec "$train" $small $few --threads 1 --out "$work/together") >"$work/together-$number" 2>&1 &
    pids="$pids $!"
done
touch "$work/go"
for pid in $pids; do
    if wait "$pid"; then ok; else wrong "one of the runs that start together failed"; fi
done
if [ "$(find "$work/together" -name 'S-[1-8]' | wc -l)" -eq 8 ]; then ok; else wrong "not 8 folders for 8 runs"; fi
for each in "$work"/together/*/*/S-*; do
    for name in Hyperparameters.txt checkpoint-previous.safetensors checkpoint-best.safetensors; do
        if [ -s "$each/$name" ]; then ok; else wrong "$each lacks $name"; fi
    done
    if [ "$(wc -l <"$each/results.csv")" -eq 3 ]; then ok; else wrong "$each/results.csv has no row an epoch"; fi
    cmp "$each/network.safetensors" "$work"/together/*/*/S-1/network.safetensors || wrong "$each is another run"
done
for each in "$work"/together/*/*/S-*; do
    run 0 --resume "$each" --epochs 3 # it reads checkpoint.safetensors
done

# wrong usage: status 2, words on standard error, nothing on standard output
run 2
silent out
says err 'say which network'
run 2 --preset mnist-fc1 --epochs 1 --gradTreshold 1
says err "unknown option '--gradTreshold'; did you mean '--gradThreshold'"
run 2 --preset minst-fc1
says err "unknown preset 'minst-fc1'; did you mean 'mnist-fc1'"
run 2 --preset mnist-fc1 --optim epp
says err "unknown value 'epp'; did you mean 'ep'"
run 2 --preset mnist-fc1 --T
says err 'needs a value'
run 2 --preset mnist-fc1 --T 0
says err '--T is 0; it must be from 1'
run 2 --preset mnist-fc1 --T five
says err "'five' is not a number"
run 2 --preset mnist-fc1 --T 2.5
says err "'2.5' is not a whole number"
run 2 --preset mnist-fc1 --beta nan
says err "'nan' is not a number"
run 2 --preset mnist-fc1 --no-shuffle=1
says err 'takes no value'
run 2 --preset mnist-fc1 stray
says err "'stray' does not belong to any option"
run 2 -x
says err "unknown option '-x'"
# shellcheck disable=SC2086
run 2 $small --gamma 1e-3 1e-3 1e-3
says err '--gamma has 3 values, the network has 2 connections'
# shellcheck disable=SC2086
run 2 $small --gamma 1e-3 0
says err 'gamma of connection 0 is 0'
# shellcheck disable=SC2086
run 2 $small --beta 0
says err 'beta is 0'
for option in gamma_neur rho_threshold; do # the library would make its defaults of 0
    # shellcheck disable=SC2086
    run 2 $small --binary_settings bin_W_N --$option 0
    says err "--$option is 0; it must be from 1e-30 to 1"
done
# shellcheck disable=SC2086
run 2 $small --layersList 700 40 10
says err '--layersList begins with 700 units, but an image has 784 values'
# shellcheck disable=SC2086
run 2 $small --layersList 784 40 11 --expand_output 2
says err 'the last layer has 11 units, no multiple of --expand_output 2; say --classes'
# shellcheck disable=SC2086
run 2 $small --layersList 784 40 11 --classes 10
says err 'the last layer has 11 units, but classes \* expand_output is 10 \* 1'
# shellcheck disable=SC2086
run 1 $small --layersList 784 40 5 # the sample has labels up to 9
says err 'label'
conv="--archi conv --layersList 10 --kernelSize 5 --Fpool 2 --classi_gamma 1e-3 --classi_threshold 1e-5 --lrBias 0.1 0.1 0.1"
# shellcheck disable=SC2086
run 2 $conv --data "$sample" --convList 4 4 3 --conv_gamma 1e-3 1e-3 --conv_threshold 1e-5 1e-5
says err '--convList ends with 3 channels, but an image has 1'
# shellcheck disable=SC2086
run 2 $conv --data "$sample" --convList 4 4 1 --conv_gamma 1e-3 1e-3 1e-3 --conv_threshold 1e-5 1e-5
says err '--conv_gamma has 3 values, the network has 2 convolutions'
# shellcheck disable=SC2086
run 2 $small --activationFun heaviside
says err 'bin_W goes with --activationFun hardsigm'

# --fast is two options, which it names
# shellcheck disable=SC2086
run 0 $small $few --schedule over-relaxed --settle 1e-3
sed 's/ seconds.*//' "$work/out" >"$work/first"
# shellcheck disable=SC2086
run 0 $small $few --fast
says err '^bnnep-train: --fast: --schedule over-relaxed --settle 0.001$'
like_first yes "--fast is other options"
# shellcheck disable=SC2086
run 0 $small $few --fast --schedule synchronous --settle 0
like_first no "options after --fast do not override it"
run 0 --preset mnist-fc1-bin --layersList 784 20 10 --expand_output 1 --train-limit 64 --test-limit 10 --epochs 1 --no-save --fast
says err '^bnnep-train: --fast: --schedule synchronous --settle 0$'
run 0 --preset mnist-conv --convList 4 2 1 --train-limit 64 --test-limit 10 --epochs 1 --no-save --fast
says err '^bnnep-train: --fast: --schedule alternating --settle 0.001$'
deep="--layersList 784 20 20 10 --train-limit 64 --test-limit 10 --epochs 1 --no-save"
# shellcheck disable=SC2086
run 0 $deep --fast
says err '^bnnep-train: --fast: --schedule over-relaxed --settle 1e-06$'
# shellcheck disable=SC2086
run 0 $deep --fast --feedback 1
says err '^bnnep-train: --fast: --schedule over-relaxed --settle 0.001$'
# shellcheck disable=SC2086
run 0 $deep --optim bptt
# shellcheck disable=SC2086
run 0 $deep --compare-gradients
# shellcheck disable=SC2086
run 1 $deep --optim bptt --feedback 0.5
says err 'feedback is 0.5, and must be 1'
# shellcheck disable=SC2086
run 2 $deep --feedback 0
says err '^bnnep-train: --feedback is 0; it must be from 1e-06 to 1$'
# shellcheck disable=SC2086
run 1 $small --optim bptt --fast
says err 'schedule must be 0'

# nothing given is the default rule, which the run's folder names
run 0 --layersList 784 20 10 --train-limit 640 --test-limit 10 --epochs 2 --out "$work/default"
folder=$(dirname "$(find "$work/default" -name Hyperparameters.txt)")
for line in 'units = deviations' 'fall = harmonic' 'learnAlpha = 1' 'start = balanced' 'beta = 0.3' 'covariance = 1' 'nudge = centred'; do
    if grep -q "^$line\$" "$folder/Hyperparameters.txt"; then ok; else wrong "the default rule: $line"; fi
done
run 0 --resume "$folder" --epochs 3
says out '^epoch=3 '
# a run that was begun without columns of edges and contrasts goes on without them
cut -d, -f1-17 "$folder/results.csv" >"$work/narrow" && mv "$work/narrow" "$folder/results.csv"
run 0 --resume "$folder" --epochs 4
if [ "$(awk -F, '{ print NF }' "$folder/results.csv" | sort -u | wc -l)" -eq 1 ]; then ok; else wrong "an older run's columns"; fi
# with binary activations it is more
binary="--layersList 784 20 10 --binary_settings bin_W_N --T 20 --train-limit 640 --test-limit 10"
# shellcheck disable=SC2086
run 0 $binary --epochs 2 --out "$work/binary"
folder=$(dirname "$(find "$work/binary" -name Hyperparameters.txt)")
for line in 'covariance = 1' 'nudge = centred' 'beta = 2' 'learnAlpha = 0' 'start = balanced'; do
    if grep -q "^$line\$" "$folder/Hyperparameters.txt"; then ok; else wrong "the default rule of binary activations: $line"; fi
done
run 0 --resume "$folder" --epochs 3
says out '^epoch=3 '
sed 's/ seconds.*//' "$work/out" >"$work/first"
# shellcheck disable=SC2086
run 0 $binary --epochs 3 --no-save
grep '^epoch=3 ' "$work/out" >"$work/third"
mv "$work/third" "$work/out"
like_first yes "a resumed run by the default rule is another one"
# shellcheck disable=SC2086
run 0 $binary --epochs 2 --no-save --random_beta 0
sed 's/ seconds.*//' "$work/out" >"$work/first"
# shellcheck disable=SC2086
run 0 $binary --epochs 2 --no-save --nudge fixed
like_first yes "--random_beta 0 is not --nudge fixed"
# shellcheck disable=SC2086
run 0 $binary --epochs 2 --no-save
like_first no "both signs are one"
# shellcheck disable=SC2086
run 2 $binary --nudge random
says err '--nudge random needs rates'
# shellcheck disable=SC2086
run 2 $binary --learnAlpha 1
says err '--learnAlpha 1 needs rates'
# shellcheck disable=SC2086
run 1 $small $few --covariance --optim bptt
says err 'covariance is 1, which needs contrasts of two phases'
# Fashion-MNIST is centred, and the note says so
# shellcheck disable=SC2086
run 0 $small $few
sed 's/ seconds.*//' "$work/out" >"$work/first"
# shellcheck disable=SC2086
run 0 $small $few --dataset fashion-mnist --out "$work/fashion"
like_first no "--dataset fashion-mnist is not centred"
if grep -aq 'mean=0.285156' "$(find "$work/fashion" -name network.safetensors)"; then ok; else wrong "the note of a centred run"; fi
# shellcheck disable=SC2086
run 0 $small $few --consolidation 0.5 --out "$work/consolidated"
like_first no "--consolidation 0.5 changes nothing"
if grep -aq 'consolidation.":0.5,' "$(find "$work/consolidated" -name checkpoint.safetensors)"; then ok; else wrong "a checkpoint of a consolidated run"; fi
# shellcheck disable=SC2086
run 2 $small $few --consolidation -1
says err 'consolidation is -1; it must be from 0 to'
run 1 --preset fashion-fc1 --data /nowhere
says err "Debian's package dataset-fashion-mnist"
# more epochs than a fall to an end was begun with keep to it
run 0 --layersList 784 20 10 --fall cosine --train-limit 640 --test-limit 10 --epochs 2 --out "$work/cosine"
folder=$(dirname "$(find "$work/cosine" -name Hyperparameters.txt)")
for line in 'fall = cosine' 'fall-to = 0.01' 'fall-epochs = 2'; do
    if grep -q "^$line\$" "$folder/Hyperparameters.txt"; then ok; else wrong "a fall: $line"; fi
done
run 0 --resume "$folder" --epochs 3
says out '^epoch=3 '
run 0 --layersList 784 20 10 --optim bptt --T 20 --Kmax 5 --train-limit 64 --test-limit 10 --epochs 1 --no-save
# shellcheck disable=SC2086
run 2 $small $few --fall cosine --fall-to 0
says err 'fall-to is 0'
# shellcheck disable=SC2086
run 2 $small $few --fall-to 0.1
says err '--fall-to and --fall-epochs need --fall'
run 2 --layersList 784 20 10 --units absolute
says err '--units absolute needs rates'
run 2 --layersList 784 20 10 --learnAlpha 0
says err '--learnAlpha 0 needs rates'
run 2 --layersList 784 20 10 --lrAlpha 0.1
says err '--lrAlpha needs --learnAlpha 1'
run 2 --layersList 784 20 10 --classi_gamma 0.1
says err 'archi is fc, and the rates are for the other one'

# a nudge by its name goes before --random_beta
# shellcheck disable=SC2086
run 0 $small $few --random_beta 0
sed 's/ seconds.*//' "$work/out" >"$work/first"
# shellcheck disable=SC2086
run 0 $small $few --nudge fixed
like_first yes "--nudge fixed is --random_beta 0"
# shellcheck disable=SC2086
run 0 $small $few --nudge centred
like_first no "--nudge centred is --nudge fixed"
# shellcheck disable=SC2086
run 2 $small $few --nudge both
says err "unknown value 'both'"

# failures: status 1
# shellcheck disable=SC2086
run 1 $small --train-limit 5001
says err 'train-limit 5001: .* the data set has 5000'
# shellcheck disable=SC2086
BNNEP_BACKEND_PATH=$work run 1 $small --backend cuda:0
says err "cuda:0' is not available: module libbnnep-cuda.so not found"
# but a device alone, as the paper's commands have it, may be missing
# shellcheck disable=SC2086
run 0 $small $few --backend cpu
sed 's/ seconds.*//' "$work/out" >"$work/first"
# shellcheck disable=SC2086
BNNEP_BACKEND_PATH=$work run 0 $small $few --device 0
says err "^bnnep-train: --device 0: .* module libbnnep-cuda.so not found .*; going on with the cpu$"
like_first yes "--device 0 gives another run on the cpu"
# one of which lacks a space
run 2 --conv_gamma 8e-8 8e-8--conv_threshold 1e-7
says err "conv_gamma: '8e-8--conv_threshold' is not a number; does it lack a space before '--conv_threshold'"
# shellcheck disable=SC2086
run 1 $small --backend fast
says err "no backend 'fast'"
if [ -e /dev/full ]; then
    # shellcheck disable=SC2086
    if "$train" $small $few --no-save >/dev/full 2>"$work/err"; then wrong "a full disk is not noticed"; else ok; fi
    says err 'standard output'
fi

# start COMMAND...: trains without end, in the background as $pid, until there is a line
start() {
    : >"$work/out" # not to take a line of before for one of this
    # shellcheck disable=SC2086
    "$@" "$train" $small --no-save --epochs 100000 --train-limit 64 --test-limit 1 >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    tries=0
    until grep -q '^epoch=' "$work/out" || [ $tries -gt 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
}
# end SIGNAL: the status that the program ends with, within half a minute
end() {
    kill -"$1" $pid
    (sleep 30 && kill -KILL $pid) 2>/dev/null &
    guard=$!
    wait $pid
    status=$?
    kill $guard 2>/dev/null
}
# Ctrl-C, and what ends a job, end the run after the batch: status 0, whole lines only
for signal in INT TERM USR1 HUP; do
    start env --default-signal=HUP
    end $signal
    if [ $status -eq 0 ]; then ok; else wrong "$signal: status $status"; fi
    says err 'interrupted'
    if grep -Evq '^epoch=.* seconds=[0-9.]+$' "$work/out"; then wrong "$signal: a torn line"; else ok; fi
done
# but what nohup keeps from it
start nohup
kill -HUP $pid
lines=$(wc -l <"$work/out")
tries=0
until [ "$(wc -l <"$work/out")" -gt $((lines + 1)) ] || [ $tries -gt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
if [ $tries -le 300 ]; then ok; else wrong "nohup: no line after HUP"; fi
end TERM
if [ $status -eq 0 ]; then ok; else wrong "nohup: status $status"; fi

finish
