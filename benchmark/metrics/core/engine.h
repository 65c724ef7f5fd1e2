/* What the files of the counting core share: limits, status codes, scratch memory, the table of levels.
 *
 * The core counts six integers for a pair of masks (see ../definition.py). A *level* is the same kernel
 * (kernel.h) compiled for one instruction set; module.c picks a level and hands it one frame at a time.
 *
 * Words used in all files. COCO text runs down the columns of a frame and the definition is symmetric
 * under transposition, so a *line* is a column when masks come as text and a row when they come as
 * bytes; the pixels of a line are its *bits*. A *tile* is the part of a line that is worked on in
 * registers. A *border* is the boundary map of a mask.
 */
#ifndef REFEREE_ENGINE_H
#define REFEREE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* Tiles overlap by one 64-bit word on each side, which carries disks up to this radius. */
#define MAX_RADIUS 62
/* Positions are 32-bit. */
#define MAX_PIXELS INT64_C(0x7fffffff)
/* A frame whose bit lines would need more than this is refused instead of filling the machine. */
#define MAX_SCRATCH_BYTES ((uint64_t)4 << 30)

typedef enum {
    COUNTED = 0,
    BAD_TRUTH = 1,      /* the truth's text is not a mask of this frame size */
    BAD_PREDICTION = 2, /* the same of a prediction */
    NO_MEMORY = 3
} pair_status;

/* A mask as COCO text; no text is a mask without pixels. */
typedef struct {
    const uint8_t *text;
    size_t length;
} mask_text;

/* One truth and what was predicted for it, of one frame: prediction i is predicted[i * step], and its
 * counts are counts[i * counts_step] and the five behind. */
typedef struct {
    mask_text truth;
    const mask_text *predicted;
    size_t predictions, step;
    int64_t *counts;
    size_t counts_step;
} text_group;

/* Lines on each side of the rectangle inside a disk that is tried first; found by measuring. */
#define INNER_LINES(radius) ((radius) * 2 / 7)

/* How to dilate by a disk: after taking the lines at distance d from the middle, widen by steps
 * step[first[d]] .. step[first[d + 1] - 1]. See make_plan(). */
typedef struct {
    int radius;
    int first[MAX_RADIUS + 2];
    int step[MAX_RADIUS + 1];
    int inner_lines; /* a rectangle inside the disk that matches most pixels of a good prediction */
    int inner_steps;
    int inner_step[8];
} disk_plan;

/* One growing block of memory per kind of data, reused from frame to frame. */
typedef struct {
    void *block;
    size_t bytes;
} buffer;

typedef struct {
    buffer text, positions, lines, work;
} workspace;

/* A pair given as bytes: any non-zero byte is foreground. Strides are in bytes. */
typedef struct {
    const uint8_t *pixels;
    ptrdiff_t row_stride;
} byte_image;

typedef struct {
    const char *name;
    int (*supported)(void);
    pair_status (*count_texts)(workspace *scratch, const disk_plan *plan, int32_t height, int32_t width,
                               const text_group *group);
    pair_status (*count_bytes)(workspace *scratch, const disk_plan *plan, int32_t height, int32_t width,
                               const byte_image image[2], int64_t counts[6]);
} level;

/* Fastest first; ends with an entry whose name is NULL. */
extern const level *const all_levels[];

void make_plan(disk_plan *plan, int radius);
/* At least `bytes` bytes, 64-byte aligned, not cleared; NULL when there is no such memory. */
void *reserve(buffer *kept, uint64_t bytes);
void release(workspace *scratch);

extern const level portable_level, avx2_level, avx512_bw_level, avx512_vbmi2_level;

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define HAVE_X86_LEVELS 1
#endif

#endif
