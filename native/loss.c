// The loss over the vocabulary, a row at a time.
#include "tape.h"

static float largestOf(const float *x, int64_t n) {
  const __m512 none = _mm512_set1_ps(-__builtin_inff());
  __m512 top = none;
  for (int64_t i = 0; i < n; i += 16) top = _mm512_max_ps(top, _mm512_mask_loadu_ps(none, lanes(n - i), x + i));
  return _mm512_reduce_max_ps(top);
}

/** Sum of e^(x - largest). */
static float powersOf(const float *x, int64_t n, float largest) {
  __m512 sum = _mm512_setzero_ps(), all = _mm512_set1_ps(largest);
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 m = lanes(n - i);
    sum = _mm512_mask_add_ps(sum, m, sum, exp16(_mm512_sub_ps(load(m, x + i), all)));
  }
  return _mm512_reduce_add_ps(sum);
}

/** 3 loss, 5 log probabilities, 7 logits, 9 targets, 11 width. Items are rows. */
void crossEntropy(Op op, int64_t row, const Run *r) {
  int64_t n = whole(op, 11);
  const float *x = (float *)at(op, 7, r) + row * n;
  float *y = (float *)at(op, 5, r) + row * n, largest = largestOf(x, n);
  float total = largest + (float)log1(powersOf(x, n, largest));
  __m512 all = _mm512_set1_ps(total);
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 m = lanes(n - i);
    store(y + i, m, _mm512_sub_ps(load(m, x + i), all));
  }
  ((float *)at(op, 3, r))[row] = -y[within(((int64_t *)at(op, 9, r))[row], n, r)];
}

/** 3 out, 5 log probabilities, 7 targets, 9 dLoss, 11 width. Items are rows. */
void crossEntropyGradient(Op op, int64_t row, const Run *r) {
  int64_t n = whole(op, 11);
  const float *x = (float *)at(op, 5, r) + row * n;
  float *y = (float *)at(op, 3, r) + row * n, by = ((float *)at(op, 9, r))[row];
  __m512 all = _mm512_set1_ps(by);
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 m = lanes(n - i);
    store(y + i, m, _mm512_mul_ps(exp16(load(m, x + i)), all));
  }
  y[within(((int64_t *)at(op, 7, r))[row], n, r)] -= by;
}

/**
 * A part of the words after those before (Milakov and Gimelshein, 2018): 3 state [A,3] of largest, sum and the target's logit, 5
 * logits, 7 targets, 9 width, 10 first word, 11 soft cap or 0. Items are rows.
 */
void lossPart(Op op, int64_t row, const Run *r) {
  int64_t n = whole(op, 9), first = whole(op, 10);
  float *x = (float *)at(op, 5, r) + row * n, *state = (float *)at(op, 3, r) + row * 3;
  if (op[11]) {
    __m512 cap = _mm512_set1_ps((float)op[11]), inverse = _mm512_set1_ps(1 / (float)op[11]);
    for (int64_t i = 0; i < n; i += 16) {
      __mmask16 m = lanes(n - i);
      store(x + i, m, _mm512_mul_ps(cap, tanh16(_mm512_mul_ps(load(m, x + i), inverse))));
    }
  }
  if (first == 0) { state[0] = -__builtin_inff(); state[1] = 0; state[2] = 0; }
  float own = largestOf(x, n), next = own > state[0] ? own : state[0];
  float before = first == 0 ? 0 : _mm512_cvtss_f32(exp16(_mm512_set1_ps(state[0] - next)));
  state[1] = state[1] * before + powersOf(x, n, next);
  state[0] = next;
  int64_t target = ((int64_t *)at(op, 7, r))[row] - first;
  if (target >= 0 && target < n) state[2] = x[target];
}

/** 3 loss, 5 log of the sum, 7 largest log probability, 9 state. Items are rows. */
void lossEnd(Op op, int64_t row, const Run *r) {
  const float *state = (float *)at(op, 9, r) + row * 3;
  float total = state[0] + (float)log1(state[1]);
  ((float *)at(op, 3, r))[row] = total - state[2];
  ((float *)at(op, 5, r))[row] = total;
  ((float *)at(op, 7, r))[row] = state[0] - total;
}

/** 3 logits, which become their gradient, 5 targets, 7 log of the sum, 9 dLoss, 11 width, 12 first word, 13 soft cap or 0. Items are rows. */
void lossGradientPart(Op op, int64_t row, const Run *r) {
  int64_t n = whole(op, 11), target = ((int64_t *)at(op, 5, r))[row] - whole(op, 12);
  float *x = (float *)at(op, 3, r) + row * n, by = ((float *)at(op, 9, r))[row];
  float cap = (float)op[13], hit = target >= 0 && target < n ? x[target] : 0;
  __m512 total = _mm512_set1_ps(((float *)at(op, 7, r))[row]), all = _mm512_set1_ps(by);
  for (int64_t i = 0; i < n; i += 16) {
    __mmask16 m = lanes(n - i);
    __m512 v = load(m, x + i), slope = all;
    if (cap) {
      __m512 t = tanh16(_mm512_mul_ps(v, _mm512_set1_ps(1 / cap)));
      v = _mm512_mul_ps(t, _mm512_set1_ps(cap));
      slope = _mm512_mul_ps(slope, _mm512_fnmadd_ps(t, t, _mm512_set1_ps(1)));
    }
    store(x + i, m, _mm512_mul_ps(exp16(_mm512_sub_ps(v, total)), slope));
  }
  if (target < 0 || target >= n) return;
  float t = cap ? _mm512_cvtss_f32(tanh16(_mm512_set1_ps(hit / cap))) : 0;
  x[target] -= by * (1 - t * t);
}
