// SPDX-License-Identifier: MIT
// cs-infer from its options to its exit status: package, workers, HEAD, the pipeline, END.
#include "infer/infer.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/log.h"
#include "base/mem.h"
#include "infer/device.h"
#include "infer/hub.h"
#include "infer/normalise.h"
#include "infer/pipeline.h"
#include "infer/tuned.h"
#include "infer/tuning.h"

enum { STATUS_PIPE = 128 + SIGPIPE, START_TRIES = 3 };

// All of one run. On the heap, since a reader thread that waits for input outlives it.
struct infer {
    const struct cs_infer_options *options;
    int fd;
    struct cs_reader *reader;
    struct cs_writer *writer;
    struct cs_device_choice device;
    struct cs_package package;
    char *details[CS_MAX_DEVICES]; // of the devices that work
    char *names[CS_MAX_DEVICES];   // "cuda:1: "; NULL for one that is alone
    struct cs_recipe recipe;
    struct cs_session_info info;          // of all devices: what each of them can do
    struct cs_lane lanes[CS_MAX_DEVICES]; // their supervisors first, then the pipeline's
    int lane_count, supervised;
    struct cs_pipeline pipeline;
    bool headed;
};

// ---- HEAD --------------------------------------------------------------------------------

static void add_maps(const struct infer *in, struct cs_meta *head)
{
    struct cs_buf maps = {0};
    for (int i = 0; i < in->recipe.info.maps; i++) {
        const char *name = in->package.map_count ? in->package.maps[i].name : NULL;
        cs_buf_adds(&maps, i ? "," : "");
        if (name)
            cs_buf_adds(&maps, name);
        else
            cs_buf_addf(&maps, "map%d", i);
    }
    cs_meta_set(head, CS_KEY_MAPS, maps.data);
    cs_buf_release(&maps);
}

static void add_model(const struct infer *in, struct cs_meta *head)
{
    const struct cs_package *p = &in->package;
    enum cs_activation activation;
    double threshold;
    cs_meta_set(head, CS_KEY_MODEL, p->short_name);
    cs_meta_set(head, CS_KEY_MODEL_SHA, in->recipe.info.weights_sha256);
    cs_meta_set(head, CS_KEY_DEVICE, in->device.backend);
    cs_meta_set(head, CS_KEY_PRECISION, cs_precision_name(in->lanes[0].supervisor.precision));
    cs_meta_setf(head, CS_KEY_BATCH, "%d", in->recipe.batch);
    add_maps(in, head);
    if (in->recipe.hub) {
        cs_hub_wishes(head);
        return;
    }
    int first = p->map_output < 0 ? p->maps[0].output : p->map_output;
    if (cs_postprocessing_check(&p->outputs[first], &activation, &threshold, NULL) == 0 &&
        isfinite(threshold))
        cs_meta_setf(head, CS_KEY_POST "threshold", "%g", threshold);
    for (int i = 0; i < p->postprocess.count; i++) {
        char *key = cs_xasprintf("%s%s", CS_KEY_POST, p->postprocess.pairs[i].key);
        cs_meta_set(head, key, p->postprocess.pairs[i].value);
        free(key);
    }
}

static int write_head(struct infer *in, struct cs_err *err)
{
    const struct cs_infer_options *o = in->options;
    struct cs_meta head = {0};
    if (in->reader)
        cs_meta_copy(&head, cs_reader_head(in->reader));
    char *parameters = NULL;
    if (in->recipe.info.maps) {
        add_model(in, &head);
        // The description decides the result as much as the weights do.
        enum cs_precision precision = in->lanes[0].supervisor.precision;
        parameters = cs_xasprintf("%s%s%s model=%s rdf=%.16s weights=%.16s", o->parameters,
                                  precision == CS_FP32 ? "" : " used=",
                                  precision == CS_FP32 ? "" : cs_precision_name(precision),
                                  in->package.short_name, in->package.rdf_sha256,
                                  in->recipe.info.weights_sha256);
    }
    cs_prov_add(&head, o->tool, parameters ? parameters : o->parameters);
    free(parameters);
    int result = cs_writer_head(in->writer, &head, err);
    in->headed = result == 0;
    cs_meta_release(&head);
    return result;
}

// ---- Opening -----------------------------------------------------------------------------

