// AdamW whose moments take 8 bits each: bit by bit what kernels.wat computes. 64 numbers at a time where bytes of a table are looked up 64 at once
// (AVX512_VBMI), else by gathers, which take two thirds of the time.
#include <cpuid.h>
#include "optimiser.h"

#define BLOCK 256

/** A block's moments as numbers. */
typedef struct { float first[BLOCK] __attribute__((aligned(64))), second[BLOCK] __attribute__((aligned(64))); } Moments;

/** Some of 16 weights of a block, from number `i` on, with their moments `m` and `v`; `most` is the largest so far of each. */
static inline __attribute__((always_inline)) void moved(float *w, const float *gradient, int64_t i, __mmask16 k, __m512 m, __m512 v, const float *f, Moments *to, __m512 most[2]) {
  __m512 g = _mm512_mul_ps(load(k, gradient + i), _mm512_set1_ps(f[0]));
  m = _mm512_maskz_mov_ps(k, mixed(m, f[1], g, f[2]));
  v = _mm512_maskz_mov_ps(k, mixed(v, f[3], _mm512_mul_ps(g, g), f[4]));
  _mm512_store_ps(to->first + i, m);
  _mm512_store_ps(to->second + i, v);
  most[0] = _mm512_max_ps(most[0], _mm512_abs_ps(m));
  most[1] = _mm512_max_ps(most[1], v);
  store(w + i, k, stepped(load(k, w + i), m, v, f));
}

/** What the numbers of a block are divided by: zeros over one are zeros. */
static inline __m512 divisor(float scale) { return _mm512_set1_ps(scale == 0 ? 1 : scale); }

/** What 16 codes stand for. */
static inline __m512 decoded(__mmask16 k, const uint8_t *codes, const float *values) {
  return _mm512_i32gather_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(k, codes)), values, 4);
}

/** The codes nearest to numbers over the largest of their block: that of the cell of the first 16 bits, or the next. */
static inline void encode(const float *x, int64_t n, float scale, uint8_t *codes, const uint8_t *cells, const float *bounds) {
  __m512 by = divisor(scale);
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

/** A table of 256 numbers, byte by byte: all their lowest, ..., all their highest. */
typedef struct { uint8_t byte[4][256] __attribute__((aligned(64))); } Planes;

static void planesOf(const float *table, Planes *p) {
  for (int i = 0; i < 256; i += 16)
    for (int j = 0; j < 4; j++) _mm_store_si128((__m128i *)(p->byte[j] + i), _mm512_cvtepi32_epi8(_mm512_srli_epi32(_mm512_loadu_si512(table + i), 8 * j)));
}

#define WITH_BYTES __attribute__((target("avx512vbmi")))

/** 64 bytes in a row as `together` has them, and back. */
static inline __m512i turnedFours(__m512i x) { return _mm512_permutexvar_epi32(_mm512_load_si512(TOGETHER), x); }

/** 4 times 16 codes as bytes, each lane's four of the first, the second, ...: the order that `numbersOf` reads. */
static inline __m512i together(const __m512i codes[4]) {
  return _mm512_packus_epi16(_mm512_packs_epi32(codes[0], codes[1]), _mm512_packs_epi32(codes[2], codes[3]));
}

/** What 64 codes stand for in a table, as `together` puts them. */
WITH_BYTES static inline void numbersOf(__m512i codes, const Planes *table, __m512 out[4]) {
  __mmask64 high = _mm512_movepi8_mask(codes);
  __m512i b[4];
  for (int j = 0; j < 4; j++) {
    const uint8_t *p = table->byte[j];
    __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(p), codes, _mm512_load_si512(p + 64));
    b[j] = _mm512_mask_mov_epi8(low, high, _mm512_permutex2var_epi8(_mm512_load_si512(p + 128), codes, _mm512_load_si512(p + 192)));
  }
  for (int half = 0; half < 2; half++) {
    __m512i even = half ? _mm512_unpackhi_epi8(b[0], b[1]) : _mm512_unpacklo_epi8(b[0], b[1]);
    __m512i odd = half ? _mm512_unpackhi_epi8(b[2], b[3]) : _mm512_unpacklo_epi8(b[2], b[3]);
    out[2 * half] = (__m512)_mm512_unpacklo_epi16(even, odd);
    out[2 * half + 1] = (__m512)_mm512_unpackhi_epi16(even, odd);
  }
}

