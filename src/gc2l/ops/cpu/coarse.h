/* The product C z of GC-2L and its gradients, each in one pass over the output, beside the group convolution.
 *
 * Pixels are rows: y and its gradient (P, c_out), z and its gradient (P, k) with k = n m <= 16. "Both" is what the fused
 * group convolution of A and r yields, (P, n, fine + m): for each group its c_out/n channels and then its m coarse ones.
 */

#ifndef GC2L_COARSE_H
#define GC2L_COARSE_H

#include "numbers.h"

#define PIXELS 8 /* at once: with two vectors each, 16 of the 32 registers */
#define TILE 16  /* pixels whose gradients stay in the innermost cache */

BEGIN_AVX512

/* Sixteen numbers of a row that are gathered from at most two vectors. */
typedef struct {
    __m512i index;         /* into the two vectors */
    long from;             /* where the first vector starts */
    __mmask16 low, high;   /* what may be read of the first and of the second */
    __mmask16 written;
} block;

/* Blocks of y's row: its channels within a row of both, or where fine = c_out and m = 0, in their places. */
static void blocks_of_output(block *blocks, long c_out, long fine, long m) {
    long width = c_out + c_out / fine * m;
    for (long q = 0; q < c_out; q += LANES, blocks++) {
        int index[LANES];
        long from = q + q / fine * m;
        for (long lane = 0; lane < LANES; lane++) {
            long channel = smaller(q + lane, c_out - 1);
            index[lane] = channel + channel / fine * m - from;
        }
        *blocks = (block){_mm512_loadu_si512(index), from, lanes(width - from), lanes(width - from - LANES), lanes(c_out - q)};
    }
}

/* Blocks of both's row: from a row of y's gradient; the coarse numbers are those of the second vector, z's gradient. */
static void blocks_of_both(block *blocks, long c_out, long fine, long m) {
    long width = c_out + c_out / fine * m;
    for (long w = 0; w < width; w += LANES, blocks++) {
        int index[LANES];
        long from = smaller(w / (fine + m) * fine + smaller(w % (fine + m), fine), c_out - 1);
        for (long lane = 0; lane < LANES; lane++) {
            long place = smaller(w + lane, width - 1), group = place / (fine + m), own = place % (fine + m);
            index[lane] = own < fine ? group * fine + own - from : LANES + group * m + own - fine;
        }
        *blocks = (block){_mm512_loadu_si512(index), from, lanes(c_out - from), 0, lanes(width - w)};
    }
}

/* y = what the blocks gather, plus C z, for `pixels` rows and `vectors` blocks. */
#define ADD_PRODUCT(NAME, pixels, vectors)                                                                              \
    INLINE void NAME(const block *b, const number *from, long width, const float *z, long k, const float *coarse,       \
                     long c_out, number *y) {                                                                          \
        vec sum[pixels][vectors];                                                                                       \
        for (int p = 0; p < pixels; p++)                                                                                \
            for (int v = 0; v < vectors; v++) {                                                                         \
                const number *row = from + p * width + b[v].from;                                                       \
                sum[p][v] = _mm512_permutex2var_ps(take(b[v].low, row), b[v].index, take(b[v].high, row + LANES));      \
            }                                                                                                           \
        for (long i = 0; i < k; i++) {                                                                                  \
            vec c[vectors];                                                                                             \
            for (int v = 0; v < vectors; v++) c[v] = load(b[v].written, coarse + i * c_out + v * LANES);                \
            for (int p = 0; p < pixels; p++)                                                                            \
                for (int v = 0; v < vectors; v++) sum[p][v] = add_multiple(z[p * k + i], c[v], sum[p][v]);              \
        }                                                                                                               \
        for (int p = 0; p < pixels; p++)                                                                                \
            for (int v = 0; v < vectors; v++) put(y + p * c_out + v * LANES, b[v].written, sum[p][v]);                  \
    }
ADD_PRODUCT(add_product_8_2, 8, 2)
ADD_PRODUCT(add_product_8_1, 8, 1)
ADD_PRODUCT(add_product_1_1, 1, 1)

/* The same for `rows` <= 8 pixels and all blocks. */
static void add_products(const block *blocks, long rows, const number *from, long width, const number *numbers, long k,
                         const float *coarse, long c_out, number *y) {
    long count = (c_out + LANES - 1) / LANES, i = 0;
    float copy[PIXELS * LANES];
    const float *z = floats_of(numbers, rows * k, copy);
    if (rows < PIXELS) {
        for (long p = 0; p < rows; p++)
            for (i = 0; i < count; i++)
                add_product_1_1(blocks + i, from + p * width, width, z + p * k, k, coarse + i * LANES, c_out, y + p * c_out + i * LANES);
        return;
    }
    for (; i + 2 <= count; i += 2)
        add_product_8_2(blocks + i, from, width, z, k, coarse + i * LANES, c_out, y + i * LANES);
    for (; i < count; i++)
        add_product_8_1(blocks + i, from, width, z, k, coarse + i * LANES, c_out, y + i * LANES);
}

