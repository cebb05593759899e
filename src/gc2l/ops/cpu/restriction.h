/* The restriction z = r x of GC-2L and its gradients, each in one pass over x, for every kernel size and geometry.
 *
 * All is channels last: x (N, H, W, c_in), z (P, k) with P = N H' W' and k = n m; r is stored by taps, (k_h, k_w, k, c_in/n).
 */

#ifndef GC2L_RESTRICTION_H
#define GC2L_RESTRICTION_H

#include "layer.h"
#include "numbers.h"

BEGIN_AVX512

/* Add what a row of taps sees of one group to the lanes of `OCTET` sums; columns are the pixels of x that the outputs
 * see, from the first output's first tap on. */
static void add_row_of_taps(const layer *l, const number *const *columns, const float *r, long channel, vec *sum) {
    long own = l->c_in / l->groups, apart = l->k * own;
    for (long q = 0; q < own; q += LANES) {
        __mmask16 some = lanes(own - q);
        for (long e = 0; e < l->k_w; e++) {
            vec factor = load(some, r + e * apart + q);
            for (int p = 0; p < OCTET; p++) {
                const number *seen = columns[p * l->stride_w + e * l->dilation_w] + channel + q;
                sum[p] = _mm512_fmadd_ps(factor, take(some, seen), sum[p]);
            }
        }
    }
}

/* The same for three taps beside each other, stride and dilation 1: every pixel is loaded once. */
static void add_three_taps(const layer *l, const number *const *columns, const float *r, long channel, vec *sum) {
    long own = l->c_in / l->groups, apart = l->k * own;
    for (long q = 0; q < own; q += LANES) {
        __mmask16 some = lanes(own - q);
        vec factor[3], seen[OCTET + 2];
        for (int e = 0; e < 3; e++) factor[e] = load(some, r + e * apart + q);
        for (int p = 0; p < OCTET + 2; p++) seen[p] = take(some, columns[p] + channel + q);
        for (int p = 0; p < OCTET; p++)
            for (int e = 0; e < 3; e++) sum[p] = _mm512_fmadd_ps(factor[e], seen[p + e], sum[p]);
    }
}

/* z = r x; zeros (c_in) stand for the pixels around x. */
void NAMED(restrict)(const layer *l, const number *x, const float *r, const number *zeros, number *z, int threads) {
    long own = l->c_in / l->groups, m = l->k / l->groups, octets = (l->out_width + OCTET - 1) / OCTET;
    long count = (OCTET - 1) * l->stride_w + (l->k_w - 1) * l->dilation_w + 1;
    int three = l->k_w == 3 && l->stride_w == 1 && l->dilation_w == 1;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long octet = 0; octet < l->images * l->out_height * octets; octet++) {
        const number *columns[l->k_h][count];
        long line = octet / octets, first = octet % octets * OCTET;
        long top = line % l->out_height * l->stride_h - l->padding_h, left = first * l->stride_w - l->padding_w;
        for (long a = 0; a < l->k_h; a++)
            for (long column = 0; column < count; column++) {
                long h = top + a * l->dilation_h, w = left + column;
                int inside = h >= 0 && h < l->height && w >= 0 && w < l->width;
                columns[a][column] = inside ? x + ((line / l->out_height * l->height + h) * l->width + w) * l->c_in : zeros;
            }
        number *to = z + (line * l->out_width + first) * l->k;
        for (long i = 0; i < l->k; i++) {
            vec sum[OCTET];
            float found[OCTET];
            for (int p = 0; p < OCTET; p++) sum[p] = _mm512_setzero_ps();
            for (long a = 0; a < l->k_h; a++)
                (three ? add_three_taps : add_row_of_taps)(l, columns[a], r + (a * l->k_w * l->k + i) * own, i / m * own, sum);
            _mm256_storeu_ps(found, sums(sum));
            for (long p = 0; p < smaller(OCTET, l->out_width - first); p++) put_one(to + p * l->k + i, found[p]);
        }
    }
}

