// Work on whole rows: sums, norms, softmax, rotary positions, tables.
#include "tape.h"

enum { SUM, MEAN, MAX };

/** Of x [outer,n,inner] over n: 2 which, 3 out, 5 x, 7 outer, 8 n, 9 inner, 10 outer rows or (inner > 1) columns an item, 11 items a row. */
void reduce(Op op, int64_t item, const Run *r) {
  int which = (int)op[2];
  int64_t outer = whole(op, 7), n = whole(op, 8), inner = whole(op, 9), some = whole(op, 10);
  float *out = (float *)at(op, 3, r);
  const float *x = (float *)at(op, 5, r);
  const __m512 start = _mm512_set1_ps(which == MAX ? -__builtin_inff() : 0);
  float by = which == MEAN ? 1.0f / (float)n : 1;
  if (inner == 1) {
    for (int64_t row = item * some; row < least(outer, (item + 1) * some); row++) {
      __m512 sum = start;
      for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(n - i);
        __m512 v = _mm512_mask_loadu_ps(start, m, x + row * n + i);
        sum = which == MAX ? _mm512_max_ps(sum, v) : _mm512_add_ps(sum, v);
      }
      out[row] = which == MAX ? _mm512_reduce_max_ps(sum) : _mm512_reduce_add_ps(sum) * by;
    }
    return;
  }
  int64_t row = item / whole(op, 11), from = item % whole(op, 11) * some, to = least(inner, from + some);
  for (int64_t c = from; c < to; c += 16) {
    __mmask16 m = lanes(to - c);
    const float *p = x + row * n * inner + c;
    __m512 sum = start;
    for (int64_t i = 0; i < n; i++) {
      __m512 v = load(m, p + i * inner);
      sum = which == MAX ? _mm512_max_ps(sum, v) : _mm512_add_ps(sum, v);
    }
    store(out + row * inner + c, m, _mm512_mul_ps(sum, _mm512_set1_ps(by)));
  }
}

/** Sums of squares in float64, one an item: 3 out, 5 x, 7 numbers, 8 numbers an item. */
void sumSquares(Op op, int64_t item, const Run *r) {
  const float *x = (float *)at(op, 5, r);
  __m512 sum = _mm512_setzero_ps(), more = sum;
  for (int64_t i = item * whole(op, 8), to = least(whole(op, 7), i + whole(op, 8)); i < to; i += 32) {
    __m512 a = load(lanesFrom(to - i), x + i), b = load(lanesFrom(to - i - 16), x + i + 16);
    sum = _mm512_fmadd_ps(a, a, sum);
    more = _mm512_fmadd_ps(b, b, more);
  }
  ((double *)at(op, 3, r))[item] = (double)_mm512_reduce_add_ps(sum) + (double)_mm512_reduce_add_ps(more);
}

/** 3 out: the sum of 7 numbers in float64 at 5. */
void total(Op op, int64_t item, const Run *r) {
  const double *parts = (double *)at(op, 5, r);
  double sum = 0;
  for (int64_t i = 0; i < whole(op, 7); i++) sum += parts[i];
  ((float *)at(op, 3, r))[item] = (float)sum;
}

/** 3 y, 5 inverse, 7 x, 9 weight, 11 epsilon, 12 rows, 13 width, 16.. forms of y (packBlock), 28 whether y itself is kept, 29 y in int8.
 * Items are rowsOf rows. */
void rmsNorm(Op op, int64_t item, const Run *r) {
  int64_t width = whole(op, 13), rows = whole(op, 12), row = item * rowsOf(op);
  const float *weight = (float *)at(op, 9, r), *x = (float *)at(op, 7, r) + row * width;
  float *block = (float *)r->scratch, *inverse = (float *)at(op, 5, r) + row;
  int some = (int)least(rowsOf(op), rows - row);
  for (int i = 0; i < some; i++) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t c = 0; c < width; c += 16) {
      __m512 v = load(lanes(width - c), x + i * width + c);
      sum = _mm512_fmadd_ps(v, v, sum);
    }
    inverse[i] = 1 / __builtin_sqrtf(_mm512_reduce_add_ps(sum) / (float)width + (float)op[11]);
  }
  int64_t step = (width + 15) / 16 * 16;
  for (int i = 0; i < some; i++) {
    __m512 by = _mm512_set1_ps(inverse[i]);
    for (int64_t c = 0; c < width; c += 16) {
      __mmask16 m = lanes(width - c);
      _mm512_store_ps(block + i * step + c, _mm512_mul_ps(_mm512_mul_ps(load(m, x + i * width + c), by), load(m, weight + c)));
    }
  }
  packBlock(block, step, row, rows, width, op, 16, op[28] ? 3 : 0, 29, r);
}

