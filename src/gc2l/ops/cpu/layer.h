/* The sizes of a layer. */
#ifndef GC2L_LAYER_H
#define GC2L_LAYER_H

/* Pairs are (vertical, horizontal). The order is that of the Python side. */
typedef struct {
    long images, height, width, c_in, groups, k;
    long k_h, k_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
    long out_height, out_width;
} layer;

#endif
