// SPDX-License-Identifier: MIT
#include "base/opt.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"

enum { MAX_OPTIONS = 64, FIRST_LONG_CODE = 256, HELP_COLUMN = 32, HELP_WIDTH = 79, MAX_NAME = 31 };

static int help_flag, version_flag, table_flag; // codes of the long forms, see code_of

static const struct cs_opt common[] = {
    {'h', "help", CS_OPT_FLAG, &help_flag, NULL, "print this help and exit", false, NULL, 0, 0,
     NULL},
    {'V', "version", CS_OPT_FLAG, &version_flag, NULL, "print the version and exit", false, NULL, 0,
     0, NULL},
    {'q', "quiet", CS_OPT_FLAG, NULL, NULL, "print errors only", false, NULL, 0, 0, NULL},
    {'v', "verbose", CS_OPT_FLAG, NULL, NULL, "say more; twice: say everything", false, NULL, 0, 0,
     NULL},
    {0, "options", CS_OPT_FLAG, &table_flag, NULL, "print the option table and exit", false, NULL,
     0, 0, NULL},
    {0, NULL, CS_OPT_FLAG, NULL, NULL, NULL, false, NULL, 0, 0, NULL},
};

void cs_opt_list_release(struct cs_opt_list *list)
{
    free(list->items);
    *list = (struct cs_opt_list){0};
}

// From HELP_COLUMN on, where the cursor is; ends the line.
static void print_wrapped(const char *text)
{
    while (strlen(text) > HELP_WIDTH - HELP_COLUMN) {
        size_t n = HELP_WIDTH - HELP_COLUMN;
        while (n && text[n] != ' ')
            n--;
        if (!n)
            break;
        printf("%.*s\n%*s", (int)n, text, HELP_COLUMN, "");
        text += n + 1;
    }
    puts(text);
}

static void print_one(const struct cs_opt *o)
{
    char left[64];
    int n = 0;
    if (o->letter)
        n = snprintf(left, sizeof left, "-%c, --%s", o->letter, o->name);
    else
        n = snprintf(left, sizeof left, "    --%s", o->name);
    if (o->arg && n < (int)sizeof left)
        snprintf(left + n, sizeof left - (size_t)n, " %s", o->arg);
    if (strlen(left) > HELP_COLUMN - 4)
        printf("  %s\n%*s", left, HELP_COLUMN, "");
    else
        printf("  %-*s", HELP_COLUMN - 2, left);
    char *help =
        cs_xasprintf("%s%s%s", o->help, o->choices ? ": " : "", o->choices ? o->choices : "");
    print_wrapped(help);
    free(help);
}

static void print_help(const struct cs_tool *tool)
{
    printf("Usage: %s %s\n%s\n\n", tool->name, tool->synopsis, tool->summary);
    for (const struct cs_opt *o = tool->options; o->name; o++)
        print_one(o);
    for (const struct cs_opt *o = common; o->name; o++)
        print_one(o);
}

static void print_table(const struct cs_opt *options)
{
    for (const struct cs_opt *o = options; o->name; o++)
        printf("%c\t%s\t%s\n", o->letter ? o->letter : '-', o->name, o->arg ? o->arg : "");
}

static int choice_index(const struct cs_opt *o, const char *text, const char *what,
                        struct cs_err *err)
{
    size_t len = strlen(text);
    const char *at = o->choices;
    for (int i = 0; at; i++) {
        const char *end = strchrnul(at, '|');
        if ((size_t)(end - at) == len && strncmp(at, text, len) == 0)
            return i;
        at = *end ? end + 1 : NULL;
    }
    return cs_fail(err, CS_EUSAGE, "%s: '%s' is none of %s", what, text, o->choices);
}

