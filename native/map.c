// Element by element, copies, and the small work on whole numbers that makes masks.
#include "tape.h"

enum { ADD, SUB, MUL, DIV, SCALE, OFFSET, ABS, EXP, TANH, SIGMOID, SILU, SILU_GRADIENT, GELU, GELU_GRADIENT };

static inline __attribute__((always_inline)) __m512 one(int sub, __m512 x, __m512 y, __m512 by) {
  const __m512 c = _mm512_set1_ps(0.7978845608f), k = _mm512_set1_ps(0.044715f), half = _mm512_set1_ps(0.5f), unit = _mm512_set1_ps(1);
  switch (sub) {
  case ADD: return _mm512_add_ps(x, y);
  case SUB: return _mm512_sub_ps(x, y);
  case MUL: return _mm512_mul_ps(x, y);
  case DIV: return _mm512_div_ps(x, y);
  case SCALE: return _mm512_mul_ps(x, by);
  case OFFSET: return _mm512_add_ps(x, by);
  case ABS: return _mm512_abs_ps(x);
  case EXP: return exp16(x);
  case TANH: return tanh16(x);
  case SIGMOID: return sigmoid16(x);
  case SILU: return _mm512_mul_ps(x, sigmoid16(x));
  case SILU_GRADIENT: {
    __m512 s = sigmoid16(x);
    return _mm512_mul_ps(_mm512_mul_ps(y, s), _mm512_fnmadd_ps(x, s, _mm512_add_ps(unit, x)));
  }
  default: {
    __m512 xx = _mm512_mul_ps(x, x);
    __m512 t = tanh16(_mm512_mul_ps(c, _mm512_fmadd_ps(_mm512_mul_ps(k, xx), x, x)));
    if (sub == GELU) return _mm512_mul_ps(_mm512_mul_ps(half, x), _mm512_add_ps(unit, t));
    __m512 slope = _mm512_mul_ps(c, _mm512_fmadd_ps(_mm512_set1_ps(3 * 0.044715f), xx, unit));
    __m512 rise = _mm512_mul_ps(_mm512_mul_ps(x, _mm512_fnmadd_ps(t, t, unit)), slope);
    return _mm512_mul_ps(_mm512_mul_ps(y, half), _mm512_add_ps(_mm512_add_ps(unit, t), rise));
  }
  }
}

static inline __attribute__((always_inline)) void line(int sub, const float *a, int sa, const float *b, int sb, float *out, int64_t n, float by) {
  __m512 p = _mm512_set1_ps(by), x0 = _mm512_set1_ps(*a), y0 = _mm512_set1_ps(*b);
  int64_t i = 0;
  // past the caches: what is there need not be read first
  if (((uintptr_t)out & 63) == 0)
    for (; i + 16 <= n; i += 16)
      _mm512_stream_ps(out + i, one(sub, sa ? _mm512_loadu_ps(a + i) : x0, sb ? _mm512_loadu_ps(b + i) : y0, p));
  for (; i < n; i += 16) {
    __mmask16 m = lanes(n - i);
    store(out + i, m, one(sub, sa ? load(m, a + i) : x0, sb ? load(m, b + i) : y0, p));
  }
}

static void run(int sub, const float *a, int64_t sa, const float *b, int64_t sb, float *out, int64_t n, float by) {
  float left[1024], right[1024];
  if ((sa > 1 || sb > 1) && n > 1024) {
    for (int64_t i = 0; i < n; i += 1024) run(sub, a + i * sa, sa, b + i * sb, sb, out + i, least(1024, n - i), by);
    return;
  }
  if (sa > 1) { for (int64_t i = 0; i < n; i++) left[i] = a[i * sa]; a = left; sa = 1; }
  if (sb > 1) { for (int64_t i = 0; i < n; i++) right[i] = b[i * sb]; b = right; sb = 1; }
#define CASE(S) case S: if (sa && sb) line(S, a, 1, b, 1, out, n, by); else line(S, a, (int)sa, b, (int)sb, out, n, by); break;
  switch (sub) {
    CASE(ADD) CASE(SUB) CASE(MUL) CASE(DIV) CASE(SCALE) CASE(OFFSET) CASE(ABS) CASE(EXP) CASE(TANH) CASE(SIGMOID)
    CASE(SILU) CASE(SILU_GRADIENT) CASE(GELU) CASE(GELU_GRADIENT)
  }
}

/**
 * out = f(a, b) in float32. 2 which, 3 out, 5 a, 7 b, 9 number, 10.. five sizes, 15.. strides of a, 20.. of b, 25 rows an item.
 * The result lies without gaps. Long lines are cut: 26 numbers of a line an item, 27 items a row.
 */
