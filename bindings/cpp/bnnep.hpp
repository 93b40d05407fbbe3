/* SPDX-License-Identifier: MIT */
/*
 * libbnnep for C++17: handles that are moved and free themselves, exceptions, vectors. One header over bnnep.h; options
 * are its structures, get() gives the C handle for calls that are missing here, and where a bnnep_context can be given,
 * nullptr means one of all defaults.
 */
#ifndef BNNEP_EXAMPLES_BNNEP_HPP
#define BNNEP_EXAMPLES_BNNEP_HPP

#include <algorithm>
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

using bytes = std::vector<unsigned char>;

namespace detail {
/* What a file would hold: counted first, then written. `write` takes a sink. */
template <class Write> bytes written(Write write) {
    std::uint64_t count = 0;
    bnnep_sink sink = BNNEP_SINK_INIT;
    sink.count = &count;
    check(write(&sink));
    bytes made(static_cast<std::size_t>(count));
    sink.bytes = made.data();
    sink.room = made.size();
    check(write(&sink));
    return made;
}

inline bnnep_source source(const bytes &file) {
    bnnep_source source = BNNEP_SOURCE_INIT;
    source.bytes = file.data();
    source.count = file.size();
    return source;
}

template <class Shape> std::size_t values(const Shape &shape) {
    std::size_t product = 1;
    for (const std::int32_t edge : {shape.channels, shape.height, shape.width})
        product *= static_cast<std::size_t>(std::max(edge, 1));
    return product;
}
} // namespace detail

class context : public handle<bnnep_context, bnnep_context_free> {
  public:
    explicit context(const bnnep_context_options &options) {
        create(bnnep_context_create, &options);
    }
};

/** The paper's transform of CIFAR-10, for dataset::transformed(). */
inline bnnep_transform cifar10(std::int32_t part) {
    bnnep_transform transform = BNNEP_TRANSFORM_INIT;
    check(bnnep_transform_init_cifar10(&transform, sizeof transform, part));
    return transform;
}

class dataset : public handle<bnnep_dataset, bnnep_dataset_free> {
  public:
    /** @p inputs of the shape in @p options, and as many labels or none; copied unless options say to borrow. */
    dataset(const bnnep_dataset_options &options, const std::vector<float> &inputs,
            const std::vector<std::int32_t> &labels = {}, bnnep_context *where = nullptr) {
        const std::size_t count = inputs.size() / detail::values(options);
        if (options.type != BNNEP_TYPE_FLOAT32 || inputs.size() != count * detail::values(options) ||
            (!labels.empty() && labels.size() != count))
            throw std::invalid_argument("bnnep::dataset: floats, as many as the labels and the shape need");
        create(bnnep_dataset_from_memory, where, &options, static_cast<const void *>(inputs.data()),
               labels.empty() ? nullptr : labels.data(), static_cast<std::uint64_t>(count));
    }
    /** A file, or a part of a folder. */
    static dataset open(const std::string &path, std::int32_t part = BNNEP_PART_TRAINING,
                        bnnep_open_options options = BNNEP_OPEN_OPTIONS_INIT, bnnep_context *where = nullptr) {
        options.part = part;
        return made(bnnep_dataset_open, where, path.c_str(), &options);
    }
    static dataset concat(const std::vector<const dataset *> &parts) {
        std::vector<const bnnep_dataset *> handles;
        for (const dataset *part : parts)
            handles.push_back(part->get());
        return made(bnnep_dataset_concat, handles.data(), handles.size());
    }
    dataset subset(std::uint64_t first, std::uint64_t count) const {
        return made(bnnep_dataset_subset, get(), first, count);
    }
    dataset select(const std::vector<std::uint64_t> &indices) const {
        return made(bnnep_dataset_select, get(), indices.data(), static_cast<std::uint64_t>(indices.size()));
    }
    dataset transformed(const bnnep_transform &transform) const {
        return made(bnnep_dataset_transformed, get(), &transform);
    }
    bnnep_dataset_info info() const {
        bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
        check(bnnep_dataset_get_info(get(), &info));
        return info;
    }
    /** Inputs and labels of @p count samples from place @p first on; a label is -1 where there is none. */
    std::pair<std::vector<float>, std::vector<std::int32_t>> read(std::uint64_t first, std::size_t count) const {
        std::vector<float> inputs(count * detail::values(info()));
        std::vector<std::int32_t> labels(count);
        check(bnnep_dataset_read(get(), first, count, inputs.data(), labels.data()));
        return {std::move(inputs), std::move(labels)};
    }