// What is wrong with the options is said before anything is read.
static int choose_model(struct infer *in, struct cs_err *err)
{
    if (cs_device_choose(in->options->device, &in->device, err) != 0)
        return -1;
    in->lane_count = cs_device_each(&in->device, in->details, err);
    if (in->lane_count < 0) {
        in->lane_count = 0;
        return -1;
    }
    in->device.detail = in->details[0];
    bool numbered = strcmp(in->device.backend, "cuda") == 0;
    for (int i = 0; i < in->lane_count && in->lane_count > 1; i++) {
        in->names[i] = numbered ? cs_xasprintf("%s:%s: ", in->device.backend, in->details[i])
                                : cs_xasprintf("%s:%d: ", in->device.backend, i);
        in->lanes[i].name = in->names[i];
    }
    return cs_package_open(&in->package, in->options->model, err);
}

static int open_input(struct infer *in, struct cs_err *err)
{
    const struct cs_infer_options *o = in->options;
    if (o->input && (in->fd = open(o->input, O_RDONLY | O_CLOEXEC)) < 0)
        return cs_fail_errno(err, CS_ENOINPUT, "%s", o->input);
    // Attaches to the shared memory that HEAD offers, before the slow part.
    return cs_reader_open(&in->reader, in->fd, o->input ? o->input : "standard input", o->transport,
                          err);
}

static int copy_text(char *to, size_t size, const char *from, const char *what, struct cs_err *err)
{
    if (snprintf(to, size, "%s", from ? from : "") >= (int)size)
        return cs_fail(err, CS_EUSAGE, "%s is too long", what);
    return 0;
}

// One worker's share of what all may have.
static uint64_t share_of(const struct infer *in, uint64_t all)
{
    return all / (uint64_t)in->lane_count;
}

static int init_worker(struct infer *in, int lane, int slots, bool flexible, uint64_t memory,
                       struct cs_err *err)
{
    const struct cs_infer_options *o = in->options;
    int threads = (o->threads ? o->threads : cs_usable_threads()) / (slots * in->lane_count);
    struct cs_wire_load load = {
        .kind = CS_WIRE_LOAD,
        .slots = slots,
        .threads = threads > 0 ? threads : 1,
        .check_files = lane == 0,
        .flexible = flexible,
        // The first may have measured it; the others go on with that.
        .precision = lane == 0 ? o->precision : (int32_t)in->lanes[0].supervisor.precision,
        .direct = o->direct,
        .log = cs_log_level(),
        .memory = share_of(in, memory - memory / 4),
        .device_memory = o->gpu_memory,
        .device_percent = o->gpu_percent,
    };
    if (copy_text(load.device, sizeof load.device, in->device.backend, "the device's name", err) !=
            0 ||
        copy_text(load.cache, sizeof load.cache, cs_tuning_folder(o->cache), "the cache's path",
                  err) != 0 ||
        copy_text(load.package, sizeof load.package, in->package.path, "the model's path", err) !=
            0 ||
        copy_text(load.detail, sizeof load.detail, in->details[lane], "the script", err) != 0)
        return -1;
    cs_supervisor_init(&in->lanes[lane].supervisor, &load, o->load_timeout);
    in->supervised = lane + 1;
    return 0;
}

// The device's kind: what its text says behind its number.
static const char *kind_of(const struct cs_session_info *info)
{
    const char *colon = strchr(info->device_text, ' ');
    return colon ? colon : info->device_text;
}

// What one more device can do. All are of one kind, or the bytes of an image would depend on which
// of them has it; what each has free differs, and counts as the least.
static int add_device(struct infer *in, int lane, struct cs_err *err)
{
    const struct cs_session_info *one = &in->lanes[lane].supervisor.info;
    struct cs_session_info *all = &in->info;
    if (lane == 0) {
        *all = *one;
        return 0;
    }
    if (strcmp(kind_of(all), kind_of(one)) != 0)
        return cs_fail(err, CS_EUSAGE,
                       "--device: %s is not %s: results would depend on which of them has an "
                       "image; run cs-infer once for each",
                       one->device_text, all->device_text);
    if (one->device_bytes < all->device_bytes)
        all->device_bytes = one->device_bytes;
    if (one->device_most < all->device_most)
        all->device_most = one->device_most;
    if (one->fixed_bytes > all->fixed_bytes)
        all->fixed_bytes = one->fixed_bytes;
    return 0;
}

