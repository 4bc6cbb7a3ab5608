// What the kernels share: how an op lies in a tape, vectors of 16 numbers, tiles of bfloat16.
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/** Numbers of an op. Addresses are two of them: a slot and the bytes from its start. */
#define WIDTH 64
/** Bytes of scratch memory for each thread. */
#define SCRATCH (32 << 20)
/** The last of them, for numbers that become int8: 16 rows of up to 65,536. */
#define NARROW (4 << 20)

typedef const double *Op;
typedef struct {
  char *const *slots;
  char *scratch;
  /** Whether products use AMX, else AVX-512's bfloat16 instructions. */
  int amx;
  /** Set to 1 by a kernel that meets a row or word that is not there. */
  int32_t *fault;
} Run;
/** Computes one of an op's items; they are independent of each other. */
typedef void Kernel(Op op, int64_t item, const Run *run);

static inline int64_t whole(Op op, int i) { return (int64_t)op[i]; }
/** An index of a table of n rows: 0 in place of one that is not there, which ends the run with an error. */
static inline int64_t within(int64_t i, int64_t n, const Run *run) {
  if (i >= 0 && i < n) return i;
  *run->fault = 1;
  return 0;
}
static inline char *at(Op op, int i, const Run *run) { return run->slots[(int)op[i]] + (int64_t)op[i + 1]; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
/** The first n lanes. */
static inline __mmask16 lanes(int64_t n) { return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }
/** As `lanes`, none where n is not above 0. */
static inline __mmask16 lanesFrom(int64_t n) { return n <= 0 ? 0 : lanes(n); }
static inline __m512 load(__mmask16 m, const float *p) { return _mm512_maskz_loadu_ps(m, p); }
static inline void store(float *p, __mmask16 m, __m512 x) { _mm512_mask_storeu_ps(p, m, x); }

/** 16 numbers in bfloat16, or in float32. */
static inline __m512 loadEither(__mmask16 m, const void *p, int64_t i, int half) {
  if (!half) return load(m, (const float *)p + i);
  return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, (const uint16_t *)p + i)), 16);
}

