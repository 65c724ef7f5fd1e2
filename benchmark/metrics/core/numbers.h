/* Numbers of COCO text, many at a time: the operations that differ between instruction sets.
 *
 * A number is written in digits of 5 bits, the lowest first, in characters '0' + digit + 32 where more digits
 * follow. The top bit of the last digit is the sign. Included by runs.h.
 */

#if defined(LEVEL_AVX512_BW)
/* For 32 characters: the number that ends there, of up to three digits. Bits of `second` and `third` say where
 * there are two and three. */
INLINE __m512i short_numbers(const uint8_t *text, uint32_t second, uint32_t third) {
    const __m512i flip = _mm512_set1_epi16(16), digit = _mm512_set1_epi16(31);
    __m512i d[3];
    for (int i = 0; i < 3; i++)
        d[i] = _mm512_xor_si512(_mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(text - i))), flip);
    const __m512i one = _mm512_srai_epi16(_mm512_slli_epi16(d[0], 11), 11);
    const __m512i two = _mm512_or_si512(_mm512_slli_epi16(one, 5), _mm512_and_si512(d[1], digit));
    const __m512i three = _mm512_or_si512(_mm512_slli_epi16(two, 5), _mm512_and_si512(d[2], digit));
    return _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(one, second, two), third, three);
}
#elif defined(LEVEL_AVX2)
/* For 64 characters: the number that ends there, of up to three digits. */
INLINE void short_numbers(const uint8_t *text, int16_t *numbers) {
    const __m256i flip = _mm256_set1_epi16(16), digit = _mm256_set1_epi16(31);
    for (int part = 0; part < 64; part += 16) {
        __m256i d[3];
        for (int i = 0; i < 3; i++)
            d[i] = _mm256_xor_si256(
                _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(text + part - i))), flip);
        const __m256i one = _mm256_srai_epi16(_mm256_slli_epi16(d[0], 11), 11);
        const __m256i two = _mm256_or_si256(_mm256_slli_epi16(one, 5), _mm256_and_si256(d[1], digit));
        const __m256i three = _mm256_or_si256(_mm256_slli_epi16(two, 5), _mm256_and_si256(d[2], digit));
        /* '0' + 32 and more, less the flipped bit: 80 .. 111 without 16 is where a character goes on. */
        const __m256i limit = _mm256_set1_epi16(79);
        const __m256i second = _mm256_cmpgt_epi16(_mm256_xor_si256(d[1], flip), limit);
        const __m256i third = _mm256_and_si256(second, _mm256_cmpgt_epi16(_mm256_xor_si256(d[2], flip), limit));
        const __m256i number = _mm256_blendv_epi8(_mm256_blendv_epi8(one, two, second), three, third);
        _mm256_storeu_si256((__m256i *)(numbers + part), number);
    }
}
#elif VECTOR_WORDS == 2 && defined(__SSE2__)
INLINE __m128i chosen(__m128i mask, __m128i yes, __m128i no) {
    return _mm_or_si128(_mm_and_si128(mask, yes), _mm_andnot_si128(mask, no));
}

INLINE void short_numbers(const uint8_t *text, int16_t *numbers) {
    const __m128i flip = _mm_set1_epi16(16), digit = _mm_set1_epi16(31), limit = _mm_set1_epi16(79);
    for (int part = 0; part < 64; part += 8) {
        __m128i c[3], d[3];
        for (int i = 0; i < 3; i++) {
            c[i] = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(text + part - i)), _mm_setzero_si128());
            d[i] = _mm_xor_si128(c[i], flip);
        }
        const __m128i one = _mm_srai_epi16(_mm_slli_epi16(d[0], 11), 11);
        const __m128i two = _mm_or_si128(_mm_slli_epi16(one, 5), _mm_and_si128(d[1], digit));
        const __m128i three = _mm_or_si128(_mm_slli_epi16(two, 5), _mm_and_si128(d[2], digit));
        const __m128i second = _mm_cmpgt_epi16(c[1], limit);
        const __m128i third = _mm_and_si128(second, _mm_cmpgt_epi16(c[2], limit));
        _mm_storeu_si128((__m128i *)(numbers + part), chosen(third, three, chosen(second, two, one)));
    }
}
#else
#define ONE_NUMBER_AT_A_TIME
#endif

/* Of the 64 characters of a block, those that end a number (`last_digit`): their numbers, if they have up to three
 * digits, in order; something for those that have more. Writes up to 64 numbers, whatever their count. */
INLINE void pick_short_numbers(const uint8_t *text, uint64_t last_digit, uint64_t second, uint64_t third,
                               int32_t *numbers) {
#if defined(LEVEL_AVX512_VBMI2)
    for (int half = 0; half < 64; half += 32) {
        const uint32_t ends = (uint32_t)(last_digit >> half);
        const __m512i all = short_numbers(text + half, (uint32_t)(second >> half), (uint32_t)(third >> half));
        const __m512i ended = _mm512_maskz_compress_epi16(ends, all);
        _mm512_storeu_si512(numbers, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(ended)));
        _mm512_storeu_si512(numbers + 16, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(ended, 1)));
        numbers += word_bits(ends);
    }