// The first is ready before the others begin, side by side.
static int start_workers(struct infer *in, int slots, bool flexible, uint64_t memory,
                         struct cs_err *err)
{
    if (init_worker(in, 0, slots, flexible, memory, err) != 0 ||
        cs_supervisor_start(&in->lanes[0].supervisor, START_TRIES, err) != 0)
        return -1;
    for (int i = 1; i < in->lane_count; i++)
        if (init_worker(in, i, slots, flexible, memory, err) != 0 ||
            cs_supervisor_begin(&in->lanes[i].supervisor, err) != 0)
            return -1;
    for (int i = 0; i < in->lane_count; i++)
        if ((i > 0 && cs_supervisor_start(&in->lanes[i].supervisor, START_TRIES, err) != 0) ||
            add_device(in, i, err) != 0)
            return -1;
    return 0;
}

// "auto" slots and batches: what cs-model tune kept, else batches of one and, flexibly, as many
// slots as the number of images is worth.
static void choose_auto(const struct infer *in, struct cs_infer_options *chosen, bool *flexible)
{
    const char *folder = cs_tuning_folder(chosen->cache);
    const struct cs_package *p = &in->package;
    struct cs_tuned tuned = {0};
    struct cs_err why;
    int64_t inputs = 0;
    bool fixed = p->fit == CS_FIT_RESIZE && p->fit_width && chosen->fit == CS_INFER_FIT_MODEL;
    int threads = chosen->threads ? chosen->threads : cs_usable_threads();
    if (folder && (!chosen->slots || !chosen->batch)) {
        int found =
            cs_tuned_read(folder, p, &in->device, threads, fixed ? (uint32_t)p->fit_width : 0,
                          fixed ? (uint32_t)p->fit_height : 0, &tuned, &why);
        if (found < 0)
            cs_log(CS_LOG_WARN, "%s", why.text);
        else if (found)
            cs_log(CS_LOG_INFO, "tuned before: %d slots, batch %d", tuned.slots, tuned.batch);
        if (found <= 0)
            tuned = (struct cs_tuned){0};
    }
    bool free = !chosen->slots && !tuned.slots;
    *flexible = free && strcmp(in->device.backend, "cuda") != 0; // its slots are few and equal
    if (free) {
        cs_meta_int(cs_reader_head(in->reader), CS_KEY_INPUTS, 0, INT64_MAX, 0, &inputs, NULL);
        tuned = (struct cs_tuned){.slots = cs_untuned_slots(&in->device, threads, inputs)};
    }
    chosen->slots = chosen->slots ? chosen->slots : tuned.slots;
    chosen->batch = chosen->batch ? chosen->batch : tuned.batch ? tuned.batch : 1;
}

static void tell_of_loading(const struct infer *in)
{
    for (int i = 0; i < in->lane_count; i++) {
        const struct cs_session_info *info = &in->lanes[i].supervisor.info;
        cs_log(CS_LOG_INFO, "loaded in %.2f s: file %.2f, network %.2f, sha256 %.2f beside them",
               info->load_seconds, info->read_seconds, info->network_seconds, info->hash_seconds);
        cs_log(CS_LOG_INFO, "%s on %s, %s%s%s%s", in->package.name, info->device_text,
               cs_precision_name(in->lanes[0].supervisor.precision),
               in->device.chosen ? " (auto: " : "", in->device.why, in->device.chosen ? ")" : "");
    }
    if (in->info.unused[0])
        cs_log(in->package.maps_chosen ? CS_LOG_INFO : CS_LOG_WARN,
               "model %s: no map comes from the outputs %s%s", in->package.short_name,
               in->info.unused,
               in->package.maps_chosen ? "" : " (config: cellstream: channels chooses)");
}

static int load_model(struct infer *in, struct cs_err *err)
{
    const struct cs_infer_options *o = in->options;
    struct cs_infer_options chosen = *o;
    uint64_t memory = o->memory ? o->memory : cs_usable_memory() / 4 * 3;
    bool flexible;
    choose_auto(in, &chosen, &flexible);
    if (start_workers(in, chosen.slots, flexible, memory, err) != 0)
        return -1;
    tell_of_loading(in);
    cs_log(CS_LOG_INFO, "%s%d slot%s%s", flexible ? "at most " : "", chosen.slots,
           chosen.slots == 1 ? "" : "s", in->lane_count > 1 ? " a device" : "");
    return cs_recipe_init(&in->recipe, &in->package, &in->info, &chosen, chosen.slots,
                          in->lane_count, memory, err);
}

// ---- Ending ------------------------------------------------------------------------------

