/* The functions for images of float32; none on processors other than x86-64. */

#ifdef __x86_64__
#include "coarse.h"
#include "restriction.h"
#include "convolution.h"
#endif
