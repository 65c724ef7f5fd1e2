/* Masks of one frame to six integers a pair, for one instruction set. Included once by every level_*.c file.
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
#include "numbers.h"

/* How the bit lines of a box lie in memory.
 *
 * A line that fits into a tile starts at `first_bit` with zero bits before and behind it, more than half a
 * radius each: there widened bits can go and come back from, and two neighbouring lines are more than a
 * radius apart. Short lines share a tile: a tile is `tile_words` / `stride` lines.
 *
 * A longer line is cut into tiles that overlap by their first and last word. Column k holds the k-th tile
 * of every line; it counts its core, the words between. What widening gets wrong at the ends of a tile
 * does not reach the core as long as the radius is below 63.
 *
 * Both hold for any order of steps: a bit that goes some way past an edge and comes back to where it counts
 * takes that way twice, and all steps together are no more than the radius.
 *
 * In a tile of several vectors neighbouring words lie in different vectors, at the same place: with two, the
 * even words and the odd ones. So what moves from word to word when bits are shifted need not be moved within
 * vectors. `slot_of` says where a word is.
 */
typedef struct {
    int32_t lines, bits;
    int32_t first_bit; /* of a line in its tile, in column 0 */
    int32_t tile_words, stride; /* stride: words from line to line */
    int32_t tiles, columns;     /* tiles in a column */
    bool ends_lines, ends_bits; /* the box ends where the frame ends: repeat the last line or bit */
} layout;

#define LONGEST_TILE 8
#define NARROWEST_TILE (VECTOR_WORDS < 2 ? 2 : VECTOR_WORDS)
#define CORE_BITS (64 * (LONGEST_TILE - 2))

/* One column: its part of both masks, with one line more than `lines` (the last one again where the frame
 * ends, else zero), and what its bits mean, for one tile. */
typedef struct {
    uint64_t *mask[2];
    uint64_t valid[LONGEST_TILE];        /* bits inside of the box */
    uint64_t valid_at_end[LONGEST_TILE]; /* the same in the last tile, which may have fewer lines */
    uint64_t core[LONGEST_TILE];         /* bits counted in this column */
    uint64_t last_row[LONGEST_TILE];     /* the last bit of a line, if it is repeated */
} column;

/* Borders of one column at a time, with a radius of empty lines around, and lists of their tiles that are
 * not empty (as word offsets).
 *
 * Where several predictions meet one truth, what the truth's border reaches is kept tile by tile as it is
 * asked for: `known` has a bit for each of `reach` that is there, and is NULL for a single prediction. All of
 * it lies in the nearest caches and is gone with the frame: kept for a whole track it would come back from
 * memory more slowly than it is made. */
typedef struct {
    uint64_t *border[2];
    int64_t border_bits[2];
    int32_t *place[2], *left;
    int32_t places[2];
    uint64_t *mask[2];
    int outlined;           /* sides, the truth first, whose border is there already */
    int32_t first_tile[2], last_tile[2]; /* where a side may have bits; elsewhere its border is cleared */
    uint64_t *reach[2];
    uint8_t *known;
} maps;

typedef struct {
    int32_t first_line, last_line, first_bit, last_bit;
} box;

/* The tolerances of usual frame sizes (360, 480, 720 and 1080 lines) get code of their own, in which the
 * disk is a constant, on the wide levels; every other radius follows the plan. */
#if defined(UNROLL) && VECTOR_WORDS > 2
#if !defined(USUAL_RADII)
#define USUAL_RADII(DO) DO(6) DO(8) DO(12) DO(18)
#endif
#define EACH_USUAL_RADIUS(DO) USUAL_RADII(DO)

/* Half the chord of a disk; with constant arguments the compiler works it out. */
INLINE int chord(const int radius, const int distance) {
    int half = 0;
    UNROLL for (int k = 1; k <= radius; k++) half += k * k + distance * distance <= radius * radius;
    return half;
}
#else
#define EACH_USUAL_RADIUS(DO)
#endif

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
    const int margin = radius / 2 + 1;
    layout shape;
    shape.lines = b->last_line - b->first_line + 1;
    shape.bits = b->last_bit - b->first_bit + 1;
    shape.ends_lines = b->last_line == frame_lines - 1;
    shape.ends_bits = b->last_bit == frame_bits - 1;
    shape.columns = 1;
    shape.first_bit = margin;
    shape.stride = 1;
    while (shape.stride < LONGEST_TILE && shape.bits + 2 * margin > 64 * shape.stride) shape.stride *= 2;
    if (shape.bits + 2 * margin > 64 * shape.stride) {
        shape.columns = (shape.bits - 1) / CORE_BITS + 1;
        shape.first_bit = 64;
    }
    shape.tile_words = shape.stride < NARROWEST_TILE ? NARROWEST_TILE : shape.stride;
    const int32_t lines_per_tile = shape.tile_words / shape.stride;
    shape.tiles = (shape.lines - 1) / lines_per_tile + 1;
    return shape;
}