/** Powers of 2 from 2^-31 on: the power of 10 above 1e-7 that lies in each, or infinity, and the decade that it begins in (dynamic-code.ts). */
#define NONE __builtin_inff()
static const float TURNS[32] __attribute__((aligned(64))) = {NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 1e-6f, NONE, NONE, 1e-5f, NONE,
                                                             NONE, 1e-4f, NONE, NONE, NONE, 1e-3f, NONE, NONE, 1e-2f, NONE, NONE, 1e-1f, NONE, NONE, NONE, NONE};
static const int32_t DECADES[32] __attribute__((aligned(64))) = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6};

/**
 * Codes as a linear function of numbers in each decade, less a quarter: what is left of them is the code, or the one before. The first decade has
 * `p` equal parts and begins at code `zero + p`; each further one has twice as many.
 */
typedef struct { float slope[16], from[16]; } Lines;
#define SLOPE(decade, parts, power) (float)((parts) / 0.9 * 1e##power)
#define START(parts, zero) (float)((zero) + (parts) - (parts) / 9. - 0.25)
#define LINES(p, zero) {{SLOPE(0, p, 6), SLOPE(1, 2 * p, 5), SLOPE(2, 4 * p, 4), SLOPE(3, 8 * p, 3), SLOPE(4, 16 * p, 2), SLOPE(5, 32 * p, 1), SLOPE(6, 64 * p, 0)}, \
                        {START(p, zero), START(2 * p, zero), START(4 * p, zero), START(8 * p, zero), START(16 * p, zero), START(32 * p, zero), START(64 * p, zero)}}
static const Lines SIGNED __attribute__((aligned(64))) = LINES(1, 127), UNSIGNED __attribute__((aligned(64))) = LINES(2, -1);

/** As `encode`, 64 numbers. Codes of numbers below 0 are those of what lies above it, counted from the other end. */
WITH_BYTES static inline void encode64(const float *x, __m512 by, int isSigned, const Planes *bounds, uint8_t *to) {
  const Lines *lines = isSigned ? &SIGNED : &UNSIGNED;
  const __m512 slope = _mm512_load_ps(lines->slope), from = _mm512_load_ps(lines->from);
  __m512 v[4], bound[4];
  __m512i codes[4];
  for (int j = 0; j < 4; j++) {
    v[j] = _mm512_div_ps(_mm512_loadu_ps(x + 16 * j), by);
    __m512 size = _mm512_abs_ps(v[j]);
    __m512i power = _mm512_max_epi32(_mm512_sub_epi32(_mm512_srli_epi32((__m512i)size, 23), _mm512_set1_epi32(96)), _mm512_setzero_si512());
    __mmask16 beyond = _mm512_cmp_ps_mask(size, _mm512_permutex2var_ps(_mm512_load_ps(TURNS), power, _mm512_load_ps(TURNS + 16)), _CMP_GE_OQ);
    __m512i decade = _mm512_permutex2var_epi32(_mm512_load_si512(DECADES), power, _mm512_load_si512(DECADES + 16));
    decade = _mm512_mask_add_epi32(decade, beyond, decade, _mm512_set1_epi32(1));
    __m512 at = _mm512_fmadd_ps(size, _mm512_permutexvar_ps(decade, slope), _mm512_permutexvar_ps(decade, from));
    if (isSigned) {
      __mmask16 below = _mm512_movepi32_mask((__m512i)v[j]);
      __m512i above = _mm512_cvttps_epi32(_mm512_mask_add_ps(at, below, at, _mm512_set1_ps(0.5f)));
      codes[j] = _mm512_mask_max_epi32(above, below, _mm512_sub_epi32(_mm512_set1_epi32(254), above), _mm512_setzero_si512());
    } else codes[j] = _mm512_cvttps_epi32(at);
  }
  // that code, or the next
  numbersOf(together(codes), bounds, bound);
  for (int j = 0; j < 4; j++)
    codes[j] = _mm512_mask_add_epi32(codes[j], _mm512_cmp_ps_mask(v[j], bound[j], _CMP_GT_OQ), codes[j], _mm512_set1_epi32(1));
  _mm512_storeu_si512(to, turnedFours(together(codes)));
}

