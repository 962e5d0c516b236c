// SPDX-License-Identifier: MIT
#include "backend/fake/fake.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"

enum { MAX_FAULTS = 16, SLOW_MICROSECONDS = 200000 };

enum fault_kind { FAULT_CRASH, FAULT_HANG, FAULT_ERROR, FAULT_OOM, FAULT_NAN, FAULT_SLOW };

struct fault {
    enum fault_kind kind;
    int64_t job, pixel, batch;  // which one; -1: not that way
    int precision;              // every job in it; -1: not that way
    bool later;                 // also all jobs after that
    bool load;                  // when the device is opened
    const char *once, *present; // files; NULL: always
};

struct cs_device {
    const struct cs_backend *base;
    struct cs_device *inner;
    char *script; // owned; cut into pieces
    struct fault faults[MAX_FAULTS];
    int fault_count;
    bool half;            // offers fp16
    pthread_mutex_t lock; // over `jobs`
    int64_t jobs;         // run so far
};

struct cs_network {
    struct cs_device *device;
    struct cs_network *inner;
};

struct cs_plan {
    struct cs_plan *inner;
    enum cs_precision precision;
};

struct cs_slot {
    struct cs_device *device;
    struct cs_slot *inner;
};

// ---- The script --------------------------------------------------------------------------

// Cut the text at the word; what follows it, or NULL.
static char *cut_at(char *text, const char *word)
{
    char *at = strstr(text, word);
    if (!at)
        return NULL;
    *at = '\0';
    return at + strlen(word);
}

static int parse_where(char *where, struct fault *fault, struct cs_err *err)
{
    fault->job = fault->pixel = fault->batch = fault->precision = -1;
    for (int p = 0; p < CS_PRECISION_COUNT; p++)
        if (strcmp(where, cs_precision_name((enum cs_precision)p)) == 0)
            fault->precision = p;
    if (fault->precision >= 0)
        return 0;
    fault->load = strcmp(where, "load") == 0;
    if (fault->load)
        return 0;
    if (strncmp(where, "pixel=", 6) == 0)
        return cs_num_int(where + 6, 0, 65535, "fake: pixel", &fault->pixel, err);
    if (strncmp(where, "batch=", 6) == 0)
        return cs_num_int(where + 6, 1, 65535, "fake: batch", &fault->batch, err);
    fault->later = cut_at(where, "+") != NULL;
    return cs_num_int(where, 1, INT64_MAX, "fake: job", &fault->job, err);
}

static int parse_fault(char *text, struct fault *fault, struct cs_err *err)
{
    static const char *const kinds[] = {"crash", "hang", "error", "oom", "nan", "slow"};
    char *where = cut_at(text, "@");
    if (!where)
        return cs_fail(err, CS_EUSAGE, "fake: '%s' is not KIND@WHERE", text);
    fault->once = cut_at(where, ":once=");
    fault->present = cut_at(where, ":while=");
    int kind = 0, count = (int)(sizeof kinds / sizeof *kinds);
    while (kind < count && strcmp(kinds[kind], text) != 0)
        kind++;
    if (kind == count)
        return cs_fail(err, CS_EUSAGE, "fake: no fault '%s'", text);
    fault->kind = (enum fault_kind)kind;
    return parse_where(where, fault, err);
}

static int parse_script(struct cs_device *d, struct cs_err *err)
{
    for (char *at = d->script; at && *at;) {
        char *comma = strchr(at, ',');
        if (comma)
            *comma++ = '\0';
        if (strcmp(at, "fp16") == 0) {
            d->half = true;
            at = comma;
            continue;
        }
        if (d->fault_count == MAX_FAULTS)
            return cs_fail(err, CS_EUSAGE, "fake: more than %d faults", MAX_FAULTS);
        if (parse_fault(at, &d->faults[d->fault_count++], err) != 0)
            return -1;
        at = comma;
    }
    return 0;
}

