// SPDX-License-Identifier: MIT
#include "infer/batcher.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/divisor.h"
#include "base/mem.h"
#include "infer/budget.h"
#include "infer/hub.h"
#include "infer/normalise.h"

static const double WORTH_A_SLOT = 1.1;
enum {
    FAILED_RIDERS = 64,   // failed items that a batch takes along at most
    UNSAFE_HALO_MIN = 64, // for networks whose reach is the whole image, if the user tiles them
    UNSAFE_HALO_MAX = 256,
};

// ---- The recipe --------------------------------------------------------------------------

static uint32_t common_multiple(uint32_t a, uint32_t b)
{
    int64_t m = cs_common_multiple(a, b);
    return m > CS_PACKAGE_MAX_SIDE ? (a > b ? a : b) : (uint32_t)m;
}

static int init_fit(struct cs_recipe *r, const struct cs_infer_options *o, struct cs_err *err)
{
    const struct cs_package *p = r->package;
    const struct cs_axis *y = cs_tensor_axis(&p->inputs[0], CS_AXIS_Y);
    const struct cs_axis *x = cs_tensor_axis(&p->inputs[0], CS_AXIS_X);
    enum cs_fit fit = o->fit == CS_INFER_FIT_NATIVE   ? CS_FIT_NATIVE
                      : o->fit == CS_INFER_FIT_RESIZE ? CS_FIT_RESIZE
                      : o->fit == CS_INFER_FIT_MODEL  ? p->fit
                                                      : CS_FIT_PAD;
    r->tile = o->fit == CS_INFER_FIT_TILE;
    uint32_t fixed_height = r->info.plane_height, fixed_width = r->info.plane_width;
    if (!fixed_height && y->size && !y->step)
        fixed_height = (uint32_t)y->size;
    if (!fixed_width && x->size && !x->step)
        fixed_width = (uint32_t)x->size;
    if (fit == CS_FIT_RESIZE || o->hub) {
        r->fit.kind = CS_FIT_KIND_RESIZE;
        r->fit.height = fixed_height ? fixed_height : (uint32_t)p->fit_height;
        r->fit.width = fixed_width ? fixed_width : (uint32_t)p->fit_width;
        r->fit.pillow = o->hub;
        if (o->hub && (!r->fit.height || !r->fit.width))
            r->fit.height = r->fit.width = CS_HUB_SIDE;
        if (!r->fit.height || !r->fit.width)
            return cs_fail(err, CS_EUSAGE, "--fit resize: model %s names no size", p->short_name);
        return 0;
    }
    r->fit.kind = fit == CS_FIT_NATIVE ? CS_FIT_KIND_NATIVE : CS_FIT_KIND_PAD;
    if (!r->info.same_size)
        return cs_fail(err, CS_EMODEL,
                       "model %s gives maps of another size than its input: only --fit resize fits",
                       p->short_name);
    if (fixed_height || fixed_width)
        return cs_fail(err, o->fit == CS_INFER_FIT_MODEL ? CS_EMODEL : CS_EUSAGE,
                       "model %s takes %u x %u pixels only: --fit resize", p->short_name,
                       fixed_width, fixed_height);
    r->fit.stride = common_multiple((uint32_t)p->stride, r->info.stride);
    r->fit.min_height = y->size ? (uint32_t)y->size : 1;
    r->fit.min_width = x->size ? (uint32_t)x->size : 1;
    return 0;
}

static int init_rescale(struct cs_recipe *r, const struct cs_infer_options *o, struct cs_err *err)
{
    const struct cs_package *p = r->package;
    r->rescale = o->rescale;
    if (!o->rescale)
        return 0;
    if (r->fit.kind == CS_FIT_KIND_RESIZE)
        return cs_fail(err, CS_EUSAGE, "--rescale: images are resized to %u x %u pixels anyway",
                       r->fit.width, r->fit.height);
    if (o->rescale == CS_RESCALE_AUTO && !p->pixel_um)
        return cs_fail(err, CS_EUSAGE,
                       "--rescale auto: model %s does not say its pixel size: --rescale F would do",
                       p->short_name);
    return 0;
}

