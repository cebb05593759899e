/* GC-2L as one convolution, 3 x 3, stride 1: the group convolution with its coarse level inside. With k = 0 there is no
 * coarse level, and its arguments may be NULL.
 *
 * It works on one image at a time, so that the coarse level reads from the cache. Each pixel of x is loaded once for three
 * neighbouring taps, and so is each pixel of the gradient, so that arithmetic and not loads limits the speed.
 */

#ifndef GC2L_CONVOLUTION_H
#define GC2L_CONVOLUTION_H

#include "coarse.h"
#include "planes.h"

#define BAND 4 /* rows whose gradients stay in the innermost cache */

BEGIN_AVX512

/* Where four pixels beside each other come from and go to. */
typedef struct {
    const float *from;
    number *y, *z;
    long count; /* how many of the four are stored */
} quad;

/* Output channels of one group for some pixels; `last` are those of the last vector, and the next `coarse` of its lanes
 * belong to z. */
#define CONVOLVE(NAME, quads, vectors)                                                                                  \
    static void NAME(const planes *s, const quad *q, const float *w, long width, long c_out, __mmask16 last, long k,    \
                     __mmask16 coarse) {                                                                                \
        vec sum[quads * QUAD][vectors];                                                                                 \
        __mmask16 few = lanes(__builtin_popcount(coarse));                                                              \
        UNROLLED(int p = 0; p < quads * QUAD; p++)                                                                      \
            UNROLLED(int v = 0; v < vectors; v++) sum[p][v] = _mm512_setzero_ps();                                      \
        for (long first = 0; first < s->channels; first += LANES)                                                       \
            for (long a = 0; a < TAPS; a++) {                                                                           \
                long at = a * s->pitch + first / LANES * s->size, end = at + smaller(s->channels - first, LANES);       \
                const float *row = w + (a * TAPS * s->channels + first) * width;                                        \
                for (; at < end; at++, row += width) {                                                                  \
                    vec filters[TAPS][vectors];                                                                         \
                    UNROLLED(int b = 0; b < TAPS; b++)                                                                  \
                        UNROLLED(int v = 0; v < vectors; v++)                                                           \
                            filters[b][v] = load(0xffff, row + b * s->channels * width + v * LANES);                    \
                    UNROLLED(int u = 0; u < quads; u++)                                                                 \
                        UNROLLED(int c = 0; c < QUAD + TAPS - 1; c++) {                                                 \
                            vec seen = _mm512_set1_ps(q[u].from[at + c * LANES]);                                       \
                            UNROLLED(int b = 0; b < TAPS; b++)                                                          \
                                UNROLLED(int v = 0; v < vectors; v++)                                                   \
                                    if (c - b >= 0 && c - b < QUAD)                                                     \
                                        sum[u * QUAD + c - b][v] =                                                      \
                                            _mm512_fmadd_ps(seen, filters[b][v], sum[u * QUAD + c - b][v]);             \
                        }                                                                                               \
                }                                                                                                       \
            }                                                                                                           \
        UNROLLED(int p = 0; p < quads * QUAD; p++) {                                                                    \
            int wanted = p % QUAD < q[p / QUAD].count;                                                                  \
            number *y = q[p / QUAD].y + p % QUAD * c_out;                                                               \
            UNROLLED(int v = 0; v < vectors; v++)                                                                       \
                put(y + v * LANES, !wanted ? 0 : v + 1 < vectors ? 0xffff : last, sum[p][v]);                           \
            if (coarse && wanted)                                                                                       \
                put(q[p / QUAD].z + p % QUAD * k, few, _mm512_maskz_compress_ps(coarse, sum[p][vectors - 1]));          \
        }                                                                                                               \
    }
CONVOLVE(convolve_2, 2, 2)
CONVOLVE(convolve_1, 4, 1)

/* y (H', W', groups own) from planes and weights (groups, 9, channels, own or own + m, padded to a multiple of 16); with m
 * channels of z (H', W', groups m) for each group, which fit into the last vector. Prefetches `numbers` of `next` meanwhile. */
