/* SPDX-License-Identifier: MIT */
/* What the cuda backend says of devices that are not there, here with none and with two emulated ones. */
#include <stdlib.h>
#include <string.h>

#include "support.h"

static bnnep_status make(const char *backend) {
    const bnnep_connection connection = BNNEP_FC(10);
    bnnep_network_options o = BNNEP_NETWORK_OPTIONS_INIT;
    bnnep_network *network = NULL;
    o.input_channels = 5;
    o.connections = &connection;
    o.connection_count = 1;
    o.free_steps = 3;
    o.backend = backend;
    const bnnep_status status = bnnep_network_create(&o, &network);
    bnnep_network_info info = BNNEP_NETWORK_INFO_INIT;
    if (status == BNNEP_OK && strcmp(backend, "auto") == 0) {
        assert_ok(bnnep_network_get_info(network, &info));
        assert_string_equal(info.backend, "cpu");
    }
    bnnep_network_free(network);
    return status;
}

static void none(void **state) {
    (void)state;
    bnnep_backend_info info = BNNEP_BACKEND_INFO_INIT;
    setenv("BNNEP_EMULATION_DEVICES", "0", 1);
    assert_ok(bnnep_backend_get(0, &info));
    assert_false(info.available);
    assert_non_null(strstr(info.reason, "no CUDA-capable device is detected"));
    assert_refused(make("cuda"), BNNEP_ERROR_BACKEND, "no CUDA-capable device is detected");
    assert_ok(make("auto"));
}

static void two(void **state) {
    (void)state;
    setenv("BNNEP_EMULATION_DEVICES", "2", 1);
    assert_ok(make("cuda"));
    assert_ok(make("cuda:1"));
    assert_refused(make("cuda:7"), BNNEP_ERROR_BACKEND, "device 7 does not exist: there are 2, counted from 0");
    assert_refused(make("cuda:fast"), BNNEP_ERROR_ARGUMENT, "given 'fast'");
    assert_refused(make("cuda:-1"), BNNEP_ERROR_ARGUMENT, "given '-1'");
    assert_refused(make("cuda:1x"), BNNEP_ERROR_ARGUMENT, "given '1x'");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(none), cmocka_unit_test(two)};
    return cmocka_run_group_tests_name("devices", tests, NULL, NULL);
}