/* y += C z for P pixels; coarse is C^T (k, c_out). */
static void add_products_of_rows(const block *blocks, long P, number *y, const number *z, long k, const float *coarse,
                                 long c_out) {
    for (long p = 0; p < P; p += PIXELS)
        add_products(blocks, smaller(PIXELS, P - p), y + p * c_out, c_out, z + p * k, k, coarse, c_out, y + p * c_out);
}

/* y += C z in place; coarse is C^T (k, c_out). */
void NAMED(add_coarse)(long P, long c_out, long k, number *y, const number *z, const float *coarse, int threads) {
    block blocks[(c_out + LANES - 1) / LANES];
    blocks_of_output(blocks, c_out, c_out, 0);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long p = 0; p < P; p += PIXELS)
        add_products(blocks, smaller(PIXELS, P - p), y + p * c_out, c_out, z + p * k, k, coarse, c_out, y + p * c_out);
}

/* z and y = A x + C z out of both; coarse is C^T (k, c_out). */
void NAMED(split_fused)(long P, long c_out, long fine, long m, const number *both, const float *coarse, number *y, number *z,
                        int threads) {
    long k = c_out / fine * m, width = c_out + k;
    block blocks[(c_out + LANES - 1) / LANES];
    blocks_of_output(blocks, c_out, fine, m);
    long places[LANES];
    for (long i = 0; i < k; i++) places[i] = i / m * (fine + m) + fine + i % m;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long p = 0; p < P; p += PIXELS) {
        long rows = smaller(PIXELS, P - p);
        for (long own = p; own < p + rows; own++)
            for (long i = 0; i < k; i++) z[own * k + i] = both[own * width + places[i]];
        add_products(blocks, rows, both + p * width, width, z + p * k, k, coarse, c_out, y + p * c_out);
    }
}

/* The gradient of z for `pixels` pixels: g C, with C (c_out, 16) padded by zeros. Even and odd channels have sums of
 * their own, so that additions need not wait for each other. */
#define Z_GRADIENT(NAME, pixels)                                                                                        \
    INLINE void NAME(const float *g, long c_out, const float *coarse, float *z_gradient) {                              \
        vec even[pixels], odd[pixels];                                                                                  \
        long q = 0;                                                                                                     \
        for (int p = 0; p < pixels; p++) even[p] = odd[p] = _mm512_setzero_ps();                                        \
        for (; q + 2 <= c_out; q += 2) {                                                                                \
            vec first = load(0xffff, coarse + q * LANES), second = load(0xffff, coarse + (q + 1) * LANES);              \
            for (int p = 0; p < pixels; p++) even[p] = add_multiple(g[p * c_out + q], first, even[p]);                  \
            for (int p = 0; p < pixels; p++) odd[p] = add_multiple(g[p * c_out + q + 1], second, odd[p]);               \
        }                                                                                                               \
        if (q < c_out)                                                                                                  \
            for (int p = 0; p < pixels; p++)                                                                            \
                even[p] = add_multiple(g[p * c_out + q], load(0xffff, coarse + q * LANES), even[p]);                    \
        for (int p = 0; p < pixels; p++) store(z_gradient + p * LANES, 0xffff, _mm512_add_ps(even[p], odd[p]));         \
    }
Z_GRADIENT(z_gradient_8, 8)
Z_GRADIENT(z_gradient_1, 1)

/* found += z^T g for `count` of the k coarse channels and `vectors` vectors of channels. */
#define COARSE_GRADIENT(NAME, count, vectors)                                                                           \
    INLINE void NAME(float *found, const float *z, long k, const float *g, long c_out, long rows, __mmask16 some) {     \
        vec sum[count][vectors];                                                                                        \
        for (int i = 0; i < count; i++)                                                                                 \
            for (int v = 0; v < vectors; v++) sum[i][v] = load(some, found + i * c_out + v * LANES);                    \
        for (long p = 0; p < rows; p++) {                                                                               \
            vec upstream[vectors];                                                                                      \
            for (int v = 0; v < vectors; v++) upstream[v] = load(some, g + p * c_out + v * LANES);                      \
            for (int i = 0; i < count; i++)                                                                             \
                for (int v = 0; v < vectors; v++) sum[i][v] = add_multiple(z[p * k + i], upstream[v], sum[i][v]);       \
        }                                                                                                               \
        for (int i = 0; i < count; i++)                                                                                 \
            for (int v = 0; v < vectors; v++) store(found + i * c_out + v * LANES, some, sum[i][v]);                    \
    }
