/* Inflates zlib data whose size is known beforehand, for png_rows.c.
 *
 * Source: RFC 1950 (zlib), RFC 1951 (deflate). Mask images inflate to long stretches of one value, so what
 * counts is how a match is written: by memset, or by copies that double. Whatever is unusual is refused;
 * the caller then asks zlib, which says what is wrong, if anything is.
 */
#ifndef REFEREE_INFLATE_H
#define REFEREE_INFLATE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LONGEST_CODE 15
#define FAST_BITS 10
#define MOST_LITERALS 288
#define MOST_DISTANCES 32

typedef struct {
    const uint8_t *next, *end;
    uint64_t bits; /* those not yet taken, the next one lowest */
    int count;
} bit_reader;

/* Codes of up to FAST_BITS bits are looked up: symbol << 4 | length. Longer ones are found by their place
 * among the codes of their length. */
typedef struct {
    uint16_t fast[1 << FAST_BITS];
    uint16_t codes[LONGEST_CODE + 1]; /* of each length */
    uint16_t symbol[MOST_LITERALS];   /* by length, then by value */
} code_book;

typedef struct {
    uint8_t *start;
    size_t used, size, window;
} inflated;

static void refill(bit_reader *in) {
    while (in->count <= 56 && in->next < in->end) {
        in->bits |= (uint64_t)*in->next++ << in->count;
        in->count += 8;
    }
}

/* The next bits, at most 32; -1 at the end of the data. */
static int64_t take(bit_reader *in, int bits) {
    if (in->count < bits) refill(in);
    if (in->count < bits) return -1;
    const int64_t value = (int64_t)(in->bits & ((UINT64_C(1) << bits) - 1));
    in->bits >>= bits;
    in->count -= bits;
    return value;
}

/* Codes from their lengths; 0 if these are no complete code, or, where that is `allowed`, a single one of one
 * bit or none. */
static int make_book(code_book *book, const uint8_t *lengths, int symbols, int allowed) {
    uint16_t place[LONGEST_CODE + 2] = {0}, next_code[LONGEST_CODE + 2] = {0};
    int left = 1, used = 0;
    memset(book->fast, 0, sizeof book->fast);
    memset(book->codes, 0, sizeof book->codes);
    for (int i = 0; i < symbols; i++) book->codes[lengths[i]]++;
    used = symbols - book->codes[0];
    book->codes[0] = 0;
    for (int length = 1; length <= LONGEST_CODE; length++) {
        left = 2 * left - book->codes[length];
        if (left < 0) return 0;
        place[length + 1] = (uint16_t)(place[length] + book->codes[length]);
        next_code[length + 1] = (uint16_t)((next_code[length] + book->codes[length]) << 1);
    }
    if (left > 0 && !(allowed && used == book->codes[1] && used < 2)) return 0;
    for (int i = 0; i < symbols; i++) {
        const int length = lengths[i];
        if (!length) continue;
        book->symbol[place[length]++] = (uint16_t)i;
        unsigned code = next_code[length]++, reversed = 0;
        if (length > FAST_BITS) continue;
        for (int bit = 0; bit < length; bit++) reversed |= (code >> bit & 1u) << (length - 1 - bit);
        for (unsigned at = reversed; at < 1u << FAST_BITS; at += 1u << length)
            book->fast[at] = (uint16_t)(i << 4 | length);
    }
    return 1;
}

/* The next symbol, or -1. */
static int take_symbol(bit_reader *in, const code_book *book) {
    if (in->count < LONGEST_CODE) refill(in);
    const unsigned entry = book->fast[in->bits & ((1u << FAST_BITS) - 1)];
    if (entry && (int)(entry & 15) <= in->count) {
        in->bits >>= entry & 15;
        in->count -= (int)(entry & 15);
        return (int)(entry >> 4);
    }
    int code = 0, first = 0, index = 0;
    for (int length = 1; length <= LONGEST_CODE; length++) {
        const int64_t bit = take(in, 1);
        if (bit < 0) return -1;
        code = code << 1 | (int)bit;
        const int codes = book->codes[length];
        if (code - first < codes) return book->symbol[index + code - first];
        index += codes;
        first = (first + codes) << 1;
    }
    return -1;
}

static int read_books(bit_reader *in, code_book *literals, code_book *distances) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[MOST_LITERALS + MOST_DISTANCES] = {0};
    const int64_t counts = take(in, 14);
    if (counts < 0) return 0;
    const int all_literals = (int)(counts & 31) + 257, all_distances = (int)(counts >> 5 & 31) + 1;
    const int written = (int)(counts >> 10) + 4, all = all_literals + all_distances;
    if (all_literals > 286 || all_distances > 30) return 0;
    for (int i = 0; i < written; i++) {
        const int64_t length = take(in, 3);
        if (length < 0) return 0;
        lengths[order[i]] = (uint8_t)length;
    }
    if (!make_book(literals, lengths, 19, 0)) return 0;
    memset(lengths, 0, sizeof lengths);
    for (int i = 0; i < all;) {
        const int symbol = take_symbol(in, literals);
        if (symbol < 0) return 0;
        if (symbol < 16) {
            lengths[i++] = (uint8_t)symbol;
            continue;
        }
        const int64_t more = take(in, symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
        const int times = (int)more + (symbol == 18 ? 11 : 3);
        if (more < 0 || times > all - i || (symbol == 16 && !i)) return 0;
        memset(lengths + i, symbol == 16 ? lengths[i - 1] : 0, (size_t)times);
        i += times;
    }
    if (!lengths[256] || !make_book(distances, lengths + all_literals, all_distances, 1)) return 0;
    return make_book(literals, lengths, all_literals, 1);
}

