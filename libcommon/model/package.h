// SPDX-License-Identifier: MIT
// A model package: a folder with the BioImage Model Zoo's description rdf.yaml (format_version 0.4
// or 0.5), ONNX weights and test tensors. What a network expects and gives is read here; pictures
// are turned into tensors by libcommon/infer. Settings of ours live under `config: cellstream:`:
//
//   version: 1
//   channels: [foreground, distance]  names of the maps: channels of the first output with a plane
//   channels: {foreground: prob, flow: {output: flows, channel: 1}}   or of any output
//   fit: native | pad | resize        how an image meets the network's plane
//   size: [H, W]                      resize: the network's plane
//   stride: N                         pad: plane sides are multiples of it
//   pixel_um: UM                      micrometres a pixel that the network was trained on
//   input_channels: replicate | rgb | mean
//   postprocess: {threshold: 0.5, split: distance, ...}   defaults of cs-postprocess's options
#ifndef CS_MODEL_PACKAGE_H
#define CS_MODEL_PACKAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/meta.h"

enum {
    CS_PACKAGE_MAX_AXES = 6,
    CS_PACKAGE_MAX_TENSORS = 8,
    CS_PACKAGE_MAX_STEPS = 16,
    CS_PACKAGE_MAX_CHANNELS = 64,
    CS_PACKAGE_MAX_SIDE = 1 << 20,
};

// Outputs that give no map may have axes of other kinds.
enum cs_axis_kind { CS_AXIS_BATCH, CS_AXIS_CHANNEL, CS_AXIS_Y, CS_AXIS_X, CS_AXIS_OTHER };

// Sizes that an axis may have: `size` alone (step 0), or size + k * step; 0 where the package
// does not say (outputs that follow an input, batch).
struct cs_axis {
    enum cs_axis_kind kind;
    int64_t size, step;
    double scale; // of an output's plane: samples of the input for each of its own; 0: not said
    double um;    // of an input's plane: micrometres a sample; 0: not said
};

// A step of pre- or postprocessing by the zoo's name.
enum cs_step_op {
    CS_STEP_SCALE_RANGE,     // a: lower, b: upper percentile
    CS_STEP_ZERO_MEAN,       // zero_mean_unit_variance: statistics of the image
    CS_STEP_SCALE_LINEAR,    // a: gain, b: offset
    CS_STEP_FIXED_ZERO_MEAN, // fixed_zero_mean_unit_variance: a: mean, b: std
    CS_STEP_CLIP,            // a: min, b: max
    CS_STEP_BINARIZE,        // a: threshold
    CS_STEP_SIGMOID,
    CS_STEP_SOFTMAX,      // over channels
    CS_STEP_ENSURE_DTYPE, // dtype
};

struct cs_step {
    enum cs_step_op op;
    bool per_channel; // statistics: one for each channel, else one for all
    double eps;
    int count; // of a and b: 1, or one for each channel
    double a[CS_PACKAGE_MAX_CHANNELS], b[CS_PACKAGE_MAX_CHANNELS];
    const char *dtype;
};

struct cs_tensor_spec {
    const char *name;
    struct cs_axis axes[CS_PACKAGE_MAX_AXES];
    int axis_count;
    const char *type;                              // "float32"
    const char *channels[CS_PACKAGE_MAX_CHANNELS]; // names, where the package gives them
    int channel_count;                             // 0: unknown
    struct cs_step steps[CS_PACKAGE_MAX_STEPS];
    int step_count;
    const char *test_path;   // NULL: no test tensor
    const char *test_sha256; // NULL: not given
};

// A map: one channel of one output.
struct cs_package_map {
    const char *name;
    int output, channel;
};

enum cs_fit { CS_FIT_NATIVE, CS_FIT_PAD, CS_FIT_RESIZE };
enum cs_input_channels { CS_INPUT_REPLICATE, CS_INPUT_RGB, CS_INPUT_MEAN };

struct cs_package {
    struct cs_arena arena;         // owns all texts
    const char *folder, *path;     // of rdf.yaml
    const char *name, *short_name; // as described; the folder's name
    const char *version, *description, *license, *format_version;
    const char *weights_path;
    const char *weights_sha256; // NULL: not given
    const char *external_path;  // file of weights beside the ONNX file; NULL: none is named
    const char *external_sha256;
    char rdf_sha256[CS_SHA256_HEX];
    struct cs_tensor_spec inputs[CS_PACKAGE_MAX_TENSORS], outputs[CS_PACKAGE_MAX_TENSORS];
    int input_count, output_count;

    enum cs_fit fit;
    int64_t fit_height, fit_width; // resize
    int64_t stride;                // pad: 1 where nothing says more
    double pixel_um;               // of the images that the network knows; 0: not said
    enum cs_input_channels input_channels;
    struct cs_package_map maps[CS_PACKAGE_MAX_CHANNELS];
    int map_count;              // 0: all channels of map_output, known when the network has run
    int map_output;             // output that all maps come from; -1: the map says, one by one
    bool maps_chosen;           // by our own settings
    struct cs_meta postprocess; // option of cs-postprocess = value
};

// Open a package by NAME or PATH (a folder or an rdf.yaml). A name without a slash is looked for
// in the folders of $CELLSTREAM_MODEL_PATH (colons between), ../../models and
// ../share/cellstream/models from the running program, the folder set at build time, and last as
// a folder here. CS_EMODEL names the file and what is wrong with it. Nothing but rdf.yaml is read.
// Release with cs_package_release.
int cs_package_open(struct cs_package *package, const char *name, struct cs_err *err);
// From text, for tests: folder is where relative paths start; files need not exist.
int cs_package_parse(struct cs_package *package, const char *text, size_t len, const char *folder,
                     struct cs_err *err);
void cs_package_release(struct cs_package *package); // accepts a zeroed struct

// Compare a file of the package with the hash that the package gives for it (NULL: none) and
// give what it is. CS_EMODEL names file and both hashes; a file that cannot be read likewise.
int cs_package_check_file(const char *path, const char *expected, char actual[CS_SHA256_HEX],
                          struct cs_err *err);

const struct cs_axis *cs_tensor_axis(const struct cs_tensor_spec *spec, enum cs_axis_kind kind);
// Whether the axes are batch, channel, y, x.
bool cs_tensor_is_image(const struct cs_tensor_spec *spec);
const char *cs_step_name(enum cs_step_op op);
const char *cs_fit_name(enum cs_fit fit);

#endif
