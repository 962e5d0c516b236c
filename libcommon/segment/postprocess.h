// SPDX-License-Identifier: MIT
// All of postprocessing: from a plane of probability maps to final labels, and the parameters
// that decide it. Both the model's wishes and the user's options are set by name and text, so that
// there is one parser and one canonical form.
#ifndef CS_SEGMENT_POSTPROCESS_H
#define CS_SEGMENT_POSTPROCESS_H

#include "base/buf.h"
#include "segment/mask.h"

enum cs_split { CS_SPLIT_NONE, CS_SPLIT_DISTANCE, CS_SPLIT_BOUNDARY };

// An area in pixels or in square micrometres.
struct cs_area {
    double value;
    bool um2;
};

struct cs_post {
    double threshold;
    struct cs_area min_area, max_area; // max_area.value 0: no limit
    bool fill_holes, clear_border;
    double open_px, close_px; // radii; 0: not done
    int connectivity;         // 4 or 8
    enum cs_split split;
    double seed_depth, seed_min; // probability for maps, px for the distance transform;
                                 // seed_depth < 0: the default of the relief
};

// The defaults: threshold 0.5, min-area 50, connectivity 8, nothing else.
void cs_post_init(struct cs_post *post);

// Set one parameter by the name of its option without the dashes ("min-area", "50um2"; "_" may
// stand for "-"); switches take 1, 0, true, false, yes, no. CS_EUSAGE: unknown name or bad value.
int cs_post_set(struct cs_post *post, const char *name, const char *text, struct cs_err *err);

// "threshold=0.5 min-area=50 ...": equal text means equal parameters.
void cs_post_canonical(const struct cs_post *post, struct cs_buf *out);

// What an item brings along.
struct cs_post_item {
    const struct cs_image *probability; // cs_post_open looks at its shape only
    const char *maps;  // names of its channels, comma separated; NULL: the first is foreground
    double um_x, um_y; // pixel size, 0 where unknown
};

// Labels as they are final: bands in order, u16 or u32. -1 ends the item.
typedef int cs_post_band_fn(const struct cs_image *band, uint32_t first_row, void *context,
                            struct cs_err *err);

// One item, row by row. Threshold the map "foreground" (else the first), open, close, label or
// split, fill, filter. --split distance floods the map "distance", or the mask's distance transform
// where there is no such map; --split boundary needs the map "boundary". Labels are u16, u32 from
// 65536 objects on, and numbered in raster order; they leave as soon as that is decided and no
// unfinished object lies above. All of post, item and scratch is borrowed until the close.
struct cs_post_run;

// CS_EINPUT: no such map, an area in um2 without a pixel size; CS_ENOMEM. Close also after a
// failure.
int cs_post_open(struct cs_post_run **run, const struct cs_post *post,
                 const struct cs_post_item *item, const struct cs_scratch *scratch,
                 cs_post_band_fn *band, void *context, struct cs_err *err);
// The next rows of probabilities. CS_EINPUT, CS_ENOMEM, CS_EIO (scratch), or what `band` failed
// with.
int cs_post_rows(struct cs_post_run *run, const void *samples, uint32_t rows, struct cs_err *err);
// After the last row: the rest of the labels. *count: objects.
int cs_post_end(struct cs_post_run *run, uint32_t *count, struct cs_err *err);
void cs_post_close(struct cs_post_run *run); // accepts NULL

// The same of a whole plane. Initialises labels: release with cs_image_release.
int cs_post_apply(const struct cs_post *post, const struct cs_post_item *item,
                  struct cs_image *labels, uint32_t *count, const struct cs_scratch *scratch,
                  struct cs_err *err);

#endif
