// SPDX-License-Identifier: MIT
// What the Winograd kernels need of processors with AVX-512 (F, BW, DQ, VL): 32 registers; included
// once by each file that compiles winograd_body.h for them.
#include <immintrin.h>

#define WIDTH       16
#define SUMS        24
#define MAX_VECTORS 4

typedef __m512 vec;
typedef __mmask16 lanes;
typedef __m512d wide;
#define LOAD(p)              _mm512_loadu_ps(p)
#define STORE(p, v)          _mm512_storeu_ps(p, v)
#define STREAM(p, v)         _mm512_stream_ps(p, v)
#define SET1(x)              _mm512_set1_ps(x)
#define ZERO()               _mm512_setzero_ps()
#define ADD(a, b)            _mm512_add_ps(a, b)
#define SUB(a, b)            _mm512_sub_ps(a, b)
#define MUL(a, b)            _mm512_mul_ps(a, b)
#define FMA(a, b, c)         _mm512_fmadd_ps(a, b, c)
#define FNMA(a, b, c)        _mm512_fnmadd_ps(a, b, c)
#define MAX(a, b)            _mm512_max_ps(a, b)
#define MIN(a, b)            _mm512_min_ps(a, b)
#define BELOW_ZERO(a, b, c)  _mm512_mask_blend_ps(_mm512_cmp_ps_mask(c, ZERO(), _CMP_LT_OQ), b, a)
#define LANES(n)             ((lanes)((1U << (n)) - 1))
#define LOAD_LANES(p, m)     _mm512_maskz_loadu_ps(m, p)
#define STORE_LANES(p, m, v) _mm512_mask_storeu_ps(p, m, v)
#define WIDEN(v, half)       _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, half))
#define LOAD_WIDE(p)         _mm512_loadu_pd(p)
#define STORE_WIDE(p, v)     _mm512_storeu_pd(p, v)
#define WIDE_ADD(a, b)       _mm512_add_pd(a, b)
#define WIDE_FMA(a, b, c)    _mm512_fmadd_pd(a, b, c)