static void usual_books(code_book *literals, code_book *distances) {
    uint8_t lengths[MOST_LITERALS];
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    make_book(literals, lengths, MOST_LITERALS, 0);
    memset(lengths, 5, MOST_DISTANCES);
    make_book(distances, lengths, MOST_DISTANCES, 0);
}

/* Repeats what was written `distance` bytes ago; room and distance were checked. */
static void copy_match(inflated *out, size_t distance, size_t length) {
    uint8_t *to = out->start + out->used;
    const uint8_t *from = to - distance;
    out->used += length;
    if (distance == 1) {
        memset(to, *from, length);
        return;
    }
    while (length) { /* what lies between `from` and `to` repeats itself and doubles */
        const size_t piece = (size_t)(to - from) < length ? (size_t)(to - from) : length;
        memcpy(to, from, piece);
        to += piece;
        length -= piece;
    }
}

static int inflate_codes(bit_reader *in, inflated *out, const code_book *literals, const code_book *distances) {
    static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                             31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    for (;;) {
        const int symbol = take_symbol(in, literals);
        if (symbol < 256) {
            if (symbol < 0 || out->used == out->size) return 0;
            out->start[out->used++] = (uint8_t)symbol;
            continue;
        }
        if (symbol == 256) return 1;
        if (symbol > 285) return 0;
        const int64_t longer = take(in, length_bits[symbol - 257]);
        const int far = take_symbol(in, distances);
        if (longer < 0 || far < 0 || far > 29) return 0;
        const int far_bits = far < 4 ? 0 : far / 2 - 1;
        const int64_t farther = take(in, far_bits);
        if (farther < 0) return 0;
        const size_t length = length_base[symbol - 257] + (size_t)longer;
        const size_t distance = (far < 4 ? (size_t)far : (size_t)(2 + far % 2) << far_bits) + (size_t)farther + 1;
        if (distance > out->used || distance > out->window || length > out->size - out->used) return 0;
        copy_match(out, distance, length);
    }
}

static int inflate_stored(bit_reader *in, inflated *out) {
    if (take(in, in->count & 7) < 0) return 0;
    const int64_t length = take(in, 16), inverse = take(in, 16);
    if (length < 0 || inverse < 0 || (length ^ inverse) != 0xffff) return 0;
    if ((uint64_t)length > out->size - out->used) return 0;
    for (int64_t i = 0; i < length; i++) {
        const int64_t byte = take(in, 8);
        if (byte < 0) return 0;
        out->start[out->used++] = (uint8_t)byte;
    }
    return 1;
}

static uint32_t adler32_of(const uint8_t *bytes, size_t size) {
    uint64_t sum = 1, sums = 0;
    while (size) {
        size_t part = size < 4096 ? size : 4096;
        size -= part;
        for (; part >= 128; part -= 128, bytes += 128) {
            uint64_t any = 0;
            for (int i = 0; i < 128; i += 8) {
                uint64_t word;
                memcpy(&word, bytes + i, 8);
                any |= word;
            }
            sums += 128 * sum;
            if (!any) continue;
            uint32_t plain = 0, weighted = 0;
            for (uint32_t i = 0; i < 128; i++) {
                plain += bytes[i];
                weighted += (128 - i) * bytes[i];
            }
            sum += plain;
            sums += weighted;
        }
        for (; part; part--) sums += sum += *bytes++;
        sum %= 65521;
        sums %= 65521;
    }
    return (uint32_t)(sums << 16 | sum);
}

/* 1 when `packed` is zlib data of exactly `size` bytes, which are then in `raw`; else 0, and `raw` holds
 * anything. */
static int inflate_zlib(const uint8_t *packed, size_t length, uint8_t *raw, size_t size) {
    if (length < 6 || (packed[0] & 15) != 8 || packed[0] >> 4 > 7) return 0;
    if ((packed[0] << 8 | packed[1]) % 31 || packed[1] & 32) return 0;
    bit_reader in = {packed + 2, packed + length, 0, 0};
    inflated out = {raw, 0, size, (size_t)256 << (packed[0] >> 4)};
    code_book literals, distances;
    for (int64_t head = 0; !(head & 1);) {
        head = take(&in, 3);
        if (head < 0 || head >> 1 == 3) return 0;
        if (head >> 1 == 0) {
            if (!inflate_stored(&in, &out)) return 0;
            continue;
        }
        if (head >> 1 == 1)
            usual_books(&literals, &distances);
        else if (!read_books(&in, &literals, &distances))
            return 0;
        if (!inflate_codes(&in, &out, &literals, &distances)) return 0;
    }
    if (out.used != size || take(&in, in.count & 7) < 0) return 0;
    uint32_t expected = 0;
    for (int i = 0; i < 4; i++) {
        const int64_t byte = take(&in, 8);
        if (byte < 0) return 0;
        expected = expected << 8 | (uint32_t)byte;
    }
    return expected == adler32_of(raw, size);
}

#endif
