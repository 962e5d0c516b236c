// SPDX-License-Identifier: MIT
// Options of the tools: one table a tool gives getopt_long, --help, --options (the table in
// tab-separated lines, from which cs-run and the tests read what a tool understands) and the
// canonical text of the parameters that a result depends on.
#ifndef CS_BASE_OPT_H
#define CS_BASE_OPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum cs_opt_kind {
    CS_OPT_FLAG,   // bool *: set to true
    CS_OPT_STRING, // const char **: borrowed from argv
    CS_OPT_LIST,   // struct cs_opt_list *: may be repeated
    CS_OPT_INT,    // int64_t *, between min and max
    CS_OPT_REAL,   // double *, between min and max
    CS_OPT_SIZE,   // uint64_t *: bytes with K, M, G, T
    CS_OPT_CHOICE, // int *: index into choices ("auto|ref|cpu")
};

struct cs_opt_list {
    const char **items; // borrowed from argv; the array is freed by cs_opt_list_release
    int count;
};
void cs_opt_list_release(struct cs_opt_list *list);

struct cs_opt {
    char letter;      // 0: long form only
    const char *name; // without the dashes; NULL ends the table
    enum cs_opt_kind kind;
    void *value;     // preset by the tool to the default
    const char *arg; // name of the argument in the help ("N", "FILE"); NULL for flags
    const char *help;
    bool shapes_result; // part of the parameters that decide the output's bytes
    const char *choices;
    double min, max;
    const char *env; // environment variable that gives the default; the option wins
};

struct cs_tool {
    const char *name;     // "cs-load"
    const char *synopsis; // "[OPTION]... FILE|DIR..."
    const char *summary;  // one line
    const struct cs_opt *options;
};

// Parse. Adds -h/--help, -V/--version, -q/--quiet, -v/--verbose and --options to the tool's own:
// help, version and the table print to standard output and the process is done: returns 1.
// Returns 0 with *first = index of the first operand, or -1 with CS_EUSAGE.
// Initialises the log (name, verbosity).
int cs_opt_parse(const struct cs_tool *tool, int argc, char **argv, int *first, struct cs_err *err);

// "name=value name=value" of all options with shapes_result, in table order, defaults included:
// equal text means equal parameters.
void cs_opt_canonical(const struct cs_tool *tool, struct cs_buf *out);

// Print "tool: message" and return the exit status for the error: for use in main.
int cs_opt_die(const struct cs_tool *tool, const struct cs_err *err);

#endif
