// Updates of optimisers, sums and norms of gradients on chunks of arrays: bit by bit what kernels.wat computes, 16 numbers at a time.
#include "tape.h"

#define KERNEL(name) static void name(int64_t n, void *const *arrays, const float *f, const void *const *tables)

/** w keep - m step / (sqrt(v) correction + epsilon) */
static inline __m512 stepped(__m512 w, __m512 m, __m512 v, const float *f) {
  __m512 below = _mm512_add_ps(_mm512_mul_ps(_mm512_sqrt_ps(v), _mm512_set1_ps(f[6])), _mm512_set1_ps(f[7]));
  return _mm512_sub_ps(_mm512_mul_ps(w, _mm512_set1_ps(f[8])), _mm512_div_ps(_mm512_mul_ps(m, _mm512_set1_ps(f[5])), below));
}
static inline __m512 mixed(__m512 old, float keep, __m512 new, float part) {
  return _mm512_add_ps(_mm512_mul_ps(old, _mm512_set1_ps(keep)), _mm512_mul_ps(new, _mm512_set1_ps(part)));
}

/** weights, gradient, first and second moment; clip, beta1, its rest, beta2, its rest, step, correction, epsilon, keep */
KERNEL(adamw) {
  (void)tables;
  float *w = arrays[0], *m1 = arrays[2], *m2 = arrays[3];
  const float *gradient = arrays[1];
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 k = lanes(n - i);
    __m512 g = _mm512_mul_ps(load(k, gradient + i), _mm512_set1_ps(f[0]));
    __m512 m = mixed(load(k, m1 + i), f[1], g, f[2]), v = mixed(load(k, m2 + i), f[3], _mm512_mul_ps(g, g), f[4]);
    store(m1 + i, k, m);
    store(m2 + i, k, v);
    store(w + i, k, stepped(load(k, w + i), m, v, f));
  }
}

/** weights, gradient, momentum; clip, beta1, its rest, beta2, its rest, rate, keep */
KERNEL(lion) {
  (void)tables;
  float *w = arrays[0], *momentum = arrays[2];
  const float *gradient = arrays[1];
  const __m512 zero = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 k = lanes(n - i);
    __m512 g = _mm512_mul_ps(load(k, gradient + i), _mm512_set1_ps(f[0])), m = load(k, momentum + i);
    __m512 toward = mixed(m, f[1], g, f[2]), rate = _mm512_set1_ps(f[5]);
    __m512 up = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(toward, zero, _CMP_GT_OQ), rate);
    __m512 down = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(toward, zero, _CMP_LT_OQ), rate);
    store(w + i, k, _mm512_sub_ps(_mm512_mul_ps(load(k, w + i), _mm512_set1_ps(f[6])), _mm512_sub_ps(up, down)));
    store(momentum + i, k, mixed(m, f[3], g, f[4]));
  }
}

/** sum, gradient; what is kept of the sum, factor of the gradient */
KERNEL(accumulate) {
  (void)tables;
  float *sum = arrays[0];
  const float *gradient = arrays[1];
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 k = lanes(n - i);
    store(sum + i, k, mixed(load(k, sum + i), f[0], load(k, gradient + i), f[1]));
  }
}

/** gradient; the sum of its squares in float64 */
KERNEL(squares) {
  (void)tables;
  (void)f;
  const float *gradient = arrays[0];
  __m512d sum = _mm512_setzero_pd();
  for (int64_t i = 0; i < n; i += 8) {
    __m512d x = _mm512_cvtps_pd(_mm512_castps512_ps256(load(lanes(n - i) & 0xff, gradient + i)));
    sum = _mm512_add_pd(sum, _mm512_mul_pd(x, x));
  }
  double s[8];
  _mm512_storeu_pd(s, sum);
  *(double *)arrays[1] = ((s[0] + s[2]) + (s[4] + s[6])) + ((s[1] + s[3]) + (s[5] + s[7]));
}

/** What 16 codes stand for. */
static inline __m512 decoded(__mmask16 k, const uint8_t *codes, const float *values) {
  return _mm512_i32gather_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(k, codes)), values, 4);
}