void map(Op op, int64_t item, const Run *r) {
  const double *size = op + 10, *sa = op + 15, *sb = op + 20;
  float *out = (float *)at(op, 3, r), *a = (float *)at(op, 5, r), *b = (float *)at(op, 7, r);
  int64_t n = (int64_t)size[4], rows = (int64_t)(size[0] * size[1] * size[2] * size[3]), cuts = whole(op, 27);
  int64_t from = item / cuts * whole(op, 25), to = least(rows, from + whole(op, 25));
  int64_t start = item % cuts * whole(op, 26), count = least(n - start, whole(op, 26));
  for (int64_t row = from; row < to; row++) {
    int64_t rest = row, oa = 0, ob = 0;
    for (int d = 3; d >= 0; d--) {
      int64_t i = rest % (int64_t)size[d];
      rest /= (int64_t)size[d];
      oa += i * (int64_t)sa[d];
      ob += i * (int64_t)sb[d];
    }
    run((int)op[2], a + oa + start * (int64_t)sa[4], (int64_t)sa[4], b + ob + start * (int64_t)sb[4], (int64_t)sb[4], out + row * n + start, count, (float)op[9]);
  }
}

/** Moves elements of 2 bytes: 3 out, 5 in, 10.. five sizes, 15.. strides of in, 20.. of out, 25 rows an item. */
void copy(Op op, int64_t item, const Run *r) {
  const double *size = op + 10;
  int64_t width = whole(op, 2), n = (int64_t)size[4], rows = (int64_t)(size[0] * size[1] * size[2] * size[3]);
  char *out = at(op, 3, r), *in = at(op, 5, r);
  int64_t from = item * whole(op, 25), to = least(rows, from + whole(op, 25)), si = whole(op, 19), so = whole(op, 24);
  for (int64_t row = from; row < to; row++) {
    int64_t rest = row, i = 0, o = 0;
    for (int d = 3; d >= 0; d--) {
      int64_t k = rest % (int64_t)size[d];
      rest /= (int64_t)size[d];
      i += k * whole(op, 15 + d);
      o += k * whole(op, 20 + d);
    }
    if (si == 1 && so == 1) memcpy(out + o * width, in + i * width, n * width);
    else if (width == 4) for (int64_t k = 0; k < n; k++) ((float *)out)[o + k * so] = ((float *)in)[i + k * si];
    else for (int64_t k = 0; k < n; k++) memcpy(out + (o + k * so) * width, in + (i + k * si) * width, width);
  }
}

/** Zeros: 3 out, 5 bytes, 6 bytes an item. */
void fill(Op op, int64_t item, const Run *r) {
  memset(at(op, 3, r) + item * whole(op, 6), 0, least(whole(op, 5) - item * whole(op, 6), whole(op, 6)));
}

static double get(const char *p, int type, int64_t i) {
  switch (type) {
  case 0: return ((const float *)p)[i];
  case 1: return (double)((const int64_t *)p)[i];
  case 2: return ((const uint8_t *)p)[i];
  default: return ((const int32_t *)p)[i];
  }
}

enum { EQUAL, LESS_OR_EQUAL, AND, OR, NOT, WHERE, CAST, IOTA, ANY_ADD, ANY_SUB, ANY_MUL };

/**
 * Any types (0 float32, 1 int64, 2 bool), one at a time: 2 which, 3 out, 5 a, 7 b, 9 c, 10.. five sizes, 15.. 20.. 25.. strides,
 * 30 type of out, 31.. of a, b, c, 34 rows an item.
 */