/** What both moments' codes stand for, and what lies between those. */
typedef struct { Planes values[2], bounds[2]; } Tables;

/** A block of `adamw8bit`: its own part of all arrays. */
typedef struct { float *w; const float *gradient; uint8_t *codes[2]; float *scale[2]; } Block;

static inline Block blockAt(void *const *arrays, int64_t at) {
  return (Block){(float *)arrays[0] + at, (const float *)arrays[1] + at, {(uint8_t *)arrays[2] + at, (uint8_t *)arrays[3] + at}, {(float *)arrays[4] + at / BLOCK, (float *)arrays[5] + at / BLOCK}};
}

static inline void newScales(const Block *b, const __m512 most[2]) {
  for (int i = 0; i < 2; i++) *b->scale[i] = _mm512_reduce_max_ps(most[i]);
}

/** All BLOCK numbers of one. */
WITH_BYTES static void wholeBlock(Block b, const float *f, const Tables *tables) {
  Moments moments;
  __m512 most[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  const __m512 by1 = _mm512_set1_ps(*b.scale[0]), by2 = _mm512_set1_ps(*b.scale[1]);
  for (int i = 0; i < BLOCK; i += 64) {
    __m512 first[4], second[4];
    numbersOf(turnedFours(_mm512_loadu_si512(b.codes[0] + i)), &tables->values[0], first);
    numbersOf(turnedFours(_mm512_loadu_si512(b.codes[1] + i)), &tables->values[1], second);
    for (int j = 0; j < 4; j++) moved(b.w, b.gradient, i + 16 * j, 0xffff, _mm512_mul_ps(first[j], by1), _mm512_mul_ps(second[j], by2), f, &moments, most);
  }
  newScales(&b, most);
  for (int i = 0; i < BLOCK; i += 64) {
    encode64(moments.first + i, divisor(*b.scale[0]), 1, &tables->bounds[0], b.codes[0] + i);
    encode64(moments.second + i, divisor(*b.scale[1]), 0, &tables->bounds[1], b.codes[1] + i);
  }
}

/** The first `size` numbers of one, by gathers. */
static void partOfBlock(Block b, int64_t size, const float *f, const void *const *tables) {
  Moments moments;
  __m512 most[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  const __m512 by1 = _mm512_set1_ps(*b.scale[0]), by2 = _mm512_set1_ps(*b.scale[1]);
  for (int64_t i = 0; i < size; i += 16) {
    __mmask16 k = lanes(size - i);
    moved(b.w, b.gradient, i, k, _mm512_mul_ps(decoded(k, b.codes[0] + i, tables[0]), by1), _mm512_mul_ps(decoded(k, b.codes[1] + i, tables[3]), by2), f, &moments, most);
  }
  newScales(&b, most);
  encode(moments.first, size, *b.scale[0], b.codes[0], tables[2], tables[1]);
  encode(moments.second, size, *b.scale[1], b.codes[1], tables[5], tables[4]);
}

/** Whether bytes are looked up 64 at once. Asking the processor takes a thousand times as long as remembering it. */
static int hasBytes(void) {
  static int known;
  if (!known) {
    unsigned a, b, c = 0, d;
    known = __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 1 & 1 ? 1 : -1;
  }
  return known > 0;
}

/**
 * weights, gradient, codes of the first and the second moment, their scales; factors as `adamw`; tables: values, bounds and cells (and three
 * bytes more) of the first and of the second
 */
KERNEL(adamw8bit) {
  int isWide = hasBytes() && n >= BLOCK;
  Tables planes;
  if (isWide)
    for (int i = 0; i < 2; i++) {
      planesOf(tables[3 * i], &planes.values[i]);
      planesOf(tables[3 * i + 1], &planes.bounds[i]);
    }
  for (int64_t at = 0; at < n; at += BLOCK) {
    int64_t size = least(BLOCK, n - at);
    if (isWide && size == BLOCK) wholeBlock(blockAt(arrays, at), f, &planes);
    else partOfBlock(blockAt(arrays, at), size, f, tables);
  }
}
