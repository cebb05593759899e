/* The layout in which the convolution reads images: planes (groups, blocks, rows, columns, 16), surrounded by zeros. A block
 * is 16 channels of one group, stored next to each other for each pixel; consecutive pixels are 16 numbers apart.
 */
#ifndef GC2L_PLANES_H
#define GC2L_PLANES_H

#include "layer.h"
#include "numbers.h"

#define TAPS 3
#define QUAD 4 /* pixels beside each other */

BEGIN_AVX512

typedef struct {
    long groups, channels, height, width; /* channels of one group */
    long padding_h, padding_w;
    long pitch, size; /* numbers from row to row, and in one plane */
} planes;

INLINE long blocks_of(long channels) { return (channels + LANES - 1) / LANES; }

INLINE planes planes_of(long groups, long channels, long height, long width, long padding_h, long padding_w) {
    long pitch = (width + 2 * padding_w + QUAD - 1) * LANES;
    return (planes){groups, channels, height, width, padding_h, padding_w, pitch, (height + 2 * padding_h) * pitch};
}

INLINE planes planes_of_input(const layer *l) {
    return planes_of(l->groups, l->c_in / l->groups, l->height, l->width, l->padding_h, l->padding_w);
}

/* The planes of the gradient of y, each group's followed by the gradient of its z. Padded like this, their convolution is
 * the gradient of x. */
INLINE planes planes_of_gradient(const layer *l, long c_out) {
    return planes_of(l->groups, (c_out + l->k) / l->groups, l->out_height, l->out_width, TAPS - 1 - l->padding_h,
                     TAPS - 1 - l->padding_w);
}

INLINE long numbers_in(const planes *s) { return s->groups * blocks_of(s->channels) * s->size; }

/* Copy an image (H, W, groups own) into planes; if m > 0, with m further channels of each group from `beside` (H, W, 16). */
INLINE void fill(const planes *s, const number *image, const float *beside, long m, float *to) {
    long own = s->channels - m, blocks = blocks_of(s->channels);
    for (long h = 0; h < s->height; h++)
        for (long p = 0; p < s->width; p++, image += s->groups * own) {
            float *place = to + (h + s->padding_h) * s->pitch + (p + s->padding_w) * LANES;
            for (long j = 0; j < s->groups; j++, place += blocks * s->size) {
                for (long q = 0; q < own; q += LANES)
                    store(place + q / LANES * s->size, 0xffff, take(lanes(own - q), image + j * own + q));
                for (long i = 0; i < m; i++)
                    place[(own + i) / LANES * s->size + (own + i) % LANES] = beside[(h * s->width + p) * LANES + j * m + i];
            }
        }
}

/* Memory that the next image needs, prefetched in small steps during the computation; read at once it would stall the
 * sums. */
typedef struct {
    const number *next, *end;
    long share; /* for each step */
} ahead;

INLINE ahead ahead_of(const number *from, long numbers, long steps) {
    return (ahead){from, from + numbers, ((numbers / LANES + steps - 1) / steps) * LANES};
}

INLINE void ask(ahead *a) {
    const number *end = a->end - a->next < a->share ? a->end : a->next + a->share;
    for (; a->next < end; a->next += LANES) _mm_prefetch((const char *)a->next, _MM_HINT_T1);
}

END_AVX512

#endif
