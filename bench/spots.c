// SPDX-License-Identifier: MIT
// A stream of one item whose probabilities show round objects, a number of them evenly spread and
// shifted at random: what cs-postprocess gets from cs-infer, for planes and counts of any size.
//
//     spots WIDTH HEIGHT COUNT
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "stream/stream.h"

enum { MOST_SIDE = 1 << 18 };

struct grid {
    uint32_t width, height, across, down;
    double cell_x, cell_y, radius;
};

// The centre of a cell's object.
static void centre(const struct grid *g, uint32_t column, uint32_t row, double *x, double *y)
{
    uint32_t h = column * 2654435761u ^ row * 2246822519u;
    h = (h ^ h >> 15) * 2246822519u;
    h ^= h >> 13;
    *x = (column + 0.4 + (h & 255) / 1280.0) * g->cell_x;
    *y = (row + 0.4 + (h >> 8 & 255) / 1280.0) * g->cell_y;
}

static void draw_row(const struct grid *g, uint32_t y, uint16_t *out)
{
    memset(out, 0, (size_t)g->width * 2 * sizeof *out);
    uint32_t row = (uint32_t)(y / g->cell_y);
    for (uint32_t column = 0; column < g->across && row < g->down; column++) {
        double cx, cy;
        centre(g, column, row, &cx, &cy);
        double dy = y - cy;
        if (fabs(dy) >= g->radius)
            continue;
        double half = sqrt(g->radius * g->radius - dy * dy);
        uint32_t end = cx + half < g->width ? (uint32_t)(cx + half) : g->width;
        for (uint32_t x = cx > half ? (uint32_t)ceil(cx - half) : 0; x < end; x++) {
            double d = sqrt((x - cx) * (x - cx) + dy * dy) / g->radius;
            out[2 * (size_t)x] = 60000;
            out[2 * (size_t)x + 1] = (uint16_t)(65535 * (1 - d));
        }
    }
}

static int write_stream(struct cs_writer *w, const struct grid *g, struct cs_err *err)
{
    struct cs_image shape = {
        .width = g->width, .height = g->height, .channels = 2, .dtype = CS_U16};
    struct cs_meta head = {0}, begin = {0}, done = {0};
    cs_meta_set(&head, CS_KEY_MAPS, "foreground,distance");
    cs_meta_set(&head, CS_KEY_POST "split", "distance");
    cs_meta_set(&head, CS_KEY_POST "fill-holes", "1");
    cs_meta_set(&begin, CS_KEY_SOURCE, "spots");
    cs_meta_set(&begin, CS_KEY_OUTPUT, "spots");
    cs_meta_set(&done, CS_KEY_STATUS, "ok");
    uint32_t rows = CS_BAND_BYTES / ((uint32_t)cs_image_row_bytes(&shape)) + 1;
    uint16_t *band = cs_xmalloc(rows * cs_image_row_bytes(&shape));
    int status = cs_writer_head(w, &head, err);
    if (status == 0)
        status = cs_writer_begin(w, &begin, err);
    for (uint32_t y = 0; y < g->height && status == 0; y += rows) {
        rows = rows < g->height - y ? rows : g->height - y;
        for (uint32_t k = 0; k < rows; k++)
            draw_row(g, y + k, band + (size_t)k * g->width * 2);
        status = cs_writer_data(w, CS_PLANE_PROBABILITY, &shape, y, rows, band, err);
    }
    if (status == 0)
        status = cs_writer_done(w, &done, err);
    free(band);
    cs_meta_release(&head);
    cs_meta_release(&begin);
    cs_meta_release(&done);
    return status == 0 ? cs_writer_end(w, 0, NULL, err) : -1;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_writer *writer = NULL;
    int64_t width, height, count;
    if (argc != 4 || cs_num_int(argv[1], 1, MOST_SIDE, "width", &width, &err) != 0 ||
        cs_num_int(argv[2], 1, MOST_SIDE, "height", &height, &err) != 0 ||
        cs_num_int(argv[3], 1, width * height / 64, "count", &count, &err) != 0) {
        fputs("usage: spots WIDTH HEIGHT COUNT\n", stderr);
        return 2;
    }
    struct grid g = {.width = (uint32_t)width, .height = (uint32_t)height};
    double side = sqrt((double)width * (double)height / (double)count);
    g.across = (uint32_t)fmax(1, (double)width / side + 0.5);
    g.down = (uint32_t)((count + g.across - 1) / g.across);
    g.cell_x = (double)width / g.across;
    g.cell_y = (double)height / g.down;
    g.radius = fmin(g.cell_x, g.cell_y) * 0.37;
    int status = cs_writer_open(&writer, STDOUT_FILENO, CS_TRANSPORT_AUTO, 0, &err);
    if (status == 0)
        status = write_stream(writer, &g, &err);
    if (status != 0)
        fprintf(stderr, "spots: %s\n", err.text);
    cs_writer_close(writer);
    return status == 0 ? 0 : 1;
}