static int check_package(struct cs_recipe *r, struct cs_err *err)
{
    const struct cs_package *p = r->package;
    if (p->input_count != 1)
        return cs_fail(err, CS_EMODEL, "the package has %d inputs, only one image is supported",
                       p->input_count);
    if (p->inputs[0].channel_count && p->inputs[0].channel_count != r->info.channels)
        return cs_fail(err, CS_EMODEL, "the package says %d input channels, the network takes %d",
                       p->inputs[0].channel_count, r->info.channels);
    if (!cs_tensor_is_image(&p->inputs[0]))
        return cs_fail(err, CS_EMODEL, "%s: axes other than batch, channel, y, x",
                       p->inputs[0].name);
    if (!r->hub)
        return cs_normalise_check(&p->inputs[0], r->info.channels, err);
    for (int i = 0; i < r->info.maps; i++)
        r->info.sources[i].activation = CS_ACT_LOGITS;
    return cs_hub_check(&r->info, err);
}

int cs_recipe_init(struct cs_recipe *r, const struct cs_package *package,
                   const struct cs_session_info *info, const struct cs_infer_options *o, int slots,
                   int devices, uint64_t memory, struct cs_err *err)
{
    *r = (struct cs_recipe){
        .tool = o->tool,
        .package = package,
        .info = *info,
        .tile_side = o->tile,
        .slots = slots,
        .devices = devices,
        .batch = o->batch ? o->batch : 1,
        .map = o->map,
        .hub = o->hub,
        .keep = o->keep,
        .page_bytes = (size_t)sysconf(_SC_PAGESIZE),
    };
    if (r->batch > info->max_batch)
        r->batch = info->max_batch;
    cs_budget_init(r, memory);
    if (check_package(r, err) != 0)
        return cs_err_context(err, "%s", package->path);
    return init_fit(r, o, err) != 0 || init_rescale(r, o, err) != 0 || cs_budget_check(r, err) != 0
               ? -1
               : 0;
}

// ---- Drafts ------------------------------------------------------------------------------

// Images of this plane in one batch; the most that all slots can have.
static int batch_of(const struct cs_recipe *r, uint32_t width, uint32_t height)
{
    int n = r->batch;
    while (n > 1 && cs_budget_slots(r, n, width, height) < r->slots)
        n--;
    return n;
}

// The largest tiles, at most `wanted`, that so many slots can run at once; false: not even the
// smallest.
static bool fit_tiles(const struct cs_recipe *r, struct cs_draft *d, uint32_t width,
                      uint32_t height, uint32_t halo, uint32_t wanted, int slots)
{
    uint32_t stride = r->fit.stride, least = cs_tile_side(UINT32_MAX, 0, halo, stride);
    for (;; wanted -= stride) {
        d->plane_width = cs_tile_side(width, wanted, halo, stride);
        d->plane_height = cs_tile_side(height, wanted, halo, stride);
        d->slots = cs_budget_slots(r, 1, d->plane_width, d->plane_height);
        if (d->slots >= slots)
            return true;
        if (wanted < least + stride)
            return false;
    }
}

// What overlaps is computed again and again: fewer slots, with more threads each, make up for it
// where their tiles have clearly more of their own. The session sees to that for flexible slots.
static double own_part(uint32_t tile, uint32_t plane, uint32_t halo)
{
    return tile == plane ? 1 : 1 - 2.0 * halo / tile;
}

static int choose_tiles(const struct cs_recipe *r, struct cs_draft *d,
                        const struct cs_fit_rule *fit, const struct cs_job *job, uint32_t *halo,
                        struct cs_err *err)
{
    uint32_t width = d->plane_width, height = d->plane_height;
    // Own parts of what is not resized lie on the strides' grid.
    *halo = fit->kind == CS_FIT_KIND_RESIZE ? r->info.halo : r->info.margin;
    if (!r->info.tile_safe)
        *halo = *halo < UNSAFE_HALO_MIN   ? UNSAFE_HALO_MIN
                : *halo > UNSAFE_HALO_MAX ? UNSAFE_HALO_MAX
                                          : *halo;
    *halo = cs_fit_halo(fit, *halo, job->out_width, job->out_height);
    uint32_t wanted = r->tile_side ? r->tile_side : CS_AUTO_TILE + 2 * *halo;
    struct cs_draft best = {.slots = 0};
    double most = 0;
    for (int slots = r->info.flexible ? 1 : r->slots; slots; slots--) {
        if (!fit_tiles(r, d, width, height, *halo, wanted, slots))
            continue;
        double own =
            own_part(d->plane_width, width, *halo) * own_part(d->plane_height, height, *halo);
        if (own > most * WORTH_A_SLOT) {
            most = own;
            best = *d;
        }
    }
    if (best.slots) {
        *d = best;
        return 0;
    }
    return cs_budget_refuse(r, d->plane_width, d->plane_height, "", err);
}