/** e^x within 2 units in the last place; 0 below -87.3, and infinite above 88.7 (Cephes' polynomial). */
static inline __m512 exp16(__m512 x) {
  const __m512 low = _mm512_set1_ps(-87.33654f), high = _mm512_set1_ps(88.72283f);
  __mmask16 under = _mm512_cmp_ps_mask(x, low, _CMP_LT_OQ), over = _mm512_cmp_ps_mask(x, high, _CMP_GT_OQ);
  __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
  p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, _mm512_add_ps(r, _mm512_set1_ps(1)));
  p = _mm512_scalef_ps(p, n);
  p = _mm512_mask_mov_ps(p, under, _mm512_setzero_ps());
  return _mm512_mask_mov_ps(p, over, _mm512_set1_ps(__builtin_inff()));
}
/** 2^x within 1e-7 of it (the best polynomial of degree 5, found by Lawson's iteration); 0 below -150, for x below 128. */
static inline __m512 power16(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-200));
  __m512 n = _mm512_roundscale_ps(x, 8), f = _mm512_sub_ps(x, n);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(1.3264726899e-3f), f, _mm512_set1_ps(9.6715126606e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.5507337442e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4022242085e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9314697760e-1f));
  return _mm512_scalef_ps(_mm512_fmadd_ps(p, f, _mm512_set1_ps(1)), n);
}
/** 1 / x within 1e-7 of it: an estimate, and a step of Newton's. */
static inline __m512 inverse16(__m512 x) {
  __m512 y = _mm512_rcp14_ps(x);
  return _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2)));
}
/** 1 / (1 + e^-x) within 1e-6 of it. */
static inline __m512 sigmoid16(__m512 x) {
  // a power of 2 that is infinite would end in no number
  __m512 power = power16(_mm512_min_ps(_mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f)), _mm512_set1_ps(126)));
  return inverse16(_mm512_add_ps(_mm512_set1_ps(1), power));
}
/** 1 - 2 / (e^2x + 1); near 0 its series, where that loses digits. */
static inline __m512 tanh16(__m512 x) {
  const __m512 one = _mm512_set1_ps(1), two = _mm512_set1_ps(2);
  __m512 far = _mm512_sub_ps(one, _mm512_div_ps(two, _mm512_add_ps(exp16(_mm512_mul_ps(x, two)), one)));
  __m512 s = _mm512_mul_ps(x, x);
  __m512 p = _mm512_set1_ps(-5.70498872745e-3f);
  p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(2.06390887954e-2f));
  p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-5.37397155531e-2f));
  p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(1.33314422036e-1f));
  p = _mm512_fmadd_ps(p, s, _mm512_set1_ps(-3.33332819422e-1f));
  __m512 near = _mm512_fmadd_ps(_mm512_mul_ps(x, s), p, x);
  return _mm512_mask_mov_ps(far, _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(0.625f), _CMP_LT_OQ), near);
}
/** Natural logarithm of a positive number, within 1e-7 of it in double precision: log m + e log 2 with m in [0.7, 1.42]. */
static inline double log1(double x) {
  uint64_t bits;
  memcpy(&bits, &x, 8);
  int64_t e = (int64_t)(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
  double m;
  memcpy(&m, &bits, 8);
  if (m > 1.4142135623730951) { m *= 0.5; e++; }
  double s = (m - 1) / (m + 1), q = s * s, sum = 0;
  for (int i = 21; i >= 1; i -= 2) sum = sum * q + 1.0 / i;
  return 2 * s * sum + (double)e * 0.6931471805599453;
}

/** Bytes of a tile: 16 x 32 numbers in bfloat16. */
#define TILE 1024
/** Rows of an item of kernels whose results become tiles: 32, or 64 where those in int8 over the rows are wanted. */
#define MOST_ROWS 64
static inline int64_t rowsOf(Op op) { return whole(op, WIDTH - 1); }

/** The order of numbers in bfloat16 that puts 16 beside 16 others in pairs. */
static const uint16_t ORDER[32] __attribute__((aligned(64))) = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                                                8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

/** Two rows of numbers in pairs: a row of a right side's tile over the rows. */
static inline __m512i paired(__m512 even, __m512 odd) {
  return _mm512_permutexvar_epi16(_mm512_load_si512(ORDER), (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

/** A tile. */
static inline void put(char *out, const __m512i v[16], int stream) {
  if (stream) for (int i = 0; i < 16; i++) _mm512_stream_si512((__m512i *)out + i, v[i]);
  else for (int i = 0; i < 16; i++) _mm512_store_si512((__m512i *)out + i, v[i]);
}

/** The order of fours that puts 64 bytes in a row which became bytes in pairs of vectors (_mm512_packs_epi32, _mm512_packs_epi16), and back. */
static const int32_t TOGETHER[16] __attribute__((aligned(64), unused)) = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};

/** 16 rows of 16 numbers of 4 bytes to 16 columns of them. */
void turn(__m512i v[16]);
/** Beside the side that tiles are for: written past the caches. */
#define STREAM 2
void packBlock(const float *block, int64_t step, int64_t row, int64_t rows, int64_t width, Op op, int forms, int dense, int narrow, const Run *r);
void narrowRows(const float *p, int64_t step, int rows, int64_t columns, int right, char *out, float *scales, int32_t *shifts, float *scratch);
void narrowBlock(const float *p, int64_t step, int rows, int64_t columns, char *out, float *scales, int32_t *shifts, int64_t far);
void narrowParts(const float *p, int64_t step, int rows, int64_t columns, char *out, float *scales, int32_t *shifts);
void packRows(const float *p, int64_t step, int rows, int64_t columns, int right, char *out, int64_t far);
void packColumns(const float *p, int64_t step, int rows, int64_t columns, int right, char *out, int64_t far);
void multiply(const char *left, const char *right, int64_t farLeft, int64_t farRight, int64_t tiles, float *sums, int begun, const Run *r);

Kernel map, copy, fill, any, reduce, rmsNorm, rmsNormGradient, softmax, softmaxGradient, rope, gather, scatterAdd,
    crossEntropy, crossEntropyGradient, lossPart, lossEnd, lossGradientPart, pack, packNarrow, tiles, product, gated, gatedGradient,
    sight, attention, attentionGradient, sumSquares, total;