// After an error: log it and, where the output is sound, end it with the reason.
static int end_broken(struct infer *in, const struct cs_err *why)
{
    struct cs_err ignored;
    int status = cs_err_status(why->code);
    if (in->writer && cs_writer_closed(in->writer))
        return STATUS_PIPE;
    cs_log(CS_LOG_ERROR, "%s", why->text);
    if (in->writer && (in->headed || write_head(in, &ignored) == 0))
        cs_writer_end(in->writer, status, why->text, &ignored);
    return status;
}

// After the input's END, or after a drain.
static int end_good(struct infer *in, struct cs_err *err)
{
    const struct cs_meta *end = in->pipeline.halted ? NULL : cs_reader_end(in->reader);
    int status = end ? cs_reader_status(in->reader) : cs_drain_status();
    const char *reason = end ? cs_meta_get(end, CS_KEY_REASON) : "ended by a signal";
    if (status == cs_err_status(CS_ENOINPUT) && !reason)
        reason = "no items";
    // 1 for failed items is not carried: every stage counts them for itself.
    bool carried = status > 1 || (end && cs_meta_get(end, CS_KEY_EXIT));
    if (cs_writer_end(in->writer, carried ? status : 0, carried ? reason : NULL, err) != 0)
        return end_broken(in, err);
    if (reason)
        cs_log(CS_LOG_INFO, "the stream ended early: %s", reason);
    return status ? status : in->pipeline.failures ? 1 : 0;
}

// Nothing else ends a kernel that does not; on a CPU a large image may well take minutes.
static double timeout_of(const struct infer *in)
{
    enum { ON_GPU = 30 };
    if (in->options->timeout != CS_TIMEOUT_AUTO)
        return in->options->timeout;
    return strcmp(in->device.backend, "cuda") == 0 ? ON_GPU : 0;
}

static int run(struct infer *in, struct cs_err *err)
{
    const struct cs_infer_options *o = in->options;
    in->fd = STDIN_FILENO;
    if (cs_writer_open(&in->writer, STDOUT_FILENO, o->transport, o->ring_bytes, err) != 0 ||
        choose_model(in, err) != 0 || open_input(in, err) != 0 || load_model(in, err) != 0 ||
        write_head(in, err) != 0)
        return -1;
    in->pipeline = (struct cs_pipeline){
        .options = in->options,
        .recipe = &in->recipe,
        .lanes = in->lanes,
        .lane_count = in->lane_count,
        .timeout = timeout_of(in),
        .reader = in->reader,
        .writer = in->writer,
    };
    if (cs_pipeline_run(&in->pipeline, err) != 0)
        return -1;
    if (!in->pipeline.halted && in->pipeline.read_result != 0) {
        *err = in->pipeline.read_err;
        return -1;
    }
    return 0;
}

static double seconds_of(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec * 1e-6;
}

// After the worker's end, or its time does not count.
static void log_processor_time(void)
{
    struct rusage worker, own;
    getrusage(RUSAGE_CHILDREN, &worker);
    getrusage(RUSAGE_SELF, &own);
    cs_log(CS_LOG_INFO, "processor time: %.2f s in the worker, %.2f s beside it",
           seconds_of(&worker.ru_utime) + seconds_of(&worker.ru_stime),
           seconds_of(&own.ru_utime) + seconds_of(&own.ru_stime));
}

// What a reader that still waits may look at until the process ends; known by name here, so that a
// leak checker does not take it for lost.
static struct infer *volatile left_to_reader;

int cs_infer_run(const struct cs_infer_options *options)
{
    struct cs_err err = {0};
    struct infer *in = cs_xcalloc(1, sizeof *in);
    in->options = options;
    cs_drain_install();
    int status = run(in, &err) == 0 ? end_good(in, &err) : end_broken(in, &err);
    bool reader_left = in->pipeline.reader_left;
    // The stages behind need not wait for the end of the worker, whose memory takes its time.
    cs_writer_close(in->writer);
    close(STDOUT_FILENO);
    for (int i = 0; i < in->supervised; i++)
        cs_supervisor_release(&in->lanes[i].supervisor);
    log_processor_time();
    if (reader_left) {
        left_to_reader = in;
        return status;
    }
    cs_reader_close(in->reader);
    cs_package_release(&in->package);
    for (int i = 0; i < in->lane_count; i++) {
        free(in->details[i]);
        free(in->names[i]);
    }
    if (in->fd > STDERR_FILENO)
        close(in->fd);
    free(in);
    return status;
}
