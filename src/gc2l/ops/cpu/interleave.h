/* Rows of images of bfloat16 taken apart and put together, without arithmetic: 32 numbers at once.
 *
 * "Both" is (P, n, fine + m), see coarse.h; y (P, c_out) and z (P, k), k = n m <= 16.
 */
#ifndef GC2L_INTERLEAVE_H
#define GC2L_INTERLEAVE_H

#include "numbers.h"

#define WIDE 32

BEGIN_AVX512

/* Thirty-two numbers of a row that are gathered from at most two vectors. */
typedef struct {
    __m512i index;       /* into the two vectors */
    long from;           /* where the first vector starts */
    __mmask32 low, high; /* what may be read of the first and of the second */
    __mmask32 written;
} wide_block;

/* The lanes below `count`, which may lie outside 0 .. 32. */
INLINE __mmask32 wide_lanes(long count) { return count >= WIDE ? 0xffffffff : count <= 0 ? 0 : (1u << count) - 1; }

INLINE __m512i gather(const wide_block *b, const number *row, __m512i second) {
    return _mm512_permutex2var_epi16(_mm512_maskz_loadu_epi16(b->low, row + b->from), b->index, second);
}

/* y and z out of both. */
void NAMED(split)(long P, long c_out, long fine, long m, const number *both, number *y, number *z, int threads) {
    long k = c_out / fine * m, width = c_out + k, count = (c_out + WIDE - 1) / WIDE, places[LANES];
    wide_block blocks[count];
    for (long i = 0; i < k; i++) places[i] = i / m * (fine + m) + fine + i % m;
    for (long b = 0; b < count; b++) {
        uint16_t index[WIDE];
        long first = b * WIDE, from = first + first / fine * m;
        for (long lane = 0; lane < WIDE; lane++) {
            long channel = smaller(first + lane, c_out - 1);
            index[lane] = channel + channel / fine * m - from;
        }
        blocks[b] = (wide_block){_mm512_loadu_si512(index), from, wide_lanes(width - from), wide_lanes(width - from - WIDE),
                                 wide_lanes(c_out - first)};
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long p = 0; p < P; p++) {
        const number *row = both + p * width;
        for (const wide_block *b = blocks; b < blocks + count; b++)
            _mm512_mask_storeu_epi16(y + p * c_out + (b - blocks) * WIDE, b->written,
                                     gather(b, row, _mm512_maskz_loadu_epi16(b->high, row + b->from + WIDE)));
        for (long i = 0; i < k; i++) z[p * k + i] = row[places[i]];
    }
}

/* Both out of y and z. */
void NAMED(join)(long P, long c_out, long fine, long m, const number *y, const number *z, number *both, int threads) {
    long k = c_out / fine * m, width = c_out + k, count = (width + WIDE - 1) / WIDE;
    wide_block blocks[count];
    for (long b = 0; b < count; b++) {
        uint16_t index[WIDE];
        long first = b * WIDE, from = smaller(first / (fine + m) * fine + smaller(first % (fine + m), fine), c_out - 1);
        for (long lane = 0; lane < WIDE; lane++) {
            long place = smaller(first + lane, width - 1), group = place / (fine + m), own = place % (fine + m);
            index[lane] = own < fine ? group * fine + own - from : WIDE + group * m + own - fine;
        }
        blocks[b] = (wide_block){_mm512_loadu_si512(index), from, wide_lanes(c_out - from), 0, wide_lanes(width - first)};
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long p = 0; p < P; p++) {
        __m512i coarse = _mm512_maskz_loadu_epi16(wide_lanes(k), z + p * k);
        for (const wide_block *b = blocks; b < blocks + count; b++)
            _mm512_mask_storeu_epi16(both + p * width + (b - blocks) * WIDE, b->written, gather(b, y + p * c_out, coarse));
    }
}

END_AVX512

#endif
