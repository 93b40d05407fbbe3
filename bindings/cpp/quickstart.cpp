/* SPDX-License-Identifier: MIT */
/*
 * quickstart.c in C++17: trains on the sample of MNIST, tests, saves.
 *
 *     bnnep-quickstart-cpp FOLDER [UNITS [EPOCHS [FILE]]]      a folder with MNIST's four files; the network goes to
 * FILE
 */
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

#include "bnnep.hpp"

static int run(const std::string &folder, std::int32_t units, int epochs, const char *file) {
    const auto train = bnnep::dataset::from_folder(folder, BNNEP_TRAINING_SET);
    const auto test = bnnep::dataset::from_folder(folder, BNNEP_TEST_SET);

    bnnep_network_options options = BNNEP_NETWORK_OPTIONS_INIT;
    options.input_channels = 1;
    options.input_height = options.input_width = 28;
    const bnnep::network network(options, {bnnep::fc(units), bnnep::fc(10)});
    bnnep::optimizer optimizer(network, {{1e-4, 1e-5}, {5e-7, 5e-7}, {0.05, 0.025}, {}});

    for (int epoch = 1; epoch <= epochs; epoch++) {
        const auto report = optimizer.train_epoch(train, 64, [](const bnnep_progress &now) {
            if (now.event == BNNEP_EVENT_BATCH && isatty(STDERR_FILENO)) // not in logs and pipes
                std::fprintf(stderr, "\r%d of %d batches\r", static_cast<int>(now.batch),
                             static_cast<int>(now.batches));
            return false;
        });
        std::printf("epoch %d: training error %.2f %%, test error %.2f %%, flips %d and %d\n", epoch,
                    100 * report.error(), 100 * network.evaluate(test).error(), static_cast<int>(report.counts[0]),
                    static_cast<int>(report.counts[1]));
    }
    if (file)
        network.save(file);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s FOLDER [UNITS [EPOCHS [FILE]]]\n", argv[0]);
        return 2;
    }
    try {
        return run(argv[1], argc > 2 ? std::atoi(argv[2]) : 4096, argc > 3 ? std::atoi(argv[3]) : 5,
                   argc > 4 ? argv[4] : nullptr);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
        return 1;
    }
}
