/* SPDX-License-Identifier: MIT */
/* The C++ header: handles that move, exceptions of the library and of callbacks. Prints what failed.
 *     test_cpp SAMPLE_FOLDER */
#include <cstdio>
#include <type_traits>

#include "bnnep.hpp"

static int failures;
static void expect(bool holds, const char *what) {
    if (!holds)
        failures++;
    std::printf("%s: %s\n", holds ? "ok" : "FAILED", what);
}

template <class T>
constexpr bool moves_only = std::is_nothrow_move_constructible_v<T> &&std::is_nothrow_move_assignable_v<T> &&
                            !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
static_assert(moves_only<bnnep::dataset> && moves_only<bnnep::network> && moves_only<bnnep::optimizer>);

/* The status of the error that `call` throws. */
template <class Call> static bnnep_status status_of(Call call) {
    try {
        call();
    } catch (const bnnep::error &error) {
        return *error.what() ? error.status() : BNNEP_OK;
    }
    return BNNEP_OK;
}

static bnnep::network small() {
    bnnep_network_options options = BNNEP_NETWORK_OPTIONS_INIT;
    options.input_channels = 1;
    options.input_height = options.input_width = 28;
    return {options, {bnnep::fc(20), bnnep::fc(10)}};
}

static void run(const char *folder) {
    auto whole = bnnep::dataset::from_folder(folder, BNNEP_TRAINING_SET);
    auto data = whole.subset(0, 200);
    whole = bnnep::dataset::from_folder(folder, BNNEP_TEST_SET); /* the part keeps the memory */
    const auto first = small(), second = small();
    const bnnep::rates rates{{1e-4, 1e-5}, {5e-7, 5e-7}, {0.05, 0.025}, {}};
    bnnep::optimizer learns(first, rates), other(second, rates);

    auto report = learns.train_epoch(data, 20);
    const auto moved = std::move(report);
    expect(moved.samples == 200 && moved.batches == 10 && moved.flips == moved.counts.data(), "report, moved");
    expect(moved.counts.size() == 2 && moved.counts[0] > 0, "flips of each connection");
    expect(first.connection(0).rows == 20 && first.signs(0).size() == 20 * 784, "signs");

    const auto stop = [](const bnnep_progress &now) { return now.batch == 3; };
    expect(status_of([&] { other.train_epoch(data, 20, stop); }) == BNNEP_CANCELLED, "cancelled");
    const auto rest = other.train_epoch(data, 20);
    expect(rest.errors == moved.errors && first.signs(0) == second.signs(0), "gone on with, the same bits");
    bool came_out = false;
    try {
        other.train_epoch(data, 20, [](const bnnep_progress &) -> bool { throw std::logic_error("mine"); });
    } catch (const std::logic_error &error) {
        came_out = std::string(error.what()) == "mine";
    }
    expect(came_out, "an exception of a callback comes out of the call");

    const auto samples = data.read(0, 200);
    const auto classes = first.predict(samples.first);
    std::uint64_t errors = 0;
    for (std::size_t n = 0; n < classes.size(); n++)
        errors += classes[n] != samples.second[n];
    expect(errors == first.evaluate(data).errors, "predictions are the evaluation's");

    bnnep_dataset_options vectors = BNNEP_DATASET_OPTIONS_INIT;
    vectors.channels = 784;
    const bnnep::dataset copied(vectors, samples.first, samples.second);
    expect(first.evaluate(copied).errors == errors, "a data set of vectors");

    expect(status_of([] { bnnep::dataset::from_folder("/nowhere", BNNEP_TEST_SET); }) == BNNEP_ERROR_FILE, "no file");
    expect(status_of([&] { data.subset(150, 51); }) == BNNEP_ERROR_ARGUMENT, "out of range");
    expect(status_of([&] { learns.train_epoch(data, 100); }) == BNNEP_ERROR_ARGUMENT, "a batch that is too large");
}

int main(int argc, char **argv) {
    try {
        run(argc > 1 ? argv[1] : "");
    } catch (const std::exception &error) {
        expect(false, error.what());
    }
    return failures != 0;
}
