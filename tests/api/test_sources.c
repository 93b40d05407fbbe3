/* SPDX-License-Identifier: MIT */
/* Networks, checkpoints and data come from files, memory and callbacks alike, and go there; whatever a callback does,
 * handles stay as they were. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "support.h"

enum { VALUES = 30, BATCH = 8, ROOM = 1 << 16 };

static const struct shape shape = {
    .dynamics = BNNEP_DYNAMICS_BINARY,
    .connections = 2,
    .units = {VALUES, 21, 20},
    .expand_output = 2,
    .free_steps = 9,
    .nudged_steps = 4,
    .max_batch = BATCH,
    .learn_alpha = true,
    .gamma = 0.2,
    .threshold = 0.001,
    .seed = 3,
};
static struct net saved, untouched; /* one that was trained, one that was not */
static char path[] = "/tmp/bnnep-sources-XXXXXX";

static int make_nets(void **state) {
    struct stream stream = {2};
    float *x = random_pixels(&stream, BATCH, VALUES);
    int32_t *labels = random_labels(&stream, BATCH, 10);
    const int file = mkstemp(path);
    (void)state;
    saved = net_make(&shape, "cpu");
    untouched = net_make(&shape, "cpu");
    assert_ok(bnnep_optimizer_train_batch(saved.optimizer, x, labels, BATCH, NULL, NULL));
    free(x);
    free(labels);
    assert_true(file >= 0);
    return close(file);
}

static int free_nets(void **state) {
    (void)state;
    net_free(&saved);
    net_free(&untouched);
    return unlink(path);
}

/* --- the two ends ------------------------------------------------------------------------------------------------- */

/* Bytes that were written, or are to be read, some at a time; the call number `left`, counted down to 0, fails. */
struct pipe {
    uint8_t bytes[ROOM];
    size_t count, at;
    long left; /* negative: none fails */
};

static int32_t collect(void *user, const void *bytes, size_t count) {
    struct pipe *pipe = user;
    if (pipe->left-- == 0)
        return 42;
    assert_true(count <= ROOM - pipe->count);
    memcpy(pipe->bytes + pipe->count, bytes, count);
    pipe->count += count;
    return 0;
}

static int32_t deliver(void *user, void *bytes, size_t count, size_t *got) {
    struct pipe *pipe = user;
    const size_t rest = pipe->count - pipe->at, some = 1 + pipe->at % 37;
    if (pipe->left-- == 0)
        return 42;
    *got = rest < some ? rest : some;
    *got = *got < count ? *got : count;
    memcpy(bytes, pipe->bytes + pipe->at, *got);
    pipe->at += *got;
    return 0;
}

static bnnep_sink sink_to(struct pipe *pipe, long left) {
    bnnep_sink sink = BNNEP_SINK_INIT;
    pipe->count = 0;
    pipe->left = left;
    sink.write = collect;
    sink.user = pipe;
    return sink;
}

static bnnep_source source_from(struct pipe *pipe, long left) {
    bnnep_source source = BNNEP_SOURCE_INIT;
    pipe->at = 0;
    pipe->left = left;
    source.read = deliver;
    source.user = pipe;
    return source;
}

static bnnep_source source_of(const void *bytes, size_t count) {
    bnnep_source source = BNNEP_SOURCE_INIT;
    source.bytes = bytes;
    source.count = count;
    return source;
}

static size_t read_path(uint8_t bytes[ROOM]) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t size = fread(bytes, 1, ROOM, file);
    fclose(file);
    assert_true(size > 1000 && size < ROOM);
    return size;
}

/* --- files of both kinds ------------------------------------------------------------------------------------------ */

static bnnep_status save_checkpoint(void) {
    return bnnep_checkpoint_save(saved.optimizer, path, "a note");
}
static bnnep_status write_checkpoint(const bnnep_sink *sink) {
    return bnnep_checkpoint_write(saved.optimizer, sink, "a note");
}
static bnnep_status save_network(void) {
    return bnnep_network_save(saved.network, path, "a note");
}
static bnnep_status write_network(const bnnep_sink *sink) {
    return bnnep_network_write(saved.network, sink, "a note");
}

static const struct {
    bnnep_status (*save)(void);
    bnnep_status (*write)(const bnnep_sink *sink);
} kinds[] = {{save_checkpoint, write_checkpoint}, {save_network, write_network}};

