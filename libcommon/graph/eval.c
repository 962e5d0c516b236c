// SPDX-License-Identifier: MIT
// Finding the evaluator of an operator.
#include "graph/eval.h"

#include <string.h>

const struct cs_evaluator *cs_evaluator_find(const char *op)
{
    static const struct cs_evaluator *const tables[] = {
        cs_eval_arithmetic, cs_eval_functions, cs_eval_makers, cs_eval_moves, cs_eval_reductions};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct cs_evaluator *e = tables[t]; e->op; e++)
            if (strcmp(e->op, op) == 0)
                return e;
    return NULL;
}
