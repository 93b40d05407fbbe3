/* SPDX-License-Identifier: MIT */
/* Products of sign matrices, kept as bits, with a tile of samples. */
#include <cblas.h>

#include "backends/cpu/cpu.h"

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

void bnnep_cpu_products(const struct bnnep_link *link, const struct cpu_connection *connection, const float *below,
                        const float *above, float *forward, float *feedback, float *tile) {
    const int lanes = (int)LANES, ld = (int)connection->tile_columns;
    for (size_t row = 0; row < link->rows; row += connection->tile_rows)
        for (size_t column = 0; column < link->columns; column += connection->tile_columns) {
            const size_t rows = least(connection->tile_rows, link->rows - row);
            const size_t columns = least(connection->tile_columns, link->columns - column);
            bnnep_cpu_unpack(connection, row, rows, column, columns, tile, connection->tile_columns);
            if (forward)
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, lanes, (int)columns, 1.0f, tile, ld,
                            below + column * LANES, lanes, column > 0 ? 1.0f : 0.0f, forward + row * LANES, lanes);
            if (feedback)
                cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)columns, lanes, (int)rows, 1.0f, tile, ld,
                            above + row * LANES, lanes, row > 0 ? 1.0f : 0.0f, feedback + column * LANES, lanes);
        }
}

void bnnep_cpu_product_exact(const struct bnnep_link *link, const struct cpu_connection *connection, const float *below,
                             float *forward, double *tile, double *sum) {
    const int lanes = (int)LANES;
    /* Half a tile of signs, half of inputs. A tile of up to TILE weights does not fit beside them. */
    const size_t step = TILE / 2 / TILE_ROWS;
    double *const input = tile + TILE_ROWS * step;
    for (size_t row = 0; row < link->rows; row += TILE_ROWS) {
        const size_t rows = least(TILE_ROWS, link->rows - row);
        for (size_t column = 0; column < link->columns; column += step) {
            const size_t columns = least(step, link->columns - column);
            for (size_t j = 0; j < rows; j++)
                for (size_t i = 0; i < columns; i++) {
                    const uint8_t byte = connection->bits[(row + j) * connection->stride + (column + i) / 8];
                    tile[j * step + i] = byte >> (i % 8) & 1 ? 1.0 : -1.0;
                }
            for (size_t v = 0; v < columns * LANES; v++)
                input[v] = below[column * LANES + v];
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, lanes, (int)columns, 1.0, tile, (int)step,
                        input, lanes, column > 0 ? 1.0 : 0.0, sum, lanes);
        }
        for (size_t v = 0; v < rows * LANES; v++)
            forward[row * LANES + v] = (float)sum[v];
    }
}

void bnnep_cpu_outer(size_t rows, size_t columns, const float *above, const float *below, float *G, size_t ld) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)columns, (int)LANES, 1.0f, above, (int)LANES,
                below, (int)LANES, 1.0f, G, (int)ld);
}
