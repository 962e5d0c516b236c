// SPDX-License-Identifier: MIT
// Which channels of a file a plan takes, by index or by name.
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/num.h"
#include "image/plan_inside.h"

// A channel as the user sees it: one of the planes on the C axis, or one sample of a page.
struct choice {
    const struct cs_plan *plan;
    bool samples; // the channels are samples of each page
    uint32_t count;
};

static const char *choice_name(const struct choice *choice, uint32_t i)
{
    static const char *const rgb[] = {"R", "G", "B"};
    const struct cs_series *s = choice->plan->series;
    if (choice->samples)
        return choice->plan->conversion.rgb && i < 3 ? rgb[i]
               : choice->count == 1 && s->names      ? s->names[0]
                                                     : NULL;
    return s->names ? s->names[i] : NULL;
}

// "0 DAPI, 1 GFP", cut where it grows long.
static void list_channels(const struct choice *choice, struct cs_buf *out)
{
    for (uint32_t i = 0; i < choice->count && out->len < 200; i++) {
        const char *name = choice_name(choice, i);
        cs_buf_addf(out, "%s%u%s%.60s", i ? ", " : "", i, name ? " " : "", name ? name : "");
    }
    if (out->len >= 200)
        cs_buf_adds(out, "...");
}

enum { NO_CHANNEL = -1, SEVERAL_CHANNELS = -2 };

// text: what was asked for, and found NO_CHANNEL or SEVERAL_CHANNELS; NULL: nothing was.
static int ask(const struct choice *choice, const char *text, int64_t found, struct cs_err *err)
{
    struct cs_buf list = {0};
    list_channels(choice, &list);
    if (found == SEVERAL_CHANNELS)
        cs_fail(err, CS_EINPUT, "several channels '%s' (%s): choose by number", text, list.data);
    else if (text)
        cs_fail(err, CS_EINPUT, "no channel '%s': the file has %s", text, list.data);
    else
        cs_fail(err, CS_EINPUT, "%u channels (%s): choose -c LIST, or -c all", choice->count,
                list.data);
    cs_buf_release(&list);
    return -1;
}

// The number of the channel that a word names: an index in range, else a name, else a name in
// another letter case.
static int64_t find_channel(const struct choice *choice, const char *word)
{
    int64_t index, exact = NO_CHANNEL, found = NO_CHANNEL;
    if (cs_num_int(word, 0, (int64_t)choice->count - 1, "-c", &index, NULL) == 0)
        return index;
    for (uint32_t i = 0; i < choice->count; i++) {
        const char *name = choice_name(choice, i);
        if (name && strcmp(name, word) == 0)
            exact = exact == NO_CHANNEL ? (int64_t)i : SEVERAL_CHANNELS;
        if (name && strcasecmp(name, word) == 0)
            found = found == NO_CHANNEL ? (int64_t)i : SEVERAL_CHANNELS;
    }
    return exact != NO_CHANNEL ? exact : found;
}

static void add_channel(struct cs_plan *plan, const struct choice *choice, uint32_t i)
{
    const char *name = choice_name(choice, i);
    plan->channels =
        cs_xrealloc(plan->channels, (size_t)plan->channel_count + 1, sizeof *plan->channels);
    plan->channels[plan->channel_count++] = (struct cs_plan_channel){
        .c = choice->samples ? 0 : i,
        .sample = choice->samples ? (uint16_t)i : 0,
        .name = name ? cs_xstrdup(name) : NULL,
    };
}

// The next word of a list; "\," stands for a comma within it. Caller frees.
static char *next_word(const char **at)
{
    char *word = cs_xcalloc(strlen(*at) + 1, 1), *out = word;
    for (; **at && **at != ','; (*at)++) {
        if ((*at)[0] == '\\' && ((*at)[1] == ',' || (*at)[1] == '\\'))
            (*at)++;
        *out++ = **at;
    }
    return word;
}

static int add_listed(struct cs_plan *plan, const struct choice *choice, const char *list,
                      struct cs_err *err)
{
    for (const char *at = list;; at++) {
        char *word = next_word(&at);
        int64_t i = find_channel(choice, word);
        int status = i < 0 ? ask(choice, word, i, err) : 0;
        if (status == 0 && plan->channel_count == CS_MAX_CHANNELS)
            status = cs_fail(err, CS_EINPUT, "-c: too many channels");
        free(word);
        if (status != 0)
            return -1;
        add_channel(plan, choice, (uint32_t)i);
        if (!*at)
            return 0;
    }
}

int cs_plan_choose_channels(struct cs_plan *plan, const struct cs_pick *pick, struct cs_err *err)
{
    uint32_t planes, samples = plan->conversion.channels;
    uint32_t *list = cs_plan_present(plan->series, 'c', &planes);
    uint32_t only = planes ? list[0] : 0;
    struct choice choice = {plan, plan->series->c == 1, 0};
    free(list);
    choice.count = choice.samples ? samples : plan->series->c;
    if (!choice.samples && samples > 1)
        return cs_fail(err, CS_EINPUT,
                       "%u channels of %u samples each are not supported: choose --page N",
                       plan->series->c, samples);
    bool all = pick->channels && strcmp(pick->channels, "all") == 0;
    if (pick->channels && !all) {
        if (add_listed(plan, &choice, pick->channels, err) != 0)
            return -1;
    } else if (choice.samples) {
        // One sample, one colour, or everything that is stored.
        if (samples > 1 && !all && !plan->conversion.rgb && !pick->raw)
            return ask(&choice, NULL, NO_CHANNEL, err);
        for (uint32_t i = 0; i < samples; i++)
            add_channel(plan, &choice, i);
    } else {
        if (planes > 1 && !all)
            return ask(&choice, NULL, NO_CHANNEL, err);
        for (uint32_t i = 0; i < plan->series->c; i++)
            if (all || i == only)
                add_channel(plan, &choice, i);
    }
    plan->rgb = plan->conversion.rgb && choice.samples && plan->channel_count == 3;
    for (uint16_t i = 0; i < plan->channel_count && plan->rgb; i++)
        plan->rgb = plan->channels[i].sample == i;
    return 0;
}
