// SPDX-License-Identifier: MIT
#include "layers.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/peak.h"
#include "base/mem.h"
#include "base/num.h"

static int parse(int argc, char **argv, int64_t *threads, int64_t (*own)[4], struct cs_err *err)
{
    if (argc > 1 && cs_num_int(argv[1], 1, 1024, "threads", threads, err) != 0)
        return -1;
    if (argc > 2 && (argc - 2) % 4 != 0)
        return cs_fail(err, CS_EUSAGE, "a layer is IN OUT HEIGHT WIDTH");
    for (int i = 2; i < argc; i++)
        if (cs_num_int(argv[i], 1, 16384, "size", &own[(i - 2) / 4][(i - 2) % 4], err) != 0)
            return -1;
    return (argc - 1) / 4;
}

int layers_main(const struct layers *layers, int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_dnn *dnn = NULL;
    struct cs_peak peak;
    int64_t threads = cs_usable_threads(), (*own)[4] = cs_xcalloc((size_t)argc, sizeof *own);
    int count = parse(argc, argv, &threads, own, &err);
    if (count >= 0 && cs_dnn_open(&dnn, cs_isa_limit(), &err) == 0) {
        omp_set_num_threads((int)threads);
        cs_cpu_peak(threads == 1, &peak);
        printf("%s, fp32 peak %.0f GFLOP/s, %d threads: %s\n", cs_dnn_text(), peak.flops / 1e9,
               (int)threads, layers->columns);
        const int64_t(*todo)[4] = count ? (const int64_t(*)[4])own : layers->layer;
        count = count ? count : layers->count;
        for (int i = 0; i < count && err.code == CS_OK; i++)
            layers->measure(todo[i], dnn, (int)threads, peak.flops, &err);
    }
    cs_dnn_close(dnn);
    free(own);
    if (err.code != CS_OK)
        fprintf(stderr, "%s: %s\n", layers->name, err.text);
    return err.code == CS_OK ? 0 : 1;
}
