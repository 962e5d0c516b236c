// SPDX-License-Identifier: MIT
// Grids on the host: blocks one after the other, the threads of a block as coroutines that run
// until they end or wait at a barrier. A thread that meets no barrier costs no stack of its own:
// the next one runs on the same. Coroutines are made by ucontext and changed by setjmp, which asks
// nothing of the system; with AddressSanitizer, which must be told, by ucontext alone. With
// ThreadSanitizer every thread of a block has a coroutine of its own, which is a thread to it;
// this file itself is compiled without (Makefile).
#ifdef SHIM_TSAN
#define __SANITIZE_THREAD__ 1
#endif
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

#ifdef SHIM_TSAN
#undef threadIdx
#undef blockIdx
extern "C" void *__tsan_create_fiber(unsigned flags);
extern "C" void *__tsan_get_current_fiber();
extern "C" void __tsan_switch_to_fiber(void *fiber, unsigned flags);
extern "C" void __tsan_acquire(void *at);
extern "C" void __tsan_release(void *at);
static bool counting, running;
static int reports;
extern "C" const char *__tsan_default_options()
{
    return "exitcode=0"; // the shim says what a report means
}
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
    void *kept; // AddressSanitizer's, while it waits; ThreadSanitizer's name of it
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

// What ThreadSanitizer takes for order: who leaves may rely on what those did that arrived.
enum order { ORDER_START, ORDER_END, ORDER_BLOCK, ORDER_WARP };
#ifdef SHIM_TSAN
char orders[ORDER_WARP + THREADS / WARP];

void set_running(bool is)
{
    running = is;
}

void arrive(int at)
{
    __tsan_release(&orders[at]);
}

void leave(int at)
{
    __tsan_acquire(&orders[at]);
}
#else
void set_running(bool)
{
}

void arrive(int)
{
}

void leave(int)
{
}
#endif

#if defined SHIM_TSAN
enum { NO_ORDER = 1 };
ucontext_t scheduler;
void *scheduler_name;

void to_scheduler(fiber *f)
{
    __tsan_switch_to_fiber(scheduler_name, NO_ORDER);
    swapcontext(&f->context, &scheduler);
}

void to_fiber(fiber *f)
{
    if (!f->kept)
        f->kept = __tsan_create_fiber(0);
    scheduler_name = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->kept, NO_ORDER);
    swapcontext(&scheduler, &f->context);
}
#elif defined SHIM_ASAN
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
        leave(ORDER_START);
        run_body(run_context);
        arrive(ORDER_END);
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
#ifdef SHIM_TSAN
    while (made_count <= static_cast<int>(t))
        make_fiber();
    th->fiber = static_cast<int>(t);
#endif
    if (th->fiber < 0)
        th->fiber = idle_count > 0 ? idle[--idle_count] : make_fiber();
    fiber *f = &fibers[th->fiber];
    th->where = READY;
    current = t;
    place_of(t);
    to_fiber(f);
#ifndef SHIM_TSAN
    if (th->where == DONE)
        idle[idle_count++] = th->fiber;
#endif
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

int shim_reports(void)
{
#ifdef SHIM_TSAN
    int before = reports;
    counting = true;
    reports = 0;
    return before;
#else
    return -1;
#endif
}

#ifdef SHIM_TSAN
uint3 shim_thread()
{
    return threadIdx;
}

uint3 shim_block()
{
    return blockIdx;
}

extern "C" void __tsan_on_report(void *)
{
    reports++;
    if (running && !counting) // and not of the host's threads
        stop("threads touch the same memory without a barrier between them");
}
#endif

void __syncthreads()
{
    arrive(ORDER_BLOCK);
    wait_at(AT_BLOCK);
    leave(ORDER_BLOCK);
}

void __syncwarp(unsigned)
{
    int warp = ORDER_WARP + static_cast<int>(current / WARP);
    arrive(warp);
    wait_at(AT_WARP);
    leave(warp);
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
        set_running(true);
        arrive(ORDER_START);
        run_block();
        set_running(false);
        leave(ORDER_END); // blocks share the memory that __shared__ is here
    }
}
