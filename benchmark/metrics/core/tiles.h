/* Borders, intersection and matches of two masks that lie in memory as bit lines.
 *
 * Included by kernel.h once per tile width. Set before inclusion: TILE_WORDS, a multiple of
 * VECTOR_WORDS. Gives count_single_<TILE_WORDS> for lines of one tile and count_many_<TILE_WORDS> for
 * longer lines (layouts are described at `struct layout`).
 */
#define TILED_(name, words) name##_##words
#define TILED_WITH(name, words) TILED_(name, words)
#define TILED(name) TILED_WITH(name, TILE_WORDS)
#define TILE_VECTORS (TILE_WORDS / VECTOR_WORDS)
#define EACH_VECTOR(i) for (int i = 0; i < TILE_VECTORS; i++)
#define tile TILED(tile)

typedef struct {
    vector part[TILE_VECTORS];
} tile;

INLINE tile TILED(load_tile)(const uint64_t *words) {
    tile x;
    EACH_VECTOR(i) x.part[i] = load(words + i * VECTOR_WORDS);
    return x;
}

INLINE int TILED(any_in_tile)(tile x) {
    vector all = x.part[0];
    EACH_VECTOR(i) all |= x.part[i];
    return any_bit(all);
}

/* Every bit also at the places `step` above and below it; bits that leave the tile are lost. */
INLINE tile TILED(widened)(tile x, int step) {
    tile wide;
    EACH_VECTOR(i) {
        vector below = previous_words(i ? x.part[i ? i - 1 : 0] : zero(), x.part[i]);
        vector above = next_words(x.part[i], i + 1 < TILE_VECTORS ? x.part[i + 1 < TILE_VECTORS ? i + 1 : 0] : zero());
        wide.part[i] = x.part[i] | moved_up(x.part[i], below, step) | moved_down(x.part[i], above, step);
    }
    return wide;
}

INLINE tile TILED(with_lines_around)(tile x, const uint64_t *words, ptrdiff_t offset) {
    EACH_VECTOR(i) {
        const uint64_t *middle = words + i * VECTOR_WORDS;
        x.part[i] |= load(middle + offset) | load(middle - offset);
    }
    return x;
}

/* What a rectangle inside the disk reaches: cheap, and nearly all of a good prediction. */
INLINE tile TILED(inner_reach)(const uint64_t *words, ptrdiff_t stride, const disk_plan *plan) {
    tile x = TILED(load_tile)(words);
    for (int d = 1; d <= plan->inner_lines; d++) x = TILED(with_lines_around)(x, words, d * stride);
    for (int i = 0; i < plan->inner_steps; i++) x = TILED(widened)(x, plan->inner_step[i]);
    return x;
}

/* What the disk reaches from a line's neighbourhood. A Horner scheme: the chords of a disk grow towards
 * its middle, so whatever was gathered is widened by the difference to the next chord. */
INLINE tile TILED(reach)(const uint64_t *words, ptrdiff_t stride, const disk_plan *plan) {
    tile x = TILED(load_tile)(words);
    for (int d = 0; d <= plan->radius; d++) {
        if (d) x = TILED(with_lines_around)(x, words, d * stride);
        for (int i = plan->first[d]; i < plan->first[d + 1]; i++) x = TILED(widened)(x, plan->step[i]);
    }
    return x;
}

/* The bits of a tile that belong to it alone: all, or all but the halo words. */
INLINE tile TILED(core_of)(tile x, int many) {
    uint64_t own[TILE_WORDS];
    if (!many) return x;
    for (int i = 0; i < TILE_WORDS; i++) own[i] = i > 0 && i < TILE_WORDS - 1 ? ~UINT64_C(0) : 0;
    EACH_VECTOR(i) x.part[i] &= load(own + i * VECTOR_WORDS);
    return x;
}

INLINE vector TILED(add_bits)(vector sum, tile x) {
    EACH_VECTOR(i) sum += bit_counts(x.part[i]);
    return sum;
}

