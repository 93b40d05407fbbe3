/* SPDX-License-Identifier: MIT */
/* Messages quote names whose bytes may be anything: what a terminal would obey, or is no UTF-8, is written as \xNN. */
#include <stdio.h>
#include <string.h>

#include "support.h"

static void assert_shown(const char *name, const char *shown) {
    bnnep_source source = BNNEP_SOURCE_INIT;
    bnnep_network *network;
    char begin[256];
    source.name = name;
    source.bytes = "";
    assert_int_equal(bnnep_network_read(NULL, &source, NULL, &network), BNNEP_ERROR_FORMAT);
    snprintf(begin, sizeof begin, "%s: ends at offset 0", shown);
    if (strncmp(bnnep_last_error(), begin, strlen(begin)) != 0)
        fail_msg("'%s' does not begin with '%s'", bnnep_last_error(), begin);
}

static void names(void **state) {
    static const char *const as_they_are[] = {"a b",
                                              "~",
                                              "\xc2\xa0",
                                              "\xc3\xa4",
                                              "\xdf\xbf",
                                              "\xe0\xa0\x80",
                                              "\xe2\x82\xac",
                                              "\xef\xbf\xbd",
                                              "\xf0\x9f\x98\x80",
                                              "\xf4\x8f\xbf\xbf"};
    static const struct {
        const char *name, *shown;
    } others[] = {{"\x1b[31m", "\\x1b[31m"},
                  {"a\nb", "a\\x0ab"},
                  {"\x1f", "\\x1f"},
                  {"\x7f", "\\x7f"},
                  {"\x80", "\\x80"},
                  {"\xc1\xbf", "\\xc1\\xbf"},
                  {"\xc2\x9f", "\\xc2\\x9f"}, /* a control character of one byte in Latin-1 */
                  {"\xc3", "\\xc3"},
                  {"\xc3"
                   "a",
                   "\\xc3"
                   "a"},
                  {"\xe2\x82", "\\xe2\\x82"},
                  {"\xe2\x82z", "\\xe2\\x82z"},
                  {"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},
                  {"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"},
                  {"\xff", "\\xff"}};
    (void)state;
    for (size_t i = 0; i < sizeof as_they_are / sizeof as_they_are[0]; i++)
        assert_shown(as_they_are[i], as_they_are[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_shown(others[i].name, others[i].shown);
}

/* A message shows nothing of the one before. */
static void shorter(void **state) {
    bnnep_network *network;
    (void)state;
    assert_shown("a name that is rather long", "a name that is rather long");
    assert_refused(bnnep_network_read(NULL, NULL, NULL, &network), BNNEP_ERROR_ARGUMENT, "NULL");
    assert_null(strstr(bnnep_last_error(), "long"));
    assert_true(strlen(bnnep_last_error()) < 60);
}

/* A message ends where there is no room for more, and never within a character. */
static void long_names(void **state) {
    static char name[8192];
    bnnep_source source = BNNEP_SOURCE_INIT;
    bnnep_network *network;
    (void)state;
    source.name = name;
    source.bytes = "";
    for (int shift = 0; shift < 4; shift++) {
        memset(name, 'x', (size_t)shift);
        for (size_t at = (size_t)shift; at + 3 < sizeof name; at += 3)
            memcpy(name + at, shift % 2 ? "\xe2\x82\xac" : "\x1b\x1b\x1b", 3);
        assert_int_equal(bnnep_network_read(NULL, &source, NULL, &network), BNNEP_ERROR_FORMAT);
        const char *said = bnnep_last_error();
        const size_t length = strlen(said);
        assert_true(length > 400 && length < sizeof name);
        assert_memory_equal(said + length - 3, shift % 2 ? "\xe2\x82\xac" : "x1b", 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(shorter),
                                       cmocka_unit_test(long_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
