/* Run-length text to runs, and runs to bit lines. Included by kernel.h after layout.h.
 */
#include "numbers.h"

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

#endif

/* Runs that have bits in one column, within its tiles. */
typedef struct {
    int64_t *from, *end;
    const int32_t *line;
    int32_t runs;
} column_runs;

INLINE int32_t clamped(int32_t bit) {
    const int32_t limit = 64 * LONGEST_TILE;
    bit = bit < 0 ? 0 : bit;
    return bit > limit ? limit : bit;
}

/* Those of runs that each lie within one line, in a column whose bit 0 is row `top` of the frame; `all` lie there.
 * `bounds` has room for two numbers a run, `lines` for one. Where a run without bits is written as quickly as it is
 * left out, it stays. */
static column_runs runs_of_column(const placed_runs *placed, int32_t top, bool all, int64_t *bounds,
                                  int32_t *lines) {
    column_runs own = {bounds, bounds + placed->runs, placed->line[0], placed->runs};
    int64_t *const from = own.from, *const end = own.end;
#if defined(LEVEL_AVX2)
    const bool keep = true;
#else
    const bool keep = all;
#endif
    (void)all;
    if (keep) {
        for (int32_t i = 0; i < placed->runs; i++) {
            from[i] = clamped(placed->bit[0][i] - top);
            end[i] = clamped(placed->bit[1][i] + 1 - top);
        }
        return own;
    }
    own.line = lines;
    own.runs = 0;
    for (int32_t i = 0; i < placed->runs; i++) {
        const int32_t first = clamped(placed->bit[0][i] - top), behind = clamped(placed->bit[1][i] + 1 - top);
        from[own.runs] = first;
        end[own.runs] = behind;
        lines[own.runs] = placed->line[0][i];
        own.runs += first < behind;
    }
    return own;
}

#if !defined(LEVEL_AVX2)
INLINE void fill_lines(const column_runs *own, int32_t first_line, int32_t stride, const uint32_t vectors,
                       uint64_t *mask) {
    for (int32_t i = 0; i < own->runs; i++)
        fill_words(mask + (ptrdiff_t)(own->line[i] - first_line) * stride, vectors, (int32_t)own->from[i],
                   (int32_t)own->end[i]);
}
#endif

static void fill_column(const column_runs *own, int32_t first_line, const layout *shape, uint64_t *mask) {
#if defined(LEVEL_AVX2)
    switch (shape->stride) {
        case 1: fill_lines_1(own->line, own->runs, own->from, own->end, first_line, mask); break;
        case 2: fill_lines_2(own->line, own->runs, own->from, own->end, first_line, mask); break;
        case 4: fill_lines_4(own->line, own->runs, own->from, own->end, first_line, mask); break;
        default: fill_lines_8(own->line, own->runs, own->from, own->end, first_line, mask);
    }
#else
    switch (shape->tile_words / VECTOR_WORDS) {
        case 2: fill_lines(own, first_line, shape->stride, 2, mask); break;
        case 4: fill_lines(own, first_line, shape->stride, 4, mask); break;
#if VECTOR_WORDS == 1
        case 8: fill_lines(own, first_line, shape->stride, 8, mask); break;
#endif
        default: fill_lines(own, first_line, shape->stride, 1, mask);
    }
#endif
}

/* Writes all runs into the lines of column k. `bounds` and `lines` as in runs_of_column(). */
static void fill_runs(const placed_runs *placed, int32_t height, const box *around, const layout *shape,
                      int32_t k, int64_t *bounds, int32_t *lines, uint64_t *mask) {
    const int32_t top = around->first_bit - shape->first_bit + k * CORE_BITS;
    if (!placed->crossing) {
        const column_runs own = runs_of_column(placed, top, shape->columns == 1, bounds, lines);
        fill_column(&own, around->first_line, shape, mask);
        return;
    }
    const uint32_t vectors = (uint32_t)shape->tile_words / VECTOR_WORDS;
    for (int32_t i = 0; i < placed->runs; i++) {
        const int32_t begin = placed->line[0][i], last = placed->line[1][i];
        for (int32_t line = begin; line <= last; line++)
            fill_tile(mask + (ptrdiff_t)(line - around->first_line) * shape->stride, vectors,
                      (line == begin ? placed->bit[0][i] : 0) - top,
                      (line == last ? placed->bit[1][i] + 1 : height) - top);
    }
}
