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
    ptrdiff_t column_words; /* from a column's masks to the next; 0 where they take turns in one place */
    int outlined;           /* sides, the truth first, whose border is there already */
    int32_t first_tile, last_tile; /* where the sides without one may have bits */
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

/* Room for all maps of a layout, or, if there are predictions that take turns, of one column; masks and the lines around
 * borders are cleared. */
static bool prepare_maps(workspace *scratch, const layout *shape, int radius, size_t predictions, maps *map) {
    const uint64_t tile_words = (uint64_t)shape->tile_words, tiles = (uint64_t)shape->tiles;
    /* One tile more, for the line beyond the last. */
    const uint64_t column_words = (tiles + 1) * tile_words;
    const uint64_t mask_words = column_words * (predictions ? 1 : (uint64_t)shape->columns);
    const uint64_t reach_words = predictions > 1 ? tiles * tile_words : 0;
    const uint64_t around = ((uint64_t)radius * (uint64_t)shape->stride / tile_words + 1) * tile_words;
    const uint64_t border_words = tiles * tile_words + 2 * around;
    /* Below this, neither the byte counts nor the 32-bit word offsets overflow. */
    if (mask_words > MAX_SCRATCH_BYTES / 32 || border_words > MAX_SCRATCH_BYTES / 32) return false;
    uint64_t *all = reserve(&scratch->lines, 8 * (2 * mask_words + 2 * border_words + 2 * reach_words));
    int32_t *lists = reserve(&scratch->work, (3 * 4 + 1) * (tiles + 1));
    if (!all || !lists) return false;
    clear_words(all, 2 * mask_words);
    map->column_words = predictions ? 0 : (ptrdiff_t)column_words;
    map->outlined = 0;
    map->first_tile = 0;
    map->last_tile = shape->tiles - 1;
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

/* Sets bits from <= i < end of a line. */
INLINE void fill_words(uint64_t *line, int32_t from, int32_t end) {
    if (from >= end) return;
    const int32_t first_word = from >> 6, last_word = (end - 1) >> 6;
    const uint64_t head = ~UINT64_C(0) << (from & 63), tail = ~UINT64_C(0) >> (63 - ((end - 1) & 63));
    if (first_word == last_word) {
        line[first_word] |= head & tail;
        return;
    }
    line[first_word] |= head;
    for (int32_t k = first_word + 1; k < last_word; k++) line[k] = ~UINT64_C(0);
    line[last_word] |= tail;
}

/* Sets the bits of a tile that lie within from <= i < end, which may be outside of it. */
static void fill_tile(uint64_t *words, int32_t from, int32_t end) {
    if (from < 0) from = 0;
    if (end > 64 * LONGEST_TILE) end = 64 * LONGEST_TILE;
    fill_words(words, from, end);
}

static column column_of(const layout *shape, const maps *map, int32_t k) {
    column own;
    const int32_t first = shape->first_bit - k * CORE_BITS, end = first + shape->bits;
    const ptrdiff_t last_tile = (ptrdiff_t)(shape->tiles - 1) * shape->tile_words;
    memset(&own, 0, sizeof own);
    for (int32_t word = 0; word < shape->tile_words; word += shape->stride) {
        const bool exists = last_tile + word < (ptrdiff_t)shape->lines * shape->stride;
        fill_tile(own.valid + word, first, end);
        if (exists) fill_tile(own.valid_at_end + word, first, end);
        if (shape->ends_bits) fill_tile(own.last_row + word, end - 1, end);
    }
    if (shape->columns > 1)
        fill_tile(own.core, 64, 64 + CORE_BITS);
    else
        memset(own.core, 0xff, sizeof own.core);
    for (int side = 0; side < 2; side++) own.mask[side] = map->mask[side] + k * map->column_words;
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

/* What reading beyond a text may touch: a block of characters and a number. */
#define TEXT_SLACK 80
/* What is written beyond the numbers of a text. */
#define NUMBER_SLACK 64

typedef struct {
    int32_t *line[2], *bit[2]; /* [0]: first pixel of each run, [1]: last pixel */
    int32_t runs;
    bool crossing; /* a run goes on from one line to the next */
    int64_t area;
} placed_runs;

#if defined(LEVEL_AVX512_VBMI2)
INLINE __m512i byte_places(void) {
    uint8_t place[64];
    for (int i = 0; i < 64; i++) place[i] = (uint8_t)i;
    return _mm512_loadu_si512(place);
}

INLINE void store_places(int32_t *ends, __m128i places, __m512i after) {
    _mm512_storeu_si512(ends, _mm512_add_epi32(_mm512_cvtepu8_epi32(places), after));
}
#endif

/* Where the numbers of a text end: one more than the index of each last digit. Returns how many there
 * are; `ends` has room for `length` + NUMBER_SLACK. `text` has TEXT_SLACK '0' behind it. */
static size_t find_numbers(const uint8_t *text, size_t length, int32_t *ends, uint64_t *foreign) {
    size_t count = 0;
    for (size_t base = 0; base < length; base += 64) {
        uint64_t last_digit = ~continuation_bits(text + base, foreign);
        if (length - base < 64) last_digit &= (UINT64_C(1) << (length - base)) - 1;
        const size_t found = (size_t)word_bits(last_digit);
#if defined(LEVEL_AVX512_VBMI2)
        const __m512i places = _mm512_maskz_compress_epi8(last_digit, byte_places());
        const __m512i after = _mm512_set1_epi32((int32_t)base + 1);
        store_places(ends + count, _mm512_castsi512_si128(places), after);
        store_places(ends + count + 16, _mm512_extracti32x4_epi32(places, 1), after);
        if (found > 32) {
            store_places(ends + count + 32, _mm512_extracti32x4_epi32(places, 2), after);
            store_places(ends + count + 48, _mm512_extracti32x4_epi32(places, 3), after);
        }
#else
        /* Eight at a time, whether they are there or not: their number is hard to predict. */
        for (size_t i = 0; i < found; i += 8) {
            for (int j = 0; j < 8; j++) {
                const int place = lowest_bit(last_digit | UINT64_C(1) << 63);
                ends[count + i + (size_t)j] = (int32_t)base + place + 1;
                last_digit &= last_digit - 1;
            }
        }
#endif
        count += found;
    }
    return count;
}

/* Ends of all runs as positions in the frame, which a canonical text makes strictly increasing. Returns
 * their number, 0 if the text is not a mask of `pixels` pixels. `end` and `text` as in find_numbers. */
static size_t read_run_ends(const uint8_t *text, size_t length, int64_t pixels, int32_t *end) {
    uint64_t foreign = 0, wrong = 0, position = 0, last[2] = {0, 0};
    const size_t count = find_numbers(text, length, end, &foreign);
    if (!count || foreign || (size_t)end[count - 1] != length) return 0;
    int32_t start = 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t next = end[i], digits = next - start;
        const uint64_t run = number_at(text + start, digits) + last[0];
        /* Run i > 2 is stored as its difference to run i - 2: the sum of the first is not one. */
        last[0] = i > 1 ? last[1] : 0;
        last[1] = run;
        position += run;
        /* Two's complement in unsigned words: a run below 0, a sum that grows beyond 63 bits (one number
         * is too small to jump over the words with a sign) and a number of more than 8 digits show as a
         * sign. Without one, positions only grow, and the last of them says whether the others fit. */
        wrong |= run | position | (uint64_t)(int64_t)(8 - digits);
        end[i] = (int32_t)(uint32_t)position;
        start = next;
    }
    return wrong >> 63 || position != (uint64_t)pixels ? 0 : count;
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

INLINE void fill_bits_4_at(uint64_t *line, const int64_t *from, const int64_t *end, const int64_t start) {
    const __m256i base = _mm256_setr_epi64x(start, start + 64, start + 128, start + 192);
    const __m256i ones = _mm256_set1_epi64x(-1);
    const __m256i low = _mm256_sllv_epi64(ones, _mm256_subs_epu16(_mm256_set1_epi64x(*from), base));
    const __m256i high = _mm256_sllv_epi64(ones, _mm256_subs_epu16(_mm256_set1_epi64x(*end), base));
    const __m256i old = _mm256_loadu_si256((const __m256i *)line);
    _mm256_storeu_si256((__m256i *)line, _mm256_or_si256(old, _mm256_andnot_si256(high, low)));
}

INLINE void fill_bits_4(uint64_t *line, const int64_t *from, const int64_t *end) {
    fill_bits_4_at(line, from, end, 0);
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
    fill_bits_4_at(line, from, end, 0);
    fill_bits_4_at(line + 4, from, end, 256);
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
    if (!placed->crossing && shape->columns == 1) {
        for (int32_t i = 0; i < placed->runs; i++)
            fill_words(mask + (ptrdiff_t)(placed->line[0][i] - around->first_line) * shape->stride,
                       placed->bit[0][i] - top, placed->bit[1][i] + 1 - top);
        return;
    }
    for (int32_t i = 0; i < placed->runs; i++) {
        const int32_t begin = placed->line[0][i], last = placed->line[1][i];
        for (int32_t line = begin; line <= last; line++)
            fill_tile(mask + (ptrdiff_t)(line - around->first_line) * shape->stride,
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
    work->copy = reserve(&scratch->text, longest + TEXT_SLACK);
    if (!block || !work->copy) return false;
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
    const size_t count = read_run_ends(work->copy, source->length, (int64_t)height * width, work->end);
    if (count) place_runs(work->end, count, height, placed, around);
    return count != 0;
}

/* Clears what an earlier prediction left in its tiles, and narrows these to where a new one has bits: its
 * lines and the one before, which differs from it. */
static void take_turns(const placed_runs *predicted, const box *around, const layout *shape,
                       const column *own, maps *map) {
    const int32_t lines_per_tile = shape->tile_words / shape->stride;
    const int32_t first = predicted->line[0][0] - around->first_line;
    const int32_t last = predicted->line[1][predicted->runs - 1] - around->first_line;
    const ptrdiff_t start = (ptrdiff_t)map->first_tile * shape->tile_words;
    const uint64_t words = (uint64_t)(map->last_tile - map->first_tile + 1) * (uint64_t)shape->tile_words;
    clear_words(own->mask[1] + start, words);
    clear_words(map->border[1] + start, words);
    map->first_tile = (first > 0 ? first - 1 : 0) / lines_per_tile;
    map->last_tile = last / lines_per_tile;
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
    map->first_tile = 0;
    map->last_tile = shape->tiles - 1;
    for (int side = 0; k && side < 2; side++) clear_words(own.mask[side], words);
    for (size_t i = 0; i < group->predictions; i++) {
        const placed_runs *predicted = &work->placed[i + 1];
        int64_t *counts = group->counts + i * group->counts_step;
        if (map->outlined && !predicted->runs) {
            counts[2] += map->border_bits[0];
            continue;
        }
        if (map->outlined) take_turns(predicted, around, shape, &own, map);
        for (int side = map->outlined; side < 2; side++) {
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

/* Copies the box's bits to their place in the lines of every column; returns how many are set. */
static int64_t crop_rows(const uint64_t *packed, int32_t words, const box *around, const layout *shape,
                         const maps *map, uint64_t *mask) {
    int64_t area = 0;
    for (int32_t k = 0; k < shape->columns; k++) {
        /* Target word j holds source bits from 64 j + offset on; offset may be negative. */
        const int32_t offset = around->first_bit - shape->first_bit + k * CORE_BITS;
        const int32_t step = offset >= 0 ? offset / 64 : -((63 - offset) / 64); /* rounded down */
        const int32_t low = offset - 64 * step;
        for (int32_t line = 0; line < shape->lines; line++) {
            const uint64_t *source = packed + (ptrdiff_t)(around->first_line + line) * words;
            uint64_t *target = mask + k * map->column_words + (ptrdiff_t)line * shape->stride;
            for (int32_t j = 0; j < shape->stride; j++) {
                const int32_t from = j + step;
                const uint64_t here = from >= 0 && from < words ? source[from] : 0;
                const uint64_t above = low && from + 1 >= 0 && from + 1 < words ? source[from + 1] : 0;
                target[j] = low ? here >> low | above << (64 - low) : here;
                /* Halo words are counted by the column whose core they are. */
                if (shape->columns == 1 || (j > 0 && j < LONGEST_TILE - 1)) area += word_bits(target[j]);
            }
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
    if (!prepare_maps(scratch, &shape, plan->radius, 0, &map)) return NO_MEMORY;
    int64_t area = 0;
    for (int side = 0; side < 2; side++)
        area += crop_rows(packed[side], (int32_t)words, &around, &shape, &map, map.mask[side]);
    for (int32_t k = 0; k < shape.columns; k++) {
        const column own = column_of(&shape, &map, k);
        for (int side = 0; side < 2; side++) repeat_last_line(&shape, &own, side);
        count_column(&shape, &own, &map, plan, counts);
    }
    counts[1] = area - counts[0];
    return COUNTED;
}

const level LEVEL = {LEVEL_NAME, LEVEL_SUPPORTED, count_texts, count_bytes};
