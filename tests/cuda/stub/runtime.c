// SPDX-License-Identifier: MIT
// The CUDA runtime's part of the stub. Streams are queues of closures that run when somebody waits;
// a capture takes the closures instead of the queue. One lock is held over everything: kernels on
// the host run one at a time.
#include "stub.h"

#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_KINDS = 2, DEFAULT_MEMORY = 1 << 30, GARBAGE = 0xa5, VERSION = CUDART_VERSION };

struct work {
    void (*run)(const void *closure);
    void *closure; // owned
};
struct list {
    struct work *work;
    size_t count, capacity;
};

struct CUstream_st {
    struct list queue;
    size_t done; // of the queue
    bool capturing;
    struct list captured;
};
struct CUevent_st {
    cudaStream_t stream;
    size_t position; // in its queue
};
struct CUgraph_st {
    struct list list;
};
struct CUgraphExec_st {
    struct list list;
};

struct block {
    char *data;
    size_t bytes;
    bool device, registered; // registered: the process's own memory
    struct block *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stub_counts counts;
static struct block *blocks;
static size_t memory_limit = DEFAULT_MEMORY, memory_used, memory_others;
static int devices = 1, current, fail_in;
static cudaError_t last_error;
static bool sticky;                // a kernel has failed: the process has lost the device
static __thread int captures_here; // that this thread has under way

// ---- What the environment says (stub.h) -----------------------------------------------------

static long long number(const char *name, long long otherwise)
{
    const char *value = getenv(name);
    return value ? strtoll(value, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void read_environment(void)
{
    devices = (int)number("STUB_DEVICES", devices);
    memory_limit = (size_t)number("STUB_MEMORY", DEFAULT_MEMORY);
}

// Memory that other processes have.
static size_t others(void)
{
    const char *path = getenv("STUB_OTHERS");
    FILE *file = path ? fopen(path, "re") : NULL;
    unsigned long long bytes = memory_others;
    if (file) {
        if (fscanf(file, "%llu", &bytes) != 1)
            bytes = 0;
        fclose(file);
    }
    return bytes < memory_limit ? (size_t)bytes : memory_limit;
}

// Of the device, with what others have.
static size_t memory_left(void)
{
    size_t used = memory_used + others();
    return used < memory_limit ? memory_limit - used : 0;
}

// ---- Rules -------------------------------------------------------------------------------

static cudaError_t note(cudaError_t code)
{
    if (code != cudaSuccess)
        last_error = code;
    return code;
}

static cudaError_t broken(const char *rule)
{
    fprintf(stderr, "stub: broken rule: %s\n", rule);
    counts.broken++;
    return note(cudaErrorStreamCaptureUnsupported);
}

bool stub_fails(void)
{
    bool now = fail_in > 0 && --fail_in == 0;
    counts.failed += now;
    return now;
}

// Enters a call: takes the lock, and says whether it is to fail. `unsafe`: forbidden in a capture.
static cudaError_t enter(bool unsafe, const char *call)
{
    pthread_mutex_lock(&lock);
    if (sticky)
        return note(cudaErrorIllegalAddress);
    if (stub_fails())
        return note(cudaErrorUnknown);
    return unsafe && captures_here ? broken(call) : cudaSuccess;
}

static cudaError_t leave(cudaError_t code)
{
    pthread_mutex_unlock(&lock);
    return code;
}

static struct block *block_of(const void *data, size_t bytes)
{
    for (struct block *b = blocks; b; b = b->next)
        if ((const char *)data >= b->data && (const char *)data + bytes <= b->data + b->bytes)
            return b;
    return NULL;
}

static bool is_memory(const void *data, size_t bytes, bool device)
{
    const struct block *b = block_of(data, bytes);
    return b && b->device == device;
}

// ---- Work --------------------------------------------------------------------------------

static void add_work(struct list *list, void (*run)(const void *), const void *closure,
                     size_t bytes)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 64;
        list->work = realloc(list->work, list->capacity * sizeof *list->work);
    }
    void *copy = aligned_alloc(64, (bytes + 64) / 64 * 64);
    memcpy(copy, closure, bytes);
    list->work[list->count++] = (struct work){run, copy};
}

static void release_list(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->work[i].closure);
    free(list->work);
    *list = (struct list){0};
}

static void drain(cudaStream_t stream, size_t until)
{
    for (; stream->done < until && stream->done < stream->queue.count; stream->done++) {
        struct work *w = &stream->queue.work[stream->done];
        w->run(w->closure);
        free(w->closure);
        w->closure = NULL;
    }
    if (stream->done == stream->queue.count) {
        stream->done = stream->queue.count = 0;
    }
}

