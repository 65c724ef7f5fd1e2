/* The kernel for x86 with AVX2 (Intel from 2013, AMD from 2015). */
#include "engine.h"

#ifdef HAVE_X86_LEVELS
#include <immintrin.h>

static int supported(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif

#define VECTOR_WORDS 4
#define LEVEL_AVX2
#define LEVEL avx2_level
#define LEVEL_NAME "avx2"
#define LEVEL_SUPPORTED supported
#include "kernel.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
