// SPDX-License-Identifier: MIT
// cs-infer: images in, probability maps out.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "infer/infer.h"
#include "infer/wire.h"
#include "shared_options.h"

enum { PROB_U16 = 1, PROB_F32, PROB_AUTO = -1 };
static const char *model, *device = "auto", *slots = "auto", *batch = "auto", *keep = "", *input;
static const char *cache, *rescale = "none", *gpu_memory = "auto", *timeout = "auto", *scratch_dir;
static int precision, conv, fit, compat, prob = PROB_AUTO, transport;
static int64_t threads, retries = 3, tile;
static double load_timeout = 300, pause_seconds = 60;
static uint64_t memory, ring_bytes;

static const struct cs_opt options[] = {
    {'m', "model", CS_OPT_STRING, &model, "MODEL", "name or path of the model package",
     .env = NULL},
    {'d', "device", CS_OPT_STRING, &device, "DEVICE",
     "where to compute: auto, cuda:0,1, cpu or ref", .env = "CELLSTREAM_DEVICE"},
    {'s', "slots", CS_OPT_STRING, &slots, "N", "batches computed at once",
     .env = "CELLSTREAM_SLOTS"},
    {'b', "batch", CS_OPT_STRING, &batch, "N", "images in one batch", .env = "CELLSTREAM_BATCH"},
    {'T', "threads", CS_OPT_INT, &threads, "N", "threads of all slots together; 0: all there are",
     .min = 0, .max = 1024, .env = "CELLSTREAM_THREADS"},
    {0, "conv", CS_OPT_CHOICE, &conv, "HOW", "convolutions", .shapes_result = true,
     .choices = "auto|direct", .env = "CELLSTREAM_CONV"},
    {0, "precision", CS_OPT_CHOICE, &precision, "HOW", "arithmetic", .shapes_result = true,
     .choices = "auto|fp32|tf32|fp16|bf16", .env = "CELLSTREAM_PRECISION"},
    {0, "cache", CS_OPT_STRING, &cache, "DIR", "folder of what was measured before",
     .env = "CELLSTREAM_CACHE"},
    {0, "memory", CS_OPT_SIZE, &memory, "SIZE", "limit; 0: three quarters of what there is",
     .env = "CELLSTREAM_MEMORY"},
    {0, "gpu-memory", CS_OPT_STRING, &gpu_memory, "SIZE|%",
     "limit on the GPU; auto: 80 % of what is free", .env = "CELLSTREAM_GPU_MEMORY"},
    {0, "fit", CS_OPT_CHOICE, &fit, "HOW", "how images meet the network's plane",
     .shapes_result = true, .choices = "model|native|resize|pad|tile", .env = NULL},
    {0, "rescale", CS_OPT_STRING, &rescale, "HOW",
     "change of scale before the network: auto, none, F", .shapes_result = true, .env = NULL},
    {0, "tile", CS_OPT_INT, &tile, "PX", "side of a tile; 0: as memory allows",
     .shapes_result = true, .min = 0, .max = 65536, .env = NULL},
    {0, "compat", CS_OPT_CHOICE, &compat, "WITH", "treat images as another program does",
     .shapes_result = true, .choices = "none|hub", .env = NULL},
    {0, "prob", CS_OPT_CHOICE, &prob, "TYPE", "samples of the maps", .shapes_result = true,
     .choices = "u8|u16|f32", .env = NULL},
    {0, "timeout", CS_OPT_STRING, &timeout, "SEC",
     "time limit of an image on the device; 0: none; auto: 30 on a GPU",
     .env = "CELLSTREAM_TIMEOUT"},
    {0, "load-timeout", CS_OPT_REAL, &load_timeout, "SEC",
     "time limit of loading the model; 0: none", .min = 0, .max = 1e6, .env = NULL},
    {0, "pause", CS_OPT_REAL, &pause_seconds, "SEC",
     "wait before a device that does not work is tried again", .min = 0, .max = 1e5, .env = NULL},
    {0, "retries", CS_OPT_INT, &retries, "N", "further tries after a failure of the device",
     .min = 0, .max = 100, .env = NULL},
    {'k', "keep", CS_OPT_STRING, &keep, "LIST", "planes to pass on beside the probability",
     .env = NULL},
    {0, "scratch", CS_OPT_STRING, &scratch_dir, "DIR", "folder for images beyond --memory",
     .env = NULL},
    OPT_INPUT(&input),
    OPT_TRANSPORT(&transport),
    OPT_RING(&ring_bytes),
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-infer", "-m MODEL [OPTION]...",
                                    "Run a network over images.", options};

