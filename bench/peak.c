// SPDX-License-Identifier: MIT
// fp32 peak and copy bandwidth for 1..N threads. Usage: peak [N]
#include <omp.h>
#include <stdio.h>

#include "backend/cpu/peak.h"
#include "base/num.h"

int main(int argc, char **argv)
{
    struct cs_err err;
    int64_t most = cs_usable_threads();
    if (argc > 1 && cs_num_int(argv[1], 1, 1024, "threads", &most, &err) != 0) {
        fprintf(stderr, "peak: %s\n", err.text);
        return 2;
    }
    printf("%8s %14s %16s\n", "threads", "fp32 GFLOP/s", "copy GB/s (r+w)");
    for (int threads = 1; threads <= most; threads++) {
        struct cs_peak peak;
        omp_set_num_threads(threads);
        cs_cpu_peak(false, &peak);
        printf("%8d %14.0f %16.1f\n", threads, peak.flops / 1e9, peak.bytes / 1e9);
    }
    return 0;
}