/* Clears words, a multiple of NARROWEST_TILE. */
static void clear_words(uint64_t *words, uint64_t count) {
#if VECTOR_WORDS > 2
    /* memset may write around the caches, where the words are wanted next. */
    const vector none = zero();
    for (uint64_t i = 0; i < count; i += VECTOR_WORDS) store(words + i, none);
#else
    memset(words, 0, (size_t)(8 * count));
#endif
}

/* Room for the maps of one column, all columns and predictions taking turns in it; masks and the lines around
 * borders are cleared. */
static bool prepare_maps(workspace *scratch, const layout *shape, int radius, size_t predictions, maps *map) {
    const uint64_t tile_words = (uint64_t)shape->tile_words, tiles = (uint64_t)shape->tiles;
    /* One tile more, for the line beyond the last. */
    const uint64_t column_words = (tiles + 1) * tile_words;
    const uint64_t mask_words = column_words;
    const uint64_t reach_words = predictions > 1 ? tiles * tile_words : 0;
    const uint64_t around = ((uint64_t)radius * (uint64_t)shape->stride / tile_words + 1) * tile_words;
    const uint64_t border_words = tiles * tile_words + 2 * around;
    /* Below this, neither the byte counts nor the 32-bit word offsets overflow. */
    if (mask_words > MAX_SCRATCH_BYTES / 32 || border_words > MAX_SCRATCH_BYTES / 32) return false;
    uint64_t *all = reserve(&scratch->lines, 8 * (2 * mask_words + 2 * border_words + 2 * reach_words));
    int32_t *lists = reserve(&scratch->work, (3 * 4 + 1) * (tiles + 1));
    if (!all || !lists) return false;
    clear_words(all, 2 * mask_words);
    map->outlined = 0;
    map->known = predictions > 1 ? (uint8_t *)(lists + 3 * (tiles + 1)) : NULL;
    for (int kind = 0; kind < 2; kind++)
        map->reach[kind] = all + 2 * mask_words + 2 * border_words + (uint64_t)kind * reach_words;
    for (int side = 0; side < 2; side++) {
        uint64_t *edge = all + 2 * mask_words + (uint64_t)side * border_words;
        map->mask[side] = all + (uint64_t)side * mask_words;
        map->border[side] = edge + around;
        memset(edge, 0, (size_t)(8 * around));
        memset(map->border[side] + tiles * tile_words, 0, (size_t)(8 * around));
        map->place[side] = lists + (uint64_t)side * (tiles + 1);
    }
    map->left = lists + 2 * (tiles + 1);
    return true;
}

/* Where word number `word` of a line is, whose tiles have so many vectors (1, 2, 4 or 8). */
INLINE uint32_t slot_of(uint32_t word, const uint32_t vectors) {
    return word % vectors * VECTOR_WORDS + word / vectors;
}

/* Sets bits from <= i < end of a line. */
INLINE void fill_words(uint64_t *line, const uint32_t vectors, int32_t from, int32_t end) {
    if (from >= end) return;
    const uint32_t first_word = (uint32_t)from >> 6, last_word = (uint32_t)(end - 1) >> 6;
    const uint64_t head = ~UINT64_C(0) << (from & 63), tail = ~UINT64_C(0) >> (63 - ((end - 1) & 63));
    if (first_word == last_word) {
        line[slot_of(first_word, vectors)] |= head & tail;
        return;
    }
    line[slot_of(first_word, vectors)] |= head;
    for (uint32_t k = first_word + 1; k < last_word; k++) line[slot_of(k, vectors)] = ~UINT64_C(0);
    line[slot_of(last_word, vectors)] |= tail;
}

/* Sets the bits of a tile that lie within from <= i < end, which may be outside of it. */
static void fill_tile(uint64_t *words, uint32_t vectors, int32_t from, int32_t end) {
    if (from < 0) from = 0;
    if (end > 64 * LONGEST_TILE) end = 64 * LONGEST_TILE;
    switch (vectors) {
#if VECTOR_WORDS <= 4
        case 2: fill_words(words, 2, from, end); break;
#endif
#if VECTOR_WORDS <= 2
        case 4: fill_words(words, 4, from, end); break;
#endif
#if VECTOR_WORDS == 1
        case 8: fill_words(words, 8, from, end); break;
#endif
        default: fill_words(words, 1, from, end);
    }
}