static int set_value(const struct cs_opt *o, const char *text, const char *what, struct cs_err *err)
{
    switch (o->kind) {
    case CS_OPT_FLAG:
        *(bool *)o->value = true;
        return 0;
    case CS_OPT_STRING:
        *(const char **)o->value = text;
        return 0;
    case CS_OPT_LIST: {
        struct cs_opt_list *list = o->value;
        list->items = cs_xrealloc(list->items, (size_t)list->count + 1, sizeof *list->items);
        list->items[list->count++] = text;
        return 0;
    }
    case CS_OPT_INT:
        return cs_num_int(text, (int64_t)o->min, (int64_t)o->max, what, o->value, err);
    case CS_OPT_REAL:
        return cs_num_real(text, o->min, o->max, what, o->value, err);
    case CS_OPT_SIZE:
        return cs_num_size(text, what, o->value, err);
    case CS_OPT_CHOICE: {
        int index = choice_index(o, text, what, err);
        if (index < 0)
            return -1;
        *(int *)o->value = index;
        return 0;
    }
    }
    return 0;
}

static int apply_environment(const struct cs_tool *tool, struct cs_err *err)
{
    for (const struct cs_opt *o = tool->options; o->name; o++) {
        const char *text = o->env ? getenv(o->env) : NULL;
        if (text && *text && set_value(o, text, o->env, err) != 0)
            return -1;
    }
    return 0;
}

// The tables of getopt_long, made from ours. Codes from FIRST_LONG_CODE on are indices.
struct parser {
    const struct cs_opt *all[MAX_OPTIONS];
    struct option longs[MAX_OPTIONS + 1];
    char shorts[3 * MAX_OPTIONS + 2];
    int count;
};

static void parser_add(struct parser *p, const struct cs_opt *options)
{
    for (const struct cs_opt *o = options; o->name && p->count < MAX_OPTIONS; o++) {
        p->all[p->count] = o;
        p->longs[p->count] = (struct option){o->name, o->arg ? required_argument : no_argument,
                                             NULL, FIRST_LONG_CODE + p->count};
        size_t used = strlen(p->shorts);
        if (o->letter)
            snprintf(p->shorts + used, sizeof p->shorts - used, "%c%s", o->letter,
                     o->arg ? ":" : "");
        p->count++;
    }
}

static const struct cs_opt *parser_find(const struct parser *p, int code)
{
    if (code >= FIRST_LONG_CODE)
        return p->all[code - FIRST_LONG_CODE];
    for (int i = 0; i < p->count; i++)
        if (p->all[i]->letter == code)
            return p->all[i];
    return NULL;
}

// One of the common options. Returns 1 when the process is done.
static int apply_common(const struct cs_tool *tool, const struct cs_opt *o, int *quiet,
                        int *verbose)
{
    if (o->value == &help_flag) {
        print_help(tool);
        return 1;
    }
    if (o->value == &version_flag) {
        printf("%s (CellStream) %s\n", tool->name, CS_VERSION);
        return 1;
    }
    if (o->value == &table_flag) {
        print_table(tool->options);
        print_table(common);
        return 1;
    }
    *(o->letter == 'q' ? quiet : verbose) += 1;
    return 0;
}

// Levenshtein's distance. Names longer than MAX_NAME are as far as can be.
static size_t distance(const char *a, size_t n, const char *b)
{
    size_t m = strlen(b), row[MAX_NAME + 1];
    if (m > MAX_NAME)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t cost = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            cost = row[j] + 1 < cost ? row[j] + 1 : cost;
            row[j] = row[j - 1] + 1 < cost ? row[j - 1] + 1 : cost;
        }
    }
    return row[m];
}

// The option that fewest letters set apart from what was typed, if these are at most a third of it.
static const char *nearest(const struct parser *p, const char *typed)
{
    const char *best = NULL;
    size_t n = strcspn(typed, "="), least = n / 3 + 1;
    for (int i = 0; i < p->count; i++) {
        size_t d = distance(typed, n, p->all[i]->name);
        if (d < least) {
            least = d;
            best = p->all[i]->name;
        }
    }
    return best;
}