  private:
    dataset() = default;
    template <class Create, class... Arguments> static dataset made(Create function, Arguments... arguments) {
        dataset made;
        made.create(function, arguments...);
        return made;
    }
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

/** What a training or evaluation came to: the report, and what its arrays point to. */
struct report : bnnep_report {
    explicit report(std::size_t connections, std::size_t classes = 0, std::size_t inputs = 0)
        : bnnep_report(BNNEP_REPORT_INIT), flipped(connections), confused(classes * classes), predicted(inputs) {
        flips = flipped.empty() ? nullptr : flipped.data();
        flips_count = flipped.size();
        confusion = confused.empty() ? nullptr : confused.data();
        confusion_count = confused.size();
        predictions = predicted.empty() ? nullptr : predicted.data();
        predictions_count = predicted.size();
    }
    report(report &&) = default; /* a vector that is moved keeps its elements where they are */
    report &operator=(report &&) = default;
    double error() const noexcept {
        return samples ? static_cast<double>(errors) / static_cast<double>(samples) : 0.0;
    }

    std::vector<std::uint64_t> flipped, confused; /**< of each connection; by class and prediction */
    std::vector<std::int32_t> predicted;          /**< of each sample */
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
};

/* `call` takes the options of a run. */
template <class Call> void run(const progress_fn &progress, bnnep_run_options options, Call call) {
    watcher watcher{progress, nullptr};
    if (progress) {
        options.progress = watcher::call;
        options.user = &watcher;
    }
    const bnnep_status status = call(&options);
    if (watcher.thrown)
        std::rethrow_exception(watcher.thrown);
    check(status);
}
} // namespace detail