static void put(cudaStream_t stream, void (*run)(const void *), const void *closure, size_t bytes)
{
    add_work(stream->capturing ? &stream->captured : &stream->queue, run, closure, bytes);
}

int stub_launch(void *stream, void (*run)(const void *closure), const void *closure, size_t bytes)
{
    cudaError_t code = enter(false, "launch");
    if (code == cudaSuccess && !stream)
        code = broken("a launch on the stream of the whole device");
    if (code == cudaSuccess) {
        counts.launches += !((cudaStream_t)stream)->capturing;
        put(stream, run, closure, bytes);
    }
    return leave(code);
}

// ---- Memory ------------------------------------------------------------------------------

// A copy of memory that is not pinned returns when it has been read: it arrives later.
static struct {
    char *to, *data;
    size_t bytes;
} arriving;

static cudaError_t allocate(void **memory, size_t bytes, bool device)
{
    counts.allocations++;
    if (device && bytes > memory_left())
        return note(cudaErrorMemoryAllocation);
    struct block *b = malloc(sizeof *b);
    *b = (struct block){.bytes = bytes, .device = device, .next = blocks};
    b->data = aligned_alloc(256, (bytes + 256) / 256 * 256);
    memset(b->data, GARBAGE, bytes);
    blocks = b;
    memory_used += device ? bytes : 0;
    counts.held++;
    *memory = b->data;
    return cudaSuccess;
}

static cudaError_t release(void *memory, bool device)
{
    if (!memory)
        return cudaSuccess;
    for (struct block **at = &blocks; *at; at = &(*at)->next) {
        struct block *b = *at;
        if (b->data != memory || b->device != device || b->registered)
            continue;
        *at = b->next;
        if (arriving.data && arriving.to == b->data) {
            free(arriving.data);
            arriving.data = NULL;
        }
        memory_used -= device ? b->bytes : 0;
        counts.held--;
        counts.releases++;
        free(b->data);
        free(b);
        return cudaSuccess;
    }
    return broken("memory released that is none");
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    cudaError_t code = enter(true, "cudaMalloc");
    return leave(code == cudaSuccess ? allocate(memory, bytes, true) : code);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    cudaError_t code = enter(true, "cudaMallocHost");
    return leave(code == cudaSuccess ? allocate(memory, bytes, false) : code);
}

cudaError_t cudaFree(void *memory)
{
    pthread_mutex_lock(&lock);
    return leave(captures_here ? broken("cudaFree") : release(memory, true));
}

cudaError_t cudaFreeHost(void *memory)
{
    pthread_mutex_lock(&lock);
    return leave(captures_here ? broken("cudaFreeHost") : release(memory, false));
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total)
{
    cudaError_t code = enter(true, "cudaMemGetInfo");
    *total = memory_limit;
    *left = memory_left();
    return leave(code);
}

// The process's own memory, whose pages must be there and open for writing.
cudaError_t cudaHostRegister(void *data, size_t bytes, unsigned flags)
{
    cudaError_t code = enter(true, "cudaHostRegister");
    if (code == cudaSuccess && getenv("STUB_NO_PINS"))
        code = note(cudaErrorNotSupported);
    if (code == cudaSuccess && (flags != cudaHostRegisterDefault || block_of(data, bytes)))
        code = broken("memory registered twice");
    if (code == cudaSuccess) {
        for (size_t i = 0; i < bytes; i += 4096)
            ((volatile char *)data)[i] = ((volatile char *)data)[i];
        struct block *b = malloc(sizeof *b);
        *b = (struct block){.data = data, .bytes = bytes, .registered = true, .next = blocks};
        blocks = b;
        counts.held++;
        counts.registered++;
    }
    return leave(code);
}

cudaError_t cudaHostUnregister(void *data)
{
    pthread_mutex_lock(&lock);
    for (struct block **at = &blocks; *at; at = &(*at)->next) {
        struct block *b = *at;
        if (b->data != data || !b->registered)
            continue;
        for (size_t i = 0; i < b->bytes; i += 4096) // not unmapped before this
            (void)((volatile char *)data)[i];
        *at = b->next;
        free(b);
        counts.held--;
        return leave(cudaSuccess);
    }
    return leave(broken("memory unregistered that was not"));
}

struct copy {
    char *to;
    const char *from;
    size_t to_pitch, from_pitch, bytes, rows;
};

static void run_copy(const void *closure)
{
    const struct copy *c = closure;
    for (size_t y = 0; y < c->rows; y++)
        memmove(c->to + y * c->to_pitch, c->from + y * c->from_pitch, c->bytes);
}

