/* Put in front of every C file under test: masked loads and stores touch each of their bytes one by one before, which the
 * sanitizers see; the intrinsics themselves they do not. */
#include <immintrin.h>

static void touch(unsigned long some, const volatile void *place, int size) {
    for (int lane = 0; some >> lane; lane++)
        if (some >> lane & 1)
            for (int byte = 0; byte < size; byte++) (void)((const volatile char *)place)[lane * size + byte];
}

#define _mm512_maskz_loadu_ps(some, from) (touch(some, from, 4), _mm512_maskz_loadu_ps(some, from))
#define _mm512_mask_storeu_ps(to, some, values) (touch(some, to, 4), _mm512_mask_storeu_ps(to, some, values))
#define _mm512_maskz_loadu_epi16(some, from) (touch(some, from, 2), _mm512_maskz_loadu_epi16(some, from))
#define _mm512_mask_storeu_epi16(to, some, values) (touch(some, to, 2), _mm512_mask_storeu_epi16(to, some, values))
#define _mm256_maskz_loadu_epi16(some, from) (touch(some, from, 2), _mm256_maskz_loadu_epi16(some, from))
#define _mm256_mask_storeu_epi16(to, some, values) (touch(some, to, 2), _mm256_mask_storeu_epi16(to, some, values))
