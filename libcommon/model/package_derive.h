// SPDX-License-Identifier: MIT
// A package description for a bare network: what its graph shows, and what its user says of it.
#ifndef CS_MODEL_PACKAGE_DERIVE_H
#define CS_MODEL_PACKAGE_DERIVE_H

#include "graph/graph.h"
#include "model/package.h"

struct cs_derive_options {
    const char *name;                  // of the package
    const char *description, *license; // NULL: none
    const char *normalise;             // see cs_package_derive
    const char *maps;                  // NULL: as the graph shows; see there
    int fit;                           // 0: as the graph shows, else 1 + enum cs_fit
    const char *activation;            // NULL: as the graph shows; see there
    enum cs_input_channels input_channels;
    uint32_t height, width; // of the plane that images are resized to; 0: derived
    int64_t stride;         // 0: derived
};

// Fill the package's inputs, outputs, maps and fit from the graph as read. Paths and hashes of
// files are left to the caller; the folder must be set.
//
// Channels and fixed planes are the graph's. A network of any plane gets the stride at which it was
// found to accept planes of several multiples. An output that a Sigmoid or Softmax made, directly
// or through operators that move samples, is a probability and gets no step; else one channel gets
// a sigmoid. `normalise`:
//
//   none                    samples as they are
//   unit[:MAX]              scale_linear: divided by MAX (255)
//   percentile[:LOW,HIGH]   scale_range between the percentiles of the image (1, 99.8)
//   zero-mean               zero_mean_unit_variance of the image
//   imagenet                fixed_zero_mean_unit_variance: mean and deviation of ImageNet for three
//                           channels from 0 to 255
//
// `maps`: names of the channels of the first output with a plane, or NAME=OUTPUT[.CHANNEL] for
// channels of any, with commas between. `activation` of outputs that give maps: auto, none, sigmoid
// or softmax, or OUTPUT=ACTIVATION with commas between.
//
// CS_EMODEL: the network is not one that cs-infer runs. CS_EUSAGE: the options contradict it, or
// leave open what the graph does not show; one line says which option would.
int cs_package_derive(struct cs_package *package, const struct cs_graph *graph,
                      const struct cs_derive_options *options, struct cs_err *err);

#endif
