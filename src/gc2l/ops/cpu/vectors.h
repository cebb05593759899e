/* Vectors of 16 floats, what they are loaded from, and their sums. AVX-512 F and VL. */
#ifndef GC2L_VECTORS_H
#define GC2L_VECTORS_H

#include <immintrin.h>

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

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

#endif