/* Add to the gradients of x and of r what `taps` taps beside each other contribute in one row of x, whose pixels are
 * `apart_x` floats apart. g is the gradient of z that the first of them got at the first pixel. */
#define RESTRICT_BACKWARD(NAME, taps, vectors)                                                                          \
    INLINE void NAME(const layer *l, const float *x, const float *r, const float *g, float *x_gradient, float *found,   \
                     long apart_x, __mmask16 some) {                                                                    \
        long apart = l->k * (l->c_in / l->groups);                                                                      \
        vec factor[taps][vectors], sum[taps][vectors];                                                                  \
        for (int t = 0; t < taps; t++)                                                                                  \
            for (int v = 0; v < vectors; v++) {                                                                         \
                factor[t][v] = load(some, r + t * apart + v * LANES);                                                   \
                sum[t][v] = load(some, found + t * apart + v * LANES);                                                  \
            }                                                                                                           \
        for (long w = 0; w < l->width; w++) {                                                                           \
            vec seen[vectors], gradient[vectors];                                                                       \
            for (int v = 0; v < vectors; v++) {                                                                         \
                seen[v] = load(some, x + w * apart_x + v * LANES);                                                      \
                gradient[v] = load(some, x_gradient + w * apart_x + v * LANES);                                         \
            }                                                                                                           \
            for (int t = 0; t < taps; t++) {                                                                            \
                vec upstream = _mm512_set1_ps(g[(w - t * l->dilation_w) * l->k]);                                       \
                for (int v = 0; v < vectors; v++) {                                                                     \
                    gradient[v] = _mm512_fmadd_ps(upstream, factor[t][v], gradient[v]);                                 \
                    sum[t][v] = _mm512_fmadd_ps(upstream, seen[v], sum[t][v]);                                          \
                }                                                                                                       \
            }                                                                                                           \
            for (int v = 0; v < vectors; v++) store(x_gradient + w * apart_x + v * LANES, some, gradient[v]);           \
        }                                                                                                               \
        for (int t = 0; t < taps; t++)                                                                                  \
            for (int v = 0; v < vectors; v++) store(found + t * apart + v * LANES, some, sum[t][v]);                    \
    }
RESTRICT_BACKWARD(backward_3_2, 3, 2)
RESTRICT_BACKWARD(backward_3_1, 3, 1)
RESTRICT_BACKWARD(backward_1_2, 1, 2)
RESTRICT_BACKWARD(backward_1_1, 1, 1)

/* The same for a whole row of taps and one or `two` vectors of channels; upstream is the row's gradient of z, spread. */
static void row_backward(const layer *l, int two, __mmask16 some, const float *x, const float *r, const float *upstream,
                         float *x_gradient, float *found, long apart_x) {
    long apart = l->k * (l->c_in / l->groups), reach = (l->k_w - 1) * l->dilation_w, e = 0;
    for (; e + 3 <= l->k_w; e += 3)
        (two ? backward_3_2 : backward_3_1)(l, x, r + e * apart, upstream + (reach - e * l->dilation_w) * l->k, x_gradient,
                                            found + e * apart, apart_x, some);
    for (; e < l->k_w; e++)
        (two ? backward_1_2 : backward_1_1)(l, x, r + e * apart, upstream + (reach - e * l->dilation_w) * l->k, x_gradient,
                                            found + e * apart, apart_x, some);
}

/* One row of the gradient of z as the inputs of a row see it, (W + reach, k): between and around the outputs are zeros.
 * Input w gets through tap e what lies at w + padding - e dilation; the lowest such place is padding - reach. */
static void spread(const layer *l, const number *g, float *row) {
    long reach = (l->k_w - 1) * l->dilation_w, length = l->width + reach;
    for (long i = 0; i < length * l->k; i++) row[i] = 0;
    for (long o = 0; o < l->out_width; o++) {
        long place = o * l->stride_w + reach - l->padding_w;
        if (place < 0 || place >= length) continue; /* it saw padding only */
        store(row + place * l->k, lanes(l->k), take(lanes(l->k), g + o * l->k));
    }
}