class network : public handle<bnnep_network, bnnep_network_free> {
  public:
    /** @p options with the connections filled in. */
    network(bnnep_network_options options, const std::vector<bnnep_connection> &connections,
            bnnep_context *where = nullptr) {
        options.connections = connections.data();
        options.connection_count = connections.size();
        create(bnnep_network_create, where, &options);
    }
    static network load(const std::string &path, const bnnep_load_options &options = BNNEP_LOAD_OPTIONS_INIT,
                        bnnep_context *where = nullptr) {
        return made(bnnep_network_load, where, path.c_str(), &options);
    }
    static network load(const bytes &file, const bnnep_load_options &options = BNNEP_LOAD_OPTIONS_INIT,
                        bnnep_context *where = nullptr) {
        const bnnep_source source = detail::source(file);
        return made(bnnep_network_read, where, &source, &options);
    }
    network clone(bnnep_context *where = nullptr) const {
        return made(bnnep_network_clone, get(), where);
    }
    void save(const std::string &path, const std::string &note = {}) const {
        check(bnnep_network_save(get(), path.c_str(), note.c_str()));
    }
    bytes to_bytes(const std::string &note = {}) const {
        return detail::written([&](bnnep_sink *sink) { return bnnep_network_write(get(), sink, note.c_str()); });
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
    /** Has confusion and predictions; of a data set without labels the latter alone. */
    bnnep::report evaluate(const dataset &data, const progress_fn &progress = {},
                           const bnnep_run_options &options = BNNEP_RUN_OPTIONS_INIT) const {
        const bnnep_dataset_info shape = data.info();
        const std::size_t classes = shape.labelled ? static_cast<std::size_t>(info().classes) : 0;
        bnnep::report report(0, classes, static_cast<std::size_t>(shape.count));
        detail::run(progress, options, [&](const bnnep_run_options *run) {
            return bnnep_network_evaluate(get(), data.get(), run, &report);
        });
        return report;
    }
    /** The class of each of @p inputs, [count][inputs]. */
    std::vector<std::int32_t> predict(const std::vector<float> &inputs,
                                      const bnnep_run_options &options = BNNEP_RUN_OPTIONS_INIT) const {
        const auto values = static_cast<std::size_t>(info().inputs);
        if (inputs.size() % values != 0)
            throw std::invalid_argument("bnnep::network::predict: not a whole number of inputs");
        std::vector<std::int32_t> classes(inputs.size() / values);
        check(bnnep_network_predict(get(), inputs.data(), classes.size(), &options, nullptr, classes.data()));
        return classes;
    }

  private:
    network() = default;
    template <class Create, class... Arguments> static network made(Create function, Arguments... arguments) {
        network made;
        made.create(function, arguments...);
        return made;
    }
};

/** One value a connection, input first. An empty lr_alpha leaves the scaling factors as they are. */
struct rates {
    std::vector<double> gamma, threshold, lr_bias, lr_alpha;
};

class optimizer : public handle<bnnep_optimizer, bnnep_optimizer_free> {
  public:
    /** @p options with the rates filled in. The network is kept alive. */
    optimizer(const network &net, const rates &rates, bnnep_optimizer_options options = BNNEP_OPTIMIZER_OPTIONS_INIT)
        : connections_(net.info().connection_count) {
        for (const auto *list : {&rates.gamma, &rates.threshold, &rates.lr_bias, &rates.lr_alpha})
            if (list->size() != connections_ && !(list == &rates.lr_alpha && list->empty()))
                throw std::invalid_argument("bnnep::optimizer: one rate a connection is needed");
        options.gamma = rates.gamma.data();
        options.threshold = rates.threshold.data();
        options.lr_bias = rates.lr_bias.data();
        options.lr_alpha = rates.lr_alpha.empty() ? nullptr : rates.lr_alpha.data();
        create(bnnep_optimizer_create, net.get(), &options);
    }
    /** By the default rule, which needs no rates; it goes with networks that start BNNEP_START_BALANCED. */
    explicit optimizer(const network &net, bnnep_optimizer_options options = BNNEP_OPTIMIZER_OPTIONS_INIT)
        : connections_(net.info().connection_count) {
        options.gamma = options.threshold = options.lr_bias = options.lr_alpha = nullptr;
        create(bnnep_optimizer_create, net.get(), &options);
    }
    /** With the same momenta, rates and position, for a network of the same shape. */
    optimizer clone(const network &net) const {
        optimizer made(connections_);
        made.create(bnnep_optimizer_clone, get(), net.get());
        return made;
    }
    bnnep_optimizer_info info() const {
        bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
        check(bnnep_optimizer_get_info(get(), &info));
        return info;
    }
    /** Values of BNNEP_RATE_..., one a connection; of BNNEP_RATE_BETA one. */
    std::vector<double> rate(std::int32_t which) const {
        std::vector<double> values(which == BNNEP_RATE_BETA ? 1 : connections_);
        check(bnnep_optimizer_get_rates(get(), which, values.data(), values.size()));
        return values;
    }
    void set_rate(std::int32_t which, const std::vector<double> &values) {
        check(bnnep_optimizer_set_rates(get(), which, values.data(), values.size()));
    }
    bnnep::report train_epoch(const dataset &data, const progress_fn &progress = {},
                              const bnnep_run_options &options = BNNEP_RUN_OPTIONS_INIT) {
        bnnep::report report(connections_);
        detail::run(progress, options, [&](const bnnep_run_options *run) {
            return bnnep_optimizer_train_epoch(get(), data.get(), run, &report);
        });
        return report;
    }
    void save(const std::string &path, const std::string &note = {}) const {
        check(bnnep_checkpoint_save(get(), path.c_str(), note.c_str()));
    }
    void load(const std::string &path) {
        check(bnnep_checkpoint_load(get(), path.c_str()));
    }

  private:
    explicit optimizer(std::size_t connections) : connections_(connections) {
    }
    std::size_t connections_;
};

} // namespace bnnep

#endif
