/* One pair of masks to six integers, for one instruction set. Included once by every level_*.c file.
 *
 * text -> ends of runs -> bit lines of the common box -> borders -> matches, or bytes -> bit lines -> ...
 * No dense frame is made. All ideas of speed are here, none of them changes a number:
 *  - only the box around both masks is looked at, one line and row wider to the north and west;
 *  - borders are computed for 64 x VECTOR_WORDS pixels at once;
 *  - dilation is done for lines that have border bits of the other mask, and its result is counted, not
 *    stored; a cheap rectangle inside the disk is tried first.
 */
#include <stdbool.h>

#include "vector.h"

/* How the bit lines of a box lie in memory.
 *
 * Single: a line is one tile. Its bits start at `first_bit`, with at least half a radius of zero bits on
 * both sides, where widened bits can go and come back from.
 * Many: a line is a zero word, its words, and zero words; tile k begins at word k * (tile words - 2), and
 * its first and last word are halo, owned by its neighbours.
 * There is one line more than `lines`, repeating the last one at the frame's border and zero elsewhere.
 */
typedef struct {
    int32_t lines, bits;
    int32_t first_bit;
    int32_t tile_words, tiles; /* tiles == 0: single */
    ptrdiff_t stride;          /* words from line to line */
    bool ends_lines, ends_bits; /* the box ends where the frame ends: repeat the last line or bit */
} layout;

typedef struct {
    uint64_t *mask[2], *border[2];
    uint64_t *valid, *last_row; /* one line each: bits inside of the box; its last bit if it is repeated */
    int32_t *place[2], *left;   /* lists of tiles, as word offsets into the maps */
    int32_t places[2];
} maps;

typedef struct {
    int32_t first_line, last_line, first_bit, last_bit;
} box;

#define MANY_TILE_WORDS 8
#if VECTOR_WORDS <= 2
#define TILE_WORDS 2
#include "tiles.h"
#endif
#if VECTOR_WORDS <= 4
#define TILE_WORDS 4
#include "tiles.h"
#endif
#define TILE_WORDS 8
#include "tiles.h"

/* ------------------------------------------------------------------ layout */

static layout layout_of(const box *b, int32_t frame_lines, int32_t frame_bits, int radius) {
    layout shape;
    const int margin = (radius + 1) / 2;
    memset(&shape, 0, sizeof shape);
    shape.lines = b->last_line - b->first_line + 1;
    shape.bits = b->last_bit - b->first_bit + 1;
    shape.ends_lines = b->last_line == frame_lines - 1;
    shape.ends_bits = b->last_bit == frame_bits - 1;
    for (int words = VECTOR_WORDS < 2 ? 2 : VECTOR_WORDS; words <= MANY_TILE_WORDS; words *= 2) {
        if (shape.bits + 2 * margin <= 64 * words) {
            shape.tile_words = words;
            shape.stride = words;
            shape.first_bit = margin;
            return shape;
        }
    }
    const int32_t words = (shape.bits - 1) / 64 + 1, core = MANY_TILE_WORDS - 2;
    shape.tile_words = MANY_TILE_WORDS;
    shape.tiles = (words - 1) / core + 1;
    shape.stride = (ptrdiff_t)core * shape.tiles + 2;
    shape.first_bit = 64;
    return shape;
}

/* Room for all maps of a layout, with the masks, the lines around the borders and the row masks set. */
static bool prepare_maps(workspace *scratch, const layout *shape, int radius, maps *map) {
    const uint64_t stride = (uint64_t)shape->stride, lines = (uint64_t)shape->lines;
    const uint64_t mask_words = (lines + 1) * stride;
    const uint64_t border_words = (lines + 2 * (uint64_t)radius) * stride;
    const uint64_t tiles = lines * (uint64_t)(shape->tiles ? shape->tiles : 1) + 1;
    const uint64_t words = 2 * mask_words + 2 * border_words + 2 * stride;
    /* Below this, neither the byte counts nor the 32-bit word offsets overflow. */
    if (words > MAX_SCRATCH_BYTES / 8) return false;
    uint64_t *all = reserve(&scratch->lines, 8 * words);
    int32_t *lists = reserve(&scratch->work, 3 * 4 * tiles);
    if (!all || !lists) return false;
    map->mask[0] = all;
    map->mask[1] = all + mask_words;
    map->valid = all + 2 * mask_words;
    map->last_row = map->valid + stride;
    memset(all, 0, (size_t)(8 * (2 * mask_words + 2 * stride)));
    for (int side = 0; side < 2; side++) {
        uint64_t *around = all + 2 * mask_words + 2 * stride + (uint64_t)side * border_words;
        map->border[side] = around + (uint64_t)radius * stride;
        memset(around, 0, (size_t)(8 * (uint64_t)radius * stride));
        memset(map->border[side] + lines * stride, 0, (size_t)(8 * (uint64_t)radius * stride));
        map->place[side] = lists + (uint64_t)side * tiles;
    }
    map->left = lists + 2 * tiles;
    return true;
}

