#!/bin/sh
# bnnep-info with files that bnnep-train made: test_info.sh TRAIN_PROGRAM SAMPLE_FOLDER
set -u
# shellcheck source=tests/programs/program.sh
. "$(dirname "$0")/program.sh"
train_program=$train
# info STATUS ARGUMENT...
info() {
    train=$(dirname "$train_program")/bnnep-info
    run "$@"
    train=$train_program
}

run 0 --preset mnist-conv --convList 3 2 1 --T 10 --Kmax 2 --data "$sample" --train-limit 100 --test-limit 50 --epochs 2 --consolidation 0.3 --out conv
folder=$(dirname "$(find "$work/conv" -name network.safetensors)")
info 0 "$folder/checkpoint.safetensors"
silent err
says out '^file        bnnep-checkpoint, version 1, written by [0-9.]+$'
says out '^network     full-precision activations, 1670 binary weights$'
says out '^free phase  10 steps, tolerance 0$'
says out '^input       1 x 28 x 28 '
says out '^0          conv 5x5, padding 2, pool 2 +2 x 25 = 50 +2 x 14 x 14 +0\.[0-9]+ +0\.[0-9]+ to 0\.[0-9]+ +-?0\.[0-9]+ to 0\.[0-9]+$'
says out '^2          fully connected  +10 x 147 = 1470 +10 x 1 x 1 '
says out '^learning    equilibrium propagation, 2 nudged steps, beta 0.3 of random sign, seed 0$'
says out '^ +threshold 1e-08, 1e-08, 1e-08$'
says out '^ +consolidation 0.3$'
says out '^position    2 epochs, 4 batches$'
says out '^best error  [0-9.]+ %$'
says out '^note$'
says out '^    best=[0-9.]+ data=[0-9a-f]{8},[0-9a-f]{8}$'
says out '^    --archi conv$'
info 0 "$folder/network.safetensors"
says out '^file        bnnep-network, '
if grep -Eq '^(learning|position)' "$work/out"; then wrong "a network file has no run"; else ok; fi

# numbers as people write them, words of the note as they were given
cp -r "$sample" "$work/it's 50%"
run 0 --preset mnist-fc1 --layersList 784 20 10 --gamma 1.2345678e-5 0.1 --data "it's 50%" --train-limit 100 --test-limit 999 \
    --epochs 1 --out odd
odd=$(find "$work/odd" -name checkpoint.safetensors)
info 0 "$odd"
says out '^            gamma 0\.1, 1\.2345678e-05$'
says out "^    --data '.*/it'\\\\''s 50%'\$"
says out '^    --gamma 1\.2345678e-05 0\.1$'
sed -n 's/^    best=\([^ ]*\) .*/\1/p' "$work/out" >"$work/best"
if [ -x /usr/bin/python3 ]; then
    /usr/bin/python3 - "$work/best" "$odd" >"$work/said" 2>"$work/err" <<'EOF'
import re, sys

shown = open(sys.argv[1]).read().strip()
kept = re.search(rb'"note":"best=(\S+) ', open(sys.argv[2], "rb").read())[1]
assert float(shown) == float(kept) and len(shown) <= len(repr(float(kept))), (shown, kept)
EOF
    status=$?
    if [ $status -eq 0 ]; then ok; else wrong "the lowest error"; fi
fi
info 0 --json "$odd"
says out '^    "beta": 0\.3,$'

# the same as JSON, the parameters as the file has them
info 0 --json "$folder/checkpoint.safetensors"
silent err
if [ -x /usr/bin/python3 ]; then
    /usr/bin/python3 - "$work/out" "$folder/checkpoint.safetensors" >"$work/said" 2>"$work/err" <<'EOF'
import json, struct, sys

about = json.load(open(sys.argv[1]))
raw = open(sys.argv[2], "rb").read()
length = struct.unpack("<Q", raw[:8])[0]
header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
metadata = header["__metadata__"]
for key in ("format", "format_version", "library", "note"):
    assert about[key] == metadata[key], key
for key in ("network", "optimizer", "position"):
    assert about[key].keys() == json.loads(metadata[key]).keys(), key