// The draft's plane is the whole one; it becomes what is run, whole or in tiles, and in how many
// slots.
static int choose_plane(const struct cs_recipe *r, struct cs_draft *d,
                        const struct cs_fit_rule *fit, const struct cs_job *job, uint32_t *halo,
                        struct cs_err *err)
{
    uint32_t width = d->plane_width, height = d->plane_height;
    bool one_size = r->fit.kind == CS_FIT_KIND_RESIZE; // of all images: never cut
    d->slots = cs_budget_slots(r, 1, width, height);
    if (one_size || (d->slots && !r->tile))
        return d->slots ? 0 : cs_budget_refuse(r, width, height, "", err);
    if (r->info.tile_safe || r->tile)
        return choose_tiles(r, d, fit, job, halo, err);
    cs_budget_refuse(r, width, height, " or --fit tile", err);
    return cs_err_context(err, "not safe to tile (%s)", r->info.unsafe);
}

static void describe_image(struct cs_job *job, const struct cs_image *image,
                           const struct cs_recipe *r)
{
    job->width = image->width;
    job->height = image->height;
    job->channels = image->channels;
    job->dtype = cs_job_dtype(image->dtype);
    job->out_width = image->width;
    job->out_height = image->height;
    job->out_channels = (uint16_t)r->info.maps;
    job->out_dtype = r->map;
    memcpy(job->out_from, r->info.sources, sizeof job->out_from);
}

// In parts, so that neither side holds more pages than one of them has.
static void copy_pixels(struct cs_buffer *buffer, const struct cs_image *image, size_t row_bytes)
{
    enum { PART_BYTES = 16 << 20 };
    size_t from_bytes = cs_image_row_bytes(image);
    struct cs_image part = *image;
    part.height = row_bytes < PART_BYTES ? (uint32_t)(PART_BYTES / row_bytes) : 1;
    for (uint32_t y = 0; y < image->height; y += part.height) {
        if (part.height > image->height - y)
            part.height = image->height - y;
        size_t from = y * from_bytes, to = y * row_bytes;
        part.data = (char *)image->data + from;
        cs_job_convert(&part, (char *)buffer->data + to);
        cs_big_forget(&image->block, from, from + part.height * from_bytes);
        if (buffer->scratch)
            cs_shared_forget(buffer->data, to, to + part.height * row_bytes);
    }
}

// A buffer with the pixels in front, and the job's pointers into it.
static int take_pixels(struct cs_draft *d, struct cs_job *job, const struct cs_image *image,
                       const struct cs_recipe *r, struct cs_buffers *pool, struct cs_err *err)
{
    size_t pixels, maps;
    if (!cs_mul4_size(image->width, image->height, image->channels, cs_dtype_bytes(job->dtype),
                      &pixels) ||
        !cs_mul4_size(image->width, image->height, (size_t)r->info.maps, cs_dtype_bytes(r->map),
                      &maps) ||
        pixels > SIZE_MAX / 4 || maps > SIZE_MAX / 4)
        return cs_fail(err, CS_ENOMEM, "%u x %u pixels are beyond the address space", image->width,
                       image->height);
    size_t offset = (pixels + r->page_bytes - 1) / r->page_bytes * r->page_bytes;
    job->paged = pixels + maps > r->image_bytes;
    d->unit.buffer = cs_buffer_acquire(pool, offset + maps, job->paged, err);
    if (!d->unit.buffer)
        return -1;
    d->unit.out_offset = offset;
    d->bytes = offset + maps;
    copy_pixels(d->unit.buffer, image, pixels / image->height);
    job->pixels = d->unit.buffer->data;
    job->out = (char *)d->unit.buffer->data + offset;
    return 0;
}