/* Sets bits from .. last of a line, inclusive. */
INLINE void fill_bits(uint64_t *line, int32_t from, int32_t last) {
    const int32_t first_word = from >> 6, last_word = last >> 6;
    const uint64_t head = ~UINT64_C(0) << (from & 63), tail = ~UINT64_C(0) >> (63 - (last & 63));
    if (first_word == last_word) {
        line[first_word] |= head & tail;
        return;
    }
    line[first_word] |= head;
    for (int32_t k = first_word + 1; k < last_word; k++) line[k] = ~UINT64_C(0);
    line[last_word] |= tail;
}

/* With both masks filled in: the line beyond the last, the row masks, and all six counts but the union. */
static void count_maps(const layout *shape, maps *map, const disk_plan *plan, int64_t counts[6]) {
    const ptrdiff_t end = (ptrdiff_t)shape->lines * shape->stride;
    const int32_t last = shape->first_bit + shape->bits - 1;
    if (shape->ends_lines)
        for (int side = 0; side < 2; side++)
            memcpy(map->mask[side] + end, map->mask[side] + end - shape->stride, 8 * (size_t)shape->stride);
    fill_bits(map->valid, shape->first_bit, last);
    if (shape->ends_bits) fill_bits(map->last_row, last, last);
    if (shape->tiles) {
        count_many_8(shape, map, plan, counts);
        return;
    }
    switch (shape->tile_words) {
#if VECTOR_WORDS <= 2
        case 2: count_single_2(shape, map, plan, counts); break;
#endif
#if VECTOR_WORDS <= 4
        case 4: count_single_4(shape, map, plan, counts); break;
#endif
        default: count_single_8(shape, map, plan, counts);
    }
}

/* ------------------------------------------------------------------ from text */

/* What reading beyond a text may touch: a block of characters and a number. */
#define TEXT_SLACK 80

typedef struct {
    int32_t *line[2], *bit[2]; /* [0]: first pixel of each run, [1]: last pixel */
    int32_t runs;
    int64_t area;
} placed_runs;

/* Ends of all runs as positions in the frame, which a canonical text makes strictly increasing. Returns
 * their number, 0 if the text is not a mask of `pixels` pixels. `text` has TEXT_SLACK '0' behind it. */
static size_t read_run_ends(const uint8_t *text, size_t length, int64_t pixels, int32_t *end) {
    uint64_t previous = 0, before_previous = 0, position = 0, foreign = 0, negative = 0, too_long = 0;
    size_t count = 0, start = 0;
    for (size_t base = 0; base < length; base += 64) {
        uint64_t last_digit = ~continuation_bits(text + base, &foreign);
        if (length - base < 64) last_digit &= (UINT64_C(1) << (length - base)) - 1;
        while (last_digit) {
            const size_t at = base + (size_t)lowest_bit(last_digit);
            const size_t digits = at - start + 1;
            last_digit &= last_digit - 1;
            too_long |= digits > 8;
            uint64_t run = number_at(text + start, digits > 8 ? 8 : (unsigned)digits);
            start = at + 1;
            if (count > 2) run += before_previous;
            before_previous = previous;
            previous = run;
            position += run;
            /* Two's complement in unsigned words; the first run or position out of range is noticed
             * before any sum of them could wrap around to a good one. */
            negative |= run | ((uint64_t)pixels - position);
            end[count++] = (int32_t)(uint32_t)position;
        }
    }
    const bool whole = start == length && position == (uint64_t)pixels;
    return whole && !foreign && !too_long && !(negative >> 63) ? count : 0;
}

/* Frame positions to line and bit, and the box around them. Runs of no pixel, which only a text that is
 * not canonical has, are left out. */