/* Makes both borders, counts their bits and the intersection, and notes which tiles have border bits. */
INLINE void TILED(outline)(const layout *shape, maps *map, int many, int64_t counts[6]) {
    vector common = zero(), border_bits[2] = {zero(), zero()};
    const ptrdiff_t stride = shape->stride;
    const int32_t tiles = many ? shape->tiles : 1;
    int32_t places[2] = {0, 0};
    for (int32_t line = 0; line < shape->lines; line++) {
        for (int32_t k = 0; k < tiles; k++) {
            const ptrdiff_t at = line * stride + (many ? k * (TILE_WORDS - 2) : 0);
            const tile valid = TILED(load_tile)(map->valid + (at - line * stride));
            const tile last_row = TILED(load_tile)(map->last_row + (at - line * stride));
            tile both;
            EACH_VECTOR(i) both.part[i] = zero();
            for (int side = 0; side < 2; side++) {
                const tile x = TILED(load_tile)(map->mask[side] + at);
                const tile next = TILED(load_tile)(map->mask[side] + at + stride);
                tile border;
                EACH_VECTOR(i) {
                    const int more = i + 1 < TILE_VECTORS;
                    const vector above = next_words(x.part[i], more ? x.part[more ? i + 1 : 0] : zero());
                    const vector next_above =
                        next_words(next.part[i], more ? next.part[more ? i + 1 : 0] : zero());
                    const vector south =
                        moved_down(x.part[i], above, 1) | (x.part[i] & last_row.part[i]);
                    const vector south_east =
                        moved_down(next.part[i], next_above, 1) | (next.part[i] & last_row.part[i]);
                    border.part[i] = ((x.part[i] ^ next.part[i]) | (x.part[i] ^ south) |
                                      (x.part[i] ^ south_east)) &
                                     valid.part[i];
                    store(map->border[side] + at + i * VECTOR_WORDS, border.part[i]);
                    both.part[i] = side ? both.part[i] & x.part[i] : x.part[i];
                }
                border = TILED(core_of)(border, many);
                border_bits[side] = TILED(add_bits)(border_bits[side], border);
                map->place[side][places[side]] = (int32_t)at;
                places[side] += TILED(any_in_tile)(border);
            }
            common = TILED(add_bits)(common, TILED(core_of)(both, many));
        }
    }
    counts[0] = sum_of_words(common);
    for (int side = 0; side < 2; side++) {
        counts[2 + side] = sum_of_words(border_bits[side]);
        map->places[side] = places[side];
    }
}

/* How many bits of one border are farther than the radius from every bit of the other. Uses up the list
 * of the border's places. */
INLINE int64_t TILED(unmatched)(const layout *shape, const maps *map, const disk_plan *plan, int side,
                                int many) {
    const uint64_t *from = map->border[side], *to = map->border[1 - side];
    const ptrdiff_t stride = shape->stride;
    const int32_t *other = map->place[1 - side];
    /* Lines farther than the radius from every line of the other border match nothing. */
    const int64_t first = other[0] - (plan->radius + 1) * stride;
    const int64_t end = other[map->places[1 - side] - 1] + (plan->radius + 1) * stride;
    int32_t *place = map->place[side], left = 0;
    vector missed = zero();
    for (int32_t i = 0; i < map->places[side]; i++) {
        const int32_t at = place[i];
        tile x = TILED(core_of)(TILED(load_tile)(from + at), many);
        if (at < first || at > end) {
            missed = TILED(add_bits)(missed, x);
            continue;
        }
        const tile near = TILED(inner_reach)(to + at, stride, plan);
        EACH_VECTOR(v) x.part[v] &= ~near.part[v];
        map->left[left] = at;
        left += TILED(any_in_tile)(x);
    }
    for (int32_t i = 0; i < left; i++) {
        tile x = TILED(core_of)(TILED(load_tile)(from + map->left[i]), many);
        const tile near = TILED(reach)(to + map->left[i], stride, plan);
        EACH_VECTOR(v) x.part[v] &= ~near.part[v];
        missed = TILED(add_bits)(missed, x);
    }
    return sum_of_words(missed);
}

INLINE void TILED(count_tiles)(const layout *shape, maps *map, const disk_plan *plan, int many,
                               int64_t counts[6]) {
    TILED(outline)(shape, map, many, counts);
    counts[4] = counts[5] = 0;
    if (counts[2] && counts[3])
        for (int side = 0; side < 2; side++)
            counts[4 + side] = counts[2 + side] - TILED(unmatched)(shape, map, plan, side, many);
}

static void TILED(count_single)(const layout *shape, maps *map, const disk_plan *plan, int64_t counts[6]) {
    TILED(count_tiles)(shape, map, plan, 0, counts);
}

#if TILE_WORDS == MANY_TILE_WORDS
static void TILED(count_many)(const layout *shape, maps *map, const disk_plan *plan, int64_t counts[6]) {
    TILED(count_tiles)(shape, map, plan, 1, counts);
}
#endif

#undef TILED_
#undef TILED_WITH
#undef TILED
#undef TILE_VECTORS
#undef EACH_VECTOR
#undef tile
#undef TILE_WORDS