static int make_works(struct cs_draft *d, const struct cs_job *job, const struct cs_recipe *r,
                      const struct cs_fit_rule *fit, struct cs_err *err)
{
    uint32_t halo = 0, width = d->plane_width, height = d->plane_height;
    struct cs_tile *tiles = NULL;
    if (choose_plane(r, d, fit, job, &halo, err) != 0)
        return -1;
    d->work_count = 1;
    if ((d->plane_width != width || d->plane_height != height) &&
        cs_tiles_make(fit, width, height, job->out_width, job->out_height, d->plane_width,
                      d->plane_height, halo, &tiles, &d->work_count, err) != 0)
        return -1;
    d->works = cs_xcalloc((size_t)d->work_count, sizeof *d->works);
    for (int i = 0; i < d->work_count; i++) {
        d->works[i].job = *job;
        if (tiles) {
            cs_fit_tile(fit, &tiles[i], &d->works[i].job);
            d->works[i].part = tiles[i].own;
        } else {
            cs_fit_job(fit, &d->works[i].job);
        }
    }
    free(tiles);
    return 0;
}

static int choose_channels(const struct cs_recipe *r, struct cs_job *job, struct cs_err *err)
{
    return r->hub ? cs_hub_job(job, err)
                  : cs_normalise_channels(r->package, r->info.channels, job->channels, job, err);
}

static int take_statistics(const struct cs_recipe *r, struct cs_job *job, struct cs_err *err)
{
    return r->hub ? 0 : cs_normalise_job(&r->package->inputs[0], r->info.channels, job, err);
}

// How this image meets the network's plane; its pixel size decides where it is to be rescaled.
static int choose_fit(const struct cs_recipe *r, const struct cs_image *image,
                      struct cs_meta *begin, struct cs_fit_rule *fit, struct cs_err *err)
{
    double fx = r->rescale, fy = r->rescale, um[2] = {0, 0};
    *fit = r->fit;
    if (!r->rescale)
        return 0;
    if (r->rescale == CS_RESCALE_AUTO) {
        if (cs_meta_real(begin, CS_KEY_PIXEL, 1e-9, 1e9, 0, &um[0], err) != 0 ||
            cs_meta_real(begin, CS_KEY_PIXEL_Y, 1e-9, 1e9, um[0], &um[1], err) != 0)
            return -1;
        if (!um[0])
            return cs_fail(err, CS_EINPUT,
                           "--rescale auto: the pixel size is not known: cs-load -p UM says it");
        fx = um[0] / r->package->pixel_um;
        fy = um[1] / r->package->pixel_um;
    }
    if (cs_fit_rescaled(&r->fit, image->width, image->height, fx, fy, fit, err) != 0)
        return um[0] ? cs_err_context(err, "pixels of %g x %g um, the model's of %g um", um[0],
                                      um[1], r->package->pixel_um)
                     : -1;
    if (fit->kind == CS_FIT_KIND_RESIZE)
        cs_meta_setf(begin, CS_KEY_RESCALE, "%ux%u", fit->width, fit->height);
    return 0;
}

static int draft_image(struct cs_draft *d, struct cs_item *item, const struct cs_recipe *r,
                       struct cs_buffers *pool, struct cs_err *err)
{
    struct cs_image *image = &item->planes[CS_PLANE_IMAGE];
    struct cs_job job = {.pixels = NULL};
    struct cs_fit_rule fit;
    if (!image->data)
        return cs_fail(err, CS_EINPUT, "the item has no image plane");
    describe_image(&job, image, r);
    if (choose_channels(r, &job, err) != 0 ||
        choose_fit(r, image, &d->unit.item.begin, &fit, err) != 0 ||
        cs_fit_plane(&fit, image->width, image->height, &d->plane_width, &d->plane_height, err) !=
            0 ||
        take_pixels(d, &job, image, r, pool, err) != 0 || take_statistics(r, &job, err) != 0 ||
        make_works(d, &job, r, &fit, err) != 0)
        return -1;
    return 0;
}