static bool copies(const struct copy *c, enum cudaMemcpyKind kind)
{
    size_t to = (c->rows - 1) * c->to_pitch + c->bytes;
    size_t from = (c->rows - 1) * c->from_pitch + c->bytes;
    return is_memory(c->to, to, kind == cudaMemcpyHostToDevice) &&
           is_memory(c->from, from, kind == cudaMemcpyDeviceToHost);
}

static cudaError_t copy_async(const struct copy *copy, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    cudaError_t code = enter(false, "cudaMemcpyAsync");
    if (code == cudaSuccess && (!stream || !copies(copy, kind)))
        code = broken("a copy without a stream, or outside of device and pinned memory");
    if (code == cudaSuccess) {
        counts.copies++;
        put(stream, run_copy, copy, sizeof *copy);
    }
    return leave(code);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return copy_async(&(struct copy){to, from, bytes, bytes, bytes, 1}, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t bytes, size_t rows, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    return copy_async(&(struct copy){to, from, to_pitch, from_pitch, bytes, rows}, kind, stream);
}

static void arrive(void)
{
    if (arriving.data)
        memcpy(arriving.to, arriving.data, arriving.bytes);
    free(arriving.data);
    arriving.data = NULL;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    cudaError_t code = enter(true, "cudaMemcpy");
    if (code == cudaSuccess && (kind != cudaMemcpyHostToDevice || !is_memory(to, bytes, true)))
        code = broken("a copy outside of device memory");
    if (code == cudaSuccess) {
        arrive();
        arriving.to = to;
        arriving.bytes = bytes;
        arriving.data = malloc(bytes + 1);
        memcpy(arriving.data, from, bytes);
    }
    counts.device_waits++;
    return leave(code);
}

struct set {
    void *to;
    int value;
    size_t bytes;
};

static void run_set(const void *closure)
{
    const struct set *s = closure;
    memset(s->to, s->value, s->bytes);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    const struct set set = {to, value, bytes};
    cudaError_t code = enter(false, "cudaMemsetAsync");
    if (code == cudaSuccess && (!stream || !is_memory(to, bytes, true)))
        code = broken("memory set without a stream, or outside of the device's");
    if (code == cudaSuccess)
        put(stream, run_set, &set, sizeof set);
    return leave(code);
}

// ---- Streams and events ------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    cudaError_t code = enter(true, "cudaStreamCreateWithFlags");
    if (code == cudaSuccess && flags != cudaStreamNonBlocking)
        code = broken("a stream that waits for the whole device's");
    if (code == cudaSuccess) {
        *stream = calloc(1, sizeof **stream);
        counts.held++;
    }
    return leave(code);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    pthread_mutex_lock(&lock);
    drain(stream, stream->queue.count);
    release_list(&stream->queue);
    release_list(&stream->captured);
    free(stream);
    counts.held--;
    return leave(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    cudaError_t code = enter(true, "cudaStreamSynchronize");
    counts.waits++;
    if (code == cudaSuccess && stream == cudaStreamLegacy)
        arrive();
    else if (code == cudaSuccess)
        drain(stream, stream->queue.count);
    return leave(code);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    cudaError_t code = enter(true, "cudaEventCreateWithFlags");
    if (code == cudaSuccess && !(flags & cudaEventBlockingSync))
        code = broken("an event whose waiters do not sleep");
    if (code == cudaSuccess) {
        *event = calloc(1, sizeof **event);
        counts.held++;
    }
    return leave(code);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    pthread_mutex_lock(&lock);
    free(event);
    counts.held--;
    return leave(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    cudaError_t code = enter(false, "cudaEventRecord");
    event->stream = stream;
    event->position = stream->queue.count;
    return leave(code);
}

// Nothing runs by itself here: no time passes.
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    cudaError_t code = enter(true, "cudaEventElapsedTime");
    if (code == cudaSuccess && (!from->stream || from->stream != to->stream))
        code = broken("a time between events that were not recorded on one stream");
    *ms = 0.5F;
    return leave(code);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    cudaError_t code = enter(true, "cudaEventSynchronize");
    counts.waits++;
    if (code == cudaSuccess && event->stream)
        drain(event->stream, event->position);
    return leave(code);
}

// ---- Graphs ------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    cudaError_t code = enter(true, "cudaStreamBeginCapture");
    if (code == cudaSuccess && mode != cudaStreamCaptureModeThreadLocal)
        code = broken("a capture that other slots' calls would break");
    if (code == cudaSuccess) {
        stream->capturing = true;
        captures_here++;
        counts.captures++;
    }
    return leave(code);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    cudaError_t code = enter(false, "cudaStreamEndCapture");
    stream->capturing = false;
    captures_here--;
    *graph = NULL;
    if (code == cudaSuccess) {
        *graph = calloc(1, sizeof **graph);
        (*graph)->list = stream->captured;
        stream->captured = (struct list){0};
        counts.held++;
    } else {
        release_list(&stream->captured);
    }
    return leave(code);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    cudaError_t code = enter(true, "cudaGraphInstantiate");
    (void)flags;
    if (code == cudaSuccess) {
        *exec = calloc(1, sizeof **exec);
        (*exec)->list = graph->list;
        graph->list = (struct list){0};
        counts.held++;
    }
    return leave(code);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    pthread_mutex_lock(&lock);
    release_list(&graph->list);
    free(graph);
    counts.held--;
    return leave(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    pthread_mutex_lock(&lock);
    release_list(&exec->list);
    free(exec);
    counts.held--;
    return leave(cudaSuccess);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    (void)exec, (void)stream;
    return leave(enter(true, "cudaGraphUpload"));
}

static void run_graph(const void *closure)
{
    const struct CUgraphExec_st *exec = *(const struct CUgraphExec_st *const *)closure;
    for (size_t i = 0; i < exec->list.count; i++)
        exec->list.work[i].run(exec->list.work[i].closure);
}

// What the environment asks for at this launch of a graph (stub.h).
static cudaError_t scripted(void)
{
    static int launch;
    const char *script = getenv("STUB_FAULT"), *once = getenv("STUB_ONCE");
    const char *where = script ? strchr(script, '@') : NULL;
    if (number("STUB_DEVICE", current) != current)
        return cudaSuccess;
    if (!where || ++launch != (int)strtol(where + 1, NULL, 10) ||
        (once && open(once, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) < 0))
        return cudaSuccess;
    if (strncmp(script, "crash", 5) == 0)
        abort();
    while (strncmp(script, "hang", 4) == 0)
        pause();
    sticky = strncmp(script, "sticky", 6) == 0;
    return note(sticky ? cudaErrorIllegalAddress : cudaErrorMemoryAllocation);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    cudaError_t code = enter(true, "cudaGraphLaunch");
    if (code == cudaSuccess)
        code = scripted();
    if (code == cudaSuccess) {
        counts.graph_launches++;
        put(stream, run_graph, &exec, sizeof exec);
    }
    return leave(code);
}

// ---- Devices -----------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int *count)
{
    cudaError_t code = enter(false, "cudaGetDeviceCount");
    *count = devices > 0 ? devices : 0;
    if (code == cudaSuccess && devices <= 0)
        code = note(devices < 0 ? cudaErrorInsufficientDriver : cudaErrorNoDevice);
    return leave(code);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = devices < 0 ? 0 : VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = VERSION;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    cudaError_t code = enter(false, "cudaSetDevice");
    if (code != cudaSuccess)
        return leave(cudaErrorUnknown);
    current = device < devices ? device : current;
    return leave(device < devices ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaSetDeviceFlags(unsigned flags)
{
    cudaError_t code = enter(false, "cudaSetDeviceFlags");
    if (code == cudaSuccess && flags != cudaDeviceScheduleBlockingSync)
        code = broken("threads that wait for the device do not sleep");
    return leave(code);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *about, int device)
{
    cudaError_t code = enter(false, "cudaGetDeviceProperties");
    memset(about, 0, sizeof *about);
    snprintf(about->name, sizeof about->name, "stub");
    (void)device;
    about->major = 9;
    about->totalGlobalMem = memory_limit;
    return leave(code);
}

const char *cudaGetErrorString(cudaError_t code)
{
    return code == cudaSuccess ? "no error" : "an error of the stub";
}

const char *cudaGetErrorName(cudaError_t code)
{
    return code == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorStub";
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t code = last_error;
    last_error = cudaSuccess;
    return code;
}

// ---- The tests' side ---------------------------------------------------------------------

struct stub_counts stub_counts(void)
{
    return counts;
}

// Called while work runs, with the lock held.
void stub_note_sums(void)
{
    counts.sums++;
}

void stub_hold(int count)
{
    pthread_mutex_lock(&lock);
    counts.held += count;
    pthread_mutex_unlock(&lock);
}

void stub_set_memory(size_t bytes)
{
    memory_limit = bytes ? bytes : DEFAULT_MEMORY;
}

void stub_set_others(size_t bytes)
{
    memory_others = bytes;
}

void stub_fail_call(int n)
{
    fail_in = n;
}

void stub_set_devices(int count)
{
    devices = count;
}
