// SPDX-License-Identifier: MIT
// A job: one image through one place in a batch. What lies between decoded pixels and finished
// probability map (resize, normalise, network, activation, resize back, quantise) is described
// here and done by the backend, so that a device need not send intermediate floats back.
#ifndef CS_BACKEND_JOB_H
#define CS_BACKEND_JOB_H

#include "image/image.h"

enum {
    CS_JOB_MAX_CHANNELS = 16, // of the network's input
    CS_JOB_MAX_MAPS = 64,
    CS_JOB_MAX_OUTPUTS = 16, // outputs of a network that maps may come from: the first of them
};

enum cs_activation {
    CS_ACT_NONE,
    CS_ACT_SIGMOID,
    CS_ACT_SOFTMAX,
    CS_ACT_LOGITS, // sigmoid where any of the network's values for the image is below 0 or above 1,
                   // none where all are probabilities already
};

// Where a map comes from: a channel of one of the network's outputs, which is N, C, H, W.
struct cs_map_source {
    int16_t output;  // of the graph
    int16_t channel; // of that output
    enum cs_activation activation;
};

// How image pixels become the network's input plane.
enum cs_placement {
    CS_PLACE_COPY,   // same scale: network pixel (x, y) is image pixel (x + x0, y + y0);
                     // outside the image: mirrored without repeating the edge (numpy "reflect"),
                     // repeatedly where the pad exceeds the image
    CS_PLACE_SCALE,  // the whole image is stretched to a plane of scaled_width x scaled_height:
                     // bilinear, with the triangle filter widened when shrinking (antialiased),
                     // half-pixel centres. Network pixel (x, y) is its pixel (x + x0, y + y0)
    CS_PLACE_PILLOW, // the whole image is stretched to the network's plane as Pillow does it:
                     // samples of 8 bits, rounded to 8 bits after each of two passes; wider
                     // samples are clipped to 255, in colour shifted.
                     // A channel becomes (sample / 255 - shift[c]) / scale[c], each operation
                     // rounded to float; low and high are not looked at
};

struct cs_job {
    // Input: interleaved samples, borrowed.
    const void *pixels;
    uint32_t width, height;
    uint16_t channels;
    enum cs_dtype dtype;
    // Channel c of the network reads image channel from[c], or the mean of all where from[c] is
    // -1, and becomes clamp(value * scale[c] + shift[c], low, high).
    int16_t from[CS_JOB_MAX_CHANNELS];
    float scale[CS_JOB_MAX_CHANNELS], shift[CS_JOB_MAX_CHANNELS];
    float low, high;
    enum cs_placement placement;
    int32_t x0, y0; // CS_PLACE_COPY: may be negative
    // CS_PLACE_SCALE: the plane, in which the network's lies; 0: it is the network's, and x0 and y0
    // are not looked at.
    uint32_t scaled_width, scaled_height;

    // Output: `out_channels` maps, interleaved, quantised: CS_U8 round(p * 255),
    // CS_U16 round(p * 65535), CS_F32 as it is.
    void *out; // borrowed: the whole map, out_width x out_height
    uint32_t out_width, out_height;
    uint16_t out_channels;
    struct cs_map_source out_from[CS_JOB_MAX_MAPS];
    enum cs_dtype out_dtype;
    // The part of the map to write, in map coordinates: a tile's own part, or the whole map.
    // CS_PLACE_COPY: network pixel = map pixel - (x0, y0).
    // The others: after the activation the output's plane is resized to the map (bilinear,
    // half-pixel centres, no antialias). Where scaled_width says that it is cut, outputs have the
    // size of the network's plane, and what the part is made of (cs_job_plane_area) lies in it.
    uint32_t part_x, part_y, part_width, part_height;
    // Of a graph that was cut for the part (graph.h): how many of the network's pixels the outputs'
    // planes lack on the left and at the top.
    uint32_t skip_x, skip_y;

    // Pixels and out are shared mappings of a file, from a page's beginning on: whoever has worked
    // on them lets go of the pages.
    bool paged;
    // They lie in memory that the backend has pinned (backend.h, memory_pin).
    bool pinned;

    uint64_t nonfinite; // result: values behind the maps, in the part, that are NaN or inf
};

#endif
