/* A few words at a time: the operations that differ between instruction sets.
 *
 * Set by the level's file before inclusion: VECTOR_WORDS (1, 2, 4 or 8), and LEVEL_AVX2,
 * LEVEL_AVX512_BW, LEVEL_AVX512_VBMI2 as far as they hold (each includes the one before).
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#else
#define INLINE static __forceinline
#endif

#if VECTOR_WORDS == 1
typedef uint64_t vector;
#else
typedef uint64_t vector __attribute__((vector_size(8 * VECTOR_WORDS)));
#endif

INLINE vector load(const uint64_t *words) {
    vector x;
    memcpy(&x, words, sizeof x);
    return x;
}

INLINE void store(uint64_t *words, vector x) { memcpy(words, &x, sizeof x); }

INLINE vector zero(void) {
    const uint64_t none[VECTOR_WORDS] = {0};
    return load(none);
}

/* Asks for memory so many bytes ahead, which need not be there. */
INLINE void will_read(const uint8_t *place, size_t ahead) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch((const void *)((uintptr_t)place + ahead), 0, 0);
#else
    (void)place;
    (void)ahead;
#endif
}

/* ------------------------------------------------------------------ single words */

/* Position of the lowest set bit; x is not 0. */
INLINE int lowest_bit(uint64_t x) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctzll(x);
#else
    int at = 0;
    if (!(x & 0xffffffff)) at += 32, x >>= 32;
    if (!(x & 0xffff)) at += 16, x >>= 16;
    if (!(x & 0xff)) at += 8, x >>= 8;
    if (!(x & 0xf)) at += 4, x >>= 4;
    if (!(x & 0x3)) at += 2, x >>= 2;
    return at + !(x & 1);
#endif
}

INLINE int highest_bit(uint64_t x) {
#if defined(__GNUC__) || defined(__clang__)
    return 63 - __builtin_clzll(x);
#else
    int at = 0;
    while (x >>= 1) at++;
    return at;
#endif
}

INLINE int64_t word_bits(uint64_t x) {
#if defined(LEVEL_AVX2)
    return __builtin_popcountll(x);
#else
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (int64_t)(x * UINT64_C(0x0101010101010101) >> 56);
#endif
}

/* ------------------------------------------------------------------ neighbours in a line */

/* The words of x moved up by one, an empty one coming in. */
INLINE vector words_from_below(vector x) {
#if defined(LEVEL_AVX512_BW)
    return (vector)_mm512_alignr_epi64((__m512i)x, _mm512_setzero_si512(), 7);
#elif defined(LEVEL_AVX2)
    return (vector)_mm256_alignr_epi8((__m256i)x, _mm256_permute2x128_si256((__m256i)x, (__m256i)x, 0x08), 8);
#elif VECTOR_WORDS == 2
    return (vector){0, x[0]};
#else
    (void)x;
    return 0;
#endif
}

/* The words of x moved down by one, an empty one coming in. */
INLINE vector words_from_above(vector x) {
#if defined(LEVEL_AVX512_BW)
    return (vector)_mm512_alignr_epi64(_mm512_setzero_si512(), (__m512i)x, 1);
#elif defined(LEVEL_AVX2)
    return (vector)_mm256_alignr_epi8(_mm256_permute2x128_si256((__m256i)x, (__m256i)x, 0x81), (__m256i)x, 8);
#elif VECTOR_WORDS == 2
    return (vector){x[1], 0};
#else
    (void)x;
    return 0;
#endif
}

/* x moved up by 1 <= step <= 63 bits, bits of its predecessors coming in. */
INLINE vector moved_up(vector x, vector predecessors, int step) {
#if defined(LEVEL_AVX512_VBMI2)
    return (vector)_mm512_shldv_epi64((__m512i)x, (__m512i)predecessors, _mm512_set1_epi64(step));
#else
    return (x << step) | (predecessors >> (64 - step));
#endif
}

INLINE vector moved_down(vector x, vector successors, int step) {
#if defined(LEVEL_AVX512_VBMI2)
    return (vector)_mm512_shrdv_epi64((__m512i)x, (__m512i)successors, _mm512_set1_epi64(step));
#else
    return (x >> step) | (successors << (64 - step));
#endif
}

/* x moved down by 0 <= step <= 63 bits, bits of the next words coming in. */
INLINE vector funnel(vector x, vector next, int step) {
#if defined(LEVEL_AVX512_VBMI2)
    return moved_down(x, next, step);
#else
    return (x >> step) | (next << 1 << (63 - step));
#endif
}

