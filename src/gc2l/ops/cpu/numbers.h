/* How images are stored: `number` is float, or with BFLOAT16 the upper half of one. All arithmetic is that of floats. */
#ifndef GC2L_NUMBERS_H
#define GC2L_NUMBERS_H

#include "vectors.h"

BEGIN_AVX512

#ifdef BFLOAT16

typedef uint16_t number;
#define NAMED(name) gc2l_##name##_bfloat16

INLINE vec take(__mmask16 some, const number *from) {
    __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(low, 16));
}

/* To the nearest, a tie to the even one; a NaN stays a NaN. */
INLINE void put(number *to, __mmask16 some, vec values) {
    __m512i bits = _mm512_castps_si512(values), upper = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff)), 16);
    __mmask16 nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40));
    _mm256_mask_storeu_epi16(to, some, _mm512_cvtepi32_epi16(rounded));
}

INLINE void put_one(number *to, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    *to = value != value ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

/* `count` numbers as floats, copied to `copy`. */
INLINE const float *floats_of(const number *from, long count, float *copy) {
    for (long i = 0; i < count; i += LANES) store(copy + i, lanes(count - i), take(lanes(count - i), from + i));
    return copy;
}

/* What a copy needs: nothing where numbers are floats. */
#define COPIED(count) (count)

#else

typedef float number;
#define NAMED(name) gc2l_##name##_float32

INLINE vec take(__mmask16 some, const number *from) { return load(some, from); }

INLINE void put(number *to, __mmask16 some, vec values) { store(to, some, values); }

INLINE void put_one(number *to, float value) { *to = value; }

INLINE const float *floats_of(const number *from, long count, float *copy) { return from; }

#define COPIED(count) 1

#endif

END_AVX512

#endif