assert about["position"]["batches"] == 4 and about["weights"] == 1670
for k, connection in enumerate(about["connections"]):
    def tensor(name):
        return data[slice(*header[f"connection.{k}.{name}"]["data_offsets"])]
    ones = sum(bin(byte).count("1") for byte in tensor("signs"))
    assert abs(connection["plus"] - ones / (connection["rows"] * connection["columns"])) < 1e-8
    for name in ("alpha", "bias"):
        values = [value for (value,) in struct.iter_unpack("<f", tensor(name))]
        assert all(abs(a - b) < 1e-8 for a, b in zip(connection[name], (min(values), max(values)))), name
EOF
    status=$?
    if [ $status -eq 0 ]; then ok; else wrong "JSON"; fi
fi

# nothing that a terminal obeys, whatever the file says: ESC, BEL, C1 and DEL are told, not sent
if [ -x /usr/bin/python3 ]; then
    cp -r "$folder" "$work/hostile"
    /usr/bin/python3 - "$work/hostile" <<'EOF'
import json, struct, sys, zlib

raw = open(sys.argv[1] + "/checkpoint.safetensors", "rb").read()
length = struct.unpack("<Q", raw[:8])[0]
header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
metadata = header["__metadata__"]
options = metadata["note"].split("\n", 1)[1]
notes = {"note": "\x1b]0;title\x07\x9b2J\x7f\ttab\nn\xe9xt", "checkpoint": "best=1 data=\x1b]0;title\x07\n" + options}
for name, note in notes.items():
    metadata.update(digest="00000000", library="\x1b[31m", note=note)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    text = text.replace(b'"digest":"00000000"', b'"digest":"%08x"' % zlib.crc32(text + data))
    open(f"{sys.argv[1]}/{name}.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
EOF
    info 0 --json "$work/hostile/note.safetensors"
    if LC_ALL=C tr -d '\n -\177' <"$work/out" | grep -aq .; then wrong "more than ASCII"; else ok; fi # terminals pass over DEL
    info 0 "$work/hostile/note.safetensors"
    if LC_ALL=C tr -d '\n\t -~\303\251' <"$work/out" | grep -aq .; then wrong "control characters"; else ok; fi
    says out '^file .* written by \\x1b\[31m$'
    says out "^    \\\\x1b\\]0;title\\\\x07\\\\xc2\\\\x9b2J\\\\x7f$(printf '\t')tab\$"
    says out "^    n$(printf '\303\251')xt\$"
    run 1 --resume "$work/hostile"
    says err 'its run has other data: data=\\x1b\]0;title\\x07, here data='
    if LC_ALL=C tr -d '\n -~' <"$work/err" | grep -aq .; then wrong "control characters"; else ok; fi
fi

# binary activations
run 0 --preset mnist-fc1-bin --layersList 784 20 20 --expand_output 2 --data "$sample" --train-limit 100 --test-limit 50 --epochs 1 --out bin
info 0 "$(find "$work/bin" -name network.safetensors)"
says out '^network     binary activations, 16080 binary weights$'
says out '^            threshold 0.5, leak 0.5$'
says out '^output      10 classes, units of each: 2$'

# where networks can be computed
info 0 --backends
silent err
says out '^cpu +[^ ]'
says out '^ref +[^ ]'
says out '^        cpu +[^ ]'
info 0 --json --backends
if [ -x /usr/bin/python3 ]; then
    if /usr/bin/python3 -c '
import json, sys
backends = {b["name"]: b for b in json.load(open(sys.argv[1]))}
assert backends["ref"]["available"] and backends["cpu"]["devices"][0]["name"] == "cpu"
assert all(b["available"] == (b["reason"] == "") for b in backends.values())
' "$work/out" >"$work/said" 2>"$work/err"; then ok; else wrong "backends as JSON"; fi
fi
info 2 --backends "$folder/network.safetensors"

info 1 "$folder/results.csv"
says err 'bnnep-info: .*results.csv: '
info 1 nowhere
says err 'nowhere'
info 2
info 2 "$folder/network.safetensors" more
finish