/**
 * 3 dx, 5 x, 7 weight, 9 inverse, 11 dy, 13 rows, 14 width, 16 whether 17 is added to dx, 20.. forms of dx (packBlock), 32 whether dx
 * itself is kept, 33 whether the sums of x inverse dy over an item's rows go to 34 [items, width], 36 dx in int8 (packBlock).
 * Items are rowsOf rows.
 */
void rmsNormGradient(Op op, int64_t item, const Run *r) {
  int64_t width = whole(op, 14), rows = whole(op, 13), row = item * rowsOf(op);
  const float *weight = (float *)at(op, 7, r), *x = (float *)at(op, 5, r) + row * width, *dy = (float *)at(op, 11, r) + row * width;
  const float *other = op[16] ? (float *)at(op, 17, r) + row * width : 0, *inverse = (float *)at(op, 9, r) + row;
  float *block = (float *)r->scratch, means[MOST_ROWS];
  int some = (int)least(rowsOf(op), rows - row);
  for (int i = 0; i < some; i++) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t c = 0; c < width; c += 16) {
      __mmask16 m = lanes(width - c);
      sum = _mm512_fmadd_ps(_mm512_mul_ps(load(m, dy + i * width + c), load(m, weight + c)), load(m, x + i * width + c), sum);
    }
    means[i] = inverse[i] * inverse[i] * inverse[i] * (_mm512_reduce_add_ps(sum) / (float)width);
  }
  int64_t step = (width + 15) / 16 * 16;
  for (int i = 0; i < some; i++) {
    __m512 by = _mm512_set1_ps(inverse[i]), mean = _mm512_set1_ps(means[i]);
    for (int64_t c = 0; c < width; c += 16) {
      __mmask16 m = lanes(width - c);
      __m512 g = _mm512_mul_ps(_mm512_mul_ps(load(m, dy + i * width + c), load(m, weight + c)), by);
      g = _mm512_fnmadd_ps(load(m, x + i * width + c), mean, g);
      if (other) g = _mm512_add_ps(g, load(m, other + i * width + c));
      _mm512_store_ps(block + i * step + c, g);
    }
  }
  packBlock(block, step, row, rows, width, op, 20, op[32] ? 3 : 0, 36, r);
  if (!op[33]) return;
  float *sums = (float *)at(op, 34, r) + item * width;
  for (int64_t c = 0; c < width; c += 16) {
    __mmask16 m = lanes(width - c);
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < some; i++)
      sum = _mm512_fmadd_ps(_mm512_mul_ps(load(m, x + i * width + c), _mm512_set1_ps(inverse[i])), load(m, dy + i * width + c), sum);
    store(sums + c, m, sum);
  }
}

/**
 * 3 out, 5 x, 7 rows, 8 width, 9 rows an item, 10 whether a mask at 11 is added: 13 rows of x for each of its batches, 14 rows of a
 * batch's mask, 15 16 its strides by row and batch.
 */
void softmax(Op op, int64_t item, const Run *r) {
  int64_t width = whole(op, 8), some = whole(op, 9);
  for (int64_t row = item * some; row < least(whole(op, 7), (item + 1) * some); row++) {
    const float *x = (float *)at(op, 5, r) + row * width;
    float *y = (float *)at(op, 3, r) + row * width;
    const float *mask = 0;
    if (op[10]) {
      int64_t batch = row / whole(op, 13), of = row % whole(op, 14);
      mask = (float *)at(op, 11, r) + batch * whole(op, 16) + of * whole(op, 15);
    }
    const __m512 none = _mm512_set1_ps(-__builtin_inff());
    __m512 top = none;
    for (int64_t i = 0; i < width; i += 16) {
      __mmask16 m = lanes(width - i);
      __m512 v = _mm512_mask_loadu_ps(none, m, x + i);
      if (mask) v = _mm512_add_ps(v, load(m, mask + i));
      top = _mm512_max_ps(top, v);
    }
    __m512 largest = _mm512_set1_ps(_mm512_reduce_max_ps(top)), sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += 16) {
      __mmask16 m = lanes(width - i);
      __m512 v = load(m, x + i);
      if (mask) v = _mm512_add_ps(v, load(m, mask + i));
      v = exp16(_mm512_sub_ps(v, largest));
      sum = _mm512_mask_add_ps(sum, m, sum, v);
      store(y + i, m, v);
    }
    __m512 by = _mm512_set1_ps(1 / _mm512_reduce_add_ps(sum));
    for (int64_t i = 0; i < width; i += 16) {
      __mmask16 m = lanes(width - i);
      store(y + i, m, _mm512_mul_ps(load(m, y + i), by));
    }
  }
}

