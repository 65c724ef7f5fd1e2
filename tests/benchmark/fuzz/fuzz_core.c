/* Feeds mutated run-length texts to every instruction set of the counting core.
 *
 *     fuzz_core ITERATIONS [SEED]
 *
 * Built with the address and undefined-behaviour sanitizers by .ci/fuzz_metrics.sh. Each iteration makes two
 * texts of a small frame, most of them mutated, and checks every level of this machine against a decoder
 * and a counter written here, slowly and on dense masks: the same texts must be refused, and accepted ones
 * must give the same six integers, from text and from bytes, alone and in groups of predictions. Texts and images lie in blocks of exactly
 * their size, so that reading one byte too far is found. Ends with 1 at the first difference.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define LONGEST_SIDE 700
#define MOST_PIXELS 60000
#define MOST_TEXT 4096
#define GROUP 5

static uint64_t state;

static uint64_t next_random(void) { /* splitmix64 */
    uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static int64_t below(int64_t limit) { return (int64_t)(next_random() % (uint64_t)limit); }

/* ------------------------------------------------------------------ making texts */

static size_t write_number(uint8_t *text, size_t at, int64_t number) {
    for (int more = 1; more && at < MOST_TEXT;) {
        int digit = (int)(number & 31);
        number >>= 5;
        more = digit & 16 ? number != -1 : number != 0;
        text[at++] = (uint8_t)(48 + digit + (more ? 32 : 0));
    }
    return at;
}

/* Runs of a mask of some kind: a few long ones, many short ones, or columns of an object. */
static size_t write_mask(uint8_t *text, int64_t pixels) {
    int64_t runs[3] = {0, 0, 0}, position = 0;
    size_t at = 0;
    const int64_t kind = below(4), longest = kind == 0 ? pixels : kind == 1 ? 8 : 1 + pixels / 20;
    for (int64_t i = 0; position < pixels && at + 20 < MOST_TEXT; i++) {
        int64_t run = below(longest + 1);
        if (i && !run && below(8)) run = 1; /* sometimes a run of no pixel, which is not canonical */
        if (run > pixels - position || at + 40 >= MOST_TEXT) run = pixels - position;
        position += run;
        at = write_number(text, at, i > 2 ? run - runs[(i - 2) % 3] : run);
        runs[i % 3] = run;
    }
    return at;
}

static size_t mutate(uint8_t *text, size_t length) {
    for (int64_t times = below(4); times >= 0; times--) {
        const size_t place = length ? (size_t)below((int64_t)length) : 0;
        switch (below(9)) {
            case 0: if (length) text[place] ^= (uint8_t)(1 << below(8)); break;
            case 1: if (length) text[place] = (uint8_t)(48 + below(64)); break;
            case 2: if (length) text[place] = (uint8_t)below(256); break;
            case 3: length = place; break;
            case 4: /* drop a few */
                if (length) {
                    size_t gone = 1 + (size_t)below(9);
                    if (gone > length - place) gone = length - place;
                    memmove(text + place, text + place + gone, length - place - gone);
                    length -= gone;
                }
                break;
            case 5: /* repeat a part */
                if (length && length < MOST_TEXT / 2) {
                    const size_t part = (size_t)below((int64_t)(length - place) + 1);
                    memmove(text + place + part, text + place, length - place);
                    length += part;
                }
                break;
            case 6: /* a large or negative number in between */
                if (length < MOST_TEXT - 32) {
                    uint8_t number[MOST_TEXT];
                    const int64_t huge = (int64_t)(next_random() >> below(64)) * (below(2) ? 1 : -1);
                    const size_t digits = write_number(number, 0, huge);
                    memmove(text + place + digits, text + place, length - place);
                    memcpy(text + place, number, digits);
                    length += digits;
                }
                break;
            case 7: /* digits that go on */
                for (size_t i = place; i < length && i < place + 12; i++) text[i] |= 32;
                break;
            default: /* noise */
                length = (size_t)below(80);
                for (size_t i = 0; i < length; i++) text[i] = (uint8_t)(48 + below(64));
        }
    }
    return length;
}

/* ------------------------------------------------------------------ the slow truth */

