/* Masks of one frame to six integers a pair, for one instruction set. Included once by every level_*.c file.
 *
 * text -> ends of runs -> bit lines of the common box -> borders -> matches, or bytes -> bit lines -> ...
 * No dense frame is made. The ideas of speed, none of which changes a number:
 *  - numbers of a text are read and summed up many at a time (numbers.h);
 *  - only the box around both masks is looked at, one line and row wider to the north and west;
 *  - borders are computed for 64 x VECTOR_WORDS pixels at once, where their mask is (tiles.h);
 *  - dilation is done for lines that have border bits of the other mask, and its result is counted, not
 *    stored; a cheap rectangle inside the disk is tried first.
 */
#include "vector.h"
/* In this order, each on those before. */
#include "layout.h"
#include "runs.h"
#include "images.h"

/* ------------------------------------------------------------------ from text */

/* What the texts of a frame are read into: runs of the truth, then of every prediction. */
typedef struct {
    placed_runs *placed;
    uint8_t *copy;  /* of the text being read */
    int32_t *end;   /* its run ends; later lines of a column's runs */
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
            fill_runs(&work->placed[side ? i + 1 : 0], height, around, shape, k, work->bounds, work->end,
                      own.mask[side]);
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
