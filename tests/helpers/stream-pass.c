// SPDX-License-Identifier: MIT
// A filter that changes nothing, for tests: passes all planes on, with delays and failures on
// demand. It runs the same loop as every stage between the first and the last.
#include <time.h>

#include "base/log.h"
#include "base/opt.h"
#include "stream/stream.h"

static int64_t delay_ms, fail_every;
static int transport;
static uint64_t ring_bytes, most_bytes;
static bool sink;
static const char *input, *keep = "image,probability,labels";

static const struct cs_opt options[] = {
    {'i', "input", CS_OPT_STRING, &input, "FILE", "instead of standard input", .env = NULL},
    {'k', "keep", CS_OPT_STRING, &keep, "LIST", "planes to pass", .env = NULL},
    {'d', "delay", CS_OPT_INT, &delay_ms, "MS", "pause at each item", .min = 0, .max = 1e6},
    {'f', "fail-every", CS_OPT_INT, &fail_every, "N", "each N-th item fails", .min = 0, .max = 1e9},
    {'m', "most", CS_OPT_SIZE, &most_bytes, "SIZE", "largest plane", .env = NULL},
    {0, "transport", CS_OPT_CHOICE, &transport, "HOW", "transport", .choices = "auto|pipe|shm"},
    {0, "ring", CS_OPT_SIZE, &ring_bytes, "SIZE", "shared area", .env = NULL},
    {'s', "sink", CS_OPT_FLAG, &sink, NULL, "last stage: write nothing", .env = NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"stream-pass", "[OPTION]...", "Pass a stream.", options};

static int pass(struct cs_item *item, void *context, struct cs_err *err)
{
    struct timespec pause = {delay_ms / 1000, delay_ms % 1000 * 1000000};
    (void)context;
    nanosleep(&pause, NULL);
    cs_log(CS_LOG_INFO, "item %llu", (unsigned long long)item->number);
    if (fail_every && (item->number + 1) % (uint64_t)fail_every == 0)
        return cs_fail(err, CS_EINPUT, "asked to fail here");
    return 0;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_filter filter = {.tool = "stream-pass", .item = pass};
    int first;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed > 0)
        return 0;
    if (parsed < 0 || cs_planes_parse(keep, &filter.keep, &err) != 0)
        return cs_opt_die(&tool, &err);
    filter.input = input;
    filter.transport = (enum cs_transport)transport;
    filter.ring_bytes = ring_bytes;
    filter.limits.max_bytes = most_bytes;
    filter.sink = sink;
    return cs_filter_run(&filter);
}