static void convolve(const planes *s, const float *from, const float *w, long own, long m, long height, long width, number *y,
                     number *z, const number *next, long numbers) {
    long blocks = blocks_of(s->channels), vectors = blocks_of(own), c_out = s->groups * own, k = s->groups * m;
    long in_row = (width + QUAD - 1) / QUAD, count = height * in_row;
    ahead wanted = ahead_of(next, numbers, s->groups * (vectors / 2 * ((count + 1) / 2) + vectors % 2 * ((count + 3) / 4)));
    for (long j = 0; j < s->groups; j++)
        for (long v = 0; v < vectors; v += 2) {
            int two = v + 2 <= vectors, at_once = two ? 2 : 4, with_z = m && v + 2 >= vectors;
            __mmask16 last = lanes(own - (two ? v + 1 : v) * LANES), coarse = with_z ? lanes(own % LANES + m) & ~last : 0;
            for (long u = 0; u < count; u += at_once) {
                ask(&wanted);
                quad quads[4];
                for (long e = 0; e < at_once; e++) {
                    long h = smaller(u + e, count - 1) / in_row, first = smaller(u + e, count - 1) % in_row * QUAD;
                    long pixel = h * width + first;
                    quads[e] = (quad){from + j * blocks * s->size + h * s->pitch + first * LANES,
                                      y + pixel * c_out + j * own + v * LANES, z + pixel * k + j * m,
                                      u + e < count ? width - first : 0};
                }
                (two ? convolve_2 : convolve_1)(s, quads, w + j * TAPS * TAPS * s->channels * vectors * LANES + v * LANES,
                                                vectors * LANES, c_out, last, k, coarse);
            }
        }
}

/* z = r x (H', W', groups m) from planes; r is stored by taps, (9, groups m, channels). Beyond the end of a row
 * it computes outputs that are not stored, from whatever follows in the scratch memory. */
static void restrict_planes(const planes *s, const float *from, const float *r, long m, long height, long width, number *z) {
    long blocks = blocks_of(s->channels), k = s->groups * m, tap = k * s->channels;
    for (long i = 0; i < k; i++)
        for (long h = 0; h < height; h++)
            for (long first = 0; first < width; first += OCTET) {
                vec sum[OCTET];
                float found[OCTET];
                UNROLLED(int p = 0; p < OCTET; p++) sum[p] = _mm512_setzero_ps();
                for (long q = 0; q < s->channels; q += LANES)
                    for (long a = 0; a < TAPS; a++) {
                        vec factor[TAPS], seen[OCTET + TAPS - 1];
                        const float *row = from + (i / m * blocks + q / LANES) * s->size + (h + a) * s->pitch + first * LANES;
                        UNROLLED(int b = 0; b < TAPS; b++)
                            factor[b] = load(lanes(s->channels - q), r + (a * TAPS + b) * tap + i * s->channels + q);
                        UNROLLED(int p = 0; p < OCTET + TAPS - 1; p++) seen[p] = load(0xffff, row + p * LANES);
                        UNROLLED(int p = 0; p < OCTET; p++)
                            UNROLLED(int b = 0; b < TAPS; b++) sum[p] = _mm512_fmadd_ps(factor[b], seen[p + b], sum[p]);
                    }
                _mm256_storeu_ps(found, sums(sum));
                for (long p = 0; p < smaller(OCTET, width - first); p++) put_one(z + (h * width + first + p) * k + i, found[p]);
            }
}

/* Whether z can be computed in lanes that the channels of y leave empty. */
static int has_room(long own, long m) { return blocks_of(own + m) == blocks_of(own); }

/* How many floats of scratch memory each thread of the two functions below needs. */
static long scratch_size(const layer *l, long c_out) {
    planes s = planes_of_input(l), t = planes_of_gradient(l, c_out);
    return numbers_in(&s) + numbers_in(&t) + l->out_height * l->out_width * LANES;
}

long NAMED(scratch_size)(const layer *l, long c_out) { return scratch_size(l, c_out); }

/* y = A x + C z and z = r x. w is as above, r stored by taps, (9, k, c_in/n), coarse is C^T (k, c_out); scratch
 * has, for each thread, scratch_size. */
void NAMED(convolve)(const layer *l, const number *x, const float *w, const float *r, const float *coarse, number *y, number *z,
                     float *scratch, long c_out, int threads) {
    planes s = planes_of_input(l);
    long own = c_out / l->groups, m = l->k / l->groups, pixels = l->out_height * l->out_width;
    long size = l->height * l->width * l->c_in;
    block blocks[blocks_of(c_out)];
    blocks_of_output(blocks, c_out, c_out, 0);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int thread = 0; thread < threads; thread++) {
        float *spread = scratch + thread * scratch_size(l, c_out);
        memset(spread, 0, sizeof(float) * numbers_in(&s));
        for (long image = l->images * thread / threads; image < l->images * (thread + 1) / threads; image++) {
            number *to = y + image * pixels * c_out, *coarse_to = z + image * pixels * l->k;
            fill(&s, x + image * size, NULL, 0, spread);
            if (!has_room(own, m)) restrict_planes(&s, spread, r, m, l->out_height, l->out_width, coarse_to);
            convolve(&s, spread, w, own, has_room(own, m) ? m : 0, l->out_height, l->out_width, to, coarse_to,
                     x + (image + 1) * size, image + 1 < l->images ? size : 0);
            if (l->k) add_products_of_rows(blocks, pixels, to, coarse_to, l->k, coarse, c_out);
        }
    }
}