// What getopt_long made of the word before argv[optind], in words.
static int fail_word(const struct parser *p, int code, const char *word, struct cs_err *err)
{
    if (optopt > 0 && optopt < FIRST_LONG_CODE)
        return cs_fail(err, CS_EUSAGE,
                       code == ':' ? "option -%c needs an argument (see --help)"
                                   : "unknown option -%c (see --help)",
                       optopt);
    if (code == ':')
        return cs_fail(err, CS_EUSAGE, "option %s needs an argument (see --help)", word);
    if (optopt)
        return cs_fail(err, CS_EUSAGE, "option %.*s takes no argument", (int)strcspn(word, "="),
                       word);
    const char *near = nearest(p, word + 2);
    return cs_fail(err, CS_EUSAGE, "unknown option %s (%s%s%ssee --help)", word, near ? "--" : "",
                   near ? near : "", near ? "? " : "");
}

static bool is_common(const struct cs_opt *o)
{
    return o >= common && o < common + sizeof common / sizeof *common;
}

int cs_opt_parse(const struct cs_tool *tool, int argc, char **argv, int *first, struct cs_err *err)
{
    struct parser p = {.shorts = ":"};
    int quiet = 0, verbose = 0;
    cs_log_init(tool->name);
    parser_add(&p, tool->options);
    parser_add(&p, common);
    if (apply_environment(tool, err) != 0)
        return -1;
    opterr = 0;
    optind = 0;
    for (;;) {
        int code = getopt_long(argc, argv, p.shorts, p.longs, NULL);
        if (code == -1)
            break;
        if (code == '?' || code == ':')
            return fail_word(&p, code, argv[optind > 0 ? optind - 1 : 0], err);
        const struct cs_opt *o = parser_find(&p, code);
        if (is_common(o)) {
            if (apply_common(tool, o, &quiet, &verbose))
                return fflush(stdout) == 0 && !ferror(stdout)
                           ? 1
                           : cs_fail_errno(err, CS_EIO, "standard output");
            continue;
        }
        char what[64];
        snprintf(what, sizeof what, "--%s", o->name);
        if (set_value(o, optarg, what, err) != 0)
            return -1;
    }
    cs_log_verbosity(quiet, verbose);
    *first = optind;
    return 0;
}

static void add_choice(struct cs_buf *out, const struct cs_opt *o)
{
    const char *at = o->choices;
    for (int i = *(int *)o->value; i > 0; i--)
        at = strchrnul(at, '|') + 1;
    cs_buf_add(out, at, (size_t)(strchrnul(at, '|') - at));
}

void cs_opt_canonical(const struct cs_tool *tool, struct cs_buf *out)
{
    for (const struct cs_opt *o = tool->options; o->name; o++) {
        if (!o->shapes_result)
            continue;
        cs_buf_addf(out, "%s%s=", out->len ? " " : "", o->name);
        switch (o->kind) {
        case CS_OPT_FLAG:
            cs_buf_adds(out, *(bool *)o->value ? "1" : "0");
            break;
        case CS_OPT_STRING:
            cs_buf_adds(out, *(const char **)o->value ? *(const char **)o->value : "");
            break;
        case CS_OPT_LIST: {
            const struct cs_opt_list *list = o->value;
            for (int i = 0; i < list->count; i++)
                cs_buf_addf(out, "%s%s", i ? "," : "", list->items[i]);
            break;
        }
        case CS_OPT_INT:
            cs_buf_addf(out, "%lld", (long long)*(int64_t *)o->value);
            break;
        case CS_OPT_REAL:
            cs_buf_addf(out, "%.17g", *(double *)o->value);
            break;
        case CS_OPT_SIZE:
            cs_buf_addf(out, "%llu", (unsigned long long)*(uint64_t *)o->value);
            break;
        case CS_OPT_CHOICE:
            add_choice(out, o);
            break;
        }
    }
}

int cs_opt_die(const struct cs_tool *tool, const struct cs_err *err)
{
    (void)tool;
    cs_log(CS_LOG_ERROR, "%s", err->text);
    return cs_err_status(err->code);
}
