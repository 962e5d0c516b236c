// SPDX-License-Identifier: MIT
// Activations that exporters spell out become one operator, which a backend computes in one go:
//
//   x * Sigmoid(x)                                               Swish
//   x * Clip(x + 3, 0, 6) / 6, x * HardSigmoid(x, 1/6, 1/2)      HardSwish
//   x / 2 * (1 + Erf(x / sqrt 2))                                Gelu
//   x / 2 * (1 + Tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))        Gelu, approximate
//
// A product is matched as its factors in any order, with divisions by scalars and all scalars
// multiplied up; what is inside must be read by the product alone. Concrete graphs only.
#include <math.h>
#include <string.h>

#include "graph/params.h"
#include "graph/passes.h"

enum { MAX_FACTORS = 4 };

struct product {
    double scale;
    int factors[MAX_FACTORS]; // values
    int count;                // -1: more than that
};

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-5 * fabs(b);
}

// The number that a constant of one float is; false for anything else.
static bool scalar(const struct cs_graph *graph, int value, double *number)
{
    const struct cs_value *v = value < 0 ? NULL : &graph->values[value];
    if (!v || !v->data || v->in_file || v->type != CS_TYPE_F32 || cs_shape_elements(&v->shape) != 1)
        return false;
    *number = (double)*(const float *)v->data;
    return true;
}

static void add_factor(const struct cs_graph *graph, int value, bool top, struct product *p);

static void add_factors(const struct cs_graph *graph, const struct cs_node *node, struct product *p)
{
    double number;
    bool divides = strcmp(node->op, "Div") == 0;
    add_factor(graph, node->inputs[0], false, p);
    if (divides && scalar(graph, node->inputs[1], &number) && number != 0)
        p->scale /= number;
    else if (divides)
        p->count = -1;
    else
        add_factor(graph, node->inputs[1], false, p);
}

static void add_factor(const struct cs_graph *graph, int value, bool top, struct product *p)
{
    double number;
    const struct cs_node *node = cs_pass_maker(graph, value, "Mul");
    node = node ? node : cs_pass_maker(graph, value, "Div");
    if (p->count < 0)
        return;
    if (scalar(graph, value, &number))
        p->scale *= number;
    else if (node && (top || graph->values[value].uses == 1))
        add_factors(graph, node, p);
    else if (p->count == MAX_FACTORS)
        p->count = -1;
    else
        p->factors[p->count++] = value;
}

static struct product product_of(const struct cs_graph *graph, int value)
{
    struct product p = {.scale = 1};
    add_factor(graph, value, true, &p);
    return p;
}

// The other input of a sum with this number, -1 if it is no such sum.
static int summed_with(const struct cs_graph *graph, int value, double wanted)
{
    const struct cs_node *add = cs_pass_maker(graph, value, "Add");
    double number;
    for (int i = 0; add && i < 2; i++)
        if (scalar(graph, add->inputs[i], &number) && near(number, wanted))
            return add->inputs[1 - i];
    return -1;
}

// ---- The inner functions: whether `value` is f(x) --------------------------------------------

static bool is_sigmoid(const struct cs_graph *graph, int value, int x)
{
    const struct cs_node *node = cs_pass_maker(graph, value, "Sigmoid");
    return node && node->inputs[0] == x;
}

static bool is_hard_sigmoid(const struct cs_graph *graph, int value, int x)
{
    const struct cs_node *node = cs_pass_maker(graph, value, "HardSigmoid");
    return node && node->inputs[0] == x &&
           near((double)cs_node_float(node, "alpha", 0.2f), 1.0 / 6) &&
           near((double)cs_node_float(node, "beta", 0.5f), 0.5);
}

static bool is_clipped(const struct cs_graph *graph, int value, int x)
{
    const struct cs_node *node = cs_pass_maker(graph, value, "Clip");
    float low, high;
    return node && cs_node_clip(graph, node, &low, &high, NULL) == 0 && low == 0 && high == 6 &&
           summed_with(graph, node->inputs[0], 3) == x;
}

