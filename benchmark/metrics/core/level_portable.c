/* The kernel for any machine: two words at a time with GCC and Clang (SSE2, NEON, ...), else one. */
#include "engine.h"

#if defined(__GNUC__) || defined(__clang__)
#define VECTOR_WORDS 2
#else
#define VECTOR_WORDS 1
#endif
#if defined(__SSE2__)
#include <immintrin.h>
#endif

static int always(void) { return 1; }

#define LEVEL portable_level
#define LEVEL_NAME "portable"
#define LEVEL_SUPPORTED always
#include "kernel.h"