// "auto" is 0.
static int count_or_auto(const char *text, int max, const char *what, int *value,
                         struct cs_err *err)
{
    int64_t number = 0;
    if (strcmp(text, "auto") != 0 && cs_num_int(text, 1, max, what, &number, err) != 0)
        return -1;
    *value = (int)number;
    return 0;
}

static int parse_rescale(double *factor, struct cs_err *err)
{
    *factor = strcmp(rescale, "auto") == 0 ? CS_RESCALE_AUTO : 0;
    if (*factor || strcmp(rescale, "none") == 0)
        return 0;
    return cs_num_real(rescale, 0.02, 50, "--rescale", factor, err);
}

static int parse_timeout(double *seconds, struct cs_err *err)
{
    *seconds = CS_TIMEOUT_AUTO;
    return strcmp(timeout, "auto") == 0 ? 0
                                        : cs_num_real(timeout, 0, 1e6, "--timeout", seconds, err);
}

static int parse_gpu_memory(struct cs_infer_options *o, struct cs_err *err)
{
    size_t n = strlen(gpu_memory);
    if (strcmp(gpu_memory, "auto") == 0)
        return 0;
    if (!n || gpu_memory[n - 1] != '%')
        return cs_num_size(gpu_memory, "--gpu-memory", &o->gpu_memory, err);
    char *number = cs_xstrndup(gpu_memory, n - 1);
    int result = cs_num_real(number, 1, 100, "--gpu-memory", &o->gpu_percent, err);
    free(number);
    return result;
}

static int parse(struct cs_infer_options *o, struct cs_err *err)
{
    if (!model)
        return cs_fail(err, CS_EUSAGE, "which model? (-m, see --help)");
    if (parse_rescale(&o->rescale, err) != 0 || parse_timeout(&o->timeout, err) != 0 ||
        parse_gpu_memory(o, err) != 0)
        return -1;
    if (compat && (fit || tile || o->rescale))
        return cs_fail(err, CS_EUSAGE,
                       "--compat hub has a fit of its own: no --fit, no --tile, no --rescale");
    o->hub = compat;
    // Its threshold is sharp: a probability of 0.5 itself must not be rounded to one above.
    if (prob == PROB_AUTO)
        prob = compat ? PROB_F32 : PROB_U16;
    return count_or_auto(slots, CS_MAX_SLOTS, "--slots", &o->slots, err) != 0 ||
                   count_or_auto(batch, CS_MAX_BATCH, "--batch", &o->batch, err) != 0 ||
                   (*keep && cs_planes_parse(keep, &o->keep, err) != 0)
               ? -1
               : 0;
}

int main(int argc, char **argv)
{
    static const enum cs_dtype maps[] = {CS_U8, CS_U16, CS_F32};
    struct cs_infer_options o = {0};
    struct cs_buf parameters = {0};
    struct cs_err err = {0};
    int first;
    if (argc == 2 && strcmp(argv[1], "--worker") == 0) { // started by cs-infer itself
        cs_log_init(tool.name);
        return cs_worker_main(CS_WIRE_FD);
    }
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (first < argc)
        cs_fail(&err, CS_EUSAGE, "unexpected argument '%s' (see --help)", argv[first]);
    if (first < argc || parse(&o, &err) != 0)
        return cs_opt_die(&tool, &err);
    cs_opt_canonical(&tool, &parameters);
    o.tool = tool.name;
    o.parameters = parameters.data;
    o.model = model;
    o.device = device;
    o.threads = (int)threads;
    o.memory = memory;
    o.direct = conv == 1;
    o.precision = precision ? precision - 1 : CS_PRECISION_AUTO;
    o.cache = cache;
    o.fit = (enum cs_infer_fit)fit;
    o.tile = (uint32_t)tile;
    o.map = maps[prob];
    o.load_timeout = load_timeout;
    o.pause = pause_seconds;
    o.retries = (int)retries;
    o.scratch_dir = scratch_dir;
    o.input = input;
    o.transport = (enum cs_transport)transport;
    o.ring_bytes = ring_bytes;
    int status = cs_infer_run(&o);
    cs_buf_release(&parameters);
    return status;
}
