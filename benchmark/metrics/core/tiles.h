/* Borders, intersection and matches of two masks within one column of tiles.
 *
 * Included by kernel.h once per tile width. Set before inclusion: TILE_WORDS, a multiple of
 * VECTOR_WORDS. Gives count_column_<TILE_WORDS>. A tile holds one line, or several short ones; how they
 * lie is described at `layout` in kernel.h.
 */
#define TILED_(name, words) name##_##words
#define TILED_WITH(name, words) TILED_(name, words)
#define TILED(name) TILED_WITH(name, TILE_WORDS)
#define TILE_VECTORS (TILE_WORDS / VECTOR_WORDS)
#define EACH_VECTOR(i) for (int i = 0; i < TILE_VECTORS; i++)
#define TILES_TOGETHER (TILE_VECTORS < 4 ? 4 / TILE_VECTORS : 1)
#define tile TILED(tile)

typedef struct {
    vector part[TILE_VECTORS];
} tile;

INLINE tile TILED(load_tile)(const uint64_t *words) {
    tile x;
    EACH_VECTOR(i) x.part[i] = load(words + i * VECTOR_WORDS);
    return x;
}

INLINE tile TILED(and)(tile x, tile y) {
    EACH_VECTOR(i) x.part[i] &= y.part[i];
    return x;
}

INLINE tile TILED(and_not)(tile x, tile y) {
    EACH_VECTOR(i) x.part[i] &= ~y.part[i];
    return x;
}

INLINE int TILED(any_in_tile)(tile x) {
    vector all = x.part[0];
    EACH_VECTOR(i) all |= x.part[i];
    return any_bit(all);
}

INLINE vector TILED(add_bits)(vector sum, tile x) {
    EACH_VECTOR(i) sum += bit_counts(x.part[i]);
    return sum;
}

/* Adds the bits of TILES_TOGETHER tiles, which are four vectors or more. */
INLINE void TILED(count_tiles)(bit_counter *counter, const tile *x) {
    vector part[TILE_VECTORS * TILES_TOGETHER];
    for (int j = 0; j < TILES_TOGETHER; j++) EACH_VECTOR(i) part[j * TILE_VECTORS + i] = x[j].part[i];
    for (int i = 0; i < TILE_VECTORS * TILES_TOGETHER; i += 4)
        count_four(counter, part[i], part[i + 1], part[i + 2], part[i + 3]);
}

INLINE tile TILED(no_bits)(void) {
    tile x;
    EACH_VECTOR(i) x.part[i] = zero();
    return x;
}

/* The neighbours of the words of a part lie in the parts beside it: see `slot_of`. */
INLINE vector TILED(words_below)(tile x, int i) {
    return i > 0 ? x.part[i > 0 ? i - 1 : 0] : words_from_below(x.part[TILE_VECTORS - 1]);
}

INLINE vector TILED(words_above)(tile x, int i) {
    const int more = i + 1 < TILE_VECTORS;
    return more ? x.part[more ? i + 1 : 0] : words_from_above(x.part[0]);
}

/* Every bit also at the places `step` above and below it; bits that leave the tile are lost. */
INLINE tile TILED(widened)(tile x, int step) {
    tile wide;
    EACH_VECTOR(i)
    wide.part[i] = x.part[i] | moved_up(x.part[i], TILED(words_below)(x, i), step) |
                   moved_down(x.part[i], TILED(words_above)(x, i), step);
    return wide;
}

/* Each bit's successor in its line, the last row repeating itself where the frame ends. */
INLINE tile TILED(south_of)(tile x, tile last_row, const bool inside) {
    tile south;
    EACH_VECTOR(i) {
        south.part[i] = moved_down(x.part[i], TILED(words_above)(x, i), 1);
        if (!inside) south.part[i] |= x.part[i] & last_row.part[i];
    }
    return south;
}

INLINE tile TILED(with_lines_around)(tile x, const uint64_t *words, ptrdiff_t offset) {
    EACH_VECTOR(i) {
        const uint64_t *middle = words + i * VECTOR_WORDS;
        x.part[i] |= load(middle + offset) | load(middle - offset);
    }
    return x;
}

#if defined(UNROLL) && VECTOR_WORDS > 2
INLINE tile TILED(widened_by)(tile x, const int growth) {
    int done = 0;
    UNROLL for (int i = 0; i < 5; i++) {
        if (done < growth) {
            const int step = 2 * done + 1 < growth - done ? 2 * done + 1 : growth - done;
            x = TILED(widened)(x, step);
            done += step;
        }
    }
    return x;
}
#endif

/* What a rectangle inside the disk reaches: cheap, and nearly all of a good prediction. `usual` is the
 * radius as a constant, or 0 to follow the plan. */