static column column_of(const layout *shape, const maps *map, int32_t k) {
    column own;
    const int32_t first = shape->first_bit - k * CORE_BITS, end = first + shape->bits;
    const ptrdiff_t last_tile = (ptrdiff_t)(shape->tiles - 1) * shape->tile_words;
    const uint32_t vectors = (uint32_t)shape->tile_words / VECTOR_WORDS;
    memset(&own, 0, sizeof own);
    for (int32_t word = 0; word < shape->tile_words; word += shape->stride) {
        const bool exists = last_tile + word < (ptrdiff_t)shape->lines * shape->stride;
        fill_tile(own.valid + word, vectors, first, end);
        if (exists) fill_tile(own.valid_at_end + word, vectors, first, end);
        if (shape->ends_bits) fill_tile(own.last_row + word, vectors, end - 1, end);
    }
    if (shape->columns > 1)
        fill_tile(own.core, vectors, 64, 64 + CORE_BITS);
    else
        memset(own.core, 0xff, sizeof own.core);
    for (int side = 0; side < 2; side++) own.mask[side] = map->mask[side];
    return own;
}

/* To be called when a mask of a column is filled in. */
static void repeat_last_line(const layout *shape, const column *own, int side) {
    if (!shape->ends_lines) return;
    uint64_t *beyond = own->mask[side] + (ptrdiff_t)shape->lines * shape->stride;
    memcpy(beyond, beyond - shape->stride, 8 * (size_t)shape->stride);
}

/* With both masks of a column filled in: adds all its counts but the union. */
static void count_column(const layout *shape, const column *own, maps *map, const disk_plan *plan,
                         int64_t counts[6]) {
    switch (shape->tile_words) {
#if VECTOR_WORDS <= 2
        case 2: count_column_2(shape, own, map, plan, counts); break;
#endif
#if VECTOR_WORDS <= 4
        case 4: count_column_4(shape, own, map, plan, counts); break;
#endif
        default: count_column_8(shape, own, map, plan, counts);
    }
}

/* ------------------------------------------------------------------ from text */

/* What reading beyond a text may touch: a block of characters and a number; and before it. */
#define TEXT_SLACK 80
#define TEXT_MARGIN 64
/* What is written beyond the numbers of a text. */
#define NUMBER_SLACK 64

typedef struct {
    int32_t *line[2], *bit[2]; /* [0]: first pixel of each run, [1]: last pixel */
    int32_t runs;
    bool crossing; /* a run goes on from one line to the next */
    int32_t lowest, highest; /* bits, of all lines */
    int64_t area;
} placed_runs;

/* The numbers of a text, which has TEXT_MARGIN '0' before it and TEXT_SLACK behind, into `numbers`, which has room
 * for `length` + NUMBER_SLACK. Returns how many there are, 0 if it is not a text of numbers that fit 32 bits.
 *
 * Nearly all numbers have one to three digits. For every character of a block, `short_numbers` works out
 * the number that ends there if it has no more; then those that do end are picked. Longer ones are read one
 * by one. */
static size_t read_numbers(const uint8_t *text, size_t length, int32_t *numbers) {
    uint64_t foreign = 0, goes_on = 0;
    size_t count = 0;
    bool wrong = !length || (text[length - 1] - 48) & 32;
    for (size_t base = 0; base < length; base += 64) {
        const uint64_t before = goes_on;
        goes_on = continuation_bits(text + base, &foreign);
        uint64_t last_digit = ~goes_on;
        if (length - base < 64) last_digit &= (UINT64_C(1) << (length - base)) - 1;
        const uint64_t second = goes_on << 1 | before >> 63, third = second & (goes_on << 2 | before >> 62);
        pick_short_numbers(text + base, last_digit, second, third, numbers + count);
        for (uint64_t more = last_digit & third & (goes_on << 3 | before >> 61); more; more &= more - 1) {
            const int place = lowest_bit(more);
            const uint8_t *last = text + base + place;
            int32_t digits = 4;
            while (digits <= 8 && (last[-digits] - 48) & 32) digits++;
            const int64_t number = (int64_t)number_at(last + 1 - digits, digits);
            wrong |= digits > 8 || number != (int32_t)number;
            numbers[count + (size_t)word_bits(last_digit & ((UINT64_C(1) << place) - 1))] = (int32_t)number;
        }
        count += (size_t)word_bits(last_digit);
    }
    return wrong || foreign ? 0 : count;
}

/* Numbers to ends of runs as positions in the frame, in place; a canonical text makes them strictly increasing.
 * False if they are no mask of `pixels` pixels.
 *
 * Run i > 2 is stored as its difference to run i - 2: the sum of the first is not one. Sums are taken modulo
 * 2^32. A run below 0 and a sum beyond 2^31 show as a sign where they first happen: until then all runs and
 * positions are below 2^31, and the next number cannot jump over the words with a sign. Without any, positions
 * only grow, and the last of them says whether the others fit. */