COARSE_GRADIENT(coarse_gradient_8_2, 8, 2)
COARSE_GRADIENT(coarse_gradient_4_2, 4, 2)
COARSE_GRADIENT(coarse_gradient_1_2, 1, 2)
COARSE_GRADIENT(coarse_gradient_1_1, 1, 1)

/* Both gradients for a tile of `rows` pixels: z's (rows, 16), and C^T's, added to found (k, c_out). */
static void gradients(const number *upstream, long c_out, const number *numbers, long k, long rows, const float *coarse,
                      float *z_gradient, float *found) {
    long p = 0, q = 0;
    float copy[COPIED(TILE * c_out)], copy_of_z[COPIED(TILE * LANES)];
    /* Prefetched in the order of memory: the loop below reads eight rows at once, a pattern that the processor does not
     * predict. */
    for (; q < rows * c_out; q += LANES) _mm_prefetch((const char *)(upstream + q), _MM_HINT_T0);
    const float *g = floats_of(upstream, rows * c_out, copy), *z = floats_of(numbers, rows * k, copy_of_z);
    for (; p + PIXELS <= rows; p += PIXELS) z_gradient_8(g + p * c_out, c_out, coarse, z_gradient + p * LANES);
    for (; p < rows; p++) z_gradient_1(g + p * c_out, c_out, coarse, z_gradient + p * LANES);
    for (q = 0; q + 2 * LANES <= c_out; q += 2 * LANES) {
        long i = 0;
        for (; i + 8 <= k; i += 8) coarse_gradient_8_2(found + i * c_out + q, z + i, k, g + q, c_out, rows, 0xffff);
        for (; i + 4 <= k; i += 4) coarse_gradient_4_2(found + i * c_out + q, z + i, k, g + q, c_out, rows, 0xffff);
        for (; i < k; i++) coarse_gradient_1_2(found + i * c_out + q, z + i, k, g + q, c_out, rows, 0xffff);
    }
    for (; q < c_out; q += LANES)
        for (long i = 0; i < k; i++)
            coarse_gradient_1_1(found + i * c_out + q, z + i, k, g + q, c_out, rows, lanes(c_out - q));
}

/* The gradients of z, (P, 16), and of C^T, added to found (k, c_out), from g, that of y. coarse is C (c_out, 16). */
static void coarse_gradients_of_rows(long P, long c_out, const number *g, const number *z, long k, const float *coarse,
                                     float *z_gradient, float *found) {
    for (long p = 0; p < P; p += TILE)
        gradients(g + p * c_out, c_out, z + p * k, k, smaller(TILE, P - p), coarse, z_gradient + p * LANES, found);
}

/* The gradient of z interleaved with g, for a tile of `rows` pixels. */
static void put_beside(const block *blocks, long rows, const number *g, long c_out, const float *z_gradient, number *both,
                       long width) {
    for (long p = 0; p < rows; p++) {
        vec coarse_part = load(0xffff, z_gradient + p * LANES);
        for (long i = 0; i * LANES < width; i++) {
            vec fine_part = take(blocks[i].low, g + p * c_out + blocks[i].from);
            put(both + p * width + i * LANES, blocks[i].written,
                _mm512_permutex2var_ps(fine_part, blocks[i].index, coarse_part));
        }
    }
}

/* The gradient of z, either alone, z_gradient (P, k), or beside that of y, both (P, n, fine + m); the other pointer is
 * NULL. The gradient of C^T is added to found (threads, k, c_out), to each thread's part, zero before. g (P, c_out) is
 * the gradient of y, coarse is C (c_out, 16), padded by zeros. */
void NAMED(coarse_gradients)(long P, long c_out, long fine, long m, const number *g, const number *z, const float *coarse,
                             number *z_gradient, number *both, float *found, int threads) {
    long k = c_out / fine * m, width = c_out + k, tiles = (P + TILE - 1) / TILE;
    block blocks[(width + LANES - 1) / LANES];
    blocks_of_both(blocks, c_out, fine, m);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int thread = 0; thread < threads; thread++) {
        float own[TILE * LANES];
        for (long tile = tiles * thread / threads; tile < tiles * (thread + 1) / threads; tile++) {
            long first = tile * TILE, rows = smaller(TILE, P - first);
            const number *upstream = g + first * c_out;
            gradients(upstream, c_out, z + first * k, k, rows, coarse, own, found + thread * k * c_out);
            if (both)
                put_beside(blocks, rows, upstream, c_out, own, both + first * width, width);
            else
                for (long p = 0; p < rows; p++)
                    put(z_gradient + (first + p) * k, lanes(k), load(0xffff, own + p * LANES));
        }
    }
}

END_AVX512

#endif
