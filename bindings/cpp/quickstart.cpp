/* SPDX-License-Identifier: MIT */
/*
 * quickstart.c in C++17: trains on the sample of MNIST, tests, saves.
 *
 *     bnnep-quickstart-cpp FOLDER [UNITS [EPOCHS [FILE]]]
 *
 * FOLDER has MNIST's four files; the network goes to FILE.
 */
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

#include "bnnep.hpp"

static bool show(const bnnep_progress &now) {
    if (now.event == BNNEP_EVENT_BATCH && isatty(STDERR_FILENO)) // not in logs and pipes
        std::fprintf(stderr, "\r%d of %d batches\r", static_cast<int>(now.batches_done),
                     static_cast<int>(now.batches_total));
    return false;
}

static void run(const std::string &folder, std::int32_t units, int epochs, const char *file) {
    const auto train = bnnep::dataset::open(folder, BNNEP_PART_TRAINING);
    const auto test = bnnep::dataset::open(folder, BNNEP_PART_TEST);

    bnnep_network_options options = BNNEP_NETWORK_OPTIONS_INIT;
    options.input_height = options.input_width = 28;
    const bnnep::network network(options, {bnnep::fc(units), bnnep::fc(10)});
    bnnep::optimizer optimizer(network, {{1e-4, 1e-5}, {5e-7, 5e-7}, {0.05, 0.025}, {}});

    for (int epoch = 1; epoch <= epochs; epoch++) {
        const auto report = optimizer.train_epoch(train, show);
        std::printf("epoch %d: training error %.2f %%, test error %.2f %%, flips %d and %d\n", epoch,
                    100 * report.error(), 100 * network.evaluate(test).error(), static_cast<int>(report.flipped[0]),
                    static_cast<int>(report.flipped[1]));
    }
    if (file)
        network.save(file);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s FOLDER [UNITS [EPOCHS [FILE]]]\n", argv[0]);
        return 2;
    }
    try {
        run(argv[1], argc > 2 ? std::atoi(argv[2]) : 4096, argc > 3 ? std::atoi(argv[3]) : 5,
            argc > 4 ? argv[4] : nullptr);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
        return 1;
    }
}
