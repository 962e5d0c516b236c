// SPDX-License-Identifier: MIT
// A CUDA runtime and a cuDNN on the host, for tests of the order of calls and of whole networks
// without a GPU. "Device" memory is the host's. Work put on a stream does not run at once but when
// somebody waits for it (stream, event), in order: what is read too early is not there yet. While
// a stream is captured, work goes into the graph and runs with each launch of it.
//
// Every call is counted; the rules that a device enforces are enforced here, and a broken one is
// an error that the call returns: no allocation, copy without a stream or wait while a capture is
// under way, no use of a handle that was released.
//
// For whole programs: STUB_FAULT=KIND@N in the environment makes the N-th launch of a graph in a
// process fail: crash, hang, oom (no memory), sticky (as does every later call). STUB_ONCE=FILE:
// only while FILE does not exist; it is created then. STUB_DEVICE=N: on that device alone.
// STUB_DEVICES=N: so many devices. STUB_MEMORY=BYTES: of each. STUB_OTHERS=FILE: holds how many
// bytes other processes have, read whenever that counts. STUB_NO_PINS: no memory of the process is
// registered.
#ifndef TESTS_CUDA_STUB_H
#define TESTS_CUDA_STUB_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Tests find these in the plug-in by dlsym.
#pragma GCC visibility push(default)

// Put run(closure) on the stream; `bytes` of the closure are copied. Kernels compiled for the host
// are launched by it. A cudaError_t as int.
int stub_launch(void *stream, void (*run)(const void *closure), const void *closure, size_t bytes);

// What was called so far, and what is still held.
struct stub_counts {
    int allocations; // calls that give memory, of the device or pinned
    int releases;
    int waits;        // for one stream or event
    int device_waits; // for the whole device
    int launches;     // of single kernels or cuDNN plans, not while captured
    int graph_launches;
    int captures;
    int copies;     // asynchronous ones
    int registered; // blocks of the process's own memory, ever
    int sums;       // of channels, made by cuDNN beside a convolution
    int held;       // blocks, streams, events, graphs, descriptors and handles not yet released
    int failed;     // calls that were made to
    int broken;     // rules
};
struct stub_counts stub_counts(void);
void stub_set_memory(size_t bytes); // of the device; 0: 1 GiB
void stub_set_others(size_t bytes); // of it that other processes have
void stub_fail_call(int n);         // the n-th call from now fails, whatever it is; 0: none
void stub_set_devices(int count);   // -1: there is no driver

// For the stub's own parts: more or fewer things held; whether this call is the one to fail.
void stub_hold(int count);
void stub_note_sums(void);
bool stub_fails(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