static void same_bytes(void **state) {
    (void)state;
    static uint8_t file[ROOM], memory[ROOM + 1];
    static struct pipe pipe;
    for (size_t i = 0; i < 2; i++) {
        assert_ok(kinds[i].save());
        const size_t size = read_path(file);
        uint64_t count = 0;
        bnnep_sink sink = BNNEP_SINK_INIT;
        sink.count = &count;
        assert_ok(kinds[i].write(&sink)); /* only counted */
        assert_int_equal(count, size);
        sink.bytes = memory;
        sink.room = size;
        count = 0;
        memset(memory, 0xA5, sizeof memory);
        assert_ok(kinds[i].write(&sink));
        assert_int_equal(count, size);
        assert_memory_equal(memory, file, size);
        assert_int_equal(memory[size], 0xA5);
        sink = sink_to(&pipe, -1);
        assert_ok(kinds[i].write(&sink)); /* no count wanted */
        assert_int_equal(pipe.count, size);
        assert_memory_equal(pipe.bytes, file, size);
        sink = (bnnep_sink)BNNEP_SINK_INIT;
        sink.path = path;
        sink.count = &count;
        count = 0;
        assert_int_equal(unlink(path), 0);
        assert_ok(kinds[i].write(&sink));
        assert_int_equal(count, size);
        assert_int_equal(read_path(memory), size);
        assert_memory_equal(memory, file, size);
    }
}

/* Any room that is too small: the bytes that there is no room for are counted, and written nowhere. */
static void too_small_rooms(void **state) {
    (void)state;
    static uint8_t memory[ROOM];
    for (size_t i = 0; i < 2; i++) {
        uint64_t size = 0;
        bnnep_sink sink = BNNEP_SINK_INIT;
        sink.count = &size;
        assert_ok(kinds[i].write(&sink));
        for (size_t room = 0; room < size; room += room < 20 || room + 20 > size ? 1 : 97) {
            uint64_t count = 0;
            memset(memory, 0xA5, sizeof memory);
            sink.bytes = memory;
            sink.room = room;
            sink.count = &count;
            sink.name = "a small room";
            assert_refused(kinds[i].write(&sink), BNNEP_ERROR_ARGUMENT, "a small room");
            assert_int_equal(count, size);
            for (size_t at = room; at < ROOM; at++)
                assert_int_equal(memory[at], 0xA5);
        }
    }
}

/* A callback that fails at each of its calls: the caller is told, and its handles are as before. */
static void failing_sinks(void **state) {
    (void)state;
    static struct pipe pipe;
    for (size_t i = 0; i < 2; i++) {
        long call = 0;
        for (;; call++) {
            bnnep_sink sink = sink_to(&pipe, call);
            const bnnep_status status = kinds[i].write(&sink);
            if (status == BNNEP_OK)
                break;
            assert_int_equal(status, BNNEP_ERROR_CALLBACK);
            assert_non_null(strstr(bnnep_last_error(), "42"));
            assert_true(pipe.left == -1); /* it is not asked again */
        }
        assert_true(call > 0);
    }
}

static void reads_alike(void **state) {
    (void)state;
    static struct pipe pipe;
    char note[8], format[20];
    assert_ok(save_checkpoint());
    pipe.count = read_path(pipe.bytes);
    for (int way = 0; way < 3; way++) {
        struct net net = net_make(&shape, "ref");
        bnnep_network *network;
        bnnep_source source = source_of(pipe.bytes, pipe.count);
        for (int what = 0; what < 4; what++) { /* a callback's bytes are read once */
            if (way == 1)
                source = source_from(&pipe, -1);
            else if (way == 2) {
                source = (bnnep_source)BNNEP_SOURCE_INIT;
                source.path = path;
            }
            if (what == 0)
                assert_ok(bnnep_checkpoint_read(net.optimizer, &source));
            else if (what == 1)
                assert_ok(bnnep_network_read(NULL, &source, NULL, &network));
            else if (what == 2)
                assert_ok(bnnep_source_text(&source, "note", note, sizeof note, NULL));
            else
                assert_ok(bnnep_source_text(&source, "format", format, sizeof format, NULL));
        }
        assert_same_network(&net, &saved);
        const struct net read = {network, saved.optimizer, &shape}; /* it has no momenta of its own */
        assert_same_network(&read, &saved);
        assert_string_equal(note, "a note");
        assert_string_equal(format, "bnnep-checkpoint");
        bnnep_network_free(network);
        net_free(&net);
    }
}