/** p (dp - sum(p dp)): 3 out, 5 p, 7 dp, 9 rows, 10 width, 11 rows an item. */
void softmaxGradient(Op op, int64_t item, const Run *r) {
  int64_t width = whole(op, 10), some = whole(op, 11);
  for (int64_t row = item * some; row < least(whole(op, 9), (item + 1) * some); row++) {
    const float *p = (float *)at(op, 5, r) + row * width, *dp = (float *)at(op, 7, r) + row * width;
    float *out = (float *)at(op, 3, r) + row * width;
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += 16) {
      __mmask16 m = lanes(width - i);
      sum = _mm512_fmadd_ps(load(m, p + i), load(m, dp + i), sum);
    }
    __m512 all = _mm512_set1_ps(_mm512_reduce_add_ps(sum));
    for (int64_t i = 0; i < width; i += 16) {
      __mmask16 m = lanes(width - i);
      store(out + i, m, _mm512_mul_ps(load(m, p + i), _mm512_sub_ps(load(m, dp + i), all)));
    }
  }
}

static void ropeRow(Op op, int64_t b, int64_t s, const Run *r) {
  int64_t width = whole(op, 16), half = width / 2;
  int64_t position = within(((int64_t *)at(op, 7, r))[b * whole(op, 15) + s], whole(op, 25), r);
  const float *cosine = (float *)at(op, 9, r) + position * half, *sine = (float *)at(op, 11, r) + position * half;
  float sign = op[24] ? -1 : 1;
  for (int64_t h = 0; h < whole(op, 14); h++) {
    const float *x = (float *)at(op, 5, r) + b * whole(op, 17) + h * whole(op, 18) + s * whole(op, 19);
    float *y = (float *)at(op, 3, r) + b * whole(op, 20) + h * whole(op, 21) + s * whole(op, 22);
    if (op[23]) {
      for (int64_t i = 0; i < half; i++) {
        float u = x[2 * i], v = x[2 * i + 1], c = cosine[i], w = sign * sine[i];
        y[2 * i] = u * c - v * w;
        y[2 * i + 1] = v * c + u * w;
      }
      continue;
    }
    for (int64_t i = 0; i < half; i += 16) {
      __mmask16 m = lanes(half - i);
      __m512 u = load(m, x + i), v = load(m, x + half + i), c = load(m, cosine + i);
      __m512 w = _mm512_mul_ps(_mm512_set1_ps(sign), load(m, sine + i));
      store(y + i, m, _mm512_fnmadd_ps(v, w, _mm512_mul_ps(u, c)));
      store(y + half + i, m, _mm512_fmadd_ps(u, w, _mm512_mul_ps(v, c)));
    }
  }
}

/**
 * 3 out, 5 x, 7 positions, 9 cos, 11 sin, 13 batches, 14 heads, 15 rows, 16 width, 17 18 19 strides of x, 20 21 22 of out,
 * 23 interleaved, 24 inverse, 25 rows of cos, 26 rows an item. Items are batches times rows / 26.
 */
void rope(Op op, int64_t item, const Run *r) {
  int64_t rows = whole(op, 15), each = whole(op, 26), parts = (rows + each - 1) / each, b = item / parts, from = item % parts * each;
  for (int64_t s = from; s < least(rows, from + each); s++) ropeRow(op, b, s, r);
}

/** 3 out, 5 table, 7 rows, 9 count, 10 bytes a row, 11 rows an item, 12 rows of the table. */
void gather(Op op, int64_t item, const Run *r) {
  int64_t width = whole(op, 10), some = whole(op, 11);
  for (int64_t i = item * some; i < least(whole(op, 9), (item + 1) * some); i++)
    memcpy(at(op, 3, r) + i * width, at(op, 5, r) + within(((int64_t *)at(op, 7, r))[i], whole(op, 12), r) * width, width);
}

/** Adds to what is there: 3 table, 5 updates, 7 rows, 9 count, 10 width, 11 columns an item, 12 rows of the table. */
void scatterAdd(Op op, int64_t item, const Run *r) {
  int64_t width = whole(op, 10), from = item * whole(op, 11), to = least(width, from + whole(op, 11));
  for (int64_t i = 0; i < whole(op, 9); i++) {
    float *y = (float *)at(op, 3, r) + within(((int64_t *)at(op, 7, r))[i], whole(op, 12), r) * width;
    const float *x = (float *)at(op, 5, r) + i * width;
    for (int64_t c = from; c < to; c += 16) {
      __mmask16 m = lanes(to - c);
      store(y + c, m, _mm512_add_ps(load(m, y + c), load(m, x + c)));
    }
  }
}