/* Stores a line whose words are in order as a tile of 1, 2, 4 or 8 vectors: see `slot_of` in kernel.h. */
INLINE void store_spread(uint64_t *target, const vector *line, const uint32_t vectors) {
    if (vectors == 1) {
        store(target, line[0]);
        return;
    }
#if defined(LEVEL_AVX2) && VECTOR_WORDS == 4
    const __m256i low = (__m256i)line[0], high = (__m256i)line[1];
    store(target, (vector)_mm256_permute4x64_epi64(_mm256_unpacklo_epi64(low, high), 0xd8));
    store(target + 4, (vector)_mm256_permute4x64_epi64(_mm256_unpackhi_epi64(low, high), 0xd8));
#elif VECTOR_WORDS == 2
    for (uint32_t i = 0; i < vectors / 2; i++) {
        const vector low = line[i], high = line[i + vectors / 2];
        const vector first = {low[0], high[0]}, second = {low[1], high[1]};
        store(target + 4 * i, first);
        store(target + 4 * i + 2, second);
    }
#else
    for (uint32_t i = 0; i < vectors; i++) store(target + i * VECTOR_WORDS, line[i]);
#endif
}

/* ------------------------------------------------------------------ questions */

INLINE int any_bit(vector x) {
#if defined(LEVEL_AVX512_BW)
    return _mm512_test_epi64_mask((__m512i)x, (__m512i)x) != 0;
#elif defined(LEVEL_AVX2)
    return !_mm256_testz_si256((__m256i)x, (__m256i)x);
#elif VECTOR_WORDS == 2
    return (x[0] | x[1]) != 0;
#else
    return x != 0;
#endif
}

/* Number of set bits, spread over the words of the result in some way. */
INLINE vector bit_counts(vector x) {
#if defined(LEVEL_AVX512_VBMI2)
    return (vector)_mm512_popcnt_epi64((__m512i)x);
#elif defined(LEVEL_AVX512_BW)
    const __m512i of_nibble =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i low = _mm512_set1_epi8(15);
    __m512i even = _mm512_shuffle_epi8(of_nibble, _mm512_and_si512((__m512i)x, low));
    __m512i odd = _mm512_shuffle_epi8(of_nibble, _mm512_and_si512(_mm512_srli_epi16((__m512i)x, 4), low));
    return (vector)_mm512_sad_epu8(_mm512_add_epi8(even, odd), _mm512_setzero_si512());
#elif defined(LEVEL_AVX2)
    const __m256i of_nibble =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i low = _mm256_set1_epi8(15);
    __m256i even = _mm256_shuffle_epi8(of_nibble, _mm256_and_si256((__m256i)x, low));
    __m256i odd = _mm256_shuffle_epi8(of_nibble, _mm256_and_si256(_mm256_srli_epi16((__m256i)x, 4), low));
    return (vector)_mm256_sad_epu8(_mm256_add_epi8(even, odd), _mm256_setzero_si256());
#else
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
#if VECTOR_WORDS == 2 && defined(__SSE2__)
    return (vector)_mm_sad_epu8((__m128i)x, _mm_setzero_si128());
#else
    x += x >> 8;
    x += x >> 16;
    x += x >> 32;
    return x & UINT64_C(0xff);
#endif
#endif
}

INLINE int64_t sum_of_words(vector x) {
    uint64_t words[VECTOR_WORDS], sum = 0;
    store(words, x);
    for (int i = 0; i < VECTOR_WORDS; i++) sum += words[i];
    return (int64_t)sum;
}

/* Counts the bits of many vectors. Carry-save adders take four at a time and leave one vector of fours, so
 * that the bits of a fourth of all vectors are counted; ones and twos stay behind for the next. */
typedef struct {
    vector ones, twos, fours; /* bits worth 1 and 2, and how many were worth 4 */
} bit_counter;

INLINE bit_counter no_bits_yet(void) {
    const bit_counter none = {zero(), zero(), zero()};
    return none;
}

#if !defined(LEVEL_AVX512_VBMI2)
/* Adds two vectors to the sum of bits in *ones; returns the carries. */
INLINE vector carry_save(vector *ones, vector a, vector b) {
    const vector sum = *ones ^ a, carry = (*ones & a) | (sum & b);
    *ones = sum ^ b;
    return carry;
}
#endif

INLINE void count_four(bit_counter *bits, vector a, vector b, vector c, vector d) {
#if defined(LEVEL_AVX512_VBMI2)
    bits->ones += (bit_counts(a) + bit_counts(b)) + (bit_counts(c) + bit_counts(d));
#else
    const vector first = carry_save(&bits->ones, a, b), second = carry_save(&bits->ones, c, d);
    bits->fours += bit_counts(carry_save(&bits->twos, first, second));
#endif
}

INLINE int64_t bits_counted(const bit_counter *bits) {
#if defined(LEVEL_AVX512_VBMI2)
    return sum_of_words(bits->ones);
#else
    return sum_of_words(bit_counts(bits->ones) + (bit_counts(bits->twos) << 1) + (bits->fours << 2));
#endif
}

/* ------------------------------------------------------------------ characters and bytes to bits */

