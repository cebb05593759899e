/* The functions for images of bfloat16; none on processors other than x86-64. */

#ifdef __x86_64__
#define BFLOAT16
#include "interleave.h"
#include "coarse.h"
#include "restriction.h"
#include "convolution.h"
#endif
