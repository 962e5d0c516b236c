// SPDX-License-Identifier: MIT
// From stored samples to plain ones. Plain: 0 is black, one to three channels of a known meaning,
// each in the whole range or in the units of its file. Depths are kept: 16 bits stay 16 bits.
//
//   palette          RGB, or gray where all its colours are gray
//   white is zero    inverted, for unsigned samples
//                    Both only serve display where the file's description says that the samples
//                    are intensities (ImageJ, OME): there the samples are kept as they are.
//   alpha            dropped
//   1 to 7 bits      scaled to 0..255
//   9 to 15 bits     kept, in 16
//   CMYK of 8 bits   RGB, without a colour profile
#ifndef CS_IMAGE_CONVERT_H
#define CS_IMAGE_CONVERT_H

#include "image/codec.h"

struct cs_conversion {
    uint16_t in_channels, channels; // samples a pixel before and after
    enum cs_dtype dtype_in, dtype;
    enum cs_conversion_kind {
        CS_CONVERT_COPY,    // the first `channels` samples of each pixel
        CS_CONVERT_PALETTE, // through `table`: 3 bytes an index, or 1 where channels is 1
        CS_CONVERT_SCALE,   // 8-bit samples through `table`, the first `channels` of each pixel
        CS_CONVERT_INVERT,  // top - sample
        CS_CONVERT_CMYK,    // top 255: stored inverted
    } kind;
    uint64_t top;
    uint8_t table[3 * 256];
    bool rgb;      // the result is one colour in three channels
    char note[48]; // what was done, "," between; "" nothing
};

// intensities: the description says that samples are measured values, however they are shown.
// raw: change nothing. CS_EINPUT: no plain samples can be made of it; the message names --raw.
int cs_convert_plan(struct cs_conversion *conversion, const struct cs_page *page, bool intensities,
                    bool raw, struct cs_err *err);
// out may be in where the kind is CS_CONVERT_COPY with equal channel counts (nothing is done).
void cs_convert_run(const struct cs_conversion *conversion, const void *in, size_t pixels,
                    void *out);
// Nothing to do: the stored samples are the plain ones.
bool cs_convert_is_identity(const struct cs_conversion *conversion);

#endif
