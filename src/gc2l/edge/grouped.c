/* Grouped convolution of images (N, c_in, H, W) for inference: packed weights, any kernel, stride, dilation and padding,
 * vectorised over the pixels of the output, so that no lane is idle however few channels a group has.
 *
 * The channels of a group are copied so that what one tap sees of 16 output pixels is one run of 16 numbers:
 *   BY_ROW     the padded image, stride 1 across; vectors end with the rows of the output;
 *   BY_COLUMN  one copy for each column of the kernel, its rows as long as the output's; vectors run across the ends of rows.
 * A kernel of one pixel with stride 1 and without padding reads the image itself, DIRECT.
 *
 * A register tile is R output channels and V vectors of pixels: a number of the weights is taken from memory once for V
 * products, a vector of pixels once for R.
 *
 * GC-2L: the m filters of r stand below those of A in each group, and their outputs z are kept; then y += C z, as a
 * convolution of one group and one tap that adds to what is there.
 */

#ifdef __x86_64__

#include "../ops/cpu/vectors.h"

BEGIN_AVX512

#define MOST_ROWS 14
#define MOST_VECTORS 8

enum { DIRECT, BY_ROW, BY_COLUMN };

/* Sixteen numbers of a copy, from two runs of sixteen in the image. */
typedef struct {
    long runs[2];         /* where they begin */
    uint16_t in_image[2]; /* what of them may be read */
    uint16_t seen;        /* lanes of the copy; others are zero */
    uint16_t many;        /* two runs are not enough, and `from` has a place in the image for each lane */
    int32_t from[LANES];  /* of the 32 numbers of both runs */
} piece;

/* A convolution of each group of some channels with some filters, cut into blocks. */
typedef struct {
    long terms, blocks, tiles;  /* terms are pairs of a channel and a tap */
    const long *first_filter;   /* (blocks + 1) */
    const long *first_vector;   /* (tiles + 1) a tile is at most 8 vectors of 16 pixels */
    const long *offsets;        /* of each term, from the pixel; DIRECT: (groups, terms) */
    const long *sources;        /* of each vector, in the input */
    const long *to;             /* (groups, filters) where its pixels go, negative for nowhere */
    const float *weights, *bias; /* (groups, blocks, terms, filters of the block), (groups, filters) */
} products;

/* Sizes; the order is that of the Python side. */
typedef struct {
    long images, height, width, c_in, c_out, k, groups, channels, filters; /* channels and filters of one group */
    long pixels, relu, layout;
    long z_plane, plane; /* numbers from one channel of z, or of the input or its copy, to the next */
    long pitch, padding_h, padding_w; /* BY_ROW: numbers from one row of the copy to the next, and zeros around the image */
    const long *from, *places; /* channels of the input; of each vector, in the output */
    const uint16_t *stored;    /* its pixels */
    const piece *pieces;       /* of one channel's copy, BY_COLUMN */
    products own, coarse;
} convolution;

/* Where a tile goes to: `to` counts from y, and from `limit` on from z. */
typedef struct {
    float *y, *z;
    long limit;
    int add, relu;
} target;

INLINE void finish(const target *to, float *place, __mmask16 kept, vec value) {
    if (to->add) value = _mm512_add_ps(value, load(kept, place));
    /* The comparison is false for NaN, which stays. */
    if (to->relu) value = _mm512_mask_mov_ps(value, _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps());
    store(place, kept, value);
}