static bool add_up(int32_t *number, size_t count, int64_t pixels) {
    uint32_t position = (uint32_t)number[0], last[2] = {0, 0}, wrong = position;
    size_t i = 1;
    add_up_many(number, count, &i, &position, last, &wrong);
    for (; i < count; i++) {
        const uint32_t run = (uint32_t)number[i] + last[0];
        last[0] = last[1];
        last[1] = run;
        position += run;
        wrong |= run | position;
        number[i] = (int32_t)position;
    }
    return !(wrong >> 31) && position == (uint64_t)pixels;
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
    placed->crossing = crossing != 0;
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
        placed->crossing = true; /* unknown; and runs of no pixel spoilt the range of bits */
    }
    if (!placed->runs) return;
    if (placed->crossing) {
        lowest = 0;
        highest = height - 1;
    }
    placed->lowest = lowest;
    placed->highest = highest;
    const int32_t first_line = placed->line[0][0], last_line = placed->line[1][placed->runs - 1];
    if (first_line < around->first_line) around->first_line = first_line;
    if (last_line > around->last_line) around->last_line = last_line;
    if (lowest < around->first_bit) around->first_bit = lowest;
    if (highest > around->last_bit) around->last_bit = highest;
}

#if defined(LEVEL_AVX2)
/* Sets bits from <= i < end of lines of 1, 2, 4 and 8 words. Saturating subtraction gives what is left of a
 * bound in each word, and shifting by 64 or more gives no bits. */
INLINE void fill_bits_1(uint64_t *line, const int64_t *from, const int64_t *end) {
    *line |= ~UINT64_C(0) >> (64 - (*end - *from)) << *from;
}

INLINE void fill_bits_2(uint64_t *line, const int64_t *from, const int64_t *end) {
    const __m128i base = _mm_set_epi64x(64, 0), ones = _mm_set1_epi64x(-1);
    const __m128i low = _mm_sllv_epi64(ones, _mm_subs_epu16(_mm_set1_epi64x(*from), base));
    const __m128i high = _mm_sllv_epi64(ones, _mm_subs_epu16(_mm_set1_epi64x(*end), base));
    const __m128i old = _mm_loadu_si128((const __m128i *)line);
    _mm_storeu_si128((__m128i *)line, _mm_or_si128(old, _mm_andnot_si128(high, low)));
}

INLINE void fill_bits_4_at(uint64_t *line, const int64_t *from, const int64_t *end, const int64_t start,
                           const int64_t step) {
    const __m256i base = _mm256_setr_epi64x(start, start + step, start + 2 * step, start + 3 * step);
    const __m256i ones = _mm256_set1_epi64x(-1);
    const __m256i low = _mm256_sllv_epi64(ones, _mm256_subs_epu16(_mm256_set1_epi64x(*from), base));
    const __m256i high = _mm256_sllv_epi64(ones, _mm256_subs_epu16(_mm256_set1_epi64x(*end), base));
    const __m256i old = _mm256_loadu_si256((const __m256i *)line);
    _mm256_storeu_si256((__m256i *)line, _mm256_or_si256(old, _mm256_andnot_si256(high, low)));
}

INLINE void fill_bits_4(uint64_t *line, const int64_t *from, const int64_t *end) {
    fill_bits_4_at(line, from, end, 0, 64);
}

INLINE void fill_bits_8(uint64_t *line, const int64_t *from, const int64_t *end) {
#if defined(LEVEL_AVX512_BW)
    const __m512i base = _mm512_setr_epi64(0, 64, 128, 192, 256, 320, 384, 448);
    const __m512i ones = _mm512_set1_epi64(-1);
    const __m512i low = _mm512_sllv_epi64(ones, _mm512_subs_epu16(_mm512_set1_epi64(*from), base));
    const __m512i high = _mm512_sllv_epi64(ones, _mm512_subs_epu16(_mm512_set1_epi64(*end), base));
    const __m512i old = _mm512_loadu_si512(line);
    _mm512_storeu_si512(line, _mm512_or_si512(old, _mm512_andnot_si512(high, low)));
#else
    fill_bits_4_at(line, from, end, 0, 128);
    fill_bits_4_at(line + 4, from, end, 64, 128);
#endif
}

#define DEFINE_FILL_LINES(WORDS)                                                                          \
    static void fill_lines_##WORDS(const int32_t *line, int32_t runs, const int64_t *from,                \
                                   const int64_t *end, int32_t first_line, uint64_t *mask) {              \
        for (int32_t i = 0; i < runs; i++)                                                                \
            fill_bits_##WORDS(mask + (ptrdiff_t)(line[i] - first_line) * WORDS, from + i, end + i);       \
    }
DEFINE_FILL_LINES(1)
DEFINE_FILL_LINES(2)
DEFINE_FILL_LINES(4)
DEFINE_FILL_LINES(8)

INLINE int32_t clamped(int32_t bit) {
    const int32_t limit = 64 * LONGEST_TILE;
    bit = bit < 0 ? 0 : bit;
    return bit > limit ? limit : bit;
}

/* Writes runs that each lie within one line into the lines of a column whose bit 0 is row `top` of the
 * frame, without a branch. `bounds` has room for two numbers a run. */
