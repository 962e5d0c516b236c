// SPDX-License-Identifier: MIT
#include "export/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { BAR = 30 };
static const double interval_bar = 0.1, interval_lines = 10; // seconds

static void show(struct cs_progress *p, double now)
{
    char line[160], bar[BAR + 1];
    int n = 0;
    double rate = now > 0 ? (double)p->done / now : 0;
    p->shown = now;
    if (p->terminal && p->total > 0) {
        int full = (int)(p->done >= p->total ? BAR : p->done * BAR / p->total);
        memset(bar, '#', (size_t)full);
        memset(bar + full, '.', (size_t)(BAR - full));
        bar[BAR] = '\0';
        n = snprintf(line, sizeof line, "[%s] ", bar);
    }
    n += snprintf(line + n, sizeof line - (size_t)n, "%lld", (long long)p->done);
    if (p->total > 0)
        n += snprintf(line + n, sizeof line - (size_t)n, "/%lld", (long long)p->total);
    n += snprintf(line + n, sizeof line - (size_t)n, " images, %lld failed, %.1f/s",
                  (long long)p->failed, rate);
    if (p->total > p->done && rate > 0) {
        double left = (double)(p->total - p->done) / rate;
        snprintf(line + n, sizeof line - (size_t)n,
                 left < 120    ? ", %.0f s left"
                 : left < 7200 ? ", %.0f min left"
                               : ", %.1f h left",
                 left < 120    ? left
                 : left < 7200 ? left / 60
                               : left / 3600);
    }
    fprintf(stderr, p->terminal ? "\r%s\033[K" : "%s\n", line);
    fflush(stderr);
}

void cs_progress_start(struct cs_progress *progress, int64_t total)
{
    *progress = (struct cs_progress){.total = total, .terminal = isatty(STDERR_FILENO)};
    progress->start = cs_clock_seconds();
}

void cs_progress_item(struct cs_progress *progress, bool failed)
{
    double now = cs_clock_seconds() - progress->start;
    progress->done++;
    progress->failed += failed;
    if (now - progress->shown >= (progress->terminal ? interval_bar : interval_lines))
        show(progress, now);
}

void cs_progress_end(struct cs_progress *progress)
{
    show(progress, cs_clock_seconds() - progress->start);
    if (progress->terminal)
        fputc('\n', stderr);
}