INLINE tile TILED(inner_reach)(const uint64_t *words, ptrdiff_t stride, const disk_plan *plan,
                               const int usual) {
    tile x = TILED(load_tile)(words);
    (void)usual;
#if defined(UNROLL) && VECTOR_WORDS > 2
    if (usual) {
        UNROLL for (int d = 1; d <= INNER_LINES(usual); d++)
            x = TILED(with_lines_around)(x, words, d * stride);
        return TILED(widened_by)(x, chord(usual, INNER_LINES(usual)));
    }
#endif
    for (int d = 1; d <= plan->inner_lines; d++) x = TILED(with_lines_around)(x, words, d * stride);
    for (int i = 0; i < plan->inner_steps; i++) x = TILED(widened)(x, plan->inner_step[i]);
    return x;
}

/* What the disk reaches from the neighbourhood of a tile. A Horner scheme: the chords of a disk grow
 * towards its middle, so whatever was gathered is widened by the difference to the next chord. */
INLINE tile TILED(reach)(const uint64_t *words, ptrdiff_t stride, const disk_plan *plan, const int usual) {
    tile x = TILED(load_tile)(words);
    (void)usual;
#if defined(UNROLL) && VECTOR_WORDS > 2
    if (usual) {
        UNROLL for (int d = 0; d <= usual; d++) {
            if (d) x = TILED(with_lines_around)(x, words, d * stride);
            x = TILED(widened_by)(x, chord(usual, d) - (d < usual ? chord(usual, d + 1) : 0));
        }
        return x;
    }
#endif
    for (int d = 0; d <= plan->radius; d++) {
        if (d) x = TILED(with_lines_around)(x, words, d * stride);
        for (int i = plan->first[d]; i < plan->first[d + 1]; i++) x = TILED(widened)(x, plan->step[i]);
    }
    return x;
}

/* Makes the border of one side in the tiles where it may have some, notes which of them do, and counts its
 * bits. `whole` says that a tile is one line, `inside` that no bit of a mask lies
 * at an end of the frame's lines. */
INLINE void TILED(outline)(const layout *shape, const column *own, maps *map, const bool whole,
                           const bool inside, const int side) {
    const ptrdiff_t stride = whole ? TILE_WORDS : shape->stride;
    const uint64_t *mask = own->mask[side];
    uint64_t *border = map->border[side];
    int32_t *place = map->place[side], places = 0;
    const int32_t first = map->first_tile[side], last = map->last_tile[side];
    const tile last_row = TILED(load_tile)(own->last_row), core = TILED(load_tile)(own->core);
    tile valid = TILED(load_tile)(own->valid);
    tile x = TILED(load_tile)(mask + (ptrdiff_t)first * TILE_WORDS), south = TILED(south_of)(x, last_row, inside);
    for (int32_t t = first; t <= last; t++) {
        const ptrdiff_t at = (ptrdiff_t)t * TILE_WORDS;
        if (t == shape->tiles - 1) valid = TILED(load_tile)(own->valid_at_end);
        const tile next = TILED(load_tile)(mask + at + stride);
        const tile south_east = TILED(south_of)(next, last_row, inside);
        tile found;
        EACH_VECTOR(i) {
            const vector here = x.part[i];
            found.part[i] = (here ^ next.part[i]) | (here ^ south.part[i]) | (here ^ south_east.part[i]);
            if (!inside) found.part[i] &= valid.part[i];
            store(border + at + i * VECTOR_WORDS, found.part[i]);
        }
        place[places] = (int32_t)at;
        places += TILED(any_in_tile)(found);
        /* The next line is this tile's neighbour and, where a tile is a line, the next tile. */
        x = whole ? next : TILED(load_tile)(mask + at + TILE_WORDS);
        south = whole ? south_east : TILED(south_of)(x, last_row, inside);
    }
    map->places[side] = places;
    bit_counter bits = no_bits_yet();
    for (int32_t i = 0; i < places; i += TILES_TOGETHER) {
        tile found[TILES_TOGETHER];
        for (int32_t j = 0; j < TILES_TOGETHER; j++)
            found[j] = i + j < places ? TILED(and)(TILED(load_tile)(border + place[i + j]), core)
                                      : TILED(no_bits)();
        TILED(count_tiles)(&bits, found);
    }
    map->border_bits[side] = bits_counted(&bits);
}

/* Bits that both masks of a column have, in the tiles where both may have some. */
INLINE int64_t TILED(common_bits)(const layout *shape, const column *own, const maps *map) {
    const int32_t first = map->first_tile[0] > map->first_tile[1] ? map->first_tile[0] : map->first_tile[1];
    const int32_t last = map->last_tile[0] < map->last_tile[1] ? map->last_tile[0] : map->last_tile[1];
    const tile core = TILED(load_tile)(own->core);
    /* Beyond the last line a mask may hold its repetition, which is not counted. */
    const tile core_at_end = TILED(and)(core, TILED(load_tile)(own->valid_at_end));
    bit_counter bits = no_bits_yet();
    for (int32_t t = first; t <= last; t += TILES_TOGETHER) {
        tile common[TILES_TOGETHER];
        for (int32_t j = 0; j < TILES_TOGETHER; j++) {
            const ptrdiff_t at = (ptrdiff_t)(t + j) * TILE_WORDS;
            common[j] = TILED(no_bits)();
            if (t + j <= last)
                common[j] = TILED(and)(TILED(load_tile)(own->mask[0] + at), TILED(load_tile)(own->mask[1] + at));
            common[j] = TILED(and)(common[j], t + j == shape->tiles - 1 ? core_at_end : core);
        }
        TILED(count_tiles)(&bits, common);
    }
    return bits_counted(&bits);
}