static void place_runs(const int32_t *end, size_t count, int32_t height, placed_runs *placed, box *around) {
    const double lines_per_pixel = 1.0 / height; /* (p + 0.5) / height never rounds across an integer */
    const size_t runs = count / 2;
    int64_t area = 0;
    int32_t shortest = INT32_MAX, lowest = INT32_MAX, highest = -1, crossing = 0;
    for (size_t i = 0; i < runs; i++) {
        const int32_t first = end[2 * i], last = end[2 * i + 1] - 1;
        const int32_t first_line = (int32_t)((first + 0.5) * lines_per_pixel);
        const int32_t last_line = (int32_t)((last + 0.5) * lines_per_pixel);
        const int32_t first_bit = first - first_line * height, last_bit = last - last_line * height;
        placed->line[0][i] = first_line;
        placed->line[1][i] = last_line;
        placed->bit[0][i] = first_bit;
        placed->bit[1][i] = last_bit;
        shortest = last - first < shortest ? last - first : shortest;
        lowest = first_bit < lowest ? first_bit : lowest;
        highest = last_bit > highest ? last_bit : highest;
        crossing |= first_line ^ last_line;
        area += last - first + 1;
    }
    placed->runs = (int32_t)runs;
    placed->area = area;
    if (shortest < 0) {
        int32_t kept = 0;
        for (size_t i = 0; i < runs; i++) {
            const int32_t first = end[2 * i], last = end[2 * i + 1] - 1;
            for (int side = 0; side < 2; side++) {
                placed->line[side][kept] = placed->line[side][i];
                placed->bit[side][kept] = placed->bit[side][i];
            }
            kept += last >= first;
        }
        placed->runs = kept;
        crossing = 1; /* runs of no pixel spoilt the range of bits */
    }
    if (!placed->runs) return;
    if (crossing) {
        lowest = 0;
        highest = height - 1;
    }
    const int32_t first_line = placed->line[0][0], last_line = placed->line[1][placed->runs - 1];
    if (first_line < around->first_line) around->first_line = first_line;
    if (last_line > around->last_line) around->last_line = last_line;
    if (lowest < around->first_bit) around->first_bit = lowest;
    if (highest > around->last_bit) around->last_bit = highest;
}

static void fill_runs(const placed_runs *placed, int32_t height, const box *around, const layout *shape,
                      uint64_t *mask) {
    const int32_t shift = shape->first_bit - around->first_bit;
    for (int32_t i = 0; i < placed->runs; i++) {
        const int32_t line = placed->line[0][i] - around->first_line;
        const int32_t last_line = placed->line[1][i] - around->first_line;
        const int32_t from = placed->bit[0][i] + shift, last = placed->bit[1][i] + shift;
        uint64_t *words = mask + line * shape->stride;
        if (line == last_line) {
            fill_bits(words, from, last);
            continue;
        }
        fill_bits(words, from, height - 1 + shift);
        for (int32_t between = line + 1; between < last_line; between++)
            fill_bits(mask + between * shape->stride, shift, height - 1 + shift);
        fill_bits(mask + last_line * shape->stride, shift, last);
    }
}

static pair_status count_texts(workspace *scratch, const disk_plan *plan, int32_t height, int32_t width,
                               const uint8_t *const text[2], const size_t length[2], int64_t counts[6]) {
    const uint64_t longest = length[0] > length[1] ? length[0] : length[1];
    const uint64_t room = longest + 16; /* numbers: at most one per character */
    uint8_t *copy = reserve(&scratch->text, longest + TEXT_SLACK);
    int32_t *numbers = reserve(&scratch->positions, 4 * 5 * room);
    if (!copy || !numbers) return NO_MEMORY;

    box around = {INT32_MAX, -1, INT32_MAX, -1};
    placed_runs placed[2];
    for (int side = 0; side < 2; side++) {
        int32_t *const end = numbers, *const own = numbers + room + (uint64_t)side * 2 * room;
        const uint64_t half = room / 2;
        for (int i = 0; i < 2; i++) {
            placed[side].line[i] = own + (uint64_t)i * half;
            placed[side].bit[i] = own + (uint64_t)(2 + i) * half;
        }
        placed[side].runs = 0;
        placed[side].area = 0;
        if (!text[side]) continue; /* no text: a mask without pixels */
        memcpy(copy, text[side], length[side]);
        memset(copy + length[side], '0', TEXT_SLACK);
        const size_t count = read_run_ends(copy, length[side], (int64_t)height * width, end);
        if (!count) return side ? BAD_PREDICTION : BAD_TRUTH;
        place_runs(end, count, height, &placed[side], &around);
    }
    memset(counts, 0, 6 * sizeof *counts);
    if (around.last_line < 0) return COUNTED;
    if (around.first_line > 0) around.first_line--;
    if (around.first_bit > 0) around.first_bit--;

    const layout shape = layout_of(&around, width, height, plan->radius);
    maps map;
    if (!prepare_maps(scratch, &shape, plan->radius, &map)) return NO_MEMORY;
    for (int side = 0; side < 2; side++) fill_runs(&placed[side], height, &around, &shape, map.mask[side]);
    count_maps(&shape, &map, plan, counts);
    counts[1] = placed[0].area + placed[1].area - counts[0];
    return COUNTED;
}