/* A callback that fails at each of its calls, ends at each of them, or claims more than there was room for. */
static void failing_sources(void **state) {
    (void)state;
    static struct pipe pipe;
    struct net net = net_make(&shape, "cpu");
    bnnep_sink sink = sink_to(&pipe, -1);
    assert_ok(write_checkpoint(&sink));
    const size_t whole = pipe.count;
    long call = 0;
    for (;; call++) {
        bnnep_network *network = saved.network;
        bnnep_source source = source_from(&pipe, call);
        const bnnep_status status = bnnep_checkpoint_read(net.optimizer, &source);
        if (status == BNNEP_OK)
            break;
        assert_int_equal(status, BNNEP_ERROR_CALLBACK);
        assert_non_null(strstr(bnnep_last_error(), "42"));
        assert_same_network(&net, &untouched);
        source = source_from(&pipe, call);
        assert_refused(bnnep_network_read(NULL, &source, NULL, &network), BNNEP_ERROR_CALLBACK, "42");
        assert_null(network);
    }
    assert_true(call > 10);
    assert_same_network(&net, &saved);
    assert_ok(bnnep_optimizer_set_position(net.optimizer, 77, 0));
    for (pipe.count = 0; pipe.count < whole; pipe.count += 101) {
        bnnep_source source = source_from(&pipe, -1);
        assert_int_equal(bnnep_checkpoint_read(net.optimizer, &source), BNNEP_ERROR_FORMAT);
        assert_non_null(strstr(bnnep_last_error(), "source"));
        assert_same_network(&net, &saved);
    }
    bnnep_optimizer_info info = BNNEP_OPTIMIZER_INFO_INIT;
    assert_ok(bnnep_optimizer_get_info(net.optimizer, &info));
    assert_int_equal(info.batches, 77);
    net_free(&net);
}

static int32_t claim_more(void *user, void *bytes, size_t count, size_t *got) {
    (void)user;
    memset(bytes, 1, count);
    *got = count + 1;
    return 0;
}

static void impossible_ends(void **state) {
    (void)state;
    bnnep_network *network = saved.network;
    bnnep_dataset *dataset;
    bnnep_source nothing = BNNEP_SOURCE_INIT, liar = BNNEP_SOURCE_INIT, empty = source_of("", 0);
    liar.read = claim_more;
    liar.name = "the liar";
    assert_refused(bnnep_network_read(NULL, &nothing, NULL, &network), BNNEP_ERROR_ARGUMENT, "source");
    assert_refused(bnnep_network_read(NULL, NULL, NULL, &network), BNNEP_ERROR_ARGUMENT, "NULL");
    assert_refused(bnnep_network_read(NULL, &liar, NULL, &network), BNNEP_ERROR_CALLBACK, "the liar");
    assert_refused(bnnep_network_read(NULL, &empty, NULL, &network), BNNEP_ERROR_FORMAT, "source");
    assert_null(network);
    assert_refused(bnnep_dataset_from_source(NULL, &liar, NULL, &dataset), BNNEP_ERROR_CALLBACK, "the liar");
    assert_refused(bnnep_dataset_from_source(NULL, &nothing, NULL, &dataset), BNNEP_ERROR_ARGUMENT, "source");
    assert_refused(bnnep_dataset_from_source(NULL, &empty, NULL, &dataset), BNNEP_ERROR_FORMAT, "source");
    assert_null(dataset);
    assert_refused(bnnep_checkpoint_write(saved.optimizer, NULL, NULL), BNNEP_ERROR_ARGUMENT, "NULL");
}

/* --- data --------------------------------------------------------------------------------------------------------- */

/* Five images of 2 x 3, and their labels. */
static const uint8_t images[16 + 30] = {0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 3, 9, 8, 7, 6, 5, 4, 3, 2, 1, 255};
static const uint8_t image_labels[8 + 5] = {0, 0, 8, 1, 0, 0, 0, 5, 3, 1, 4, 1, 5};

static void assert_images(const bnnep_dataset *dataset, bool labelled) {
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    float x[30];
    int32_t y[5];
    assert_ok(bnnep_dataset_get_info(dataset, &info));
    assert_true(info.count == 5 && info.channels == 1 && info.height == 2 && info.width == 3);
    assert_int_equal(info.labelled, labelled);
    assert_ok(bnnep_dataset_read(dataset, 0, 5, x, y));
    for (int i = 0; i < 30; i++)
        assert_true(x[i] == (float)images[16 + i] / 255.0f);
    for (int n = 0; n < 5; n++)
        assert_int_equal(y[n], labelled ? image_labels[8 + n] : -1);
}

#ifdef BNNEP_WITHOUT_ZLIB
enum { PACKED = 0 };
#else
enum { PACKED = 1 };
#endif