/* Eight bytes, the first one lowest. */
INLINE uint64_t eight_bytes(const uint8_t *bytes) {
    uint64_t x;
    memcpy(&x, bytes, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

/* Bit i: whether character i of 64 says that its number goes on. Sets bits of *foreign when a character
 * is outside of '0' .. 'o', the 64 that COCO writes. */
INLINE uint64_t continuation_bits(const uint8_t *text, uint64_t *foreign) {
#if defined(LEVEL_AVX512_BW)
    __m512i digit = _mm512_sub_epi8(_mm512_loadu_si512(text), _mm512_set1_epi8(48));
    *foreign |= _mm512_test_epi8_mask(digit, _mm512_set1_epi8((char)0xc0));
    return _mm512_test_epi8_mask(digit, _mm512_set1_epi8(32));
#elif defined(LEVEL_AVX2)
    uint64_t bits = 0;
    for (int half = 0; half < 2; half++) {
        __m256i digit = _mm256_sub_epi8(_mm256_loadu_si256((const __m256i *)(text + 32 * half)),
                                        _mm256_set1_epi8(48));
        *foreign |= (uint64_t)!_mm256_testz_si256(digit, _mm256_set1_epi8((char)0xc0));
        bits |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(digit, 2)) << (32 * half);
    }
    return bits;
#else
    const uint64_t tops = UINT64_C(0x8080808080808080);
    uint64_t bits = 0;
    for (int part = 0; part < 8; part++) {
        const uint64_t c = eight_bytes(text + 8 * part);
        /* Below 128 nothing carries into the next byte: + 80 tops from '0' on, + 16 from 'p' on. */
        uint64_t plain = c & ~tops;
        *foreign |= (c & tops) | (~(plain + UINT64_C(0x5050505050505050)) & tops) |
                    ((plain + UINT64_C(0x1010101010101010)) & tops);
        uint64_t goes_on = (plain + UINT64_C(0x3030303030303030)) & tops; /* from 'P' = 48 + 32 on */
        bits |= ((goes_on >> 7) * UINT64_C(0x0102040810204080) >> 56) << (8 * part);
    }
    return bits;
#endif
}

/* The number written in 1 <= digits <= 8 characters, two's complement; reads 8 characters. Other numbers
 * of digits give some number. */
INLINE uint64_t number_at(const uint8_t *text, int32_t digits) {
    /* Character 48 + d + 32 * more: d's low bits are the character's, but for bit 4, which is inverted. */
    uint64_t w = eight_bytes(text) ^ UINT64_C(0x1010101010101010);
#if defined(LEVEL_AVX512_BW)
    w = _pext_u64(w, UINT64_C(0x1f1f1f1f1f1f1f1f));
#else
    w &= UINT64_C(0x1f1f1f1f1f1f1f1f);
    w = (w & UINT64_C(0x001f001f001f001f)) | (w >> 3 & UINT64_C(0x03e003e003e003e0));
    w = (w & UINT64_C(0x000003ff000003ff)) | (w >> 6 & UINT64_C(0x000ffc00000ffc00));
    w = (w & UINT64_C(0xfffff)) | (w >> 12 & UINT64_C(0xfffff00000));
#endif
    /* The last digit's top bit is the sign, and compilers shift signed words arithmetically. */
    const unsigned spare = (64 - 5 * (unsigned)digits) & 63;
    return (uint64_t)((int64_t)(w << spare) >> spare);
}

/* 64 bits that say which of 64 bytes are not zero. */
INLINE uint64_t nonzero_bytes(const uint8_t *bytes) {
#if defined(LEVEL_AVX512_BW)
    __m512i x = _mm512_loadu_si512(bytes);
    return _mm512_test_epi8_mask(x, x);
#elif defined(LEVEL_AVX2)
    uint64_t zeros = 0;
    for (int half = 0; half < 2; half++) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(bytes + 32 * half));
        x = _mm256_cmpeq_epi8(x, _mm256_setzero_si256());
        zeros |= (uint64_t)(uint32_t)_mm256_movemask_epi8(x) << (32 * half);
    }
    return ~zeros;
#elif VECTOR_WORDS == 2 && defined(__SSE2__)
    uint64_t zeros = 0;
    for (int quarter = 0; quarter < 4; quarter++) {
        __m128i x = _mm_loadu_si128((const __m128i *)(bytes + 16 * quarter));
        x = _mm_cmpeq_epi8(x, _mm_setzero_si128());
        zeros |= (uint64_t)(uint32_t)_mm_movemask_epi8(x) << (16 * quarter);
    }
    return ~zeros;
#else
    uint64_t bits = 0;
    for (int part = 0; part < 8; part++) {
        const uint64_t c = eight_bytes(bytes + 8 * part);
        const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
        uint64_t nonzero = (((c & low) + low) | c) & ~low;
        bits |= ((nonzero >> 7) * UINT64_C(0x0102040810204080) >> 56) << (8 * part);
    }
    return bits;
#endif
}