/* The rows of a band, `pixels` pixels, for one or two vectors of channels: floats where they are, or copied to (pixels,
 * 32) and, after the sums, rounded once and put back. */
#ifdef BFLOAT16
#define APART(l) (2 * LANES)

INLINE float *taken(const number *from, long pixels, long c_in, int two, __mmask16 some, float *copy) {
    for (long p = 0; p < pixels; p++) {
        store(copy + p * 2 * LANES, 0xffff, take(some, from + p * c_in));
        if (two) store(copy + p * 2 * LANES + LANES, 0xffff, take(some, from + p * c_in + LANES));
    }
    return copy;
}

INLINE void put_back(number *to, long pixels, long c_in, int two, __mmask16 some, const float *copy) {
    for (long p = 0; p < pixels; p++) {
        put(to + p * c_in, some, load(0xffff, copy + p * 2 * LANES));
        if (two) put(to + p * c_in + LANES, some, load(0xffff, copy + p * 2 * LANES + LANES));
    }
}
#else
#define APART(l) ((l)->c_in)

INLINE float *taken(const number *from, long pixels, long c_in, int two, __mmask16 some, float *copy) {
    return (float *)from;
}

INLINE void put_back(number *to, long pixels, long c_in, int two, __mmask16 some, const float *copy) {}
#endif

/* x_gradient += r^T g, and the gradient of r, for each thread its part: found (threads, k_h, k_w, k, c_in/n), zero before;
 * scratch, for each thread, (band, k_h, W + (k_w - 1) dilation, k) and twice (band, W, 32). A band of rows of one image is
 * short enough for the innermost cache, as far as two vectors of its channels go. */
void NAMED(restrict_backward)(const layer *l, const number *x, const float *r, const number *g, number *x_gradient,
                              float *found, float *scratch, long band, int threads) {
    long own = l->c_in / l->groups, m = l->k / l->groups, taps = l->k_w * l->k * own; /* numbers of r in a row of taps */
    long length = (l->width + (l->k_w - 1) * l->dilation_w) * l->k, copied = band * l->width * 2 * LANES;
    long bands = (l->height + band - 1) / band, units = l->images * bands;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int thread = 0; thread < threads; thread++) {
        float *rows = scratch + thread * (band * l->k_h * length + 2 * copied), *copy = rows + band * l->k_h * length;
        float *part = found + thread * l->k_h * taps;
        for (long unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
            long image = unit / bands, top = unit % bands * band, height = smaller(band, l->height - top), count = height * l->k_h;
            char seen[band * l->k_h]; /* row / k_h is one of x in the band, row % k_h one of taps */
            for (long row = 0; row < count; row++) {
                long down = top + row / l->k_h + l->padding_h - row % l->k_h * l->dilation_h, o = down / l->stride_h;
                seen[row] = down >= 0 && down % l->stride_h == 0 && o < l->out_height;
                if (seen[row]) spread(l, g + (image * l->out_height + o) * l->out_width * l->k, rows + row * length);
            }
            for (long j = 0; j < l->groups; j++)
                for (long q = 0, two; q < own; q += two ? 2 * LANES : LANES) {
                    two = q + 2 * LANES <= own;
                    __mmask16 some = lanes(own - q);
                    long at = (image * l->height + top) * l->width * l->c_in + j * own + q, pixels = height * l->width;
                    const float *inputs = taken(x + at, pixels, l->c_in, two, some, copy);
                    float *gradients = taken(x_gradient + at, pixels, l->c_in, two, some, copy + copied);
                    for (long i = j * m; i < (j + 1) * m; i++)
                        for (long row = 0; row < count; row++) {
                            if (!seen[row]) continue;
                            long from = row / l->k_h * l->width * APART(l), filter = row % l->k_h * taps + i * own + q;
                            row_backward(l, two, some, inputs + from, r + filter, rows + row * length + i, gradients + from,
                                         part + filter, APART(l));
                        }
                    put_back(x_gradient + at, pixels, l->c_in, two, some, gradients);
                }
        }
    }
}

END_AVX512

#endif