/* What column c of x contributes: tap b pairs it with the output b columns before, for the taps `first` to `last`. */
#define ADD_COLUMN(c, first, last, inputs, vectors)                                                                     \
    UNROLLED(int v = 0; v < vectors; v++) {                                                                             \
        before[2][v] = before[1][v];                                                                                    \
        before[1][v] = before[0][v];                                                                                    \
        before[0][v] = load(0xffff, upstream + (c) * LANES + v * t->size);                                              \
    }                                                                                                                   \
    UNROLLED(int i = 0; i < inputs; i++) {                                                                              \
        vec seen = _mm512_set1_ps(row[(c) * LANES + i]);                                                                \
        UNROLLED(int b = 0; b < TAPS; b++)                                                                              \
            UNROLLED(int v = 0; v < vectors; v++)                                                                       \
                if (b >= first && b <= last) sum[b][i][v] = _mm512_fmadd_ps(seen, before[b][v], sum[b][i][v]);          \
    }

/* The gradient of the weights of `vectors` blocks of outputs and `inputs` inputs at a row of taps, from some rows; added to
 * what found has. Right of the gradient's rows are zeros. */
#define WEIGHT_GRADIENT(NAME, inputs, vectors)                                                                          \
    static void NAME(const planes *s, const float *x, const planes *t, const float *g, long rows, float *found,         \
                     long tap, long width) {                                                                            \
        vec sum[TAPS][inputs][vectors], before[TAPS][vectors];                                                          \
        UNROLLED(int b = 0; b < TAPS; b++)                                                                              \
            UNROLLED(int i = 0; i < inputs; i++)                                                                        \
                UNROLLED(int v = 0; v < vectors; v++)                                                                   \
                    sum[b][i][v] = load(0xffff, found + b * tap + i * width + v * LANES);                               \
        UNROLLED(int b = 0; b < TAPS; b++)                                                                              \
            UNROLLED(int v = 0; v < vectors; v++) before[b][v] = _mm512_setzero_ps();                                   \
        for (long h = 0; h < rows; h++) {                                                                               \
            const float *row = x + h * s->pitch, *upstream = g + h * t->pitch;                                          \
            ADD_COLUMN(0, 0, 0, inputs, vectors)                                                                        \
            ADD_COLUMN(1, 0, 1, inputs, vectors)                                                                        \
            for (long c = 2; c < t->width; c++) { ADD_COLUMN(c, 0, 2, inputs, vectors) }                                \
            if (t->width > 1) { ADD_COLUMN(t->width, 1, 2, inputs, vectors) }                                           \
            ADD_COLUMN(t->width + 1, 2, 2, inputs, vectors)                                                             \
        }                                                                                                               \
        UNROLLED(int b = 0; b < TAPS; b++)                                                                              \
            UNROLLED(int i = 0; i < inputs; i++)                                                                        \
                UNROLLED(int v = 0; v < vectors; v++)                                                                   \
                    store(found + b * tap + i * width + v * LANES, 0xffff, sum[b][i][v]);                               \
    }
WEIGHT_GRADIENT(weight_gradient_4_2, 4, 2)
WEIGHT_GRADIENT(weight_gradient_8_1, 8, 1)
WEIGHT_GRADIENT(weight_gradient_4_1, 4, 1)
WEIGHT_GRADIENT(weight_gradient_2_1, 2, 1)

/* The gradient of one group's weights for a row of taps and one or `two` blocks of outputs. */
static void row_of_weight_gradients(const planes *s, const float *x, const planes *t, const float *g, long rows, int two,
                                    float *found, long tap, long width) {
    for (long i = 0, step; i < s->channels; i += step) {
        long left = s->channels - i;
        step = two || (left > 2 && left <= 4) ? 4 : left > 4 ? 8 : 2;
        (two ? weight_gradient_4_2 : step == 8 ? weight_gradient_8_1 : step == 4 ? weight_gradient_4_1 : weight_gradient_2_1)(
            s, x + i / LANES * s->size + i % LANES, t, g, rows, found + i * width, tap, width);
    }
}