#elif defined(LEVEL_AVX512_BW)
    for (int half = 0; half < 64; half += 32) {
        const uint32_t ends = (uint32_t)(last_digit >> half);
        const __m512i all = short_numbers(text + half, (uint32_t)(second >> half), (uint32_t)(third >> half));
        const __m512i low = _mm512_cvtepi16_epi32(_mm512_castsi512_si256(all));
        const __m512i high = _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(all, 1));
        _mm512_storeu_si512(numbers, _mm512_maskz_compress_epi32((uint16_t)ends, low));
        numbers += word_bits(ends & 0xffff);
        _mm512_storeu_si512(numbers, _mm512_maskz_compress_epi32((uint16_t)(ends >> 16), high));
        numbers += word_bits(ends >> 16);
    }
#else
    /* Eight at a time, whether they are there or not: their number is hard to predict. */
    const int64_t count = word_bits(last_digit);
#if defined(ONE_NUMBER_AT_A_TIME)
    /* A number begins where the one before it ended, at most two digits before its last. */
    (void)third;
    for (int64_t i = 0; i < count; i++) {
        const int place = lowest_bit(last_digit);
        const int digits = 1 + (int)(second >> place & 1) + (int)(third >> place & 1);
        numbers[i] = (int32_t)number_at(text + place + 1 - digits, digits);
        last_digit &= last_digit - 1;
    }
#else
    int16_t all[64];
    (void)second;
    (void)third;
    short_numbers(text, all);
    for (int64_t i = 0; i < count; i += 8) {
        for (int j = 0; j < 8; j++) {
            numbers[i + j] = all[lowest_bit(last_digit | UINT64_C(1) << 63)];
            last_digit &= last_digit - 1;
        }
    }
#endif
#endif
}

/* As many whole vectors of numbers from *i on as there are, summed up as add_up() says; the state of its loop
 * goes in and out. */
INLINE void add_up_many(int32_t *number, size_t count, size_t *i, uint32_t *position, uint32_t last[2],
                        uint32_t *wrong) {
#if defined(LEVEL_AVX512_BW)
    const __m512i none = _mm512_setzero_si512(), top = _mm512_set1_epi32(15);
    const __m512i pair = _mm512_broadcastq_epi64(_mm_setr_epi32(14, 15, 0, 0));
    __m512i runs = _mm512_broadcastq_epi64(_mm_setr_epi32((int)last[0], (int)last[1], 0, 0));
    __m512i sum = _mm512_set1_epi32((int)*position), signs = none;
    for (; count - *i >= 16; *i += 16) {
        __m512i x = _mm512_loadu_si512(number + *i);
        x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, none, 14));
        x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, none, 12));
        x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, none, 8));
        x = _mm512_add_epi32(x, runs);
        runs = _mm512_permutexvar_epi32(pair, x);
        __m512i y = _mm512_add_epi32(x, _mm512_alignr_epi32(x, none, 15));
        y = _mm512_add_epi32(y, _mm512_alignr_epi32(y, none, 14));
        y = _mm512_add_epi32(y, _mm512_alignr_epi32(y, none, 12));
        y = _mm512_add_epi32(y, _mm512_alignr_epi32(y, none, 8));
        y = _mm512_add_epi32(y, sum);
        sum = _mm512_permutexvar_epi32(top, y);
        signs = _mm512_or_si512(signs, _mm512_or_si512(x, y));
        _mm512_storeu_si512(number + *i, y);
    }
    const __m128i ends = _mm512_castsi512_si128(runs);
    last[0] = (uint32_t)_mm_cvtsi128_si32(ends);
    last[1] = (uint32_t)_mm_cvtsi128_si32(_mm_shuffle_epi32(ends, 1));
    *position = (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(sum));
    *wrong |= _mm512_movepi32_mask(signs) ? UINT32_C(1) << 31 : 0;
#elif VECTOR_WORDS > 1 && defined(__SSE2__)
    __m128i runs = _mm_setr_epi32((int)last[0], (int)last[1], (int)last[0], (int)last[1]);
    __m128i sum = _mm_set1_epi32((int)*position), signs = _mm_setzero_si128();
    for (; count - *i >= 4; *i += 4) {
        __m128i x = _mm_loadu_si128((const __m128i *)(number + *i));
        x = _mm_add_epi32(_mm_add_epi32(x, _mm_slli_si128(x, 8)), runs);
        runs = _mm_shuffle_epi32(x, 0xee);
        __m128i y = _mm_add_epi32(x, _mm_slli_si128(x, 4));
        y = _mm_add_epi32(_mm_add_epi32(y, _mm_slli_si128(y, 8)), sum);
        sum = _mm_shuffle_epi32(y, 0xff);
        signs = _mm_or_si128(signs, _mm_or_si128(x, y));
        _mm_storeu_si128((__m128i *)(number + *i), y);
    }
    last[0] = (uint32_t)_mm_cvtsi128_si32(runs);
    last[1] = (uint32_t)_mm_cvtsi128_si32(_mm_shuffle_epi32(runs, 1));
    *position = (uint32_t)_mm_cvtsi128_si32(sum);
    *wrong |= _mm_movemask_epi8(signs) & 0x8888 ? UINT32_C(1) << 31 : 0;
#else
    (void)number, (void)count, (void)i, (void)position, (void)last, (void)wrong;
#endif
}
#undef ONE_NUMBER_AT_A_TIME