/** The codes nearest to numbers over the largest of their block: that of the cell of the first 16 bits, or the next. */
static inline void encode(const float *x, int64_t n, float scale, uint8_t *codes, const uint8_t *cells, const float *bounds) {
  // zeros over one are zeros
  __m512 by = _mm512_set1_ps(scale == 0 ? 1 : scale);
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 k = lanes(n - i);
    __m512 v = _mm512_div_ps(load(k, x + i), by);
    __m512i cell = _mm512_srli_epi32((__m512i)v, 16);
    // four bytes are read: three lie behind the last cell
    __m512i code = _mm512_and_si512(_mm512_i32gather_epi32(cell, cells, 1), _mm512_set1_epi32(255));
    __mmask16 more = _mm512_cmp_ps_mask(v, _mm512_i32gather_ps(code, bounds, 4), _CMP_GT_OQ);
    code = _mm512_mask_add_epi32(code, more, code, _mm512_set1_epi32(1));
    _mm_mask_storeu_epi8(codes + i, k, _mm512_cvtepi32_epi8(code));
  }
}

/**
 * weights, gradient, codes of the first and the second moment, their scales; factors as `adamw`; tables: values, bounds and cells (and three
 * bytes more) of the first and of the second
 */
KERNEL(adamw8bit) {
  float *w = arrays[0], *scale1 = arrays[4], *scale2 = arrays[5], m1[256], m2[256];
  const float *gradient = arrays[1];
  uint8_t *codes1 = arrays[2], *codes2 = arrays[3];
  for (int64_t start = 0; start < n; start += 256, scale1++, scale2++) {
    int64_t size = least(256, n - start);
    __m512 by1 = _mm512_set1_ps(*scale1), by2 = _mm512_set1_ps(*scale2), most1 = _mm512_setzero_ps(), most2 = most1;
    for (int64_t i = 0; i < size; i += 16) {
      int64_t at = start + i;
      __mmask16 k = lanes(size - i);
      __m512 g = _mm512_mul_ps(load(k, gradient + at), _mm512_set1_ps(f[0]));
      __m512 m = _mm512_maskz_mov_ps(k, mixed(_mm512_mul_ps(decoded(k, codes1 + at, tables[0]), by1), f[1], g, f[2]));
      __m512 v = _mm512_maskz_mov_ps(k, mixed(_mm512_mul_ps(decoded(k, codes2 + at, tables[3]), by2), f[3], _mm512_mul_ps(g, g), f[4]));
      _mm512_storeu_ps(m1 + i, m);
      _mm512_storeu_ps(m2 + i, v);
      most1 = _mm512_max_ps(most1, _mm512_abs_ps(m));
      most2 = _mm512_max_ps(most2, v);
      store(w + at, k, stepped(load(k, w + at), m, v, f));
    }
    *scale1 = _mm512_reduce_max_ps(most1);
    *scale2 = _mm512_reduce_max_ps(most2);
    encode(m1, size, *scale1, codes1 + start, tables[2], tables[1]);
    encode(m2, size, *scale2, codes2 + start, tables[5], tables[4]);
  }
}

/** Numbers of a chunk, as in src/train/kernels.ts. */
#define CHUNK 16384

/**
 * Chunks of a job, from `chunk` on so many as n numbers make. `kernel`: adamw, lion, adamw8bit, accumulate, squares; `bases` are the arrays'
 * addresses and `bytes` what a chunk takes of each.
 */
void cupel_chunks(int32_t kernel, int64_t n, int64_t chunk, char *const *bases, const int64_t *bytes, int32_t count, const float *f, const void *const *tables) {
  for (; n > 0; n -= CHUNK, chunk++) {
    void *arrays[6] = {0};
    int64_t some = least(n, CHUNK);
    for (int i = 0; i < count; i++) arrays[i] = bases[i] + chunk * bytes[i];
    switch (kernel) {
    case 0: adamw(some, arrays, f, tables); break;
    case 1: lion(some, arrays, f, tables); break;
    case 2: adamw8bit(some, arrays, f, tables); break;
    case 3: accumulate(some, arrays, f, tables); break;
    default: squares(some, arrays, f, tables);
    }
  }
}