static int64_t first_sample(const struct cs_job *job)
{
    switch (job->dtype) {
    case CS_U8:
        return *(const uint8_t *)job->pixels;
    case CS_U16:
        return *(const uint16_t *)job->pixels;
    default:
        return job->dtype == CS_F32 ? (int64_t) * (const float *)job->pixels : -1;
    }
}

// Whether a fault that befalls now is to happen.
static bool happens(const struct fault *fault)
{
    if (fault->present && access(fault->present, F_OK) != 0)
        return false;
    if (!fault->once)
        return true;
    int fd = open(fault->once, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void crash(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static void hang(void)
{
    for (;;)
        pause();
}

static int fail_at_load(const struct cs_device *d, struct cs_err *err)
{
    for (int i = 0; i < d->fault_count; i++) {
        const struct fault *f = &d->faults[i];
        if (!f->load || !happens(f))
            continue;
        if (f->kind == FAULT_CRASH)
            crash();
        if (f->kind == FAULT_HANG)
            hang();
        if (f->kind == FAULT_ERROR)
            return cs_fail(err, CS_EDEVICE, "fake: a scripted device error at load");
    }
    return 0;
}

// A job as the script knows it.
struct event {
    int64_t number, pixel;
    int batch; // jobs of the run, at its first one
    enum cs_precision precision;
};

static bool befalls(const struct fault *f, const struct event *e)
{
    if (f->job >= 0)
        return f->later ? e->number >= f->job : e->number == f->job;
    return (f->pixel >= 0 && e->pixel == f->pixel) || (f->batch >= 0 && e->batch >= f->batch) ||
           f->precision == (int)e->precision;
}

// The fault that befalls the next job, NULL for none.
static const struct fault *find_fault(struct cs_device *d, struct event event)
{
    pthread_mutex_lock(&d->lock);
    event.number = ++d->jobs;
    pthread_mutex_unlock(&d->lock);
    for (int i = 0; i < d->fault_count; i++) {
        const struct fault *f = &d->faults[i];
        if (befalls(f, &event) && happens(f))
            return f;
    }
    return NULL;
}

// ---- The table ---------------------------------------------------------------------------

static void fake_device_close(struct cs_device *device)
{
    if (!device)
        return;
    device->base->device_close(device->inner);
    pthread_mutex_destroy(&device->lock);
    free(device->script);
    free(device);
}

static int fake_device_open(const struct cs_device_options *options, struct cs_device **device,
                            struct cs_err *err)
{
    struct cs_device *d = cs_xcalloc(1, sizeof *d);
    d->base = cs_backend_find("ref");
    d->script = cs_xstrdup(options->detail ? options->detail : "");
    pthread_mutex_init(&d->lock, NULL);
    if (parse_script(d, err) != 0 || fail_at_load(d, err) != 0 ||
        d->base->device_open(options, &d->inner, err) != 0) {
        fake_device_close(d);
        return -1;
    }
    *device = d;
    return 0;
}

static const char *fake_device_text(const struct cs_device *device)
{
    (void)device;
    return "fake";
}

static unsigned fake_precisions(const struct cs_device *device)
{
    return 1U << CS_FP32 | (device->half ? 1U << CS_FP16 : 0);
}

static bool fake_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                          size_t why_size)
{
    return cs_backend_find("ref")->supports(graph, node, why, why_size);
}

static int fake_network_open(struct cs_device *device, struct cs_network **network,
                             struct cs_err *err)
{
    struct cs_network *n = cs_xcalloc(1, sizeof *n);
    n->device = device;
    if (device->base->network_open(device->inner, &n->inner, err) != 0) {
        free(n);
        return -1;
    }
    *network = n;
    return 0;
}

static void fake_network_close(struct cs_network *network)
{
    if (!network)
        return;
    network->device->base->network_close(network->inner);
    free(network);
}

static int fake_plan_open(struct cs_network *network, const struct cs_graph *graph,
                          enum cs_precision precision, bool direct, struct cs_plan **plan,
                          struct cs_err *err)
{
    struct cs_plan *p = cs_xcalloc(1, sizeof *p);
    p->precision = precision;
    if (network->device->base->plan_open(network->inner, graph, precision, direct, &p->inner,
                                         err) != 0) {
        free(p);
        return -1;
    }
    *plan = p;
    return 0;
}

static void fake_plan_close(struct cs_plan *plan)
{
    if (!plan)
        return;
    cs_backend_find("ref")->plan_close(plan->inner);
    free(plan);
}

static struct cs_memory_use fake_plan_memory(const struct cs_plan *plan)
{
    return cs_backend_find("ref")->plan_memory(plan->inner);
}

static int fake_slot_open(struct cs_network *network, struct cs_plan *const *plans, int plan_count,
                          struct cs_slot **slot, struct cs_err *err)
{
    struct cs_slot *s = cs_xcalloc(1, sizeof *s);
    struct cs_plan **inner = cs_xcalloc((size_t)plan_count, sizeof(struct cs_plan *));
    s->device = network->device;
    for (int i = 0; i < plan_count; i++)
        inner[i] = plans[i]->inner;
    int result = s->device->base->slot_open(network->inner, inner, plan_count, &s->inner, err);
    free(inner);
    if (result != 0) {
        free(s);
        return -1;
    }
    *slot = s;
    return 0;
}

static void fake_slot_close(struct cs_slot *slot)
{
    if (!slot)
        return;
    slot->device->base->slot_close(slot->inner);
    free(slot);
}

static int fake_run(struct cs_slot *slot, struct cs_plan *plan, struct cs_job *jobs, int n,
                    struct cs_err *err)
{
    struct cs_device *d = slot->device;
    uint64_t broken = 0; // bit mask of the jobs with values that are not finite
    for (int i = 0; i < n; i++) {
        const struct fault *fault = find_fault(d, (struct event){.pixel = first_sample(&jobs[i]),
                                                                 .batch = i ? 0 : n,
                                                                 .precision = plan->precision});
        if (!fault)
            continue;
        switch (fault->kind) {
        case FAULT_CRASH:
            crash();
            break;
        case FAULT_HANG:
            hang();
            break;
        case FAULT_ERROR:
            return cs_fail(err, CS_EDEVICE, "fake: a scripted device error");
        case FAULT_OOM:
            return cs_fail(err, CS_ENOMEM, "fake: a scripted lack of memory");
        case FAULT_NAN:
            broken |= UINT64_C(1) << (i & 63);
            break;
        case FAULT_SLOW:
            usleep(SLOW_MICROSECONDS);
            break;
        }
    }
    if (d->base->run(slot->inner, plan->inner, jobs, n, err) != 0)
        return -1;
    for (int i = 0; i < n; i++)
        jobs[i].nonfinite += broken >> (i & 63) & 1;
    return 0;
}

static int fake_run_tensors(struct cs_slot *slot, struct cs_plan *plan, const void *const *inputs,
                            void *const *outputs, struct cs_err *err)
{
    return slot->device->base->run_tensors(slot->inner, plan->inner, inputs, outputs, err);
}

const struct cs_backend cs_backend_fake = {
    .name = "fake",
    .device_open = fake_device_open,
    .device_close = fake_device_close,
    .device_text = fake_device_text,
    .precisions = fake_precisions,
    .passes = CS_PASSES_ALGEBRA,
    .supports = fake_supports,
    .network_open = fake_network_open,
    .network_close = fake_network_close,
    .plan_open = fake_plan_open,
    .plan_close = fake_plan_close,
    .plan_memory = fake_plan_memory,
    .slot_open = fake_slot_open,
    .slot_close = fake_slot_close,
    .run = fake_run,
    .run_tensors = fake_run_tensors,
};