static void fill_column(const placed_runs *placed, int32_t first_line, int32_t top, int32_t stride,
                        int64_t *bounds, uint64_t *mask) {
    const int32_t runs = placed->runs;
    int64_t *const from = bounds, *const end = bounds + runs;
    for (int32_t i = 0; i < runs; i++) {
        from[i] = clamped(placed->bit[0][i] - top);
        end[i] = clamped(placed->bit[1][i] + 1 - top);
    }
    switch (stride) {
        case 1: fill_lines_1(placed->line[0], runs, from, end, first_line, mask); break;
        case 2: fill_lines_2(placed->line[0], runs, from, end, first_line, mask); break;
        case 4: fill_lines_4(placed->line[0], runs, from, end, first_line, mask); break;
        default: fill_lines_8(placed->line[0], runs, from, end, first_line, mask);
    }
}
#endif

/* Writes runs that each lie within one line, all of it in this column. */
INLINE void fill_whole_lines(const placed_runs *placed, int32_t first_line, int32_t top, int32_t stride,
                             const uint32_t vectors, uint64_t *mask) {
    for (int32_t i = 0; i < placed->runs; i++)
        fill_words(mask + (ptrdiff_t)(placed->line[0][i] - first_line) * stride, vectors,
                   placed->bit[0][i] - top, placed->bit[1][i] + 1 - top);
}

/* Writes all runs into the lines of column k. */
static void fill_runs(const placed_runs *placed, int32_t height, const box *around, const layout *shape,
                      int32_t k, int64_t *bounds, uint64_t *mask) {
    const int32_t top = around->first_bit - shape->first_bit + k * CORE_BITS;
#if defined(LEVEL_AVX2)
    if (!placed->crossing) {
        fill_column(placed, around->first_line, top, shape->stride, bounds, mask);
        return;
    }
#endif
    (void)bounds;
    const uint32_t vectors = (uint32_t)shape->tile_words / VECTOR_WORDS;
    if (!placed->crossing && shape->columns == 1) {
        switch (vectors) {
#if VECTOR_WORDS <= 4
            case 2: fill_whole_lines(placed, around->first_line, top, shape->stride, 2, mask); break;
#endif
#if VECTOR_WORDS <= 2
            case 4: fill_whole_lines(placed, around->first_line, top, shape->stride, 4, mask); break;
#endif
#if VECTOR_WORDS == 1
            case 8: fill_whole_lines(placed, around->first_line, top, shape->stride, 8, mask); break;
#endif
            default: fill_whole_lines(placed, around->first_line, top, shape->stride, 1, mask);
        }
        return;
    }
    for (int32_t i = 0; i < placed->runs; i++) {
        const int32_t begin = placed->line[0][i], last = placed->line[1][i];
        for (int32_t line = begin; line <= last; line++)
            fill_tile(mask + (ptrdiff_t)(line - around->first_line) * shape->stride, vectors,
                      (line == begin ? placed->bit[0][i] : 0) - top,
                      (line == last ? placed->bit[1][i] + 1 : height) - top);
    }
}

/* What the texts of a frame are read into: runs of the truth, then of every prediction. */
typedef struct {
    placed_runs *placed;
    uint8_t *copy;  /* of the text being read */
    int32_t *end;   /* its run ends */
    int64_t *bounds;
    int32_t *free; /* where the next mask's runs go */
} reading;

static const mask_text *text_of(const text_group *group, size_t mask) {
    return mask ? group->predicted + (mask - 1) * group->step : &group->truth;
}

/* At most one number per character; even, so that its half counts runs. */
static uint64_t numbers_in(size_t length) { return ((uint64_t)length + NUMBER_SLACK) / 2 * 2 + 2; }

static bool prepare_reading(workspace *scratch, const text_group *group, reading *work) {
    const uint64_t masks = (uint64_t)group->predictions + 1;
    uint64_t longest = 0, all = 0;
    for (size_t mask = 0; mask < masks; mask++) {
        const size_t length = text_of(group, mask)->length;
        longest = length > longest ? length : longest;
        all += 2 * numbers_in(length);
        if (all > MAX_SCRATCH_BYTES) return false;
    }
    const uint64_t room = numbers_in(longest), structs = masks * sizeof *work->placed;
    char *block = reserve(&scratch->positions, structs + 8 * room + 4 * room + 4 * all);
    work->copy = reserve(&scratch->text, TEXT_MARGIN + longest + TEXT_SLACK);
    if (!block || !work->copy) return false;
    memset(work->copy, '0', TEXT_MARGIN);
    work->copy += TEXT_MARGIN;
    work->placed = (placed_runs *)(void *)block;
    work->bounds = (int64_t *)(void *)(block + structs);
    work->end = (int32_t *)(void *)(work->bounds + room);
    work->free = work->end + room;
    return true;
}