/* The images as gzip holds them when it does not compress; returns the size. */
static size_t pack(uint8_t *to) {
    enum { SIZE = sizeof images };
    static const uint8_t head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, SIZE, 0, 255 - SIZE, 255};
    const uint32_t tail[] = {(uint32_t)crc32(0, images, SIZE), SIZE};
    memcpy(to, head, sizeof head);
    memcpy(to + sizeof head, images, SIZE);
    for (size_t i = 0; i < 8; i++)
        to[sizeof head + SIZE + i] = (uint8_t)(tail[i / 4] >> (8 * (i % 4)));
    return sizeof head + SIZE + 8;
}

static void data(void **state) {
    (void)state;
    static struct pipe pipe, labels;
    uint8_t packed[128];
    const size_t packed_size = pack(packed);
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    bnnep_source source_of_labels;
    bnnep_dataset *dataset;
    memcpy(labels.bytes, image_labels, labels.count = sizeof image_labels);
    for (int way = 0; way < 8; way++) { /* plain or packed, memory or callback, with labels or without */
        const void *bytes = way & PACKED ? packed : images;
        const size_t count = way & PACKED ? packed_size : sizeof images;
        memcpy(pipe.bytes, bytes, pipe.count = count);
        const bnnep_source source = way & 2 ? source_from(&pipe, -1) : source_of(bytes, count);
        source_of_labels = way & 2 ? source_from(&labels, -1) : source_of(image_labels, sizeof image_labels);
        o.labels = way & 4 ? &source_of_labels : NULL;
        assert_ok(bnnep_dataset_from_source(NULL, &source, &o, &dataset));
        assert_images(dataset, way & 4);
        bnnep_dataset_free(dataset);
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(images, 1, sizeof images, file), sizeof images);
    fclose(file);
    assert_ok(bnnep_dataset_open(NULL, path, NULL, &dataset));
    assert_images(dataset, false);
    bnnep_dataset_free(dataset);
}

static void failing_data(void **state) {
    (void)state;
    static struct pipe pipe, labels;
    long call[2] = {0, 0};
    memcpy(pipe.bytes, images, pipe.count = sizeof images);
    memcpy(labels.bytes, image_labels, labels.count = sizeof image_labels);
    for (int which = 0; which < 2; which++)
        for (;; call[which]++) {
            const bnnep_source source = source_from(&pipe, which == 0 ? call[0] : -1);
            const bnnep_source of_labels = source_from(&labels, which == 1 ? call[1] : -1);
            bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
            bnnep_dataset *dataset;
            o.labels = &of_labels;
            const bnnep_status status = bnnep_dataset_from_source(NULL, &source, &o, &dataset);
            bnnep_dataset_free(dataset);
            if (status == BNNEP_OK)
                break;
            assert_int_equal(status, BNNEP_ERROR_CALLBACK);
            assert_null(dataset);
        }
    assert_true(call[0] > 1 && call[1] > 1);
}

/* CIFAR-10's records, too. */
static void records(void **state) {
    (void)state;
    static uint8_t bytes[2 * 3073];
    bnnep_open_options o = BNNEP_OPEN_OPTIONS_INIT;
    bnnep_dataset_info info = BNNEP_DATASET_INFO_INIT;
    bnnep_dataset *dataset;
    int32_t y[2];
    bytes[0] = 7;
    bytes[3073] = 2;
    const bnnep_source source = source_of(bytes, sizeof bytes);
    o.format = BNNEP_FORMAT_CIFAR10;
    assert_ok(bnnep_dataset_from_source(NULL, &source, &o, &dataset));
    assert_ok(bnnep_dataset_get_info(dataset, &info));
    assert_true(info.count == 2 && info.channels == 3 && info.height == 32 && info.width == 32);
    assert_ok(bnnep_dataset_read(dataset, 0, 2, NULL, y));
    assert_true(y[0] == 7 && y[1] == 2);
    bnnep_dataset_free(dataset);
    o.format = BNNEP_FORMAT_IDX;
    assert_refused(bnnep_dataset_from_source(NULL, &source, &o, &dataset), BNNEP_ERROR_FORMAT, "magic number");
    o.format = 3;
    assert_refused(bnnep_dataset_from_source(NULL, &source, &o, &dataset), BNNEP_ERROR_UNSUPPORTED, "format is 3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes),  cmocka_unit_test(too_small_rooms), cmocka_unit_test(failing_sinks),
        cmocka_unit_test(reads_alike), cmocka_unit_test(failing_sources), cmocka_unit_test(impossible_ends),
        cmocka_unit_test(data),        cmocka_unit_test(failing_data),    cmocka_unit_test(records),
    };
    return cmocka_run_group_tests_name("sources", tests, make_nets, free_nets);
}
