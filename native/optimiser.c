// Updates of optimisers, sums and norms of gradients on chunks of arrays: bit by bit what kernels.wat computes, 16 numbers at a time.
#include "optimiser.h"

/** weights, gradient, first and second moment; clip, beta1, its rest, beta2, its rest, step, correction, epsilon, keep */
static KERNEL(adamw) {
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
static KERNEL(lion) {
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
static KERNEL(accumulate) {
  (void)tables;
  float *sum = arrays[0];
  const float *gradient = arrays[1];
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 k = lanes(n - i);
    store(sum + i, k, mixed(load(k, sum + i), f[0], load(k, gradient + i), f[1]));
  }
}

/** gradient; the sum of its squares in float64 */
static KERNEL(squares) {
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
