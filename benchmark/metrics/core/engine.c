/* Scratch memory, the disk plan and the table of levels. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

const level *const all_levels[] = {
#ifdef HAVE_X86_LEVELS
    &avx512_vbmi2_level, &avx512_bw_level, &avx2_level,
#endif
    &portable_level, NULL};

#define ALIGNMENT 64

void *reserve(buffer *kept, uint64_t bytes) {
    if (bytes > MAX_SCRATCH_BYTES || bytes > SIZE_MAX / 2) return NULL;
    if ((size_t)bytes + ALIGNMENT > kept->bytes) {
        /* Half as much again, so that slowly growing frames do not reallocate each time. */
        size_t wanted = (size_t)bytes + (size_t)bytes / 2 + ALIGNMENT;
        free(kept->block);
        kept->bytes = 0;
        kept->block = malloc(wanted);
        if (!kept->block) return NULL;
        kept->bytes = wanted;
    }
    uintptr_t start = (uintptr_t)kept->block;
    return (char *)kept->block + (ALIGNMENT - start % ALIGNMENT) % ALIGNMENT;
}

void release(workspace *scratch) {
    buffer *kept[] = {&scratch->text, &scratch->positions, &scratch->lines, &scratch->work};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) free(kept[i]->block);
    memset(scratch, 0, sizeof *scratch);
}

/* Half the chord of the disk at a distance from its middle: isqrt(radius^2 - distance^2). */
static int half_chord(int radius, int distance) {
    int half = 0;
    while ((half + 1) * (half + 1) + distance * distance <= radius * radius) half++;
    return half;
}

/* Steps that widen by `growth` in all. A strip that was widened by a can take a step of 2a + 1 without
 * leaving a gap, provided that bits which leave the line on one side can come back; they need room for
 * half the radius, which the margins and halo words of a line give. */
static int add_steps(int *step, int growth) {
    int count = 0;
    for (int done = 0; done < growth;) {
        int next = 2 * done + 1;
        if (next > growth - done) next = growth - done;
        step[count++] = next;
        done += next;
    }
    return count;
}

void make_plan(disk_plan *plan, int radius) {
    int used = 0;
    plan->radius = radius;
    for (int distance = 0; distance <= radius; distance++) {
        int narrower = distance < radius ? half_chord(radius, distance + 1) : 0;
        plan->first[distance] = used;
        used += add_steps(plan->step + used, half_chord(radius, distance) - narrower);
    }
    plan->first[radius + 1] = used;
    plan->inner_lines = INNER_LINES(radius);
    plan->inner_steps = add_steps(plan->inner_step, half_chord(radius, plan->inner_lines));
}