/* Fills `pixels` (column-major) from a text; 0 when it is not a mask of that many pixels. */
static int decode(const uint8_t *text, size_t length, int64_t count, uint8_t *pixels) {
    int64_t runs[3] = {0, 0, 0}, position = 0;
    size_t at = 0;
    int64_t i = 0;
    for (; at < length; i++) {
        int64_t number = 0, place = 0, digit;
        do {
            if (at >= length || place >= 8) return 0;
            if (text[at] < 48 || text[at] > 111) return 0;
            digit = text[at++] - 48;
            number |= (digit & 31) << (5 * place++);
        } while (digit & 32);
        if (digit & 16) number -= INT64_C(1) << (5 * place);
        if (i > 2) number += runs[(i - 2) % 3];
        if (number < 0 || number > count - position) return 0;
        memset(pixels + position, (int)(i & 1), (size_t)number);
        position += number;
        runs[i % 3] = number;
    }
    return i > 0 && position == count;
}

static uint8_t at(const uint8_t *mask, int32_t height, int32_t width, int32_t y, int32_t x) {
    if (y > height - 1) y = height - 1;
    if (x > width - 1) x = width - 1;
    return mask[(int64_t)x * height + y];
}

static void slow_counts(uint8_t *const mask[2], int32_t height, int32_t width, int radius,
                        int64_t counts[6]) {
    static uint8_t border[2][MOST_PIXELS];
    memset(counts, 0, 6 * sizeof *counts);
    for (int32_t x = 0; x < width; x++)
        for (int32_t y = 0; y < height; y++) {
            const int64_t p = (int64_t)x * height + y;
            counts[0] += mask[0][p] & mask[1][p];
            counts[1] += mask[0][p] | mask[1][p];
            for (int side = 0; side < 2; side++) {
                const uint8_t here = mask[side][p];
                border[side][p] = here != at(mask[side], height, width, y + 1, x) ||
                                  here != at(mask[side], height, width, y, x + 1) ||
                                  here != at(mask[side], height, width, y + 1, x + 1);
                counts[2 + side] += border[side][p];
            }
        }
    for (int side = 0; side < 2; side++)
        for (int32_t x = 0; x < width; x++)
            for (int32_t y = 0; y < height; y++) {
                int near = 0;
                if (!border[side][(int64_t)x * height + y]) continue;
                for (int32_t v = x - radius; v <= x + radius && !near; v++)
                    for (int32_t u = y - radius; u <= y + radius && !near; u++)
                        near = v >= 0 && v < width && u >= 0 && u < height &&
                               (v - x) * (v - x) + (u - y) * (u - y) <= radius * radius &&
                               border[1 - side][(int64_t)v * height + u];
                counts[4 + side] += near;
            }
}

/* ------------------------------------------------------------------ one iteration */

static void *block(size_t bytes) {
    void *made = malloc(bytes ? bytes : 1);
    if (!made) abort();
    return made;
}

static int differs(const int64_t a[6], const int64_t b[6]) { return memcmp(a, b, 6 * sizeof *a) != 0; }

/* Several predictions at once must give what each gives alone; what is given alone was checked before. */
static int group_differs(const level *kernel, workspace *scratch, const disk_plan *plan, int32_t height,
                         int32_t width, mask_text truth, const mask_text *predicted, size_t predictions) {
    int64_t together[6 * GROUP], alone[6];
    const text_group all = {truth, predicted, predictions, 1, together, 6};
    if (kernel->count_texts(scratch, plan, height, width, &all) != COUNTED) return 1;
    for (size_t i = 0; i < predictions; i++) {
        const text_group one = {truth, predicted + i, 1, 1, alone, 6};
        if (kernel->count_texts(scratch, plan, height, width, &one) != COUNTED) return 1;
        if (differs(alone, together + 6 * i)) return 1;
    }
    return 0;
}

