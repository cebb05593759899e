/* Grouped convolution of images (N, c_in, H, W) for inference: packed weights, any kernel, stride, dilation and padding,
 * vectorised over the pixels of the output, so that no lane is idle however few channels a group has.
 *
 * The input of a group is copied once for each column of the kernel, shifted, so that the rows of a copy are exactly as long
 * as those of the output: what one tap sees is then one run of numbers, across the ends of rows. A kernel of one pixel with
 * stride 1 and without padding reads the image itself. A register tile is R output channels and V vectors of pixels; a
 * number of the weights is taken from memory once for V products, a vector of pixels once for R.
 *
 * GC-2L: the m filters of r stand below those of A in each group, and their outputs z are kept; then y += C z, as a
 * convolution of one group and one tap that adds to what is there.
 */

#include "../ops/cpu/vectors.h"

#define MOST_ROWS 12
#define MOST_VECTORS 8
#define UNROLLED _Pragma("GCC unroll 32") for

/* Sizes; the order is that of the Python side. A pixel of the output is at x + offsets[t] for the term t, which is a pair of
 * an input channel and a tap. Rows of `to` are output channels, and from c_out on the channels of z. */
typedef struct {
    long images, height, width, c_in, c_out, k, groups, channels, filters; /* channels and filters of one group */
    long k_h, k_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, out_height, out_width;
    long relu, copied, block, plane; /* filters in a tile; numbers in one channel's copy */
    const long *from, *to, *offsets, *coarse_offsets;
    const float *weights, *coarse_weights, *bias; /* (groups, blocks, terms, block), (blocks, k, block), (c_out) */
    long coarse_block;
} convolution;

/* Where the rows of a tile go to. */
typedef struct {
    float *rows[MOST_ROWS];
    float bias[MOST_ROWS];
    int add, relu;
} target;

/* R rows and V vectors of the output from `pixel` on; where the tile is not full, only the pixels of `some` are touched. */
#define TILE(R, V, LOAD, KEPT)                                                                                          \
    {                                                                                                                   \
        vec sum[R][V];                                                                                                  \
        const float *row_of_weights = w;                                                                                \
        UNROLLED(int r = 0; r < R; r++) UNROLLED(int v = 0; v < V; v++) sum[r][v] = _mm512_set1_ps(to->bias[r]);        \
        for (long t = 0; t < terms; t++, row_of_weights += R) {                                                         \
            const float *at = x + offsets[t] + pixel;                                                                   \
            vec seen[V];                                                                                                \
            UNROLLED(int v = 0; v < V; v++) seen[v] = LOAD(at + v * LANES);                                             \
            UNROLLED(int r = 0; r < R; r++) {                                                                           \
                vec factor = _mm512_set1_ps(row_of_weights[r]);                                                         \
                UNROLLED(int v = 0; v < V; v++) sum[r][v] = _mm512_fmadd_ps(factor, seen[v], sum[r][v]);                \
            }                                                                                                           \
        }                                                                                                               \
        UNROLLED(int r = 0; r < R; r++)                                                                                 \
            UNROLLED(int v = 0; v < V; v++) if (to->rows[r])                                                            \
                finish(to, to->rows[r] + pixel + v * LANES, KEPT, sum[r][v]);                                           \
    }
#define WHOLE(from) _mm512_loadu_ps(from)
#define PARTLY(from) load(some[v], from)

INLINE void finish(const target *to, float *place, __mmask16 kept, vec value) {
    if (to->add) value = _mm512_add_ps(value, load(kept, place));
    /* The comparison is false for NaN, which stays. */
    if (to->relu) value = _mm512_mask_mov_ps(value, _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps());
    store(place, kept, value);
}

#define ROWS(R, V)                                                                                                      \
    static void rows_##R(const float *x, const long *offsets, long terms, const float *w, const target *to,             \
                         long pixels) {                                                                                 \
        long pixel = 0;                                                                                                 \
        for (; pixel + V * LANES <= pixels; pixel += V * LANES) TILE(R, V, WHOLE, 0xffff)                               \
        if (pixel < pixels) {                                                                                           \
            __mmask16 some[V];                                                                                          \
            for (int v = 0; v < V; v++) some[v] = lanes(pixels - pixel - v * LANES);                                    \
            TILE(R, V, PARTLY, some[v])                                                                                 \
        }                                                                                                               \
    }
/* As many sums as there are registers for, beside V vectors of pixels and one number of the weights. */
ROWS(1, 8) ROWS(2, 8) ROWS(3, 7) ROWS(4, 5) ROWS(5, 4) ROWS(6, 4) ROWS(7, 3) ROWS(8, 3) ROWS(9, 2) ROWS(10, 2) ROWS(11, 2) ROWS(12, 2)

