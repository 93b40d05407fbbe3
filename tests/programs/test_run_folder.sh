#!/bin/sh
# The folder of a run, and what can happen to it: test_run_folder.sh PROGRAM SAMPLE_FOLDER
set -u
# shellcheck source=tests/programs/program.sh
. "$(dirname "$0")/program.sh"
small="--layersList 784 40 10 --gamma 1e-3 1e-3 --gradThreshold 1e-5 1e-5 --lrBias 0.025 0.05 --T 20"
few="--train-limit 200 --test-limit 100"
runs=0

# new_run ARGUMENT...: a run in a folder of its own, $folder
new_run() {
    runs=$((runs + 1))
    # shellcheck disable=SC2086
    run 0 $small --out "runs-$runs" "$@"
    folder=$(dirname "$(find "$work/runs-$runs" -name results.csv)")
}
# wait_for PATTERN: until there is a file of this name that is not empty, $found; half a minute at most
wait_for() {
    tries=0
    found=
    until [ -s "$found" ] || [ $tries -gt 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
        for found in $1; do :; done
    done
}
# damage FILE: another byte than the one that was there
damage() {
    byte=$(od -An -t u1 -j 3000 -N 1 "$1")
    # shellcheck disable=SC2059
    printf "\\$(printf '%03o' $((255 - byte)))" | dd of="$1" bs=1 seek=3000 conv=notrunc 2>/dev/null
}
# without_seconds FOLDER: what a run's results say, but for the time that it took
without_seconds() {
    cut -d, -f1-14,16- "$1/results.csv"
}
# keeps NAME PATTERN: the file's bytes hold the pattern
keeps() {
    if grep -aEq -e "$2" "$folder/$1"; then ok; else wrong "$1 does not hold: $2"; fi
}
same() {
    if cmp "$1" "$2"; then ok; else wrong "$1 and $2 differ"; fi
}

# a damaged checkpoint: the one before serves, and stays until there is a new one, whatever happens to that
# shellcheck disable=SC2086
new_run $few --epochs 3 --data "$sample"
cp -r "$folder" "$work/copy"
damage "$folder/checkpoint.safetensors"
mkdir "$folder/checkpoint-next.safetensors" # nothing can be written now
run 1 --resume "$folder" --epochs 4
says err 'checkpoint.safetensors: is damaged'
same "$work/copy/checkpoint-previous.safetensors" "$folder/checkpoint-previous.safetensors"
rmdir "$folder/checkpoint-next.safetensors"
run 0 --resume "$folder"
says out '^epoch=3 '
same "$work/copy/checkpoint-previous.safetensors" "$folder/checkpoint-previous.safetensors"
run 0 --resume "$folder" --epochs 4
rm "$folder/checkpoint.safetensors"
run 0 --resume "$folder" --epochs 4
says err 'checkpoint.safetensors: cannot be opened'

# one that is whole but of another run than its note says, that is not this program's, that cannot be
for expression in 's/free_steps\\":20/free_steps\\":21/' 's/"note":"best=/"note":"bust=/' 's/epochs\\":3/epochs\\":x/' 's/--epochs 3/--resume 3/'; do
    rm -rf "$work/forgery"
    cp -r "$work/copy" "$work/forgery"
    forge "$work/forgery/checkpoint.safetensors" "$expression"
    if cmp -s "$work/copy/checkpoint.safetensors" "$work/forgery/checkpoint.safetensors"; then wrong "no forgery"; else ok; fi
    run 0 --resume "$work/forgery"
    says err 'goes on from checkpoint-previous.safetensors'
    says out '^epoch=3 '
    without_seconds "$work/copy" >"$work/a"
    without_seconds "$work/forgery" >"$work/b"
    same "$work/a" "$work/b"
done
forge "$work/forgery/checkpoint-previous.safetensors" 's/free_steps\\":20/free_steps\\":21/'
rm "$work/forgery/checkpoint.safetensors"
run 1 --resume "$work/forgery"

# links are not followed
for name in results.csv Hyperparameters.txt; do
    rm -rf "$work/linked"
    cp -r "$work/copy" "$work/linked"
    mv "$work/linked/$name" "$work/elsewhere"
    cp "$work/elsewhere" "$work/as-it-was"
    ln -s "$work/elsewhere" "$work/linked/$name"
    run 1 --resume "$work/linked" --epochs 4
    says err "$name: is (a symbolic link|not a file)"
    same "$work/as-it-was" "$work/elsewhere"
done

# one of a newer library is not passed over
cp -r "$work/copy" "$work/newer"
printf '{"__metadata__":{"format":"bnnep-checkpoint","format_version":"2","digest":"00000000"}}%s' '  ' >"$work/header"
digest=$(gzip -c "$work/header" | tail -c 8 | od -An -t x4 -N 4 | tr -d ' ')
{
    printf '\130\0\0\0\0\0\0\0'
    sed "s/00000000/$digest/" "$work/header"
} >"$work/newer/checkpoint.safetensors"
run 1 --resume "$work/newer"
says err 'checkpoint.safetensors: its format version is 2'
same "$work/copy/checkpoint-previous.safetensors" "$work/newer/checkpoint-previous.safetensors"

# the data: the folder that was used, and no other
cp -r "$sample" "$work/data"
export BNNEP_DATA=data
# shellcheck disable=SC2086
new_run $few --epochs 1
unset BNNEP_DATA
keeps Hyperparameters.txt "^data = $work/data\$"
run 0 --resume "$folder" --epochs 2
mv "$work/data" "$work/moved"
run 1 --resume "$folder" --epochs 3
run 0 --resume "$folder" --epochs 3 --data moved
run 1 --resume "$folder" --epochs 4 --train-limit 199
says err 'its run has other data: data=[0-9a-f]{8},[0-9a-f]{8}, here data=[0-9a-f]{8},[0-9a-f]{8}$'
labels=$work/moved/t10k-labels-idx1-ubyte
[ -e "$labels" ] || gzip -d "$labels.gz"
printf '\1\2\3' | dd of="$labels" bs=1 seek=8 conv=notrunc 2>/dev/null # the first three labels
run 1 --resume "$folder" --epochs 4
says err 'its run has other data'

# options given when a run is gone on with are kept
# shellcheck disable=SC2086
new_run $few --epochs 1 --data "$sample"
run 0 --resume "$folder" --epochs 3 --checkpoint-minutes 7
run 0 --resume "$folder"
silent out
keeps Hyperparameters.txt '^epochs = 3$'
keeps Hyperparameters.txt '^checkpoint-minutes = 7$'
keeps Hyperparameters.txt '^gradThreshold = 1e-05 1e-05$'
if grep -Eq '^(conv_gamma|gamma_neur|lrAlpha|padding|resume|out|threads) ' "$folder/Hyperparameters.txt"; then
    wrong "Hyperparameters.txt lists what does not apply"
else
    ok
fi

# a folder whose name is no text, and has a line end in it
odd=$(printf 'odd %%41\n\377')
cp -r "$sample" "$work/$odd"
# shellcheck disable=SC2086
new_run $few --epochs 1 --data "$odd" --gradThreshold 1.2345678901e-5 1e-5
run 0 --resume "$folder" --epochs 2
says out '^epoch=2 '
keeps Hyperparameters.txt '^gradThreshold = 1.2345678901e-05 1e-05$'

# results.csv that is gone: begun anew if it held nothing
# shellcheck disable=SC2086
new_run $few --epochs 1 --data "$sample"
rm "$folder/results.csv"
run 1 --resume "$folder" --epochs 2
says err 'results.csv: No such file'
printf 'names\nhalf a row' >"$folder/results.csv"
run 1 --resume "$folder" --epochs 2
says err 'results.csv: has 0 rows, the checkpoint stands after epoch 1'

# shellcheck disable=SC2086
"$train" $small --data "$sample" --out "$work/early" --T 30000 --settle -1 >"$work/out" 2>"$work/err" </dev/null &
pid=$!
wait_for "$work/early/*/*/S-1/checkpoint.safetensors"
kill -KILL $pid
wait $pid 2>/dev/null
folder=$(dirname "$found")
rm "$folder/results.csv"
"$train" --resume "$folder" >"$work/out" 2>"$work/err" </dev/null &
pid=$!
wait_for "$folder/results.csv"
kill -KILL $pid
wait $pid 2>/dev/null
if [ -e "$folder/results.csv" ]; then ok; else wrong "results.csv is not begun anew"; fi

# --compare-gradients looks at the run's network, and changes nothing
cp -r "$work/copy" "$work/compared"
run 0 --resume "$work/compared" --compare-gradients --Kmax 10 --batchSize 8
cp "$work/out" "$work/trained"
if diff -r "$work/copy" "$work/compared"; then ok; else wrong "--compare-gradients writes"; fi
# shellcheck disable=SC2086
run 0 $small $few --data "$sample" --batchSize 8 --compare-gradients
if cmp -s "$work/out" "$work/trained"; then wrong "--compare-gradients passes over the checkpoint"; else ok; fi

run 2 --resume "$folder" --no-save
says err '--resume goes on in its own folder, not with --no-save'

# one run a folder; the test pass is not lost by Ctrl-C; what a killed write left is cleared away
# shellcheck disable=SC2086
"$train" $small --data "$sample" --out "$work/slow" --train-limit 8 --T 8000 --settle -1 --epochs 100000 >"$work/out" \
    2>"$work/err" </dev/null &
pid=$!
wait_for "$work/out"
folder=$(dirname "$(find "$work/slow" -name results.csv)")
if "$train" --resume "$folder" >"$work/second" 2>&1; then wrong "two runs in one folder"; else ok; fi
if grep -q 'another bnnep-train is at work in this folder' "$work/second"; then ok; else wrong "no word of the other run"; fi
# Ctrl-C half a second later comes in the test, which takes most of the time, or now and then while a row is written: then
# the run goes on, for another try
rows_of() {
    wc -l <"$folder/results.csv"
}
tries=1
while :; do
    sleep 0.5
    rows=$(rows_of)
    kill -INT $pid
    wait $pid
    [ "$(rows_of)" -gt "$rows" ] && ok && break
    [ $tries -eq 5 ] && wrong "Ctrl-C in the test loses the epoch" && break
    tries=$((tries + 1))
    rows=$(rows_of)
    "$train" --resume "$folder" >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    wait_for "$work/out"
done
if [ "$(wc -l <"$work/out")" -eq "$(($(wc -l <"$folder/results.csv") - 1))" ]; then ok; else wrong "printed and kept epochs"; fi
touch "$folder/network.safetensors.part" "$folder/checkpoint-next.safetensors.a1B2c3.part" "$folder/results.csv.part"
touch "$folder/mine.part"
run 0 --resume "$folder" --epochs 1
if [ -e "$folder/mine.part" ]; then ok; else wrong "another's file is removed"; fi
rm "$folder/mine.part"
if find "$folder" -name '*.part' | grep -q .; then wrong "a killed write's file stays"; else ok; fi

# images held back: they are not trained on, and choose the best network; a run goes on with them
new_run --train-limit 400 --test-limit 100 --validation 100 --epochs 3 --seed 3
says out '^epoch=3 .* validation_error=[0-9.]+ flips='
keeps checkpoint-best.safetensors "best=$(cut -d, -f22 "$folder/results.csv" | tail -n 3 | sort -n | head -n 1)[ .]"
keeps results.csv ',Ave_Validation_Error$'
run 0 --resume "$folder" --epochs 5
first=$folder
new_run --train-limit 400 --test-limit 100 --validation 0.25 --epochs 5 --seed 3
if [ "$(without_seconds "$first")" = "$(without_seconds "$folder")" ]; then ok; else wrong "a share is another run than its number"; fi
new_run --train-limit 300 --test-limit 100 --epochs 5 --seed 3
if [ "$(cut -d, -f1-14 "$first/results.csv")" = "$(cut -d, -f1-14 "$folder/results.csv")" ]; then ok; else wrong "what is held back is trained on"; fi
# shellcheck disable=SC2086
run 2 $small --train-limit 300 --validation 300
says err '--validation 300: of 300 training images at least one must be held back, and one left'
# shellcheck disable=SC2086
run 2 $small --train-limit 3 --validation 0.1
says err '--validation 0.1: of 3 training images'
run 1 --resume "$first" --validation 50
says err 'its run has other data'
run 1 --resume "$folder" --train-limit 350 --validation 50 # the same to train on
says err 'its run has other data'
# shellcheck disable=SC2086
run 2 $small --train-limit 300 --validation 10.5
says err '--validation 10.5 is neither a share below 1 nor a whole number'
new_run --train-limit 100 --test-limit 10 --validation 0.29 --epochs 1
cp "$folder/results.csv" "$work/share"
new_run --train-limit 100 --test-limit 10 --validation 29 --epochs 1
if [ "$(cut -d, -f1-14 "$folder/results.csv")" = "$(cut -d, -f1-14 "$work/share")" ]; then ok; else wrong "0.29 of 100 is not 29"; fi

finish