INLINE void TILED(store_tile)(uint64_t *words, tile x) {
    EACH_VECTOR(i) store(words + i * VECTOR_WORDS, x.part[i]);
}

/* What the truth's border reaches from a tile, worked out once for all predictions: from the rectangle
 * (`kind` 0) or the whole disk (1). */
INLINE tile TILED(kept_reach)(const maps *map, ptrdiff_t at, ptrdiff_t stride, const disk_plan *plan,
                              const int kind, const int usual) {
    uint8_t *known = map->known + at / TILE_WORDS;
    uint64_t *kept = map->reach[kind] + at;
    if (*known & 1 << kind) return TILED(load_tile)(kept);
    const tile x = kind ? TILED(reach)(map->border[0] + at, stride, plan, usual)
                        : TILED(inner_reach)(map->border[0] + at, stride, plan, usual);
    TILED(store_tile)(kept, x);
    *known |= (uint8_t)(1 << kind);
    return x;
}

/* How many core bits of one border are farther than the radius from every bit of the other. */
INLINE int64_t TILED(unmatched)(const layout *shape, const column *own, const maps *map,
                                const disk_plan *plan, int side, const bool whole, const int usual) {
    const bool keep = side && map->known;
    const uint64_t *from = map->border[side], *to = map->border[1 - side];
    const ptrdiff_t stride = whole ? TILE_WORDS : shape->stride, reach = plan->radius * stride + TILE_WORDS;
    const int32_t *other = map->place[1 - side], *place = map->place[side];
    const ptrdiff_t first = other[0] - reach, last = other[map->places[1 - side] - 1] + reach;
    const tile core = TILED(load_tile)(own->core);
    int32_t left = 0;
    for (int32_t i = 0; i < map->places[side]; i++) {
        const int32_t at = place[i];
        tile x = TILED(and)(TILED(load_tile)(from + at), core);
        /* Elsewhere no line of the other border is near. */
        if (at >= first && at <= last)
            x = TILED(and_not)(x, keep ? TILED(kept_reach)(map, at, stride, plan, 0, usual)
                                       : TILED(inner_reach)(to + at, stride, plan, usual));
        map->left[left] = at;
        left += TILED(any_in_tile)(x);
    }
    vector missed = zero();
    for (int32_t i = 0; i < left; i++) {
        const int32_t at = map->left[i];
        tile x = TILED(and)(TILED(load_tile)(from + at), core);
        if (at >= first && at <= last)
            x = TILED(and_not)(x, keep ? TILED(kept_reach)(map, at, stride, plan, 1, usual)
                                       : TILED(reach)(to + at, stride, plan, usual));
        missed = TILED(add_bits)(missed, x);
    }
    return sum_of_words(missed);
}

INLINE void TILED(match)(const layout *shape, const column *own, const maps *map, const disk_plan *plan,
                         const bool whole, const int usual, int64_t counts[6]) {
    for (int side = 0; side < 2; side++)
        counts[4 + side] =
            counts[2 + side] - TILED(unmatched)(shape, own, map, plan, side, whole, usual);
}

static void TILED(count_column)(const layout *shape, const column *own, maps *map, const disk_plan *plan,
                                int64_t counts[6]) {
    /* Only the narrowest tiles hold several lines. */
    const bool whole = TILE_WORDS > NARROWEST_TILE || shape->stride == TILE_WORDS;
    int64_t found[6] = {TILED(common_bits)(shape, own, map)};
    for (int side = map->outlined; side < 2; side++) {
        if (whole && shape->inside)
            TILED(outline)(shape, own, map, true, true, side);
        else if (whole)
            TILED(outline)(shape, own, map, true, false, side);
        else
            TILED(outline)(shape, own, map, false, false, side);
    }
    for (int side = 0; side < 2; side++) found[2 + side] = map->border_bits[side];
    if (map->places[0] && map->places[1]) {
#define MATCH_CASE(radius)                                                \
    case radius:                                                          \
        if (whole)                                                        \
            TILED(match)(shape, own, map, plan, true, radius, found);     \
        else                                                              \
            TILED(match)(shape, own, map, plan, false, radius, found);    \
        break;
        switch (plan->radius) {
            EACH_USUAL_RADIUS(MATCH_CASE)
            default: TILED(match)(shape, own, map, plan, false, 0, found);
        }
#undef MATCH_CASE
    }
    for (int i = 0; i < 6; i++) counts[i] += found[i];
}

#undef TILED_
#undef TILED_WITH
#undef TILED
#undef TILE_VECTORS
#undef TILES_TOGETHER
#undef EACH_VECTOR
#undef tile
#undef TILE_WORDS
