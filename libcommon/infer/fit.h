// SPDX-License-Identifier: MIT
// How an image meets the network's plane, and how a plane is cut into tiles.
//
//   native  the plane is the image; a size that the network cannot take fails the image
//   pad     the image lies at the plane's top left; to the right and below it is mirrored up to
//           a size that the network can take
//   resize  the image is stretched to the plane, the map back to the image
//   tile    as pad, and the plane is run in overlapping parts
//
// Tiles have one size, origins on multiples of the network's stride, and overlap by twice the
// halo, the distance from which a sample of the map may depend on the input. Each writes its own
// part of the map; the parts cover the map exactly once. For a network without whole-image
// statistics the result is that of the whole plane.
//
// The plane of an image that is brought to another scale is cut in the same way. A tile takes its
// pixels from where its place on the plane says, and of the map those samples are its own whose
// place on the plane begins in its own part; the halo covers what the way back reads beside it.
#ifndef CS_INFER_FIT_H
#define CS_INFER_FIT_H

#include "backend/job.h"
#include "graph/graph.h"

enum { CS_AUTO_TILE = 2048 }; // own part of a tile, where memory allows it

struct cs_fit_rule {
    enum cs_fit_kind { CS_FIT_KIND_NATIVE, CS_FIT_KIND_PAD, CS_FIT_KIND_RESIZE } kind;
    uint32_t height, width;         // resize: the plane
    bool pillow;                    // resize: as Pillow does (CS_PLACE_PILLOW)
    uint32_t min_height, min_width; // sizes that the network can take: at least these, and
    uint32_t stride;                // multiples of this
};

// The plane of an image. CS_EINPUT where native does not fit.
int cs_fit_plane(const struct cs_fit_rule *rule, uint32_t width, uint32_t height,
                 uint32_t *plane_width, uint32_t *plane_height, struct cs_err *err);

// The rule for an image that is brought to another scale, by the factors fx and fy: stretched to
// the nearest plane that the network can take. The rule given is native or pad.
// CS_EINPUT where the plane would be absurd.
int cs_fit_rescaled(const struct cs_fit_rule *rule, uint32_t width, uint32_t height, double fx,
                    double fy, struct cs_fit_rule *out, struct cs_err *err);

// The halo on the plane, given that of the network's outputs.
uint32_t cs_fit_halo(const struct cs_fit_rule *rule, uint32_t halo, uint32_t map_width,
                     uint32_t map_height);

// Fill placement, origin and part of a job that runs the whole plane.
void cs_fit_job(const struct cs_fit_rule *rule, struct cs_job *job);

struct cs_tile {
    uint32_t x, y;                                    // origin on the plane
    uint32_t part_x, part_y, part_width, part_height; // of the map, inside the tile
    struct cs_part own; // of the tile: the pixels that the part is made of, at least
};

// Side of a tile along a plane side: `wanted` rounded down to the stride, but at least 2 * halo +
// stride, at most the plane, and no more than as many tiles need to share it out evenly.
uint32_t cs_tile_side(uint32_t plane, uint32_t wanted, uint32_t halo, uint32_t stride);

// Cut a plane that is stretched to the map, or whose top left map_width x map_height pixels are the
// map, as the rule says. Sides of plane and tiles are multiples of the rule's stride; halo:
// cs_fit_halo. Caller frees *tiles with free(). CS_ENOMEM for too many tiles.
int cs_tiles_make(const struct cs_fit_rule *rule, uint32_t plane_width, uint32_t plane_height,
                  uint32_t map_width, uint32_t map_height, uint32_t tile_width,
                  uint32_t tile_height, uint32_t halo, struct cs_tile **tiles, int *count,
                  struct cs_err *err);

// Fill placement, origin and part of the job that runs one of them.
void cs_fit_tile(const struct cs_fit_rule *rule, const struct cs_tile *tile, struct cs_job *job);

#endif
