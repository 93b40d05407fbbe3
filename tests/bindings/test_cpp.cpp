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
static_assert(moves_only<bnnep::context> && moves_only<bnnep::dataset> && moves_only<bnnep::network> &&
              moves_only<bnnep::optimizer>);

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
    options.input_height = options.input_width = 28;
    return {options, {bnnep::fc(20), bnnep::fc(10)}};
}

static bnnep_run_options batches_of(std::size_t size) {
    bnnep_run_options options = BNNEP_RUN_OPTIONS_INIT;
    options.batch_size = size;
    return options;
}

static bnnep::dataset sample(const std::string &folder) {
    const auto whole = bnnep::dataset::open(folder);
    return whole.subset(0, 200); /* keeps the memory */
}

static const bnnep::rates rates{{1e-4, 1e-5}, {5e-7, 5e-7}, {0.05, 0.025}, {}};

static void training(const std::string &folder) {
    const auto data = sample(folder);
    const auto first = small(), second = small();
    bnnep::optimizer learns(first, rates), other(second, rates);

    auto report = learns.train_epoch(data, {}, batches_of(20));
    const auto moved = std::move(report);
    expect(moved.samples == 200 && moved.batches == 10 && moved.flips == moved.flipped.data(), "report, moved");
    expect(moved.flipped.size() == 2 && moved.flipped[0] > 0, "flips of each connection");
    expect(first.connection(0).rows == 20 && first.signs(0).size() == 20 * 784, "signs");

    const auto stop = [](const bnnep_progress &now) { return now.batches_done == 3; };
    expect(status_of([&] { other.train_epoch(data, stop, batches_of(20)); }) == BNNEP_CANCELLED, "cancelled");
    expect(other.info().batches == 3, "as far as it came");
    const auto rest = other.train_epoch(data, {}, batches_of(20));
    expect(rest.errors == moved.errors && first.signs(0) == second.signs(0), "gone on with, the same bits");
    const auto third = small();
    bnnep::optimizer by_default(third);
    expect(by_default.rate(BNNEP_RATE_THRESHOLD) == std::vector<double>{0.7, 0.7}, "no rates: the default rule");
    expect(by_default.train_epoch(data, {}, batches_of(20)).batches == 10, "which trains");
    bool came_out = false;
    try {
        other.train_epoch(data, [](const bnnep_progress &) -> bool { throw std::logic_error("mine"); });
    } catch (const std::logic_error &error) {
        came_out = std::string(error.what()) == "mine";
    }
    expect(came_out, "an exception of a callback comes out of the call");
    const auto again = [&](const bnnep_progress &) { return other.set_rate(BNNEP_RATE_BETA, {0.5}), false; };
    expect(status_of([&] { other.train_epoch(data, again); }) == BNNEP_ERROR_ARGUMENT, "a handle at work is refused");
    expect(other.train_epoch(data).samples == 200, "and is free after both");
    expect(status_of([&] { learns.train_epoch(data, {}, batches_of(100)); }) == BNNEP_ERROR_ARGUMENT,
           "a batch that is too large");
}

static void evaluation(const std::string &folder) {
    const auto data = sample(folder);
    const auto net = small();
    const auto samples = data.read(0, 200);
    const auto report = net.evaluate(data);
    std::uint64_t errors = 0, diagonal = 0;
    for (std::size_t n = 0; n < 200; n++)
        errors += report.predicted[n] != samples.second[n];
    for (std::size_t n = 0; n < 10; n++)
        diagonal += report.confused[10 * n + n];
    expect(errors == report.errors && diagonal == 200 - errors, "predictions and confusion are the evaluation's");
    expect(net.predict(samples.first) == report.predicted, "predictions of inputs");

    bnnep_dataset_options vectors = BNNEP_DATASET_OPTIONS_INIT;
    vectors.height = vectors.width = 28;
    const bnnep::dataset copied(vectors, samples.first, samples.second), unnamed(vectors, samples.first);
    expect(net.evaluate(copied).errors == errors, "a data set of arrays");
    expect(net.evaluate(unnamed).predicted == report.predicted, "one without labels");
    const auto two = bnnep::dataset::concat({&data, &copied}).select({3, 203});
    expect(two.read(0, 1) == two.read(1, 1) && two.read(0, 1) == data.read(3, 1), "joined and selected");

    expect(status_of([] { bnnep::dataset::open("/nowhere", BNNEP_PART_TEST); }) == BNNEP_ERROR_FILE, "no file");
    expect(status_of([&] { data.subset(150, 51); }) == BNNEP_ERROR_ARGUMENT, "out of range");
    expect(status_of([&] { data.transformed(bnnep::cifar10(BNNEP_PART_TEST)); }) == BNNEP_ERROR_ARGUMENT,
           "a transform of other channels");
}

static void contexts_and_copies(const std::string &folder) {
    bnnep_context_options options = BNNEP_CONTEXT_OPTIONS_INIT;
    options.backend = "ref";
    const bnnep::context slow(options);
    const auto data = sample(folder);
    const auto net = small();
    bnnep::optimizer learns(net, rates);
    learns.set_rate(BNNEP_RATE_BETA, {0.25});
    learns.train_epoch(data);
    const auto copy = net.clone(), elsewhere = net.clone(slow.get());
    auto twin = learns.clone(copy);
    expect(std::string(elsewhere.info().backend) == "ref", "a backend by name");
    expect(twin.rate(BNNEP_RATE_BETA)[0] == 0.25 && twin.info().epochs == 1, "a clone's rates and position");
    expect(learns.train_epoch(data).errors == twin.train_epoch(data).errors && net.signs(0) == copy.signs(0),
           "a clone learns the same");
    const bnnep::bytes file = net.to_bytes("note");
    expect(bnnep::network::load(file).signs(1) == net.signs(1), "a network's bytes");
    expect(status_of([&] { bnnep::network::load(bnnep::bytes(10)); }) == BNNEP_ERROR_FORMAT, "bytes of none");
}

int main(int argc, char **argv) {
    const std::string folder = argc > 1 ? argv[1] : "";
    try {
        training(folder);
        evaluation(folder);
        contexts_and_copies(folder);
    } catch (const std::exception &error) {
        expect(false, error.what());
    }
    return failures != 0;
}
