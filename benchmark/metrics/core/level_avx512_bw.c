/* The kernel for x86 with AVX-512 F, BW, DQ (Intel servers from 2017). */
#include "engine.h"

#ifdef HAVE_X86_LEVELS
#include <immintrin.h>

static int supported(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512dq,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,avx512f,avx512bw,avx512dq,bmi2,popcnt")
#endif

#define VECTOR_WORDS 8
#define LEVEL_AVX2
#define LEVEL_AVX512_BW
#define LEVEL avx512_bw_level
#define LEVEL_NAME "avx512-bw"
#define LEVEL_SUPPORTED supported
#include "kernel.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