/* R rows and V vectors. `masked`: of the last vector only the pixels in `stored` may be read. */
#define TILE(R, V)                                                                                                          \
    static void tile_##R##_##V(const float *x, const long *offsets, long terms, const float *w, const float *bias,          \
                               const target *to, const long *rows, const long *sources, const long *places,                 \
                               const uint16_t *stored, int masked) {                                                        \
        vec sum[R][V];                                                                                                      \
        const float *at[V];                                                                                                 \
        UNROLLED(int v = 0; v < V; v++) at[v] = x + sources[v];                                                             \
        UNROLLED(int r = 0; r < R; r++) UNROLLED(int v = 0; v < V; v++) sum[r][v] = _mm512_set1_ps(bias[r]);                \
        if (masked) {                                                                                                       \
            __mmask16 some = stored[V - 1];                                                                                 \
            TERMS(R, V, v < V - 1 ? _mm512_loadu_ps(at[v] + offsets[t]) : load(some, at[v] + offsets[t]))                   \
        } else                                                                                                              \
            TERMS(R, V, _mm512_loadu_ps(at[v] + offsets[t]))                                                                \
        long place[V];                                                                                                      \
        __mmask16 kept[V];                                                                                                  \
        UNROLLED(int v = 0; v < V; v++) place[v] = places[v], kept[v] = stored[v];                                          \
        int plain = !to->add && !to->relu;                                                                                  \
        UNROLLED(int r = 0; r < R; r++) if (rows[r] >= 0) {                                                                 \
            float *row = rows[r] < to->limit ? to->y + rows[r] : to->z + (rows[r] - to->limit);                             \
            if (plain) {                                                                                                    \
                UNROLLED(int v = 0; v < V; v++) store(row + place[v], kept[v], sum[r][v]);                                  \
            } else {                                                                                                        \
                UNROLLED(int v = 0; v < V; v++) finish(to, row + place[v], kept[v], sum[r][v]);                             \
            }                                                                                                               \
        }                                                                                                                   \
    }
#define TERMS(R, V, LOADED)                                                                                                 \
    for (long t = 0; t < terms; t++, w += R) {                                                                              \
        vec seen[V];                                                                                                        \
        UNROLLED(int v = 0; v < V; v++) seen[v] = LOADED;                                                                   \
        UNROLLED(int r = 0; r < R; r++) {                                                                                   \
            vec factor = _mm512_set1_ps(w[r]);                                                                              \
            UNROLLED(int v = 0; v < V; v++) sum[r][v] = _mm512_fmadd_ps(factor, seen[v], sum[r][v]);                        \
        }                                                                                                                   \
    }

typedef void tile_function(const float *, const long *, long, const float *, const float *, const target *, const long *,
                           const long *, const long *, const uint16_t *, int);

/* As many sums as there are registers for, beside V vectors of pixels and one number of the weights. */
#define UP_TO_1(M, R) M(R, 1)
#define UP_TO_2(M, R) UP_TO_1(M, R) M(R, 2)
#define UP_TO_3(M, R) UP_TO_2(M, R) M(R, 3)
#define UP_TO_4(M, R) UP_TO_3(M, R) M(R, 4)
#define UP_TO_5(M, R) UP_TO_4(M, R) M(R, 5)
#define UP_TO_6(M, R) UP_TO_5(M, R) M(R, 6)
#define UP_TO_7(M, R) UP_TO_6(M, R) M(R, 7)
#define UP_TO_8(M, R) UP_TO_7(M, R) M(R, 8)
#define ALL(M)                                                                                                              \
    UP_TO_8(M, 1) UP_TO_8(M, 2) UP_TO_7(M, 3) UP_TO_6(M, 4) UP_TO_5(M, 5) UP_TO_4(M, 6) UP_TO_3(M, 7) UP_TO_3(M, 8)         \
    UP_TO_3(M, 9) UP_TO_2(M, 10) UP_TO_2(M, 11) UP_TO_2(M, 12) UP_TO_2(M, 13) UP_TO_2(M, 14)
ALL(TILE)
#define ENTRY(R, V) [R - 1][V - 1] = tile_##R##_##V,
static tile_function *const TILES[MOST_ROWS][MOST_VECTORS] = {ALL(ENTRY)};

/* The blocks of filters from `first` to `end`, for all pixels. Pixels are the outer loop: those of one tile stay in the first
 * cache for all filters. `filter` is the first of the group. */