/* ------------------------------------------------------------------ from bytes */

/* Bits of one row of bytes. */
static void pack_row(const uint8_t *bytes, int32_t width, uint64_t *bits) {
    int32_t x = 0;
    for (; width - x >= 64; x += 64) bits[x >> 6] = nonzero_bytes(bytes + x);
    if (x < width) {
        uint8_t rest[64] = {0};
        memcpy(rest, bytes + x, (size_t)(width - x));
        bits[x >> 6] = nonzero_bytes(rest);
    }
}

/* Packs both images and finds the box around what is set in either; `column` gathers the set columns. */
static box pack_images(const byte_image image[2], int32_t height, int32_t width, uint64_t *packed[2],
                       uint64_t *column) {
    const int32_t words = (width - 1) / 64 + 1;
    box around = {INT32_MAX, -1, INT32_MAX, -1};
    memset(column, 0, 8 * (size_t)words);
    for (int32_t y = 0; y < height; y++) {
        uint64_t any = 0, *rows[2];
        for (int side = 0; side < 2; side++) {
            rows[side] = packed[side] + (ptrdiff_t)y * words;
            pack_row(image[side].pixels + y * image[side].row_stride, width, rows[side]);
        }
        for (int32_t k = 0; k < words; k++) {
            const uint64_t both = rows[0][k] | rows[1][k];
            any |= both;
            column[k] |= both;
        }
        if (any) {
            if (around.last_line < 0) around.first_line = y;
            around.last_line = y;
        }
    }
    if (around.last_line < 0) return around;
    int32_t first = 0, last = words - 1;
    while (!column[first]) first++;
    while (!column[last]) last--;
    int32_t top = 63;
    while (!(column[last] >> top & 1)) top--;
    around.first_bit = 64 * first + lowest_bit(column[first]);
    around.last_bit = 64 * last + top;
    return around;
}

/* Copies the box's bits to their place in the lines; returns how many are set. */
static int64_t crop_rows(const uint64_t *packed, int32_t words, const box *around, const layout *shape,
                         uint64_t *mask) {
    int64_t area = 0;
    /* Target word j holds source bits from 64 j + offset on; offset may be negative. */
    const int32_t offset = around->first_bit - shape->first_bit;
    const int32_t first_word = shape->first_bit / 64;
    const int32_t last_word = (shape->first_bit + shape->bits - 1) / 64;
    const int32_t step = offset >= 0 ? offset / 64 : -((63 - offset) / 64); /* rounded down */
    const int32_t low = offset - 64 * step;
    for (int32_t line = 0; line < shape->lines; line++) {
        const uint64_t *source = packed + (ptrdiff_t)(around->first_line + line) * words;
        uint64_t *target = mask + line * shape->stride;
        for (int32_t j = first_word; j <= last_word; j++) {
            const int32_t k = j + step;
            const uint64_t here = k >= 0 && k < words ? source[k] : 0;
            const uint64_t above = low && k + 1 >= 0 && k + 1 < words ? source[k + 1] : 0;
            target[j] = low ? here >> low | above << (64 - low) : here;
            area += word_bits(target[j]);
        }
    }
    return area;
}

static pair_status count_bytes(workspace *scratch, const disk_plan *plan, int32_t height, int32_t width,
                               const byte_image image[2], int64_t counts[6]) {
    const uint64_t words = (uint64_t)((width - 1) / 64 + 1);
    if ((2 * (uint64_t)height + 1) * words > MAX_SCRATCH_BYTES / 8) return NO_MEMORY;
    uint64_t *rows = reserve(&scratch->positions, 8 * (2 * (uint64_t)height + 1) * words);
    if (!rows) return NO_MEMORY;
    uint64_t *packed[2] = {rows, rows + (uint64_t)height * words};
    box around = pack_images(image, height, width, packed, rows + 2 * (uint64_t)height * words);
    memset(counts, 0, 6 * sizeof *counts);
    if (around.last_line < 0) return COUNTED;
    if (around.first_line > 0) around.first_line--;
    if (around.first_bit > 0) around.first_bit--;

    const layout shape = layout_of(&around, height, width, plan->radius);
    maps map;
    if (!prepare_maps(scratch, &shape, plan->radius, &map)) return NO_MEMORY;
    int64_t area = 0;
    for (int side = 0; side < 2; side++)
        area += crop_rows(packed[side], (int32_t)words, &around, &shape, map.mask[side]);
    count_maps(&shape, &map, plan, counts);
    counts[1] = area - counts[0];
    return COUNTED;
}

const level LEVEL = {LEVEL_NAME, LEVEL_SUPPORTED, count_texts, count_bytes};