// 1 + Erf(x / sqrt 2)
static bool is_erf(const struct cs_graph *graph, int value, int x)
{
    const struct cs_node *node = cs_pass_maker(graph, summed_with(graph, value, 1), "Erf");
    if (!node)
        return false;
    struct product p = product_of(graph, node->inputs[0]);
    return p.count == 1 && p.factors[0] == x && near(p.scale, 0.70710678118654752440);
}

// 0.044715 x^3
static bool is_cubic(const struct cs_graph *graph, int value, int x)
{
    struct product p = product_of(graph, value);
    if (!near(p.scale, 0.044715))
        return false;
    if (p.count == 3)
        return p.factors[0] == x && p.factors[1] == x && p.factors[2] == x;
    const struct cs_node *pow = p.count == 1 ? cs_pass_maker(graph, p.factors[0], "Pow") : NULL;
    double exponent;
    return pow && pow->inputs[0] == x && scalar(graph, pow->inputs[1], &exponent) && exponent == 3;
}

// 1 + Tanh(sqrt(2 / pi) * (x + 0.044715 x^3))
static bool is_tanh(const struct cs_graph *graph, int value, int x)
{
    const struct cs_node *node = cs_pass_maker(graph, summed_with(graph, value, 1), "Tanh");
    if (!node)
        return false;
    struct product p = product_of(graph, node->inputs[0]);
    const struct cs_node *add = p.count == 1 ? cs_pass_maker(graph, p.factors[0], "Add") : NULL;
    return add && near(p.scale, 0.79788456080286535588) &&
           ((add->inputs[0] == x && is_cubic(graph, add->inputs[1], x)) ||
            (add->inputs[1] == x && is_cubic(graph, add->inputs[0], x)));
}

// ---- The rewrite -----------------------------------------------------------------------------

static const struct spelling {
    const char *op, *approximate;
    double scale; // scalars multiplied up
    bool (*is_inner)(const struct cs_graph *graph, int value, int x);
} spellings[] = {
    {"Swish", NULL, 1, is_sigmoid},           {"HardSwish", NULL, 1, is_hard_sigmoid},
    {"HardSwish", NULL, 1.0 / 6, is_clipped}, {"Gelu", NULL, 0.5, is_erf},
    {"Gelu", "tanh", 0.5, is_tanh},
};

// *x is what the function is of.
static const struct spelling *find(const struct cs_graph *graph, const struct cs_node *node, int *x)
{
    static const char *const tops[] = {"Mul", "Div", NULL};
    const struct cs_value *out = cs_node_output(graph, node, 0);
    if (!cs_node_is(node, tops) || cs_node_fuses(node) || !out || out->type != CS_TYPE_F32 ||
        cs_shape_elements(&out->shape) < 0)
        return NULL;
    struct product p = product_of(graph, node->outputs[0]);
    for (size_t s = 0; p.count == 2 && s < sizeof spellings / sizeof *spellings; s++)
        for (int i = 0; i < 2; i++) {
            *x = p.factors[i];
            if (near(p.scale, spellings[s].scale) &&
                spellings[s].is_inner(graph, p.factors[1 - i], *x) &&
                cs_shape_equal(&graph->values[*x].shape, &out->shape))
                return &spellings[s];
        }
    return NULL;
}

bool cs_spelled_function_match(const struct cs_graph *graph, const struct cs_node *node)
{
    int x;
    return find(graph, node, &x) != NULL;
}

int cs_spelled_function_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    int x;
    const struct spelling *spelling = find(graph, node, &x);
    (void)err;
    cs_pass_become(graph, node, spelling->op, (const int[]){x}, 1);
    if (spelling->approximate)
        cs_node_add_string(graph, node, "approximate", spelling->approximate);
    return 0;
}
