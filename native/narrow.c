// Numbers in int8 as products take them. 16 neighbours along the inner axis of both sides are rotated together, which leaves products as they
// are and spreads outliers (QuaRot: Ashkboos et al., 2024); then each row is rounded to 127 levels of its largest number.
#include "tape.h"

/** 16 numbers times Sylvester's matrix of 16: four times as long as they were. Sums and differences are products with 1 and -1, which round alike. */
static inline __m512 rotated(__m512 x) {
  const __m512 one = _mm512_set1_ps(1), less = _mm512_set1_ps(-1);
#define HALF(mask, swapped) x = _mm512_fmadd_ps(x, _mm512_mask_mov_ps(one, mask, less), swapped);
  HALF(0xaaaa, _mm512_permute_ps(x, 0xb1))
  HALF(0xcccc, _mm512_permute_ps(x, 0x4e))
  HALF(0xf0f0, _mm512_shuffle_f32x4(x, x, 0xb1))
  HALF(0xff00, _mm512_shuffle_f32x4(x, x, 0x4e))
#undef HALF
  return x;
}

/** What a level stands for, where numbers were made four times as long. */
static inline float scaleOf(float largest) { return largest / (4 * 127); }
/** Levels of a number. */
static inline float levelsOf(float largest) { return largest > 0 ? 127 / largest : 0; }
static inline __m512 scales16(__m512 largest) { return _mm512_div_ps(largest, _mm512_set1_ps(4 * 127)); }
static inline __m512 levels16(__m512 largest) {
  return _mm512_maskz_div_ps(_mm512_cmp_ps_mask(largest, _mm512_setzero_ps(), _CMP_GT_OQ), _mm512_set1_ps(127), largest);
}

/** 64 numbers times a factor, each a byte: of each 16, four after four, as many of the next. */
static inline __m512i levels64(const float *from, __m512 by) {
#define LEVEL(j) _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(from + 16 * j), by))
  return _mm512_packs_epi16(_mm512_packs_epi32(LEVEL(0), LEVEL(1)), _mm512_packs_epi32(LEVEL(2), LEVEL(3)));
#undef LEVEL
}

static inline __m512i minus128(__m512i sum) { return _mm512_slli_epi32(_mm512_sub_epi32(_mm512_setzero_si512(), sum), 7); }

/**
 * A row of up to 16 rows' tiles, from `columns` numbers of each that lie together: one tile for 64 of them; and what a row's levels stand for.
 * Of the left side also -128 times their sums, for products without AMX. `right` is 1 for the right side, with STREAM beside past the caches. `scratch` is a row of numbers and 16 of bytes.
 */
void narrowRows(const float *p, int64_t step, int rows, int64_t columns, int right, char *out, float *scales, int32_t *shifts, float *scratch) {
  int64_t wide = (columns + 63) / 64 * 64;
  char *bytes = (char *)(scratch + wide);
  const __m512i ones = _mm512_set1_epi8(1), together = _mm512_load_si512(TOGETHER);
  // a row after the other, so that its numbers are still in the first cache when its largest is known
  for (int i = 0; i < 16; i++) {
    __m512 most = _mm512_setzero_ps();
    int64_t here = i < rows ? columns : 0, c = 0;
    for (; c + 16 <= here; c += 16) {
      __m512 x = rotated(_mm512_loadu_ps(p + i * step + c));
      _mm512_store_ps(scratch + c, x);
      most = _mm512_max_ps(most, _mm512_abs_ps(x));
    }
    // those that are left over at the end are not rotated, but as long
    for (; c < wide; c += 16) {
      __m512 x = _mm512_mul_ps(load(lanesFrom(here - c), p + i * step + c), _mm512_set1_ps(4));
      _mm512_store_ps(scratch + c, x);
      most = _mm512_max_ps(most, _mm512_abs_ps(x));
    }
    float largest = _mm512_reduce_max_ps(most);
    scales[i] = scaleOf(largest);
    __m512 by = _mm512_set1_ps(levelsOf(largest));
    __m512i sum = _mm512_setzero_si512();
    for (c = 0; c < wide; c += 64) {
      __m512i v = _mm512_permutexvar_epi32(together, levels64(scratch + c, by));
      char *to = right & 1 ? bytes + i * wide + c : out + c / 64 * TILE + i * 64;
      sum = _mm512_dpbusd_epi32(sum, ones, v);
      if (right == STREAM) _mm512_stream_si512((__m512i *)to, v);
      else _mm512_store_si512((__m512i *)to, v);
    }
    if (!(right & 1)) shifts[i] = -128 * _mm512_reduce_add_epi32(sum);
  }
  if (!(right & 1)) return;
  __m512i v[16];
  for (int64_t c = 0; c < wide; c += 64, out += TILE) {
    for (int i = 0; i < 16; i++) v[i] = _mm512_load_si512(bytes + i * wide + c);
    turn(v);
    put(out, v, right & STREAM);
  }
}

