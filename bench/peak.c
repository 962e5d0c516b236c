// SPDX-License-Identifier: MIT
// fp32 peak and copy bandwidth for 1..N threads. Usage: peak [N]
#include "peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/num.h"

static double copy_gbytes(void)
{
    size_t bytes = (size_t)256 << 20;
    char *from = malloc(bytes), *to = malloc(bytes);
    double best = 0;
    if (!from || !to)
        exit(1);
    memset(from, 1, bytes);
    memset(to, 1, bytes);
    for (int repeat = 0; repeat < 5; repeat++) {
        double start = bench_now(0);
#pragma omp parallel
        {
            size_t n = (size_t)omp_get_num_threads(), i = (size_t)omp_get_thread_num();
            memcpy(to + bytes / n * i, from + bytes / n * i, bytes / n);
        }
        double rate = 2 * (double)bytes / (bench_now(0) - start) / 1e9;
        best = rate > best ? rate : best;
    }
    free(from);
    free(to);
    return best;
}

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
        omp_set_num_threads(threads);
        printf("%8d %14.0f %16.1f\n", threads, peak_gflops(0), copy_gbytes());
    }
    return 0;
}
