// SPDX-License-Identifier: MIT
// Which outputs of a network the maps of a package come from.
#ifndef CS_INFER_MAPS_H
#define CS_INFER_MAPS_H

#include "infer/session.h"

// Find the package's outputs among the graph's: by name where the graph has all the names, else by
// place. Fills info->output_of, info->sources with output and activation of each map, and
// info->unused. Outputs that no map needs are taken from the graph, with the nodes that only they
// read, unless `keep_all`. CS_EMODEL: the package describes what the network does not have.
int cs_maps_choose(const struct cs_package *package, bool keep_all, struct cs_graph *graph,
                   struct cs_session_info *info, struct cs_err *err);

// After cs_maps_choose, with the shapes of a concrete graph for one image of height x width: fills
// info->maps, the rest of info->sources, and info->same_size. CS_EMODEL: an output is no
// N, C, H, W of floats, or has other channels than the package says.
int cs_maps_check(const struct cs_package *package, const struct cs_graph *concrete,
                  uint32_t height, uint32_t width, struct cs_session_info *info,
                  struct cs_err *err);

#endif