typedef void rows_function(const float *, const long *, long, const float *, const target *, long);
static rows_function *const ROWS_OF[MOST_ROWS] = {rows_1, rows_2, rows_3, rows_4, rows_5, rows_6,
                                                  rows_7, rows_8, rows_9, rows_10, rows_11, rows_12};

INLINE long up(long a, long b) { return a <= 0 ? 0 : (a + b - 1) / b; }

/* One channel's copy (k_w, stride_h, rows, out_width): column b of the kernel sees in row q of phase f the padded image's row
 * q stride_h + f. */
static void copy_channel(const convolution *c, const float *image, float *to) {
    long rows = c->plane / (c->k_w * c->stride_h * c->out_width);
    for (long b = 0; b < c->k_w; b++) {
        long shift = b * c->dilation_w - c->padding_w, first = up(-shift, c->stride_w), last = up(c->width - shift, c->stride_w);
        last = smaller(last, c->out_width);
        first = smaller(first, last);
        for (long f = 0; f < c->stride_h; f++)
            for (long q = 0; q < rows; q++, to += c->out_width) {
                long h = q * c->stride_h + f - c->padding_h;
                if (h < 0 || h >= c->height || !image) {
                    for (long w = 0; w < c->out_width; w++) to[w] = 0;
                    continue;
                }
                const float *row = image + h * c->width + shift;
                for (long w = 0; w < first; w++) to[w] = 0;
                if (c->stride_w == 1)
                    for (long w = first; w < last; w += LANES) {
                        __mmask16 some = lanes(last - w);
                        store(to + w, some, load(some, row + w));
                    }
                else if (c->stride_w == 2)
                    for (long w = first; w < last; w++) to[w] = row[2 * w];
                else
                    for (long w = first; w < last; w++) to[w] = row[w * c->stride_w];
                for (long w = last; w < c->out_width; w++) to[w] = 0;
            }
    }
}

/* The tiles of filters from `first` to `end` of one group. */
static void group_rows(const convolution *c, const float *x, long group, long first, long end, float *y, float *z) {
    long pixels = c->out_height * c->out_width, terms = c->channels * c->k_h * c->k_w, blocks = up(c->filters, c->block);
    for (long b = first; b < end; b++) {
        target to = {.add = 0, .relu = c->relu && !c->k};
        for (long r = 0; r < c->block; r++) {
            long filter = b * c->block + r, channel = filter < c->filters ? c->to[group * c->filters + filter] : -1;
            to.rows[r] = channel < 0 ? 0 : channel < c->c_out ? y + channel * pixels : z + (channel - c->c_out) * pixels;
            to.bias[r] = channel >= 0 && channel < c->c_out ? c->bias[channel] : 0;
        }
        ROWS_OF[c->block - 1](x, c->offsets + (c->copied ? 0 : group * terms), terms,
                              c->weights + (group * blocks + b) * terms * c->block, &to, pixels);
    }
}

/* y (N, c_out, H', W') from x; scratch has room for channels plane numbers of each thread, z for (N, k, H', W'). */
void gc2l_edge_convolve(const convolution *c, const float *x, float *y, float *z, float *scratch, int threads) {
    long pixels = c->out_height * c->out_width, blocks = up(c->filters, c->block);
    long parts = smaller(up(threads, c->images * c->groups), blocks), items = c->images * c->groups * parts;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int thread = 0; thread < threads; thread++) {
        float *copies = scratch + thread * c->channels * c->plane;
        for (long item = items * thread / threads; item < items * (thread + 1) / threads; item++) {
            long part = item % parts, group = item / parts % c->groups, image = item / parts / c->groups;
            const float *seen = x + image * c->c_in * c->height * c->width;
            if (c->copied) {
                for (long i = 0; i < c->channels; i++) {
                    long channel = c->from[group * c->channels + i];
                    copy_channel(c, channel < 0 ? 0 : seen + channel * c->height * c->width, copies + i * c->plane);
                }
                seen = copies;
            }
            group_rows(c, seen, group, blocks * part / parts, blocks * (part + 1) / parts, y + image * c->c_out * pixels,
                       z + image * c->k * pixels);
        }
    }
    if (!c->k) return;
    blocks = up(c->c_out, c->coarse_block);
    items = c->images * blocks;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long item = 0; item < items; item++) {
        long image = item / blocks, b = item % blocks;
        target to = {.add = 1, .relu = c->relu};
        for (long r = 0; r < c->coarse_block; r++) {
            long channel = b * c->coarse_block + r;
            to.rows[r] = channel < c->c_out ? y + (image * c->c_out + channel) * pixels : 0;
            to.bias[r] = 0;
        }
        ROWS_OF[c->coarse_block - 1](z + image * c->k * pixels, c->coarse_offsets, c->k,
                                     c->coarse_weights + b * c->k * c->coarse_block, &to, pixels);
    }
}
