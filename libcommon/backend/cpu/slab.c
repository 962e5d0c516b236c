// SPDX-License-Identifier: MIT
// Memory of slots. All slots close and open again when a plan comes, mostly with memory of the same
// size as before: what they had waits for the next ones, since pages cost time to have.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/cpu/cpu.h"

enum { ALIGNMENT = 64, LARGE_PAGE = 2 << 20, PAGE_THREADS = 8 };

// At the start of memory that waits.
struct cs_cpu_slab {
    struct cs_cpu_slab *next;
    size_t bytes;
};

size_t cs_cpu_slab_bytes(size_t bytes)
{
    size_t alignment = bytes >= LARGE_PAGE ? LARGE_PAGE : ALIGNMENT;
    return (bytes + alignment) / alignment * alignment;
}

static char *make(size_t bytes)
{
    size_t alignment = bytes >= LARGE_PAGE ? LARGE_PAGE : ALIGNMENT;
    char *memory = aligned_alloc(alignment, bytes);
    if (!memory)
        return NULL;
    if (alignment == ALIGNMENT)
        return memset(memory, 0, bytes);
    madvise(memory, bytes, MADV_HUGEPAGE);
    // Several threads ask for pages: a virtual machine may have to get each from its host.
    int threads = cs_usable_threads();
    threads = threads < PAGE_THREADS ? threads : PAGE_THREADS;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (size_t at = 0; at < bytes; at += LARGE_PAGE)
        memset(memory + at, 0, LARGE_PAGE);
    return memory;
}

// Take a slab from where the list points to it.
static struct cs_cpu_slab *unlink_slab(struct cs_network *network, struct cs_cpu_slab **at)
{
    struct cs_cpu_slab *slab = *at;
    *at = slab->next;
    network->kept_bytes -= slab->bytes;
    return slab;
}

char *cs_cpu_slab_take(struct cs_network *network, enum cs_cpu_slab_of kind, size_t bytes,
                       struct cs_err *err)
{
    static const char *const names[] = {"activations", "workspace"};
    struct cs_cpu_slab **smaller = NULL;
    bytes = cs_cpu_slab_bytes(bytes);
    for (struct cs_cpu_slab **at = &network->slabs[kind]; *at; at = &(*at)->next) {
        if ((*at)->bytes == bytes)
            return (char *)unlink_slab(network, at);
        if ((*at)->bytes < bytes && (!smaller || (*at)->bytes > (*smaller)->bytes))
            smaller = at;
    }
    if (smaller) // the slot's own, before it grew
        free(unlink_slab(network, smaller));
    char *memory = make(bytes);
    if (!memory)
        cs_fail(err, CS_ENOMEM, "%s: cannot have %zu bytes", names[kind], bytes);
    return memory;
}

void cs_cpu_slab_give(struct cs_network *network, enum cs_cpu_slab_of kind, char *memory,
                      size_t bytes)
{
    struct cs_cpu_slab *slab = (void *)memory;
    if (!memory)
        return;
    *slab = (struct cs_cpu_slab){network->slabs[kind], cs_cpu_slab_bytes(bytes)};
    network->slabs[kind] = slab;
    network->kept_bytes += slab->bytes;
}

void cs_cpu_slab_trim(struct cs_network *network)
{
    for (int kind = 0; kind < CS_CPU_SLAB_KINDS; kind++)
        while (network->slabs[kind])
            free(unlink_slab(network, &network->slabs[kind]));
}
