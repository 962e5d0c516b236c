// SPDX-License-Identifier: MIT
// Fused Winograd convolution F(4x4, 3x3): 3x3, stride 1, float, activations in N, H, W, C order.
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.
//
// A tile of 4x4 outputs comes from 6x6 inputs: both are transformed to 36 points, where the
// convolution is 36 products of matrices (tiles x input channels, input x output channels) with a
// quarter of the multiplications. For a block of tiles that fits the cache, input transform,
// products and output transform follow one another, so nothing transformed is written to memory.
//
// On planes of so few tiles that reading four times as many weights takes longer than that saves,
// F(2x2, 3x3): 4x4 inputs, 16 points, 1/2.25 of the multiplications, 16/9 of the weights.
//
// Accuracy: interpolation at 0, +-5/8, +-3/2 and infinity (0, +-1 and infinity), weights
// transformed in double, sums over input channels in blocks of at most 16 that are added
// afterwards: about as exact as a direct sum.
// A value that is not finite spoils its whole tile.
//
// A result depends on its tile alone, never on how tiles are shared out: same bytes for any number
// of threads and any batch.
//
// Layouts, in floats; `width` is that of a vector register, a panel has `panel` output channels:
//   U [point][panel][depth][panel's channels]                  weights, packed once
//   V [point][tile / rows][channel / width][rows][width]       inputs of a block
//   M [point][panel][tile][panel's channels]                   products of a block
#ifndef CS_BACKEND_CPU_WINOGRAD_H
#define CS_BACKEND_CPU_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/cpu/finish.h"

enum {
    CS_WINOGRAD_MAX_IN = 6,
    CS_WINOGRAD_MAX_BLOCK = 128, // tiles
};

// ---- Kernels, one table an instruction set -------------------------------------------------

// The input transform of tiles of one image. Where offset is not NULL, pixels are first mapped to
// (x - offset[c]) * scale[c] + shift[c], and that below zero times slope (0..1); the zeros around
// the image stay zeros.
struct cs_winograd_load {
    const float *src;     // the image's first pixel
    int64_t row, pixel;   // floats from row to row and from pixel to pixel
    int64_t channels;     // to read
    int64_t point, group; // floats of V between points, and between groups of `width` channels
    const float *offset, *scale, *shift;
    float slope;
};

// The output transform: dst = finish(value + bias + add).
struct cs_winograd_store {
    const float *bias;  // of all panels' channels
    int64_t row, pixel; // floats of dst and add
    int64_t point;      // floats of M between points
    struct cs_finish finish;
    bool stream; // past the caches; dst and pixel are multiples of `width`
};

// rows x (vectors * width) products.
struct cs_winograd_product {
    int64_t quads; // input channels / 4
    const float *v, *u;
    float *m;
    bool add;             // to what m holds
    const char *prefetch; // 256 bytes a quad from here; NULL: nothing
};

struct cs_winograd_kernels {
    const char *name;                          // of the profile: "winograd:avx512"
    const struct cs_winograd_kernels *smaller; // of smaller tiles, or NULL
    int out, in, points;                       // sides of a tile of outputs and of inputs; in * in
    int width;                                 // floats of a register
    int sums; // registers that hold sums in `multiply`: rows * vectors of a full product
    int max_vectors;
    // The tile whose first pixel is `offset` floats from src (possibly outside); bit i of rows and
    // columns tells that row or column i of its inputs lies inside the image.
    void (*load)(const struct cs_winograd_load *load, int64_t offset, unsigned rows,
                 unsigned columns, float *v);
    // [vectors - 1][0]: sums / vectors tiles, [1]: half as many.
    void (*multiply[4][2])(const struct cs_winograd_product *product);
    // `channels` (from `first` on) of one tile of rows x columns pixels. add may be NULL.
    void (*store)(const struct cs_winograd_store *store, const float *m, int64_t first,
                  int64_t channels, float *dst, const float *add, int rows, int columns);
    // The same without activation and addition; to sum[c] and square[c] are added the sums over the
    // tile's pixels of y and y * y, for whole registers of channels. Digits are not lost where the
    // mean is large: squares are summed round the tile's mean.
    void (*store_sums)(const struct cs_winograd_store *store, const float *m, int64_t first,
                       int64_t channels, float *dst, int rows, int columns, double *sum,
                       double *square);
};

