/* SPDX-License-Identifier: MIT */
/*
 * libbnnep for C++17: handles that are moved and free themselves, exceptions, vectors. One header over bnnep.h; options
 * are its structures, and get() gives the C handle for calls that are missing here.
 */
#ifndef BNNEP_EXAMPLES_BNNEP_HPP
#define BNNEP_EXAMPLES_BNNEP_HPP

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <bnnep/bnnep.h>

namespace bnnep {

/** A call that failed: what() is the library's message, status() its code. */
class error : public std::runtime_error {
  public:
    explicit error(bnnep_status status) : std::runtime_error(bnnep_last_error()), status_(status) {
    }
    bnnep_status status() const noexcept {
        return status_;
    }

  private:
    bnnep_status status_;
};

inline void check(bnnep_status status) {
    if (status != BNNEP_OK)
        throw error(status);
}

/** Owns a C handle: moved, not copied. */
template <class T, void (*Free)(T *)> class handle {
  public:
    T *get() const noexcept {
        return pointer_.get();
    }

  protected:
    handle() = default;
    /** Where a call writes the handle that it makes. */
    template <class Create, class... Arguments> void create(Create function, Arguments... arguments) {
        T *made = nullptr;
        check(function(arguments..., &made));
        pointer_.reset(made);
    }

  private:
    struct deleter {
        void operator()(T *pointer) const noexcept {
            Free(pointer);
        }
    };
    std::unique_ptr<T, deleter> pointer_;
};

class dataset : public handle<bnnep_dataset, bnnep_dataset_free> {
  public:
    /** @p inputs has as many values a label as the shape in @p options says; both are copied unless options say not. */
    dataset(const bnnep_dataset_options &options, const std::vector<float> &inputs,
            const std::vector<std::int32_t> &labels) {
        const auto values = static_cast<std::size_t>(options.channels) * static_cast<std::size_t>(options.height) *
                            static_cast<std::size_t>(options.width);
        if (options.type != BNNEP_FLOAT32 || inputs.size() != values * labels.size())
            throw std::invalid_argument("bnnep::dataset: floats, as many as the labels and the shape need");
        create(bnnep_dataset_from_memory, &options, static_cast<const void *>(inputs.data()), labels.data(),
               static_cast<std::uint64_t>(labels.size()));
    }
    static dataset from_folder(const std::string &folder, std::int32_t part, std::int32_t classes = 10) {
        dataset made;
        made.create(bnnep_dataset_from_folder, folder.c_str(), part, classes);
        return made;
    }
    dataset subset(std::uint64_t first, std::uint64_t count) const {
        dataset made;
        made.create(bnnep_dataset_subset, get(), first, count);
        return made;
    }
    bnnep_dataset_info info() const {
        bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
        check(bnnep_dataset_get_info(get(), &info));
        return info;
    }
    /** Inputs and labels of @p count samples from place @p first on. */
    std::pair<std::vector<float>, std::vector<std::int32_t>> read(std::uint64_t first, std::size_t count) const {
        const bnnep_dataset_info shape = info();
        const auto values = static_cast<std::size_t>(shape.channels) * static_cast<std::size_t>(shape.height) *
                            static_cast<std::size_t>(shape.width);
        std::pair<std::vector<float>, std::vector<std::int32_t>> samples{std::vector<float>(count * values),
                                                                         std::vector<std::int32_t>(count)};
        check(bnnep_dataset_read(get(), first, count, samples.first.data(), samples.second.data()));
        return samples;
    }

  private:
    dataset() = default;
};

inline bnnep_connection fc(std::int32_t outputs) {
    return BNNEP_FC(outputs);
}

inline bnnep_connection conv(std::int32_t channels, std::int32_t kernel, std::int32_t padding, std::int32_t pool) {
    return BNNEP_CONV(channels, kernel, padding, pool);
}

/** Called as work goes on: true stops it, and the call throws error with BNNEP_CANCELLED. An exception stops it too,
 * and comes out of the call. */
using progress_fn = std::function<bool(const bnnep_progress &)>;

/** What a training or evaluation came to: the report, and the flips of each connection. */
struct report : bnnep_report {
    explicit report(std::size_t connections) : bnnep_report(BNNEP_REPORT_INIT), counts(connections) {
        flips = counts.data();
        flips_count = counts.size();
    }
    report(report &&) = default; /* a vector that is moved keeps its elements where they are */
    report &operator=(report &&) = default;
    double error() const noexcept {
        return samples ? static_cast<double>(errors) / static_cast<double>(samples) : 0.0;
    }

    std::vector<std::uint64_t> counts;
};

namespace detail {
/* No exception may cross the library: it waits here until the call is back. */
struct watcher {
    const progress_fn &progress;
    std::exception_ptr thrown;

