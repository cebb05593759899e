/* The sizes of a layer, and the functions of the coarse level that the convolution with the coarse level inside calls. */
#ifndef GC2L_LAYER_H
#define GC2L_LAYER_H

#include "vectors.h"

/* Sizes; pairs are (vertical, horizontal). The order is that of the Python side. */
typedef struct {
    long images, height, width, c_in, groups, k;
    long k_h, k_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
    long out_height, out_width;
} layer;

/* Sixteen numbers of a row that are gathered from at most two vectors. */
typedef struct {
    __m512i index;         /* into the two vectors */
    long from;             /* where the first vector starts */
    __mmask16 low, high;   /* what may be read of the first and of the second */
    __mmask16 written;
} block;

/* Blocks of y's row: its channels within a row of both, or where fine = c_out and m = 0, in their places. */
void blocks_of_output(block *blocks, long c_out, long fine, long m);

/* y += C z for P pixels; coarse is C^T (k, c_out). */
void add_products_of_rows(const block *blocks, long P, float *y, const float *z, long k, const float *coarse, long c_out);

/* The gradients of z, (P, 16), and of C^T, added to found (k, c_out), from g, that of y. coarse is C (c_out, 16). */
void coarse_gradients_of_rows(long P, long c_out, const float *g, const float *z, long k, const float *coarse,
                              float *z_gradient, float *found);

/* How many floats of scratch memory each thread of gc2l_convolve and gc2l_convolve_backward needs. */
long gc2l_scratch_size(const layer *l, long c_out);

#endif
