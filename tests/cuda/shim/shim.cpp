// SPDX-License-Identifier: MIT
// Grids on the host: blocks one after the other, the threads of a block as coroutines that run
// until they end or wait at a barrier. A thread that meets no barrier costs no stack of its own:
// the next one runs on the same. Coroutines are made by ucontext and changed by setjmp, which asks
// nothing of the system; with AddressSanitizer, which must be told, by ucontext alone.
#include "cuda_runtime.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#ifdef __has_feature // clang
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SHIM_ASAN 1
extern "C" void __sanitizer_start_switch_fiber(void **kept, const void *bottom, size_t size);
extern "C" void __sanitizer_finish_switch_fiber(void *kept, const void **bottom, size_t *size);
static const void *scheduler_bottom;
static size_t scheduler_size;
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

constexpr unsigned THREADS = 1024, WARP = 32;
constexpr size_t STACK = 256 << 10;

enum state { NEW, READY, AT_BLOCK, AT_WARP, DONE };

struct fiber {
    ucontext_t context;
    jmp_buf jump; // where it waits
    bool started;
    char *stack;
    void *kept; // AddressSanitizer's, while it waits
};

struct thread {
    state where;
    int fiber; // -1: none yet
};

fiber fibers[THREADS];
thread threads[THREADS];
int idle[THREADS], idle_count, made_count;
uint64_t slots[THREADS];
unsigned current, count;
void (*run_body)(void *);
void *run_context;
bool backward;

[[noreturn]] void stop(const char *text)
{
    fprintf(stderr, "shim: block %u,%u,%u: %s\n", blockIdx.x, blockIdx.y, blockIdx.z, text);
    abort();
}

void place_of(unsigned t)
{
    threadIdx.x = t % blockDim.x;
    threadIdx.y = t / blockDim.x % blockDim.y;
    threadIdx.z = t / blockDim.x / blockDim.y;
}

#ifdef SHIM_ASAN
ucontext_t scheduler;

void to_scheduler(fiber *f)
{
    __sanitizer_start_switch_fiber(&f->kept, scheduler_bottom, scheduler_size);
    swapcontext(&f->context, &scheduler);
    __sanitizer_finish_switch_fiber(f->kept, &scheduler_bottom, &scheduler_size);
}

void to_fiber(fiber *f)
{
    void *kept;
    __sanitizer_start_switch_fiber(&kept, f->stack, STACK);
    swapcontext(&scheduler, &f->context);
    __sanitizer_finish_switch_fiber(kept, nullptr, nullptr);
}
#else
jmp_buf scheduler_jump;

void to_scheduler(fiber *f)
{
    if (_setjmp(f->jump) == 0)
        _longjmp(scheduler_jump, 1);
}

void to_fiber(fiber *f)
{
    if (_setjmp(scheduler_jump) != 0)
        return;
    if (f->started)
        _longjmp(f->jump, 1);
    f->started = true;
    setcontext(&f->context);
}
#endif

// A fiber runs one thread after the other, whichever the scheduler gave it.
void fiber_main()
{
#ifdef SHIM_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size);
#endif
    for (;;) {
        run_body(run_context);
        threads[current].where = DONE;
        to_scheduler(&fibers[threads[current].fiber]);
    }
}

int make_fiber()
{
    fiber *f = &fibers[made_count];
    f->stack = static_cast<char *>(malloc(STACK));
    if (!f->stack)
        stop("no memory for a stack");
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = nullptr;
    makecontext(&f->context, fiber_main, 0);
    return made_count++;
}

void resume(unsigned t)
{
    thread *th = &threads[t];
    if (th->fiber < 0)
        th->fiber = idle_count > 0 ? idle[--idle_count] : make_fiber();
    fiber *f = &fibers[th->fiber];
    th->where = READY;
    current = t;
    place_of(t);
    to_fiber(f);
    if (th->where == DONE)
        idle[idle_count++] = th->fiber;
}

void wait_at(state where)
{
    unsigned self = current;
    threads[self].where = where;
    to_scheduler(&fibers[threads[self].fiber]);
}

// Opens the barriers that all threads have reached; whether one did.
bool open_barriers()
{
    unsigned at_block = 0, done = 0;
    bool opened = false;
    for (unsigned t = 0; t < count; t++) {
        at_block += threads[t].where == AT_BLOCK;
        done += threads[t].where == DONE;
    }
    if (at_block == count) {
        for (unsigned t = 0; t < count; t++)
            threads[t].where = READY;
        return true;
    }
    if (at_block + done == count && at_block > 0)
        stop("threads ended that others wait for at __syncthreads");
    for (unsigned first = 0; first < count; first += WARP) {
        unsigned last = first + WARP < count ? first + WARP : count, at_warp = 0;
        for (unsigned t = first; t < last; t++)
            at_warp += threads[t].where == AT_WARP;
        if (at_warp == last - first) {
            for (unsigned t = first; t < last; t++)
                threads[t].where = READY;
            opened = true;
        }
    }
    return opened;
}

void run_block()
{
    unsigned ended = 0;
    for (unsigned t = 0; t < count; t++)
        threads[t] = {NEW, -1};
    while (ended < count) {
        for (unsigned i = 0; i < count; i++) {
            unsigned t = backward ? count - 1 - i : i;
            if (threads[t].where == NEW || threads[t].where == READY) {
                resume(t);
                ended += threads[t].where == DONE;
            }
        }
        if (ended < count && !open_barriers())
            stop("threads of a warp wait at different barriers");
    }
}

} // namespace

void shim_set_backward(bool wanted)
{
    backward = wanted;
}

void __syncthreads()
{
    wait_at(AT_BLOCK);
}

void __syncwarp(unsigned)
{
    wait_at(AT_WARP);
}

uint64_t shim_exchange(uint64_t value, unsigned from)
{
    slots[current] = value;
    wait_at(AT_WARP);
    value = slots[current / WARP * WARP + from];
    wait_at(AT_WARP); // before somebody writes anew
    return value;
}

bool shim_is_possible(const cudaLaunchConfig_t *config)
{
    const dim3 &g = config->gridDim, &b = config->blockDim;
    uint64_t size = (uint64_t)b.x * b.y * b.z;
    return size > 0 && size <= THREADS && b.z <= 64 && g.x > 0 && g.x <= 0x7fffffffU && g.y > 0 &&
           g.y <= 65535 && g.z > 0 && g.z <= 65535;
}

void shim_run(const cudaLaunchConfig_t *config, void (*body)(void *), void *context)
{
    const dim3 &g = config->gridDim;
    blockDim = config->blockDim;
    gridDim = g;
    count = blockDim.x * blockDim.y * blockDim.z;
    run_body = body;
    run_context = context;
    uint64_t blocks = (uint64_t)g.x * g.y * g.z;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t block = backward ? blocks - 1 - i : i;
        blockIdx.x = (unsigned)(block % g.x);
        blockIdx.y = (unsigned)(block / g.x % g.y);
        blockIdx.z = (unsigned)(block / g.x / g.y);
        run_block();
    }
}
