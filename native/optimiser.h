// What the kernels of optimisers share: how they are called, AdamW's step.
#pragma once
#include "tape.h"

#define KERNEL(name) void name(int64_t n, void *const *arrays, const float *f, const void *const *tables)

/** w keep - m step / (sqrt(v) correction + epsilon) */
static inline __m512 stepped(__m512 w, __m512 m, __m512 v, const float *f) {
  __m512 below = _mm512_add_ps(_mm512_mul_ps(_mm512_sqrt_ps(v), _mm512_set1_ps(f[6])), _mm512_set1_ps(f[7]));
  return _mm512_sub_ps(_mm512_mul_ps(w, _mm512_set1_ps(f[8])), _mm512_div_ps(_mm512_mul_ps(m, _mm512_set1_ps(f[5])), below));
}
static inline __m512 mixed(__m512 old, float keep, __m512 new, float part) {
  return _mm512_add_ps(_mm512_mul_ps(old, _mm512_set1_ps(keep)), _mm512_mul_ps(new, _mm512_set1_ps(part)));
}

KERNEL(adamw8bit);