/* The gradient of r for one coarse channel, whose gradient is z_gradient, and one block of inputs; all taps. */
static void restriction_gradient(const planes *s, const float *x, const planes *t, const float *z_gradient, float *found,
                                 long tap) {
    vec sum[TAPS * TAPS];
    UNROLLED(int a = 0; a < TAPS * TAPS; a++) sum[a] = load(0xffff, found + a * tap);
    for (long h = 0; h < t->height; h++)
        for (long p = 0; p < t->width * LANES; p += LANES)
            UNROLLED(int a = 0; a < TAPS * TAPS; a++)
                sum[a] = add_multiple(z_gradient[h * t->pitch + p],
                                      load(0xffff, x + (h + a / TAPS) * s->pitch + p + a % TAPS * LANES), sum[a]);
    UNROLLED(int a = 0; a < TAPS * TAPS; a++) store(found + a * tap, 0xffff, sum[a]);
}

/* The gradients of A and r from planes of x and of the gradients of y and z; found (groups, 9, channels of x, vectors 16),
 * channels padded to a multiple of 16; found_r (groups, 9, m, channels of x), the same, if z's have no room beside y's. */
static void weight_gradients(const planes *s, const float *x, const planes *t, const float *g, long own, long vectors,
                             float *found, float *found_r, const number *next, long numbers) {
    long blocks = blocks_of(s->channels), upstream = blocks_of(t->channels), width = vectors * LANES;
    long tap = blocks * LANES * width, m = t->channels - own;
    ahead wanted = ahead_of(next, numbers, s->groups * ((t->height + BAND - 1) / BAND) * TAPS * ((vectors + 1) / 2));
    g += t->padding_h * t->pitch + t->padding_w * LANES;
    for (long j = 0; j < s->groups; j++, x += blocks * s->size, g += upstream * t->size, found += TAPS * TAPS * tap) {
        for (long h = 0; h < t->height; h += BAND)
            for (long a = 0; a < TAPS; a++)
                for (long v = 0; v < vectors; v += 2) {
                    ask(&wanted);
                    row_of_weight_gradients(s, x + (h + a) * s->pitch, t, g + v * t->size + h * t->pitch,
                                            smaller(BAND, t->height - h), v + 2 <= vectors, found + a * TAPS * tap + v * LANES,
                                            tap, width);
                }
        if (!found_r) continue;
        for (long i = own; i < t->channels; i++)
            for (long b = 0; b < blocks; b++)
                restriction_gradient(s, x + b * s->size, t, g + i / LANES * t->size + i % LANES,
                                     found_r + ((j * TAPS * TAPS * m + i - own) * blocks + b) * LANES, m * blocks * LANES);
    }
}

/* The gradients of x, of A and r (see weight_gradients) and of C^T (k, c_out) from g, that of y. w are the weights of the
 * transposed convolution, (groups, 9 from the last tap on, c_out/n + m, c_in/n padded), coarse is C (c_out, 16), padded by
 * zeros. Each thread adds to its own part of what is found, which must be zero before. */
void NAMED(convolve_backward)(const layer *l, const number *x, const number *g, const number *z, const float *w,
                              const float *coarse, number *x_gradient, float *found, float *found_r, float *found_c,
                              float *scratch, long c_out, int threads) {
    planes s = planes_of_input(l), t = planes_of_gradient(l, c_out);
    long fine = c_out / l->groups, m = l->k / l->groups;
    long pixels = l->out_height * l->out_width, size = l->height * l->width * l->c_in;
    long vectors = blocks_of(fine), taken = l->groups * TAPS * TAPS * blocks_of(s.channels) * LANES;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int thread = 0; thread < threads; thread++) {
        float *seen = scratch + thread * scratch_size(l, c_out), *upstream = seen + numbers_in(&s);
        float *z_gradient = upstream + numbers_in(&t);
        memset(seen, 0, sizeof(float) * (numbers_in(&s) + numbers_in(&t)));
        for (long image = l->images * thread / threads; image < l->images * (thread + 1) / threads; image++) {
            if (l->k)
                coarse_gradients_of_rows(pixels, c_out, g + image * pixels * c_out, z + image * pixels * l->k, l->k, coarse,
                                         z_gradient, found_c + thread * l->k * c_out);
            fill(&t, g + image * pixels * c_out, z_gradient, m, upstream);
            convolve(&t, upstream, w, s.channels, 0, l->height, l->width, x_gradient + image * size, NULL,
                     x + image * size, size);
            fill(&s, x + image * size, NULL, 0, seen);
            weight_gradients(&s, seen, &t, upstream, fine, vectors, found + thread * taken * vectors * LANES,
                             has_room(fine, m) ? NULL : found_r + thread * taken * m, g + (image + 1) * pixels * c_out,
                             image + 1 < l->images ? pixels * c_out : 0);
        }
    }
}

END_AVX512

#endif
