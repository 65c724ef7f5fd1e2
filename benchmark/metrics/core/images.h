/* Images of bytes to bits, and bits to the lines of a box. Included by kernel.h after layout.h.
 */

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
