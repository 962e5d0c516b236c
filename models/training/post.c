/* Instances from a foreground and a relief map: persistence watershed, holes, areas.
   Plain reference of what cs-postprocess does, used for tuning. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int32_t find(int32_t *parent, int32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static const int DX[8] = {0, -1, 1, 0, -1, 1, -1, 1};
static const int DY[8] = {-1, 0, 0, 1, -1, -1, 1, 1};

/* Labels 1..n (raster order of each object's first pixel); returns n. seed_depth < 0: no splitting. */
int watershed(const uint16_t *p0, const uint16_t *relief, int h, int w, int threshold,
              int seed_depth, int seed_min, int connectivity, int32_t *labels)
{
    size_t n = (size_t)h * w, m = 0;
    uint32_t *count = calloc(65537, sizeof *count);
    int32_t *order = malloc((n + 1) * sizeof *order);
    int32_t *parent = malloc((n + 1) * sizeof *parent); /* a component is named by its first pixel, its peak */
    for (size_t i = 0; i < n; i++) {
        parent[i] = -1;
        if (p0[i] > threshold)
            count[65535 - relief[i] + 1]++;
    }
    for (int i = 0; i < 65536; i++)
        count[i + 1] += count[i];
    for (size_t i = 0; i < n; i++)
        if (p0[i] > threshold) {
            order[count[65535 - relief[i]]++] = (int32_t)i;
            m++;
        }
    for (size_t k = 0; k < m; k++) {
        int32_t i = order[k], x = i % w, y = i / w, best = -1, high = -1, roots[8];
        int nroots = 0;
        for (int d = 0; d < connectivity; d++) {
            int xx = x + DX[d], yy = y + DY[d];
            if (xx < 0 || yy < 0 || xx >= w || yy >= h)
                continue;
            int32_t j = yy * w + xx;
            if (parent[j] < 0)
                continue;
            if (best < 0 || relief[j] > relief[best] || (relief[j] == relief[best] && j < best))
                best = j;
            int32_t r = find(parent, j);
            int known = 0;
            for (int q = 0; q < nroots; q++)
                known |= roots[q] == r;
            if (!known)
                roots[nroots++] = r;
            if (high < 0 || relief[r] > relief[high] || (relief[r] == relief[high] && r < high))
                high = r;
        }
        if (best < 0) {
            parent[i] = i;
            continue;
        }
        for (int q = 0; q < nroots; q++) {
            int32_t r = roots[q];
            if (r != high && (seed_depth < 0 || relief[r] - relief[i] < seed_depth || relief[r] < seed_min))
                parent[r] = high;
        }
        parent[i] = find(parent, best);
    }
    int32_t *name = calloc(n + 1, sizeof *name);
    int objects = 0;
    for (size_t i = 0; i < n; i++) {
        labels[i] = 0;
        if (parent[i] >= 0) {
            int32_t r = find(parent, (int32_t)i);
            if (!name[r])
                name[r] = ++objects;
            labels[i] = name[r];
        }
    }
    free(count), free(order), free(parent), free(name);
    return objects;
}

/* Fill every background region (4-connected) that touches exactly one label and not the image's edge. */
void fill_holes(int32_t *labels, int h, int w)
{
    size_t n = (size_t)h * w;
    uint8_t *seen = calloc(n, 1);
    int32_t *stack = malloc((n + 1) * sizeof *stack);
    for (size_t s = 0; s < n; s++) {
        if (labels[s] || seen[s])
            continue;
        size_t head = 0, tail = 0;
        int32_t owner = 0;
        int open = 0;
        stack[tail++] = (int32_t)s;
        seen[s] = 1;
        while (head < tail) {
            int32_t i = stack[head++];
            int x = i % w, y = i / w;
            for (int d = 0; d < 4; d++) {
                int xx = x + DX[d], yy = y + DY[d];
                if (xx < 0 || yy < 0 || xx >= w || yy >= h) {
                    open = 1;
                    continue;
                }
                int32_t j = yy * w + xx;
                if (labels[j]) {
                    if (owner && owner != labels[j])
                        open = 1;
                    owner = labels[j];
                } else if (!seen[j]) {
                    seen[j] = 1;
                    stack[tail++] = j;
                }
            }
        }
        if (!open && owner)
            for (size_t k = 0; k < tail; k++)
                labels[stack[k]] = owner;
    }
    free(seen), free(stack);
}
