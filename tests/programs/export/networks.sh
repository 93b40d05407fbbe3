# shellcheck shell=sh
# The networks that exports are tested with, one of each kind: their names, and how bnnep-train makes them within seconds.
# shellcheck disable=SC2034 # of those who source this
networks="fc fc-over-relaxed fc-weak fc-grid fc-bin conv conv-weak conv-grid conv-bin conv-bin-alternating"

# options_of NETWORK: a little training, so that no two rows of weights are as drawn
options_of() {
    maps="--convList 6 4 1 --T 40 --batchSize 16 --epochs 1 --train-limit 500 --test-limit 100"
    case $1 in
    fc) echo --preset mnist-fc1 --layersList 784 60 10 --epochs 1 ;;
    fc-grid) echo --preset mnist-fc2 --layersList 784 50 40 10 --T 60 --grid 16 --epochs 1 ;;
    fc-bin) echo --preset mnist-fc1-bin --layersList 784 100 40 --expand_output 4 --epochs 1 ;;
    fc-over-relaxed) echo "$(options_of fc)" --schedule over-relaxed ;;
    fc-weak) echo --preset mnist-fc2 --layersList 784 50 40 10 --T 60 --feedback 0.3 --epochs 1 ;;
    conv) echo --preset mnist-conv "$maps" ;;
    conv-weak) echo "$(options_of conv)" --feedback 0.5 ;;
    conv-grid) echo --preset mnist-conv-alpha "$maps" --grid 14 ;;
    conv-bin) echo --preset mnist-conv-bin-alpha "$maps" --convList 12 6 1 --layersList 50 --expand_output 5 --Kmax 10 ;;
    conv-bin-alternating) echo "$(options_of conv-bin)" --schedule alternating ;;
    esac
}
