// SPDX-License-Identifier: MIT
// The fixed part of the stream: one frame header of 64 bytes, little-endian, and the names of the
// metadata keys that the tools agree on. cs-stream(5) is the specification.
#ifndef CS_STREAM_FRAME_H
#define CS_STREAM_FRAME_H

#include <stdint.h>

#include "base/err.h"
#include "image/image.h"

enum {
    CS_FRAME_BYTES = 64,
    CS_FRAME_MAX_META = 1 << 20,
    CS_FRAME_SKIPPABLE = 0x8000, // an unknown kind with this bit may be passed through unread
};
#define CS_FRAME_MAX_PAYLOAD ((uint64_t)1 << 30)

enum cs_frame_kind {
    CS_FRAME_HEAD = 1,
    CS_FRAME_BEGIN,
    CS_FRAME_DATA,
    CS_FRAME_DONE,
    CS_FRAME_END
};
enum cs_frame_flag { CS_FRAME_SHM = 1, CS_FRAME_CRC = 2 };
enum cs_plane { CS_PLANE_IMAGE, CS_PLANE_PROBABILITY, CS_PLANE_LABELS, CS_PLANE_COUNT };

struct cs_frame_header {
    uint16_t kind, flags;
    uint64_t item; // in END: the number of items
    uint64_t payload_bytes;
    uint32_t meta_bytes;
    uint32_t width, height;   // of the whole plane
    uint32_t first_row, rows; // of this band
    uint16_t channels;
    uint8_t dtype, plane;
    uint64_t shm_offset;
    uint32_t payload_crc;
};

// The wire form, its own CRC included.
void cs_frame_encode(const struct cs_frame_header *header, uint8_t bytes[CS_FRAME_BYTES]);
// Decode and check everything that one header can be checked for: magic, CRC, known flags, limits,
// band inside the plane, payload size of a DATA frame. CS_ESTREAM otherwise.
int cs_frame_decode(const uint8_t bytes[CS_FRAME_BYTES], struct cs_frame_header *header,
                    struct cs_err *err);

const char *cs_plane_name(enum cs_plane plane); // "image", "probability", "labels"

// Metadata keys. HEAD:
#define CS_KEY_TOOL      "tool"   // that wrote this stream
#define CS_KEY_TOTAL     "total"  // number of items, where known before
#define CS_KEY_INPUTS    "inputs" // number of files that the items come from
#define CS_KEY_SHM       "shm"    // offer of shared memory: PID,MEMFD,CREDITFD,BYTES,NONCE
#define CS_KEY_PIPE      "pipe"   // DEV,INO of the FIFO that the offer stands for
#define CS_KEY_PROV      "prov."  // + tool: version and canonical parameters, one key a stage
#define CS_KEY_MODEL     "model"  // name of the model
#define CS_KEY_MODEL_SHA "model.sha256"
#define CS_KEY_DEVICE    "device"    // name of the backend: "cpu"
#define CS_KEY_PRECISION "precision" // "fp32"
#define CS_KEY_BATCH     "batch"
#define CS_KEY_MAPS      "maps"  // channels of the probability plane: "foreground,distance"
#define CS_KEY_POST      "post." // + option of cs-postprocess: default that the model asks for
// BEGIN:
#define CS_KEY_SOURCE   "source" // the input as the user named it
#define CS_KEY_OUTPUT   "output" // output name: relative path, no extension, with .tNNN.zNNN
#define CS_KEY_ITEMS    "items"  // number of items that this input gives
#define CS_KEY_SERIES   "series"
#define CS_KEY_PAGE     "page"
#define CS_KEY_TIME     "t"
#define CS_KEY_Z        "z"          // index, "max" or "mean"
#define CS_KEY_CHANNELS "channels"   // names, comma separated; escaped by the writer of names
#define CS_KEY_PIXEL    "pixel_um"   // micrometres a pixel, x; absent if unknown
#define CS_KEY_PIXEL_Y  "pixel_um_y" // only where it differs from x
#define CS_KEY_CONVERT  "convert"    // what was done to the stored samples: "palette", "invert"...
#define CS_KEY_COLOUR   "colour"     // "rgb" where three channels are one colour
#define CS_KEY_CROP     "crop"       // X,Y,W,H of the part of the plane that was taken
#define CS_KEY_RESCALE  "rescale"    // WxH: plane that the image was stretched to for the network
#define CS_KEY_INPUT    "input."     // + bytes, mtime_ns, xxh3
// DONE:
#define CS_KEY_STATUS      "status" // "ok", "empty", "failed"
#define CS_KEY_ERROR_CODE  "error.code"
#define CS_KEY_ERROR_STAGE "error.stage"
#define CS_KEY_ERROR_TEXT  "error.text"
#define CS_KEY_OBJECTS     "objects" // number of labels
#define CS_KEY_MS          "ms."     // + load, infer, post, polygons: milliseconds
#define CS_KEY_TRIES       "tries"
#define CS_KEY_WROTE       "wrote." // + number: "KIND PATH" of a file written, PATH as opened
// END:
#define CS_KEY_FAILED "failed" // number of failed items
#define CS_KEY_EXIT   "exit"   // exit status of the stage that ended the stream early
#define CS_KEY_REASON "reason" // and its one-line reason

#endif