/* Reads one mask and widens the box around all; false if its text is not a mask of the frame. */
static bool read_mask(reading *work, const mask_text *source, size_t mask, int32_t height, int32_t width,
                      box *around) {
    placed_runs *placed = &work->placed[mask];
    const uint64_t half = numbers_in(source->length) / 2;
    for (int i = 0; i < 2; i++) {
        placed->line[i] = work->free + (uint64_t)i * half;
        placed->bit[i] = work->free + (uint64_t)(2 + i) * half;
    }
    work->free += 4 * half;
    placed->runs = 0;
    placed->crossing = false;
    placed->area = 0;
    if (!source->text) return true;
    memcpy(work->copy, source->text, source->length);
    memset(work->copy + source->length, '0', TEXT_SLACK);
    const size_t count = read_numbers(work->copy, source->length, work->end);
    if (!count || !add_up(work->end, count, (int64_t)height * width)) return false;
    place_runs(work->end, count, height, placed, around);
    return true;
}

/* Says in which tiles a mask may have bits: those of its lines, which count from the first of the box, and of
 * the one before, which differs from it. No line: `last` is before `first`. */
static void place_side(const layout *shape, maps *map, int side, int32_t first, int32_t last) {
    const int32_t lines_per_tile = shape->tile_words / shape->stride;
    map->first_tile[side] = last < first ? 0 : (first > 0 ? first - 1 : 0) / lines_per_tile;
    map->last_tile[side] = last < first ? -1 : last / lines_per_tile;
}

/* The same for runs in column k; false where they have no bits. */
static bool place_text(const layout *shape, const box *around, const placed_runs *placed, int32_t k, int side,
                       maps *map) {
    const int32_t top = around->first_bit - shape->first_bit + k * CORE_BITS;
    const bool here = placed->runs && placed->highest >= top && placed->lowest < top + 64 * LONGEST_TILE;
    const int32_t first = here ? placed->line[0][0] : 1;
    const int32_t last = here ? placed->line[1][placed->runs - 1] : 0;
    place_side(shape, map, side, first - around->first_line, last - around->first_line);
    return here;
}

/* The first mask of a side in a column: no border but where it may have bits. */
static void clear_around(const layout *shape, maps *map, int side) {
    const uint64_t words = (uint64_t)shape->tile_words, behind = (uint64_t)(map->last_tile[side] + 1);
    clear_words(map->border[side], (uint64_t)map->first_tile[side] * words);
    clear_words(map->border[side] + behind * words, ((uint64_t)shape->tiles - behind) * words);
}

/* Clears what an earlier prediction left in its tiles. */
static void take_turns(const layout *shape, const column *own, maps *map) {
    const ptrdiff_t start = (ptrdiff_t)map->first_tile[1] * shape->tile_words;
    const uint64_t words = (uint64_t)(map->last_tile[1] - map->first_tile[1] + 1) * (uint64_t)shape->tile_words;
    clear_words(own->mask[1] + start, words);
    clear_words(map->border[1] + start, words);
}

/* All predictions of a group against the truth within column k. The truth's lines, its border and what that
 * reaches are made for the first prediction that asks and serve all others. */
static void count_group_column(const reading *work, const text_group *group, int32_t height,
                               const box *around, const layout *shape, int32_t k, maps *map,
                               const disk_plan *plan) {
    const column own = column_of(shape, map, k);
    const uint64_t words = (uint64_t)(shape->tiles + 1) * (uint64_t)shape->tile_words;
    if (map->known) memset(map->known, 0, (size_t)shape->tiles);
    map->outlined = 0;
    for (int side = 0; k && side < 2; side++) clear_words(own.mask[side], words);
    for (size_t i = 0; i < group->predictions; i++) {
        const placed_runs *predicted = &work->placed[i + 1];
        int64_t *counts = group->counts + i * group->counts_step;
        if (map->outlined && !predicted->runs) {
            counts[2] += map->border_bits[0];
            continue;
        }
        if (map->outlined) take_turns(shape, &own, map);
        for (int side = map->outlined; side < 2; side++) {
            const bool here = place_text(shape, around, &work->placed[side ? i + 1 : 0], k, side, map);
            if (!map->outlined) clear_around(shape, map, side);
            if (!here) continue;
            fill_runs(&work->placed[side ? i + 1 : 0], height, around, shape, k, work->bounds, own.mask[side]);
            repeat_last_line(shape, &own, side);
        }
        count_column(shape, &own, map, plan, counts);
        map->outlined = 1;
    }
}