void any(Op op, int64_t item, const Run *r) {
  const double *size = op + 10;
  int64_t n = (int64_t)size[4], rows = (int64_t)(size[0] * size[1] * size[2] * size[3]);
  int64_t from = item * whole(op, 34), to = least(rows, from + whole(op, 34));
  char *out = at(op, 3, r);
  const char *in[3] = {at(op, 5, r), at(op, 7, r), at(op, 9 + 26, r)};
  for (int64_t row = from; row < to; row++) {
    int64_t start[3], step[3];
    for (int j = 0; j < 3; j++) {
      int64_t rest = row;
      start[j] = 0;
      step[j] = whole(op, 15 + 5 * j + 4);
      for (int d = 3; d >= 0; d--) {
        start[j] += rest % (int64_t)size[d] * whole(op, 15 + 5 * j + d);
        rest /= (int64_t)size[d];
      }
    }
    for (int64_t k = 0; k < n; k++) {
      double x[3];
      for (int j = 0; j < 3; j++) x[j] = get(in[j], (int)op[31 + j], start[j] + k * step[j]);
      double y = 0;
      switch ((int)op[2]) {
      case EQUAL: y = x[0] == x[1]; break;
      case LESS_OR_EQUAL: y = x[0] <= x[1]; break;
      case AND: y = x[0] && x[1]; break;
      case OR: y = x[0] || x[1]; break;
      case NOT: y = !x[0]; break;
      case WHERE: y = x[0] ? x[1] : x[2]; break;
      case CAST: y = x[0]; break;
      case IOTA: y = (double)k; break;
      case ANY_ADD: y = x[0] + x[1]; break;
      case ANY_SUB: y = x[0] - x[1]; break;
      case ANY_MUL: y = x[0] * x[1]; break;
      }
      int64_t o = row * n + k;
      switch ((int)op[30]) {
      case 0: ((float *)out)[o] = (float)y; break;
      case 1: ((int64_t *)out)[o] = (int64_t)y; break;
      default: ((uint8_t *)out)[o] = y != 0;
      }
    }
  }
}

/** act(gate) up: 3 out, 5 gate, 7 up, 9 activation, 10 rows, 11 width, 12.. forms (packBlock), 24 whether the result itself is kept, 25
 * whether gate and up are in bfloat16, 26 in int8 (packBlock). Items are rowsOf rows. */
void gated(Op op, int64_t item, const Run *r) {
  int64_t rows = whole(op, 10), width = whole(op, 11), row = item * rowsOf(op);
  float *block = (float *)r->scratch;
  int some = (int)least(rowsOf(op), rows - row), silu = (int)op[9] == SILU;
  const char *gate = at(op, 5, r), *up = at(op, 7, r);
  int half = (int)op[25];
  int64_t step = (width + 15) / 16 * 16;
  for (int i = 0; i < some; i++)
    for (int64_t c = 0; c < width; c += 16) {
      __mmask16 m = lanes(width - c);
      int64_t o = (row + i) * width + c;
      __m512 x = loadEither(m, gate, o, half), none = _mm512_setzero_ps();
      _mm512_store_ps(block + i * step + c, _mm512_mul_ps(silu ? one(SILU, x, none, none) : one(GELU, x, none, none), loadEither(m, up, o, half)));
    }
  packBlock(block, step, row, rows, width, op, 12, op[24] ? 3 : 0, 26, r);
}

/**
 * The gradients of gate and up from dy: 3 dGate, 5 dUp, 7 gate, 9 up, 11 dy, 13 activation, 14 rows, 15 width, 16.. forms of dGate, 28.. of
 * dUp (packBlock), 40 41 whether they themselves are kept, 42 whether gate and up are in bfloat16, 43 whether dy is, 44 50 both in
 * int8 (packBlock). Items are rowsOf rows.
 */
void gatedGradient(Op op, int64_t item, const Run *r) {
  int64_t rows = whole(op, 14), width = whole(op, 15), row = item * rowsOf(op);
  float *first = (float *)r->scratch, *second = first + rowsOf(op) * ((width + 15) / 16 * 16);
  int some = (int)least(rowsOf(op), rows - row), silu = (int)op[13] == SILU;
  const char *gate = at(op, 7, r), *up = at(op, 9, r), *dy = at(op, 11, r);
  int half = (int)op[42], halfSlope = (int)op[43];
  const __m512 unit = _mm512_set1_ps(1);
  int64_t step = (width + 15) / 16 * 16;
  for (int i = 0; i < some; i++)
    for (int64_t c = 0; c < width; c += 16) {
      __mmask16 m = lanes(width - c);
      int64_t o = (row + i) * width + c, b = i * step + c;
      __m512 x = loadEither(m, gate, o, half), d = loadEither(m, dy, o, halfSlope), inner = _mm512_mul_ps(d, loadEither(m, up, o, half));
      if (silu) {
        __m512 s = sigmoid16(x), y = _mm512_mul_ps(x, s);
        _mm512_store_ps(first + b, _mm512_mul_ps(inner, _mm512_fmadd_ps(s, _mm512_sub_ps(unit, y), y)));
        _mm512_store_ps(second + b, _mm512_mul_ps(d, y));
      } else {
        _mm512_store_ps(first + b, one(GELU_GRADIENT, x, inner, unit));
        _mm512_store_ps(second + b, _mm512_mul_ps(d, one(GELU, x, unit, unit)));
      }
    }
  packBlock(first, step, row, rows, width, op, 16, op[40] ? 3 : 0, 44, r);
  packBlock(second, step, row, rows, width, op, 28, op[41] ? 5 : 0, 50, r);
}