/** 16 rows, 16 columns at a time, rotated along the rows; up to `left` of them are there, and fewer than 16 are not rotated, but as long. */
static inline void rotatedColumns(const float *p, int64_t step, int64_t left, __mmask16 m, __m512 v[16]) {
  if (left < 16) {
    for (int i = 0; i < 16; i++) v[i] = i < left ? _mm512_mul_ps(load(m, p + i * step), _mm512_set1_ps(4)) : _mm512_setzero_ps();
    return;
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) v[i] = load(m, p + i * step);
  const __m512 less = _mm512_set1_ps(-1);
#pragma GCC unroll 4
  for (int half = 1; half < 16; half *= 2)
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      if (i & half) continue;
      __m512 a = v[i], b = v[i + half];
      v[i] = _mm512_add_ps(a, b);
      // a - b, by the units that multiply
      v[i + half] = _mm512_fmadd_ps(b, less, a);
    }
}

/** As `rotatedColumns`, to 16 rows of 16 numbers. @returns the largest of each column, those of `most` included */
static inline __m512 keptColumns(const float *p, int64_t step, int64_t left, __mmask16 m, float *to, __m512 most) {
  __m512 v[16];
  rotatedColumns(p, step, left, m, v);
  for (int i = 0; i < 16; i++) {
    _mm512_store_ps(to + i * 16, v[i]);
    most = _mm512_max_ps(most, _mm512_abs_ps(v[i]));
  }
  return most;
}

/** 64 rows of 16 numbers times the levels of each column to a tile over the rows. */
static inline void leveled(const float *block, __m512 by, __m512i tile[16]) {
  const __m512i across = _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400);
  for (int i = 0; i < 16; i++) tile[i] = _mm512_shuffle_epi8(levels64(block + 64 * i, by), across);
}

/**
 * Tiles of the right side whose inner axis are the rows, of up to 64 columns: those of 16 columns lie `far` bytes apart. `scratch` is 64 numbers
 * for each row.
 */
static void narrowColumns(const float *p, int64_t step, int64_t rows, int64_t columns, char *out, int64_t far, float *scales, float *scratch) {
  int64_t deep = (rows + 63) / 64 * 64, parts = (columns + 15) / 16;
  __m512 most[4];
  for (int c = 0; c < 4; c++) most[c] = _mm512_setzero_ps();
  for (int64_t row = 0; row < deep; row += 16) {
    // rows are far apart, and nobody sees them coming
    for (int i = 0; i < 16; i++)
      for (int j = 0; j < 4; j++) _mm_prefetch((const char *)(p + (row + 32 + i) * step + 16 * j), _MM_HINT_T1);
    for (int64_t c = 0; c < parts; c++)
      most[c] = keptColumns(p + row * step + c * 16, step, rows - row, lanes(columns - c * 16), scratch + (c * deep + row) * 16, most[c]);
  }
  for (int64_t c = 0; c < parts; c++, out += far) {
    __m512i tile[16];
    __m512 by = levels16(most[c]);
    for (int64_t row = 0; row < deep; row += 64) {
      leveled(scratch + (c * deep + row) * 16, by, tile);
      put(out + row / 64 * TILE, tile, STREAM);
    }
    _mm512_storeu_ps(scales + c * 16, scales16(most[c]));
  }
}