static void iteration(workspace *scratch, int64_t number, int64_t *accepted, int64_t *texts_tried) {
    static uint8_t dense[2][MOST_PIXELS], draft[2 * MOST_TEXT];
    int32_t height = 1 + (int32_t)below(below(3) ? 40 : LONGEST_SIDE);
    int32_t width = 1 + (int32_t)below(below(3) ? 40 : LONGEST_SIDE);
    while ((int64_t)height * width > MOST_PIXELS) height = height / 2 + 1, width = width / 2 + 1;
    const int64_t pixels = (int64_t)height * width;
    const int radius = (int)below(below(4) ? 20 : MAX_RADIUS + 1);
    uint8_t *text[2];
    size_t length[2];
    int good[2], none[2];
    for (int side = 0; side < 2; side++) {
        length[side] = write_mask(draft, below(16) ? pixels : 1 + below(2 * pixels));
        if (below(2)) length[side] = mutate(draft, length[side]);
        none[side] = !below(40);
        text[side] = block(length[side]);
        memcpy(text[side], draft, length[side]);
        memset(dense[side], 0, (size_t)pixels);
        good[side] = none[side] || decode(text[side], length[side], pixels, dense[side]);
        *texts_tried += !none[side];
    }
    uint8_t *const masks[2] = {dense[0], dense[1]};
    const size_t third_length = write_mask(draft, pixels);
    uint8_t *third = block(third_length);
    memcpy(third, draft, third_length);
    int64_t expected[6] = {0}, found[6];
    const int compare_all = good[0] && good[1] && (pixels <= 3000 || number % 64 == 0);
    if (compare_all) slow_counts(masks, height, width, radius, expected);
    *accepted += good[0] && good[1];
    disk_plan plan;
    make_plan(&plan, radius);
    int first_level = 1;
    for (const level *const *each = all_levels; *each; each++) {
        if (!(*each)->supported()) continue;
        mask_text given[2] = {{text[0], length[0]}, {text[1], length[1]}};
        for (int side = 0; side < 2; side++)
            if (none[side]) given[side] = (mask_text){NULL, 0};
        const text_group pair = {given[0], &given[1], 1, 1, found, 6};
        const pair_status status = (*each)->count_texts(scratch, &plan, height, width, &pair);
        const pair_status right = !good[0] ? BAD_TRUTH : !good[1] ? BAD_PREDICTION : COUNTED;
        int wrong = status != right;
        if (right == COUNTED && !wrong) {
            if (first_level && !compare_all) memcpy(expected, found, sizeof found);
            wrong = differs(expected, found);
            byte_image image[2];
            uint8_t *bytes[2];
            for (int side = 0; side < 2; side++) {
                const ptrdiff_t stride = width + (ptrdiff_t)(number % 3);
                /* Anywhere in a line of the cache; nothing before it may change the counts. */
                const ptrdiff_t before = below(2) ? below(64) : 0;
                bytes[side] = block((size_t)(before + stride * (height - 1) + width));
                memset(bytes[side], 1, (size_t)before);
                uint8_t *const pixels_of = bytes[side] + before;
                for (int32_t y = 0; y < height; y++)
                    for (int32_t x = 0; x < stride && (x < width || y < height - 1); x++)
                        pixels_of[y * stride + x] =
                            x < width ? (uint8_t)(255 * at(dense[side], height, width, y, x)) : 1;
                image[side].pixels = pixels_of;
                image[side].row_stride = stride;
            }
            wrong |= (*each)->count_bytes(scratch, &plan, height, width, image, found) != COUNTED;
            wrong |= differs(expected, found);
            free(bytes[0]);
            free(bytes[1]);
            const mask_text many[GROUP] = {given[1], given[0], {NULL, 0}, {third, third_length}, given[1]};
            wrong |= group_differs(*each, scratch, &plan, height, width, given[0], many, 1 + (size_t)below(GROUP));
        }
        first_level = 0;
        if (wrong) {
            fprintf(stderr, "iteration %" PRId64 ": level %s, %dx%d, radius %d, status %d, expected %d\n",
                    number, (*each)->name, height, width, radius, (int)status, (int)right);
            for (int i = 0; i < 6; i++)
                fprintf(stderr, "  %" PRId64 " expected %" PRId64 "\n", found[i], expected[i]);
            exit(1);
        }
    }
    free(text[0]);
    free(text[1]);
    free(third);
}

int main(int arguments, char **argument) {
    const int64_t iterations = arguments > 1 ? strtoll(argument[1], NULL, 10) : 20000;
    state = arguments > 2 ? strtoull(argument[2], NULL, 10) : 1;
    workspace scratch = {{0}, {0}, {0}, {0}};
    int64_t accepted = 0, texts = 0;
    for (int64_t i = 0; i < iterations; i++) {
        iteration(&scratch, i, &accepted, &texts);
        if (i % 16 == 0) release(&scratch); /* fresh blocks again, so that their ends are watched */
    }
    release(&scratch);
    printf("fuzzed %" PRId64 " texts in %" PRId64 " pairs (%" PRId64 " valid) on", texts, iterations, accepted);
    for (const level *const *each = all_levels; *each; each++)
        if ((*each)->supported()) printf(" %s", (*each)->name);
    printf(": no fault, no difference\n");
    return 0;
}
