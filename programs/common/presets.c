/* SPDX-License-Identifier: MIT */
/* The commands of the paper, and networks that learn other data by the default rule. */
#include "presets.h"

#include <string.h>

#define CONV                                                                                                           \
    "--optim ep --archi conv --padding 2 --kernelSize 5 --Fpool 2 --binary_settings bin_W --activationFun hardsigm "   \
    "--T 150 --Kmax 10 --beta 0.3 --random_beta 1 --batchSize 64 --test_batchSize 512 --learnAlpha 0 "

const struct preset presets[] = {
    {"mnist-fc1", NULL,
     "--dataset mnist --optim ep --archi fc --binary_settings bin_W --layersList 784 4096 10 --activationFun hardsigm "
     "--T 50 --Kmax 10 --beta 0.3 --random_beta 1 --gamma 1e-5 1e-4 --gradThreshold 5e-7 5e-7 --lrBias 0.025 0.05 "
     "--batchSize 64 --test_batchSize 512 --epochs 50 --learnAlpha 0"},
    {"mnist-fc1-bptt", "mnist-fc1", "--optim bptt"},
    {"mnist-fc1-alpha", "mnist-fc1", "--learnAlpha 1 --lrAlpha 1e-4 1e-4"},
    {"mnist-fc2", NULL,
     "--dataset mnist --optim ep --archi fc --binary_settings bin_W --layersList 784 4096 4096 10 "
     "--activationFun hardsigm --T 250 --Kmax 10 --beta 0.3 --random_beta 1 --gamma 5e-6 2e-5 2e-5 "
     "--gradThreshold 5e-7 5e-7 5e-7 --lrBias 0.025 0.05 0.1 --batchSize 64 --test_batchSize 512 --epochs 50 "
     "--learnAlpha 0"},
    {"mnist-fc2-bptt", "mnist-fc2", "--optim bptt"},
    {"mnist-fc2-alpha", "mnist-fc2", "--learnAlpha 1 --lrAlpha 1e-2 1e-2 1e-2"},
    {"mnist-conv", NULL,
     "--dataset mnist " CONV "--layersList 10 --convList 64 32 1 --classi_gamma 5e-8 --conv_gamma 5e-8 5e-8 "
     "--classi_threshold 1e-8 --conv_threshold 1e-8 1e-8 --lrBias 0.025 0.05 0.1 --epochs 50"},
    {"mnist-conv-bptt", "mnist-conv", "--optim bptt"},
    {"mnist-conv-alpha", "mnist-conv", "--learnAlpha 1 --lrAlpha 1e-3 1e-3 1e-3"},
    {"cifar10-conv", NULL,
     "--dataset cifar10 " CONV "--layersList 10 --convList 256 256 128 64 3 --classi_gamma 2e-7 "
     "--conv_gamma 2e-7 2e-7 2e-7 2e-7 --classi_threshold 1e-8 --conv_threshold 1e-8 1e-8 1e-8 1e-8 "
     "--lrBias 0.025 0.05 0.1 0.2 0.4 --epochs 500"},
    {"cifar10-conv-bptt", "cifar10-conv", "--optim bptt"},
    {"cifar10-conv-alpha", "cifar10-conv",
     "--learnAlpha 1 --lrAlpha 1e-4 1e-2 1e-2 1e-2 1e-2 --decayLrAlpha 10 --epochDecayLrAlpha 10"},
    {"mnist-fc1-bin", NULL,
     "--dataset mnist --optim ep --archi fc --binary_settings bin_W_N --layersList 784 8192 100 --expand_output 10 "
     "--activationFun heaviside --T 20 --Kmax 10 --beta 2 --random_beta 1 --gamma_neur 0.5 --gamma 2e-6 2e-6 "
     "--gradThreshold 2.5e-7 2e-7 --lrBias 1e-7 1e-7 --batchSize 64 --test_batchSize 512 --epochs 100 --learnAlpha 0 "
     "--rho_threshold 0.5"},
    {"mnist-fc1-bin-alpha", "mnist-fc1-bin", "--learnAlpha 1 --lrAlpha 1e-6 1e-6"},
    {"mnist-fc2-bin", NULL,
     "--dataset mnist --optim ep --archi fc --binary_settings bin_W_N --layersList 784 8192 8192 6000 "
     "--expand_output 600 --activationFun heaviside --T 30 --Kmax 10 --beta 2 --random_beta 0 --gamma 1e-6 1e-6 1e-6 "
     "--gradThreshold 2e-8 1e-8 5e-8 --lrBias 1e-6 1e-6 1e-6 --batchSize 64 --test_batchSize 512 --epochs 100 "
     "--learnAlpha 0 --rho_threshold 0.5"},
    {"mnist-fc2-bin-alpha", "mnist-fc2-bin", "--learnAlpha 1 --lrAlpha 1e-8 1e-8 1e-8"},
    {"mnist-conv-bin", NULL,
     "--dataset mnist --optim ep --archi conv --binary_settings bin_W_N --layersList 700 --convList 512 256 1 "
     "--expand_output 70 --padding 1 --kernelSize 5 --Fpool 3 --activationFun heaviside --T 100 --Kmax 50 --beta 1 "
     "--random_beta 1 --classi_gamma 5e-8 --conv_gamma 5e-8 5e-8 --classi_threshold 8e-8 --conv_threshold 8e-8 2e-7 "
     "--lrBias 2e-6 5e-6 1e-5 --batchSize 64 --test_batchSize 512 --epochs 50 --learnAlpha 0 --rho_threshold 0.5"},
    {"mnist-conv-bin-alpha", "mnist-conv-bin", "--learnAlpha 1 --lrAlpha 1e-5 1e-3 1e-3"},
    {"fashion-fc1", NULL, "--dataset fashion-mnist --layersList 784 4096 10 --schedule over-relaxed --settle 1e-3"},
    {"fashion-fc1-bin", NULL,
     "--dataset fashion-mnist --layersList 784 1024 100 --expand_output 10 --binary_settings bin_W_N --T 20"},
    {"fashion-conv", NULL,
     "--dataset fashion-mnist --archi conv --layersList 10 --convList 64 32 1 --padding 2 --kernelSize 5 --Fpool 2 "
     "--T 150 --schedule alternating --settle 1e-3"},
    {"fashion-conv-bin", NULL,
     "--dataset fashion-mnist --archi conv --binary_settings bin_W_N --layersList 700 --convList 512 256 1 "
     "--expand_output 70 --padding 1 --kernelSize 5 --Fpool 3 --T 100 --Kmax 50"},
};
const size_t preset_paper_count = 18;
const size_t preset_count = sizeof presets / sizeof presets[0];

const struct preset *preset_find(const char *name) {
    for (size_t i = 0; i < preset_count; i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    return NULL;
}
