/* How the bit lines of a box lie in memory, and room for them; the tiles that count them.
 *
 * Included by kernel.h after vector.h.
 */
#include <stdbool.h>

/* A line that fits into a tile starts at `first_bit` with zero bits before and behind it, more than half a
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
    bool inside; /* no bit of a mask is the first or the last that a line of the frame has */
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
    shape.inside = b->first_bit > 0 && !shape.ends_bits;
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

/* Says in which tiles a mask may have bits: those of its lines, which count from the first of the box, and of
 * the one before, which differs from it. No line: `last` is before `first`. */
static void place_side(const layout *shape, maps *map, int side, int32_t first, int32_t last) {
    const int32_t lines_per_tile = shape->tile_words / shape->stride;
    map->first_tile[side] = last < first ? 0 : (first > 0 ? first - 1 : 0) / lines_per_tile;
    map->last_tile[side] = last < first ? -1 : last / lines_per_tile;
}

/* The first mask of a side in a column: no border but where it may have bits. */
static void clear_around(const layout *shape, maps *map, int side) {
    const uint64_t words = (uint64_t)shape->tile_words, behind = (uint64_t)(map->last_tile[side] + 1);
    clear_words(map->border[side], (uint64_t)map->first_tile[side] * words);
    clear_words(map->border[side] + behind * words, ((uint64_t)shape->tiles - behind) * words);
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
