// SPDX-License-Identifier: MIT
// What the Winograd kernels need of processors with AVX2 and FMA: 16 registers; included once by
// each file that compiles winograd_body.h for them.
#include <immintrin.h>
#include <stdint.h>

#define WIDTH       8
#define SUMS        12
#define MAX_VECTORS 3

typedef __m256 vec;
typedef __m256i lanes;
typedef __m256d wide;
#define LOAD(p)              _mm256_loadu_ps(p)
#define STORE(p, v)          _mm256_storeu_ps(p, v)
#define STREAM(p, v)         _mm256_stream_ps(p, v)
#define SET1(x)              _mm256_set1_ps(x)
#define ZERO()               _mm256_setzero_ps()
#define ADD(a, b)            _mm256_add_ps(a, b)
#define SUB(a, b)            _mm256_sub_ps(a, b)
#define MUL(a, b)            _mm256_mul_ps(a, b)
#define FMA(a, b, c)         _mm256_fmadd_ps(a, b, c)
#define FNMA(a, b, c)        _mm256_fnmadd_ps(a, b, c)
#define MAX(a, b)            _mm256_max_ps(a, b)
#define MIN(a, b)            _mm256_min_ps(a, b)
#define BELOW_ZERO(a, b, c)  _mm256_blendv_ps(b, a, _mm256_cmp_ps(c, ZERO(), _CMP_LT_OQ))
#define LANES(n)             first_lanes(n)
#define LOAD_LANES(p, m)     _mm256_maskload_ps(p, m)
#define STORE_LANES(p, m, v) _mm256_maskstore_ps(p, m, v)
#define WIDEN(v, half)       _mm256_cvtps_pd(_mm256_extractf128_ps(v, half))
#define LOAD_WIDE(p)         _mm256_loadu_pd(p)
#define STORE_WIDE(p, v)     _mm256_storeu_pd(p, v)
#define WIDE_ADD(a, b)       _mm256_add_pd(a, b)
#define WIDE_FMA(a, b, c)    _mm256_fmadd_pd(a, b, c)

static inline lanes first_lanes(int64_t n)
{
    const lanes index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), index);
}