    static std::int32_t call(void *user, const bnnep_progress *event) noexcept {
        auto *self = static_cast<watcher *>(user);
        try {
            return self->progress(*event) ? 1 : 0;
        } catch (...) {
            self->thrown = std::current_exception();
            return 1;
        }
    }
    void check(bnnep_status status) const {
        if (thrown)
            std::rethrow_exception(thrown);
        bnnep::check(status);
    }
};
} // namespace detail

class network : public handle<bnnep_network, bnnep_network_free> {
  public:
    /** @p options with the connections filled in. */
    network(bnnep_network_options options, const std::vector<bnnep_connection> &connections) {
        options.connections = connections.data();
        options.connection_count = connections.size();
        create(bnnep_network_create, static_cast<const bnnep_network_options *>(&options));
    }
    static network load(const std::string &path, const bnnep_network_options *like = nullptr) {
        network made;
        made.create(bnnep_network_load, path.c_str(), like);
        return made;
    }
    void save(const std::string &path, const std::string &note = {}) const {
        check(bnnep_network_save(get(), path.c_str(), note.c_str()));
    }
    bnnep_network_info info() const {
        bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
        check(bnnep_network_get_info(get(), &info));
        return info;
    }
    bnnep_connection_info connection(std::size_t index) const {
        bnnep_connection_info info = BNNEP_CONNECTION_INFO_INIT;
        check(bnnep_network_get_connection(get(), index, &info));
        return info;
    }
    /** Signs of a connection, +1 and -1, [rows][columns]. */
    std::vector<std::int8_t> signs(std::size_t index) const {
        const bnnep_connection_info shape = connection(index);
        std::vector<std::int8_t> signs(static_cast<std::size_t>(shape.rows * shape.columns));
        check(bnnep_network_get_signs(get(), index, signs.data(), signs.size()));
        return signs;
    }
    bnnep::report evaluate(const dataset &data, const progress_fn &progress = {}) const {
        bnnep::report report(info().connections);
        detail::watcher watcher{progress, nullptr};
        watcher.check(bnnep_evaluate(get(), nullptr, data.get(), progress ? watcher.call : nullptr, &watcher, &report));
        return report;
    }
    /** The class of each of @p inputs, [count][inputs]. */
    std::vector<std::int32_t> predict(const std::vector<float> &inputs) const {
        const auto values = static_cast<std::size_t>(info().inputs);
        if (inputs.size() % values != 0)
            throw std::invalid_argument("bnnep::network::predict: not a whole number of inputs");
        std::vector<std::int32_t> classes(inputs.size() / values);
        check(
            bnnep_predict(get(), nullptr, inputs.data(), classes.size(), BNNEP_READ_AVERAGE, nullptr, classes.data()));
        return classes;
    }

  private:
    network() = default;
};

/** One value a connection, input first. An empty lr_alpha leaves the scaling factors as they are. */
struct rates {
    std::vector<double> gamma, threshold, lr_bias, lr_alpha;
};

class optimizer : public handle<bnnep_optimizer, bnnep_optimizer_free> {
  public:
    /** @p options with the rates filled in. The network is kept alive. */
    optimizer(const network &net, const rates &rates, bnnep_optimizer_options options = BNNEP_OPTIMIZER_OPTIONS_INIT)
        : connections_(net.info().connections) {
        for (const auto *list : {&rates.gamma, &rates.threshold, &rates.lr_bias})
            if (list->size() != connections_)
                throw std::invalid_argument("bnnep::optimizer: one rate a connection is needed");
        if (!rates.lr_alpha.empty() && rates.lr_alpha.size() != connections_)
            throw std::invalid_argument("bnnep::optimizer: lr_alpha needs one rate a connection");
        options.gamma = rates.gamma.data();
        options.threshold = rates.threshold.data();
        options.lr_bias = rates.lr_bias.data();
        options.lr_alpha = rates.lr_alpha.empty() ? nullptr : rates.lr_alpha.data();
        create(bnnep_optimizer_create, net.get(), static_cast<const bnnep_optimizer_options *>(&options));
    }
    bnnep::report train_epoch(const dataset &data, std::size_t batch_size = 64, const progress_fn &progress = {}) {
        bnnep::report report(connections_);
        detail::watcher watcher{progress, nullptr};
        watcher.check(
            bnnep_train_epoch(get(), data.get(), batch_size, progress ? watcher.call : nullptr, &watcher, &report));
        return report;
    }
    void save(const std::string &path, const std::string &note = {}) const {
        check(bnnep_checkpoint_save(get(), path.c_str(), note.c_str()));
    }
    void load(const std::string &path) {
        check(bnnep_checkpoint_load(get(), path.c_str()));
    }

  private:
    std::size_t connections_;
};

} // namespace bnnep

#endif
