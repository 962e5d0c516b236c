// SPDX-License-Identifier: MIT
// Batches: consecutive images of one plane size, as many as asked for. Which images share a batch
// follows from the order, the sizes and the options alone, never from time. An image that is run
// in tiles is a batch of its own. Failed items ride along in their place.
#ifndef CS_INFER_BATCHER_H
#define CS_INFER_BATCHER_H

#include "infer/buffers.h"
#include "infer/fit.h"
#include "infer/infer.h"
#include "infer/session.h"

// What every image of the run meets.
struct cs_recipe {
    const char *tool;
    const struct cs_package *package;
    struct cs_session_info info;
    struct cs_fit_rule fit;
    double rescale;     // as in the options
    bool tile;          // --fit tile
    uint32_t tile_side; // wanted
    int slots, batch;   // of each device
    int devices;
    enum cs_dtype map;
    bool hub; // --compat hub
    unsigned keep;
    uint64_t run_bytes;   // of --memory: the worker process (budget.h)
    uint64_t image_bytes; // pixels and maps of all images on their way
    size_t page_bytes;
};

// Where every image's network runs stand. A job is one image, or one tile of it.
enum cs_work_state {
    CS_WORK_WAITING,
    CS_WORK_FLYING,
    CS_WORK_DOOMED, // its unit fails as soon as the device is seen to work
    CS_WORK_OVER,
};
struct cs_work {
    struct cs_job job; // pixels and out point into the unit's buffer
    int unit;
    struct cs_part part; // of the network's plane behind the job's part, of a tile; ends 0: all
    enum cs_work_state state;
    bool over;       // state is CS_WORK_OVER: for the writer, under the pipeline's lock
    bool alone;      // it was in flight when something went wrong: nothing else flies with it
    bool careful;    // its result was not finite: again, in fp32 and direct
    int tries;       // runs that it was in
    int failures;    // of these, that were nobody else's doing
    double ready;    // monotonic seconds before which it is not to be tried again
    int lane;        // where the last of these failures was
    uint64_t proofs; // of its breaker, at the first of them there
};

// An item on its way.
struct cs_unit {
    struct cs_item item;
    struct cs_buffer *buffer; // NULL: nothing to compute
    size_t out_offset;        // of the maps in the buffer
    bool careful;             // one of its jobs or more in fp32, whatever precision was chosen
    double milliseconds;
    struct cs_err why; // of the last failure of one of its works
};

struct cs_batch {
    struct cs_batch *next;
    uint32_t plane_width, plane_height; // 0: no image yet
    struct cs_unit *units;
    int unit_count, unit_capacity;
    struct cs_work *works;
    int work_count;
    int works_left;
    int images;
    int run_limit; // works in one run
    int slots;     // runs at once
    size_t bytes;
    bool full;
    bool tiled;            // its one image is run in tiles, whose works lie in raster order
    bool begun;            // BEGIN and the planes that pass are written
    bool spoiled;          // the image has failed: under the pipeline's lock
    int settled;           // works, from the first on, that are seen to be over
    uint32_t rows_written; // of the maps
};

// Prepare the recipe's limits and the fit rule from package, network and options. CS_EMODEL where
// package and network contradict each other, CS_EUSAGE where an option asks the impossible,
// CS_ENOMEM where `memory` does not suffice for the smallest plane. `slots` of each of the devices,
// which share `memory` where they have none of their own.
int cs_recipe_init(struct cs_recipe *recipe, const struct cs_package *package,
                   const struct cs_session_info *info, const struct cs_infer_options *options,
                   int slots, int devices, uint64_t memory, struct cs_err *err);

struct cs_batch *cs_batch_new(void);
void cs_batch_free(struct cs_batch *batch, struct cs_buffers *pool); // accepts NULL

// Make an item a unit: copy its pixels to a buffer, take its statistics, make its jobs. Takes the
// item over. A failure becomes the item's. plane: the size it needs, 0 for a failed item.
struct cs_draft {
    struct cs_unit unit;
    struct cs_work *works;
    int work_count;
    uint32_t plane_width, plane_height;
    size_t bytes; // of pixels and maps
    int slots;    // that can run its plane at once
};
// Bytes of pixels and maps that the item's draft will have.
uint64_t cs_draft_bytes(const struct cs_item *item, const struct cs_recipe *recipe);
void cs_draft_make(struct cs_draft *draft, struct cs_item *item, const struct cs_recipe *recipe,
                   struct cs_buffers *pool);

// Whether the draft may join the batch; if not, the batch is to be closed and a new one begun.
bool cs_batch_takes(const struct cs_batch *batch, const struct cs_draft *draft,
                    const struct cs_recipe *recipe);
// Take the draft over. batch->full says that nothing more may join.
void cs_batch_add(struct cs_batch *batch, struct cs_draft *draft, const struct cs_recipe *recipe);

#endif