/**
 * Up to 64 rows of a matrix to tiles over them, which serve as either side: those of 16 columns lie `far` tiles apart, and so does what a column's
 * levels stand for in this tile, and -128 times their sum.
 */
void narrowBlock(const float *p, int64_t step, int rows, int64_t columns, char *out, float *scales, int32_t *shifts, int64_t far) {
  float block[64 * 16] __attribute__((aligned(64)));
  const __m512i ones = _mm512_set1_epi8(1);
  for (int64_t c = 0; c < columns; c += 16, out += far * TILE, scales += far * 16, shifts += far * 16) {
    __m512 most = _mm512_setzero_ps();
    for (int row = 0; row < 64; row += 16) most = keptColumns(p + row * step + c, step, rows - row, lanes(columns - c), block + row * 16, most);
    __m512i tile[16], sum = _mm512_setzero_si512();
    leveled(block, levels16(most), tile);
    for (int i = 0; i < 16; i++) sum = _mm512_dpbusd_epi32(sum, ones, tile[i]);
    put(out, tile, STREAM);
    _mm512_store_ps(scales, scales16(most));
    _mm512_store_si512(shifts, minus128(sum));
  }
}

/**
 * As `narrowBlock`, of up to 16 rows along them: a tile for each 64 of `columns` numbers that lie together, after each other, and so is what a
 * row's levels stand for in this tile, and -128 times their sum.
 */
void narrowParts(const float *p, int64_t step, int rows, int64_t columns, char *out, float *scales, int32_t *shifts) {
  const __m512i ones = _mm512_set1_epi8(1), together = _mm512_load_si512(TOGETHER);
  for (int64_t c = 0; c < columns; c += 64, out += TILE, scales += 16, shifts += 16) {
    float part[64] __attribute__((aligned(64)));
    __m512i tile[16], sum = _mm512_setzero_si512();
    for (int i = 0; i < 16; i++) {
      __m512 most = _mm512_setzero_ps();
      for (int64_t j = 0; j < 64; j += 16) {
        int64_t left = i < rows ? columns - c - j : 0;
        __m512 x = load(lanesFrom(left), p + i * step + c + j);
        x = left < 16 ? _mm512_mul_ps(x, _mm512_set1_ps(4)) : rotated(x);
        _mm512_store_ps(part + j, x);
        most = _mm512_max_ps(most, _mm512_abs_ps(x));
      }
      float largest = _mm512_reduce_max_ps(most);
      scales[i] = scaleOf(largest);
      tile[i] = _mm512_permutexvar_epi32(together, levels64(part, _mm512_set1_ps(levelsOf(largest))));
    }
    turn(tile);
    for (int i = 0; i < 16; i++) sum = _mm512_dpbusd_epi32(sum, ones, tile[i]);
    put(out, tile, STREAM);
    _mm512_store_si512(shifts, minus128(sum));
  }
}

/**
 * Tiles in int8 of a matrix [R,K] for a product over K, and behind them what each row's levels stand for (float32, R to a multiple of 16) and of
 * the left side -128 times each row's sum (int32): 2 right
 * side, 3 out, 5 in, 7 R, 8 K, 9 10 strides of a row and of K, of which one is 1; the left side only where that is K's. Items are R/16, or R/64
 * where the rows lie together.
 */
void packNarrow(Op op, int64_t item, const Run *r) {
  int64_t rows = whole(op, 7), k = whole(op, 8), sr = whole(op, 9), sk = whole(op, 10), across = (k + 63) / 64, down = (rows + 15) / 16;
  const float *in = (float *)at(op, 5, r);
  char *out = at(op, 3, r);
  float *scales = (float *)(out + down * across * TILE), *scratch = (float *)r->scratch;
  int32_t *shifts = (int32_t *)(scales + 16 * down);
  if (sk == 1)
    narrowRows(in + item * 16 * sr, sr, (int)least(16, rows - item * 16), k, (int)op[2] | STREAM, out + item * across * TILE, scales + item * 16, shifts + item * 16, scratch);
  else
    narrowColumns(in + item * 64, sk, k, least(64, rows - item * 64), out + item * 4 * across * TILE, across * TILE, scales + item * 64, scratch);
}