// Planes that pass go with the unit; the image's pixels are in the buffer already, so that the
// reader can use its memory for the next item.
static void take_planes(struct cs_draft *d, struct cs_item *item, const struct cs_recipe *r)
{
    struct cs_item *own = &d->unit.item;
    for (int i = 0; i < CS_PLANE_COUNT; i++) {
        struct cs_image *plane = &item->planes[i];
        if (!(r->keep & 1u << i) || i == CS_PLANE_PROBABILITY || !plane->data)
            continue;
        own->planes[i] = *plane;
        if (i == CS_PLANE_IMAGE && cs_job_dtype(plane->dtype) == plane->dtype) {
            own->planes[i].data = d->unit.buffer->data;
            own->planes[i].block = (struct cs_big){0};
        } else {
            *plane = (struct cs_image){0};
        }
    }
}

uint64_t cs_draft_bytes(const struct cs_item *item, const struct cs_recipe *r)
{
    const struct cs_image *image = &item->planes[CS_PLANE_IMAGE];
    uint64_t pixel = image->channels * cs_dtype_bytes(cs_job_dtype(image->dtype)) +
                     (uint64_t)r->info.maps * cs_dtype_bytes(r->map);
    return image->data ? (uint64_t)image->width * image->height * pixel : 0;
}

void cs_draft_make(struct cs_draft *d, struct cs_item *item, const struct cs_recipe *r,
                   struct cs_buffers *pool)
{
    struct cs_err why = {0};
    *d = (struct cs_draft){.unit.item.number = item->number,
                           .unit.item.begin = item->begin,
                           .unit.item.done = item->done};
    item->begin = (struct cs_meta){0};
    item->done = (struct cs_meta){0};
    if (cs_item_failed(&d->unit.item))
        return;
    if (draft_image(d, item, r, pool, &why) == 0) {
        take_planes(d, item, r);
        return;
    }
    cs_item_fail(&d->unit.item, r->tool, &why);
    cs_buffer_release(pool, d->unit.buffer);
    d->unit.buffer = NULL;
    d->work_count = 0;
}

// ---- Batches -----------------------------------------------------------------------------

struct cs_batch *cs_batch_new(void)
{
    return cs_xcalloc(1, sizeof(struct cs_batch));
}

void cs_batch_free(struct cs_batch *batch, struct cs_buffers *pool)
{
    if (!batch)
        return;
    for (int i = 0; i < batch->unit_count; i++) {
        cs_item_release(&batch->units[i].item);
        cs_buffer_release(pool, batch->units[i].buffer);
    }
    free(batch->units);
    free(batch->works);
    free(batch);
}

bool cs_batch_takes(const struct cs_batch *batch, const struct cs_draft *draft,
                    const struct cs_recipe *r)
{
    if (batch->full)
        return false;
    if (!draft->unit.buffer || !batch->images)
        return true;
    return draft->work_count == 1 && draft->plane_width == batch->plane_width &&
           draft->plane_height == batch->plane_height &&
           batch->bytes + draft->bytes <= r->image_bytes / ((uint64_t)(r->slots * r->devices) + 2);
}

void cs_batch_add(struct cs_batch *batch, struct cs_draft *draft, const struct cs_recipe *r)
{
    if (batch->unit_count == batch->unit_capacity) {
        batch->unit_capacity = batch->unit_capacity ? 2 * batch->unit_capacity : 4;
        batch->units =
            cs_xrealloc(batch->units, (size_t)batch->unit_capacity, sizeof *batch->units);
    }
    batch->units[batch->unit_count++] = draft->unit;
    if (draft->unit.buffer) {
        size_t count = (size_t)(batch->work_count + draft->work_count);
        batch->works = cs_xrealloc(batch->works, count, sizeof *batch->works);
        for (int i = 0; i < draft->work_count; i++)
            draft->works[i].unit = batch->unit_count - 1;
        memcpy(batch->works + batch->work_count, draft->works,
               (size_t)draft->work_count * sizeof *draft->works);
        batch->work_count += draft->work_count;
        batch->works_left += draft->work_count;
        batch->plane_width = draft->plane_width;
        batch->plane_height = draft->plane_height;
        batch->images++;
        batch->bytes += draft->bytes;
        batch->run_limit = batch_of(r, draft->plane_width, draft->plane_height);
        batch->slots = draft->slots;
        batch->tiled = draft->work_count > 1;
        batch->full = batch->tiled || batch->images >= batch->run_limit;
    }
    if (batch->unit_count >= batch->images + FAILED_RIDERS)
        batch->full = true;
    free(draft->works);
    *draft = (struct cs_draft){.works = NULL};
}