static pair_status count_texts(workspace *scratch, const disk_plan *plan, int32_t height, int32_t width,
                               const text_group *group) {
    reading work;
    box around = {INT32_MAX, -1, INT32_MAX, -1};
    if (!prepare_reading(scratch, group, &work)) return NO_MEMORY;
    for (size_t mask = 0; mask <= group->predictions; mask++)
        if (!read_mask(&work, text_of(group, mask), mask, height, width, &around))
            return mask ? BAD_PREDICTION : BAD_TRUTH;
    for (size_t i = 0; i < group->predictions; i++)
        memset(group->counts + i * group->counts_step, 0, 6 * sizeof *group->counts);
    if (around.last_line < 0) return COUNTED;
    if (around.first_line > 0) around.first_line--;
    if (around.first_bit > 0) around.first_bit--;

    const layout shape = layout_of(&around, width, height, plan->radius);
    maps map;
    size_t shown = 0;
    for (size_t i = 0; i < group->predictions; i++) shown += work.placed[i + 1].runs > 0;
    if (!prepare_maps(scratch, &shape, plan->radius, shown ? shown : 1, &map)) return NO_MEMORY;
    for (int32_t k = 0; k < shape.columns; k++)
        count_group_column(&work, group, height, &around, &shape, k, &map, plan);
    for (size_t i = 0; i < group->predictions; i++) {
        int64_t *counts = group->counts + i * group->counts_step;
        counts[1] = work.placed[0].area + work.placed[i + 1].area - counts[0];
    }
    return COUNTED;
}

/* ------------------------------------------------------------------ from bytes */

/* Words that are read before and behind an image's bits, whatever they hold. */
#define IMAGE_MARGIN 16
/* Bytes from where an image is packed to where its memory is asked for; found by measuring. */
#define READ_AHEAD 4096

/* An image as bits: row y starts at bit first_bit + y * row_bits. Where the rows of an image follow each other
 * they are packed as one, from whole lines of the cache; the rows that have bits are `first_row` to `last_row`. */
typedef struct {
    uint64_t *words;
    int64_t first_bit, row_bits, first_row, last_row;
} packed_image;

/* The bits of fewer than 65 bytes, the last one highest; the others are not set. */
static uint64_t pack_last_bytes(const uint8_t *bytes, size_t count) {
    uint8_t all[64] = {0};
    memcpy(all + 64 - count, bytes, count);
    return nonzero_bytes(all);
}

/* Appends the bits of bytes in a row; returns where the next word goes. `before` bytes, fewer than 64, go into a
 * word of their own, at its end. */
static uint64_t *pack_row(const uint8_t *bytes, int64_t count, int64_t before, uint64_t *words) {
    if (before) *words++ = pack_last_bytes(bytes, (size_t)before);
    int64_t i = before;
    for (; count - i >= 64; i += 64) {
        will_read(bytes + i, READ_AHEAD);
        *words++ = nonzero_bytes(bytes + i);
    }
    if (i < count) *words++ = pack_last_bytes(bytes + i, (size_t)(count - i)) >> (64 - (count - i));
    return words;
}

static packed_image pack_image(const byte_image *image, int32_t height, int32_t width, uint64_t *room) {
    const int64_t pixels = (int64_t)height * width;
    packed_image packed = {room + IMAGE_MARGIN, 0, width, height, -1};
    uint64_t *end = packed.words;
    memset(room, 0, 8 * IMAGE_MARGIN);
    if (image->row_stride == width || height == 1) {
        int64_t before = (int64_t)(-(uintptr_t)image->pixels % 64);
        if (before > pixels) before = pixels;
        packed.first_bit = before ? 64 - before : 0;
        end = pack_row(image->pixels, pixels, before, end);
    } else {
        packed.row_bits = ((int64_t)width + 63) / 64 * 64;
        for (int32_t y = 0; y < height; y++) end = pack_row(image->pixels + y * image->row_stride, width, 0, end);
    }
    memset(end, 0, 8 * IMAGE_MARGIN);
    const uint64_t *first = packed.words, *last = end;
    while (first < end && !*first) first++;
    if (first == end) return packed;
    while (!last[-1]) last--;
    packed.first_row = (64 * (first - packed.words) + lowest_bit(*first) - packed.first_bit) / packed.row_bits;
    packed.last_row =
        (64 * (last - 1 - packed.words) + highest_bit(last[-1]) - packed.first_bit) / packed.row_bits;
    return packed;
}

/* Up to 64 * VECTOR_WORDS bits of an image from some bit on, which may be a margin outside. */
INLINE vector bits_from(const packed_image *image, int64_t bit) {
    const int64_t word = bit >= 0 ? bit / 64 : -((63 - bit) / 64); /* rounded down */
    return funnel(load(image->words + word), load(image->words + word + 1), (int)(bit - 64 * word));
}

/* The box around what is set in either image; `column` has room for a row and a vector. */
static box box_of_images(const packed_image image[2], int32_t width, uint64_t *column) {
    const int32_t words = (width - 1) / 64 + 1;
    box around = {INT32_MAX, -1, INT32_MAX, -1};
    memset(column, 0, 8 * ((size_t)words + VECTOR_WORDS));
    for (int side = 0; side < 2; side++) {
        const packed_image *own = &image[side];
        if (own->last_row < 0) continue;
        if (own->first_row < around.first_line) around.first_line = (int32_t)own->first_row;
        if (own->last_row > around.last_line) around.last_line = (int32_t)own->last_row;
        for (int64_t y = own->first_row; y <= own->last_row; y++)
            for (int32_t j = 0; j < words; j += VECTOR_WORDS) {
                const vector row = bits_from(own, own->first_bit + y * own->row_bits + 64 * (int64_t)j);
                store(column + j, load(column + j) | row);
            }
    }
    if (around.last_line < 0) return around;
    column[words - 1] &= ~UINT64_C(0) >> (64 * (int64_t)words - width); /* behind it is the next row */
    int32_t first = 0, last = words - 1;
    while (!column[first]) first++;
    while (!column[last]) last--;
    around.first_bit = 64 * first + lowest_bit(column[first]);
    around.last_bit = 64 * last + highest_bit(column[last]);
    return around;
}