extern const struct cs_winograd_kernels cs_winograd_avx512, cs_winograd_avx2;
extern const struct cs_winograd_kernels cs_winograd2_avx512, cs_winograd2_avx2;

// ---- One convolution -----------------------------------------------------------------------

// Pairs are height, width. Outputs beyond in + pads - 2 are not possible.
struct cs_winograd_shape {
    int64_t batch, in_channels, out_channels;
    int64_t in[2], out[2], pad_begin[2]; // pads of 0 or 1
};

struct cs_winograd {
    const struct cs_winograd_kernels *kernels;
    struct cs_winograd_shape shape;
    int threads;
    int vectors, rows;                 // of the product kernel
    int64_t panel, panels;             // output channels of a panel; how many
    int64_t depth, depth_block;        // input channels in whole quads; summed in one go
    int64_t tiles[2];                  // of an image
    int64_t unit, units;               // tiles that stay together; units of an image
    int64_t block;                     // units that are transformed together
    int64_t panels_at_once;            // held in M
    bool team;                         // all threads work on one block
    bool by_panels;                    // parts are panels, else units of all images
    int64_t parts;                     // 0: a team has none
    bool stream;                       // results go past the caches
    int64_t v_point, m_point, m_panel; // strides
};

struct cs_winograd_caches {
    size_t core, shared; // bytes of a core's L2 and of the L3
};
struct cs_winograd_caches cs_winograd_find_caches(void);

// These kernels, or those of smaller tiles, whichever is faster than direct convolution, or NULL:
// follows from one image, as its results must. normalised: a norm follows, whose statistics are
// then gathered, and whose map its readers apply.
const struct cs_winograd_kernels *cs_winograd_pick(const struct cs_winograd_kernels *kernels,
                                                   const struct cs_winograd_shape *shape,
                                                   bool normalised);
// How to cut the work: for the caches and threads, without effect on results.
void cs_winograd_plan(struct cs_winograd *w, const struct cs_winograd_kernels *kernels,
                      const struct cs_winograd_shape *shape, int threads,
                      const struct cs_winograd_caches *caches);
size_t cs_winograd_weight_floats(const struct cs_winograd *w);
// Equal for plans that want the same packed weights.
uint64_t cs_winograd_weight_key(const struct cs_winograd *w);
// weights: O I 3 3.
void cs_winograd_pack(const struct cs_winograd *w, const float *weights, float *packed);
// Of a team, or of one part.
size_t cs_winograd_scratch_bytes(const struct cs_winograd *w);

enum { CS_WINOGRAD_SOURCES = 4 };

// Input channels that lie together: a whole tensor, or a part of a concatenation read in place.
struct cs_winograd_source {
    const float *src;
    int64_t channels; // a multiple of the kernels' width but for the last source
    // Per image offset, scale and shift, `channels` each, `affine_step` floats from image to image;
    // NULL: as it is.
    const float *affine;
    int64_t affine_step;
    float slope;
};

// Of one run; all borrowed.
struct cs_winograd_run {
    struct cs_winograd_source sources[CS_WINOGRAD_SOURCES];
    int source_count;
    const float *packed;
    const float *bias; // panels * panel values
    float *dst;
    const float *add; // like dst, which it may be; or NULL
    float *scratch;   // 64 bytes aligned
    struct cs_finish finish;
    // NULL, or for each image and unit the sums of y, then of y * y, of panels * panel channels;
    // then neither activation nor add.
    double *sums;
    bool warm;  // the sources are in the cache
    bool again; // scratch is as other parts of this run left it
    // Of cs_winograd_run_tiles: which tiles of which image.
    int64_t image, first_tile, tile_count;
};
// A team's work, with all threads.
void cs_winograd_run_team(const struct cs_winograd *w, const struct cs_winograd_run *run);
// Parts [begin, end), in the calling thread, with scratch of its own.
void cs_winograd_run_parts(const struct cs_winograd *w, const struct cs_winograd_run *run,
                           int64_t begin, int64_t end);
// Some tiles of one image, likewise; no sums.
void cs_winograd_run_tiles(const struct cs_winograd *w, const struct cs_winograd_run *run);

#endif
