// SPDX-License-Identifier: MIT
// Signals: the first SIGTERM, SIGINT or SIGUSR1 asks for an orderly end, the second one kills.
#include <errno.h>
#include <string.h>

#include "stream/stream.h"

static const int drain_signals[] = {SIGTERM, SIGINT, SIGUSR1};
static volatile sig_atomic_t drain_signal;

static void set_all(void (*handler)(int))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler; // no SA_RESTART: a blocked read of a list must notice
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof drain_signals / sizeof *drain_signals; i++)
        sigaction(drain_signals[i], &action, NULL);
}

static void on_first(int signal_number)
{
    int saved = errno;
    drain_signal = signal_number;
    set_all(SIG_DFL);
    errno = saved;
}

void cs_drain_install(void)
{
    struct sigaction ignore;
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, NULL);
    set_all(on_first);
}

int cs_drain_status(void)
{
    return drain_signal ? 128 + drain_signal : 0;
}