static void multiply(const convolution *c, const products *p, const float *x, long group, long filter, long first, long end,
                     const target *to, int masked) {
    const long *offsets = p->offsets + (masked ? group * p->terms : 0);
    for (long tile = 0; tile < p->tiles; tile++) {
        long vector = p->first_vector[tile], width = p->first_vector[tile + 1] - vector;
        int cut = masked && tile == p->tiles - 1;
        for (long b = first; b < end; b++) {
            long row = filter + p->first_filter[b], rows = p->first_filter[b + 1] - p->first_filter[b];
            TILES[rows - 1][width - 1](x, offsets, p->terms, p->weights + row * p->terms, p->bias + row, to, p->to + row,
                                       p->sources + vector, c->places + vector, c->stored + vector, cut);
        }
    }
}

/* BY_ROW: the rows of the image between the zeros, which are there already. */
static void copy_rows(const convolution *c, const float *image, float *to) {
    to += c->padding_h * c->pitch + c->padding_w;
    for (long h = 0; h < c->height; h++, image += c->width, to += c->pitch) {
        long w = 0;
        for (; w + LANES <= c->width; w += LANES) _mm512_storeu_ps(to + w, _mm512_loadu_ps(image + w));
        if (w < c->width) store(to + w, lanes(c->width - w), load(lanes(c->width - w), image + w));
    }
}

static void copy_pieces(const convolution *c, const float *image, float *to) {
    const piece *p = c->pieces;
    for (long i = 0; i < c->plane; i += LANES, p++) {
        __m512i from = _mm512_loadu_si512(p->from);
        vec values;
        if (p->many)
            values = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), p->seen, from, image, sizeof *image);
        else
            values = _mm512_maskz_permutex2var_ps(p->seen, load(p->in_image[0], image + p->runs[0]), from,
                                                  load(p->in_image[1], image + p->runs[1]));
        _mm512_storeu_ps(to + i, values);
    }
}

static void copy_channel(const convolution *c, const float *image, float *to) {
    if (!image)
        memset(to, 0, c->plane * sizeof *to);
    else if (c->layout == BY_ROW)
        copy_rows(c, image, to);
    else
        copy_pieces(c, image, to);
}

/* y (N, c_out, H', W') from x; `copies` has `size` numbers for each thread, z for (N, k, z_plane). */
void gc2l_edge_convolve(const convolution *c, const float *x, float *y, float *z, float *copies, long size, int threads) {
    long parts = smaller((threads + c->images * c->groups - 1) / (c->images * c->groups), c->own.blocks);
    long items = c->images * c->groups * parts;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int thread = 0; thread < threads; thread++) {
        float *copy = copies + thread * size;
        if (c->layout != DIRECT) memset(copy, 0, size * sizeof *copy);
        for (long item = items * thread / threads; item < items * (thread + 1) / threads; item++) {
            long part = item % parts, group = item / parts % c->groups, image = item / parts / c->groups;
            const float *seen = x + image * c->c_in * c->height * c->width;
            if (c->layout != DIRECT) {
                for (long i = 0; i < c->channels; i++) {
                    long channel = c->from[group * c->channels + i];
                    copy_channel(c, channel < 0 ? 0 : seen + channel * c->height * c->width, copy + i * c->plane);
                }
                seen = copy;
            }
            target to = {y + image * c->c_out * c->pixels, z + image * c->k * c->z_plane, c->c_out * c->pixels, 0, c->relu && !c->k};
            multiply(c, &c->own, seen, group, group * c->filters, c->own.blocks * part / parts, c->own.blocks * (part + 1) / parts,
                     &to, c->layout == DIRECT);
        }
    }
    if (!c->k) return;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int thread = 0; thread < threads; thread++)
        for (long image = 0; image < c->images; image++) {
            target to = {y + image * c->c_out * c->pixels, 0, c->c_out * c->pixels, 1, c->relu};
            multiply(c, &c->coarse, z + image * c->k * c->z_plane, 0, 0, c->coarse.blocks * thread / threads,
                     c->coarse.blocks * (thread + 1) / threads, &to, 0);
        }
}

END_AVX512

#endif