/* Copies the box's bits to the lines of column k, whose tiles have so many vectors and lines so many words;
 * returns how many of its own are set. */
INLINE int64_t crop_lines(const packed_image *image, const box *around, const layout *shape, int32_t k,
                          uint64_t *mask, const uint32_t vectors, const int32_t stride) {
    const int32_t first = shape->first_bit - k * CORE_BITS;
    uint64_t inside[LONGEST_TILE] = {0}, core[LONGEST_TILE] = {0};
    vector area = zero(), line[LONGEST_TILE / VECTOR_WORDS];
    fill_tile(inside, 1, first, first + shape->bits);
    fill_tile(core, 1, shape->columns > 1 ? 64 : 0, shape->columns > 1 ? 64 + CORE_BITS : 64 * LONGEST_TILE);
    for (int64_t y = image->first_row; y <= image->last_row; y++) {
        const int64_t bit = image->first_bit + y * image->row_bits + around->first_bit - first;
        uint64_t *target = mask + (ptrdiff_t)(y - around->first_line) * stride;
        for (uint32_t i = 0; i < vectors; i++) {
            const uint32_t j = i * VECTOR_WORDS;
            line[i] = bits_from(image, bit + 64 * (int64_t)j) & load(inside + j);
            area += bit_counts(line[i] & load(core + j));
        }
        if (stride < VECTOR_WORDS)
            memcpy(target, line, 8 * (size_t)stride);
        else
            store_spread(target, line, vectors);
    }
    return sum_of_words(area);
}

static int64_t crop_rows(const packed_image *image, const box *around, const layout *shape, int32_t k,
                         uint64_t *mask) {
#define CROP_CASE(words)                                                                                     \
    case words:                                                                                              \
        return crop_lines(image, around, shape, k, mask, words < VECTOR_WORDS ? 1 : words / VECTOR_WORDS, words);
    switch (shape->stride) {
        CROP_CASE(1)
        CROP_CASE(2)
        CROP_CASE(4)
        default: return crop_lines(image, around, shape, k, mask, LONGEST_TILE / VECTOR_WORDS, LONGEST_TILE);
    }
#undef CROP_CASE
}

static pair_status count_bytes(workspace *scratch, const disk_plan *plan, int32_t height, int32_t width,
                               const byte_image image[2], int64_t counts[6]) {
    const uint64_t words = (uint64_t)((width - 1) / 64 + 1);
    /* Two more for the ends of an image packed as one. */
    const uint64_t room = (uint64_t)height * words + 2 + 2 * IMAGE_MARGIN;
    if (room > MAX_SCRATCH_BYTES / 32) return NO_MEMORY;
    uint64_t *rows = reserve(&scratch->positions, 8 * (2 * room + words + VECTOR_WORDS));
    if (!rows) return NO_MEMORY;
    packed_image packed[2];
    for (int side = 0; side < 2; side++)
        packed[side] = pack_image(&image[side], height, width, rows + (uint64_t)side * room);
    box around = box_of_images(packed, width, rows + 2 * room);
    memset(counts, 0, 6 * sizeof *counts);
    if (around.last_line < 0) return COUNTED;
    if (around.first_line > 0) around.first_line--;
    if (around.first_bit > 0) around.first_bit--;

    const layout shape = layout_of(&around, height, width, plan->radius);
    maps map;
    int64_t area = 0;
    if (!prepare_maps(scratch, &shape, plan->radius, 1, &map)) return NO_MEMORY;
    for (int32_t k = 0; k < shape.columns; k++) {
        const column own = column_of(&shape, &map, k);
        for (int side = 0; side < 2; side++) {
            const packed_image *mine = &packed[side];
            place_side(&shape, &map, side, (int32_t)mine->first_row - around.first_line,
                       (int32_t)mine->last_row - around.first_line);
            clear_around(&shape, &map, side);
            area += crop_rows(mine, &around, &shape, k, own.mask[side]);
            repeat_last_line(&shape, &own, side);
        }
        count_column(&shape, &own, &map, plan, counts);
    }
    counts[1] = area - counts[0];
    return COUNTED;
}

const level LEVEL = {LEVEL_NAME, LEVEL_SUPPORTED, count_texts, count_bytes};
