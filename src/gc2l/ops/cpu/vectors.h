/* Vectors of 16 floats and their sums, and the functions of this library compiled for AVX-512 whatever the compiler's flags.
 *
 * Code between BEGIN_AVX512 and END_AVX512 may only run where gc2l_runs_here() says so; all else runs on every processor.
 */
#ifndef GC2L_VECTORS_H
#define GC2L_VECTORS_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define FEATURES "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi,bmi2,popcnt"
#define PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define BEGIN(features) PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define END_AVX512 PRAGMA(clang attribute pop)
#else
#define BEGIN(features) PRAGMA(GCC push_options) PRAGMA(GCC target(features))
#define END_AVX512 PRAGMA(GCC pop_options)
#endif
#define BEGIN_AVX512 BEGIN(FEATURES)

#define LANES 16
#define OCTET 8 /* vectors whose lanes are summed together */
#define INLINE static inline __attribute__((always_inline))
/* Loops over sums are unrolled, so that the sums stay in registers. */
#define UNROLLED _Pragma("GCC unroll 32") for

BEGIN_AVX512

typedef __m512 vec;

INLINE long smaller(long a, long b) { return a < b ? a : b; }

INLINE long larger(long a, long b) { return a > b ? a : b; }

/* The lanes below `count`, which may lie outside 0 .. 16. */
INLINE __mmask16 lanes(long count) { return count >= LANES ? 0xffff : count <= 0 ? 0 : (1u << count) - 1; }

INLINE vec load(__mmask16 some, const float *from) { return _mm512_maskz_loadu_ps(some, from); }

INLINE void store(float *to, __mmask16 some, vec values) { _mm512_mask_storeu_ps(to, some, values); }

/* sum + factor values */
INLINE vec add_multiple(float factor, vec values, vec sum) {
    return _mm512_fmadd_ps(_mm512_set1_ps(factor), values, sum);
}

/* The sums of the lanes of eight vectors. */
INLINE __m256 sums(const vec v[8]) {
    vec pairs[4], fours[2];
    for (int i = 0; i < 4; i++)
        pairs[i] = _mm512_add_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
    for (int i = 0; i < 2; i++) {
        __m512d even = _mm512_castps_pd(pairs[2 * i]), odd = _mm512_castps_pd(pairs[2 * i + 1]);
        fours[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(even, odd)), _mm512_castpd_ps(_mm512_unpackhi_pd(even, odd)));
    }
    vec halves = _mm512_add_ps(_mm512_shuffle_f32x4(fours[0], fours[1], 0x88), _mm512_shuffle_f32x4(fours[0], fours[1], 0xdd));
    vec whole = _mm512_add_ps(halves, _mm512_shuffle_f32x4(halves, halves, 0xb1)); /* parts 0, 0, 1, 1 */
    return _mm512_castps512_ps256(_mm512_shuffle_f32x4(whole, whole, 0x08));
}

END_AVX512

#endif
