// Products of matrices in bfloat16 with sums in float32, on AMX or AVX-512's bfloat16 instructions; or in int8 with sums in int32.
#include "tape.h"

/** Sums of 32 x 32 that are still to be scaled and written: while the next are computed, which leaves the other units idle. */
typedef struct {
  const float *sums, *other;
  float *to;
  int64_t ld, ldOther;
  float alpha;
  __mmask16 low, high;
  int rows, done, half;
  /** Of sums in int32: what a row's and a column's stand for; else null. `kept` where the result is read again soon. */
  const float *scales, *columns;
  int kept;
} Pending;

/** Sums of squares of what is written, if anybody wants them. */
typedef struct { int wanted; __m512 sums; } Squares;

static inline __attribute__((always_inline)) void finishRows(Pending *p, Squares *squares, int count) {
  int to = (int)least(p->rows, p->done + count), whole64 = (__mmask16)(p->low & p->high) == 0xffff && ((uintptr_t)p->to & 63) == 0 && p->ld % 16 == 0;
  __m512 alpha = _mm512_set1_ps(p->alpha);
  for (int i = p->done; i < to; i++) {
    float *out = p->to + i * p->ld;
    __m512 x = _mm512_load_ps(p->sums + i * 32), y = _mm512_load_ps(p->sums + i * 32 + 16), by = alpha;
    if (p->scales) {
      by = _mm512_mul_ps(by, _mm512_set1_ps(p->scales[i]));
      x = _mm512_mul_ps(_mm512_cvtepi32_ps((__m512i)x), _mm512_loadu_ps(p->columns));
      y = _mm512_mul_ps(_mm512_cvtepi32_ps((__m512i)y), load(p->high, p->columns + 16));
    }
    x = _mm512_mul_ps(x, by);
    y = _mm512_mul_ps(y, by);
    if (p->other) {
      x = _mm512_add_ps(x, load(p->low, p->other + i * p->ldOther));
      y = _mm512_add_ps(y, load(p->high, p->other + i * p->ldOther + 16));
    }
    if (squares->wanted && !p->kept) {
      squares->sums = _mm512_mask3_fmadd_ps(x, x, squares->sums, p->low);
      squares->sums = _mm512_mask3_fmadd_ps(y, y, squares->sums, p->high);
    }
    if (p->half) {
      __m512i both = (__m512i)_mm512_cvtne2ps_pbh(y, x);
      uint16_t *to = (uint16_t *)p->to + i * p->ld;
      if ((__mmask16)(p->low & p->high) == 0xffff && ((uintptr_t)to & 63) == 0) _mm512_stream_si512((__m512i *)to, both);
      else _mm512_mask_storeu_epi16(to, (__mmask32)p->low | (__mmask32)p->high << 16, both);
    } else if (whole64 && !p->kept) {
      // past the caches: what is there need not be read first
      _mm512_stream_ps(out, x);
      _mm512_stream_ps(out + 16, y);
    } else {
      store(out, p->low, x);
      if (p->high) store(out + 16, p->high, y);
    }
  }
  p->done = to;
}

/**
 * 32 x 32 sums (row stride 32) of two rows of tiles on either side, `farA` and `farB` bytes apart, from what is there or from 0; meanwhile
 * others are finished.
 */
static inline __attribute__((always_inline)) void block(const char *a, const char *b, int64_t farA, int64_t farB, int64_t tiles, float *sums, int begun, int narrow, Pending *pending, Squares *squares) {
  int each = pending ? (int)((32 + tiles - 1) / tiles) : 0;
  if (begun) {
    _tile_loadd(0, sums, 128); _tile_loadd(1, sums + 16, 128); _tile_loadd(2, sums + 512, 128); _tile_loadd(3, sums + 528, 128);
  } else {
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  }
  for (int64_t k = 0; k < tiles; k++, a += TILE, b += TILE) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    if (narrow) _tile_dpbssd(0, 4, 6); else _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + farB, 64);
    if (narrow) _tile_dpbssd(1, 4, 7); else _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + farA, 64);
    if (narrow) _tile_dpbssd(2, 5, 6); else _tile_dpbf16ps(2, 5, 6);
    if (narrow) _tile_dpbssd(3, 5, 7); else _tile_dpbf16ps(3, 5, 7);
    if (pending) finishRows(pending, squares, each);
  }
  _tile_stored(0, sums, 128); _tile_stored(1, sums + 16, 128); _tile_stored(2, sums + 512, 128); _tile_stored(3, sums + 528, 128);
}

/** As `block`, 8 x 32 at a time. */
static void blockWithoutTiles(const char *a, const char *b, int64_t farA, int64_t farB, int64_t tiles, float *sums, int begun) {
  for (int row = 0; row < 32; row += 8) {
    const char *left = a + (row >= 16 ? farA : 0) + (row % 16) * 64;
    __m512 s[8][2];
    for (int i = 0; i < 8; i++)
      for (int j = 0; j < 2; j++) s[i][j] = begun ? _mm512_load_ps(sums + (row + i) * 32 + j * 16) : _mm512_setzero_ps();
    for (int64_t k = 0; k < tiles; k++)
      for (int p = 0; p < 16; p++) {
        __m512bh low = (__m512bh)_mm512_load_si512(b + k * TILE + p * 64), high = (__m512bh)_mm512_load_si512(b + farB + k * TILE + p * 64);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
          __m512bh x = (__m512bh)_mm512_set1_epi32(*(const int *)(left + k * TILE + i * 64 + p * 4));
          s[i][0] = _mm512_dpbf16_ps(s[i][0], x, low);
          s[i][1] = _mm512_dpbf16_ps(s[i][1], x, high);
        }
      }
    for (int i = 0; i < 8; i++)
      for (int j = 0; j < 2; j++) _mm512_store_ps(sums + (row + i) * 32 + j * 16, s[i][j]);
  }
}

/**
 * Added to sums in int32 of 8 rows and 32 columns: the product of 8 of a tile's rows with two tiles `far` bytes apart. Four numbers of a row lie
 * beside each other, those of rows `byRow` and the next four `byFour` bytes apart. The instruction multiplies unsigned numbers with signed ones,
 * so the right side is taken 128 higher: sums begin at -128 times those of the left side's rows.
 */
static inline __attribute__((always_inline)) void eightRows(__m512i s[8][2], const char *left, int byRow, int byFour, const char *right, int64_t far) {
  const __m512i higher = _mm512_set1_epi8(-128);
#pragma GCC unroll 16
  for (int p = 0; p < 16; p++) {
    __m512i low = _mm512_xor_si512(_mm512_load_si512(right + p * 64), higher), high = _mm512_xor_si512(_mm512_load_si512(right + far + p * 64), higher);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
      __m512i x = _mm512_set1_epi32(*(const int *)(left + i * byRow + p * byFour));
      s[i][0] = _mm512_dpbusd_epi32(s[i][0], low, x);
      s[i][1] = _mm512_dpbusd_epi32(s[i][1], high, x);
    }
  }
}

/** As `blockWithoutTiles`, of int8; `shifts` are what sums begin at. */
static void narrowWithoutTiles(const char *a, const char *b, int64_t farA, int64_t farB, int64_t tiles, float *sums, int begun, const int32_t *shifts) {
  // beyond the last tile of the left side there is nothing to compute
  for (int row = 0; row < (farA ? 32 : 16); row += 8) {
    const char *left = a + (row >= 16 ? farA : 0) + (row % 16) * 64;
    __m512i s[8][2];
    for (int i = 0; i < 8; i++)
      for (int j = 0; j < 2; j++) s[i][j] = begun ? _mm512_load_si512(sums + (row + i) * 32 + j * 16) : _mm512_set1_epi32(shifts[row + i]);
    for (int64_t k = 0; k < tiles; k++) eightRows(s, left + k * TILE, 64, 4, b + k * TILE, farB);
    for (int i = 0; i < 8; i++)
      for (int j = 0; j < 2; j++) _mm512_store_si512(sums + (row + i) * 32 + j * 16, s[i][j]);
  }
}

/** What a tile's rows stand for, 16 after 16, and -128 times their sums: of those tiles of a row that are multiplied. */
typedef struct { const float *scales; const int32_t *shifts; } Levels;

/** Of the tiles of row `row` on, of all down x across of a side, from tile `from` on. */
static Levels levelsAt(const char *side, int64_t down, int64_t across, int64_t row, int64_t from) {
  const float *scales = (const float *)(side + down * across * TILE);
  return (Levels){scales + (row / 16 * across + from) * 16, (const int32_t *)scales + (down * across + row / 16 * across + from) * 16};
}

/** Added to 8 x 32 sums in float32 (row stride 32): the product of a tile's rows in int8 from `a` on with two tiles, scaled. */
static inline __attribute__((always_inline)) void leveledRows(const char *a, const char *b, int64_t farB, float *sums, const float *scales, const int32_t *shifts, __m512 low, __m512 high) {
  __m512i s[8][2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) s[i][0] = s[i][1] = _mm512_set1_epi32(shifts[i]);
  eightRows(s, a, 4, 64, b, farB);
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++, sums += 32) {
    __m512 by = _mm512_set1_ps(scales[i]);
    _mm512_store_ps(sums, _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[i][0]), _mm512_mul_ps(by, low), _mm512_load_ps(sums)));
    _mm512_store_ps(sums + 16, _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[i][1]), _mm512_mul_ps(by, high), _mm512_load_ps(sums + 16)));
  }
}

/** As `blockWithoutTiles`, of tiles in int8 over 64 rows each, with levels of their own (narrowBlock). */
static __attribute__((noinline)) void leveledWithoutTiles(const char *a, const char *b, int64_t farA, int64_t farB, int64_t tiles, float *sums, int begun, Levels left, Levels right) {
  if (!begun) memset(sums, 0, 4096);
  for (int64_t k = 0; k < tiles; k++, a += TILE, b += TILE) {
    __m512 low = _mm512_load_ps(right.scales + k * 16), high = _mm512_load_ps(right.scales + farB / TILE * 16 + k * 16);
    // beyond the last tile of the left side there is nothing to compute
    for (int half = 0; half < (farA ? 2 : 1); half++)
      for (int row = 0; row < 16; row += 8) {
        int64_t at = half * farA / TILE * 16 + k * 16 + row;
        leveledRows(a + half * farA + row * 4, b, farB, sums + (16 * half + row) * 32, left.scales + at, left.shifts + at, low, high);
      }
  }
}

void multiply(const char *left, const char *right, int64_t farLeft, int64_t farRight, int64_t tiles, float *sums, int begun, const Run *r) {
  if (r->amx) block(left, right, farLeft, farRight, tiles, sums, begun, 0, 0, 0);
  else blockWithoutTiles(left, right, farLeft, farRight, tiles, sums, begun);
}

/** Tiles of K that are multiplied at a time, at most. */
#define DEPTH 64

/** Some tiles of K of one of the products that are added up. */
typedef struct {
  const char *left, *right;
  /** Tiles in a row of both sides, the first and the count of those that are multiplied, and whether they are the last of their product. */
  int64_t across, from, some;
  int last;
} Chunk;
#define MOST_CHUNKS 64

/** The chunks of a product's K, at most so many that they fit. */
static int chunksOf(Chunk *chunks, int count, const char *left, const char *right, int64_t across) {
  int64_t depth = DEPTH;
  while ((across + depth - 1) / depth > MOST_CHUNKS / 4) depth *= 2;
  for (int64_t k = 0; k < across; k += depth) chunks[count++] = (Chunk){left, right, across, k, least(depth, across - k), k + depth >= across};
  return count;
}

/**
 * out = alpha left right (+ other): 2 whether something is added, 3 out, 5 left tiles, 7 right tiles, 9 what is added, 11 M, 12 N, 13 K, 14 alpha,
 * 15 row stride of out, 16 batch axes' size, 17 18 batch strides of out, 19 20 batches left and right: 1, or 0 where all share one,
 * 21 row stride of what is added (no batches), 22 23 rows and columns of an item (multiples of 32), 24 whether columns go first, 25 whether
 * out is in bfloat16, 26 whether the sum of the squares of an item's results goes to 27, a float64 an item.
 * 29 products that are added, of left and right tiles at 30 32, 35 37 and 40 42 over a K of 34, 39 and 44 (no batches), 45 what all
 * tiles hold: 0 bfloat16, 1 int8 and behind those of each side what its rows stand for, 2 int8 and what a row stands for in each tile (narrow.c).
 * Items are batches times M/22 times N/23.
 */
void product(Op op, int64_t item, const Run *r) {
  int64_t M = whole(op, 11), N = whole(op, 12), each = op[45] ? 64 : 32, across = (whole(op, 13) + each - 1) / each, ld = whole(op, 15);
  int64_t high = whole(op, 22), wide = whole(op, 23), downs = (M + high - 1) / high, sides = (N + wide - 1) / wide;
  int64_t batch = item / (downs * sides), of = item % (downs * sides);
  int64_t at0 = (op[24] ? of / sides : of % downs) * high, at1 = (op[24] ? of % sides : of / downs) * wide;
  int64_t tilesM = (M + 15) / 16, tilesN = (N + 15) / 16, inner = whole(op, 16);
  const char *left = at(op, 5, r) + batch * whole(op, 19) * tilesM * across * TILE;
  const char *right = at(op, 7, r) + batch * whole(op, 20) * tilesN * across * TILE;
  float *out = (float *)at(op, 3, r) + batch / inner * whole(op, 17) + batch % inner * whole(op, 18);
  const float *other = op[2] ? (float *)at(op, 9, r) : 0;
  int64_t toM = least(M, at0 + high), toN = least(N, at1 + wide);
  float *sums = (float *)r->scratch;
  Pending pending = {.rows = 0};
  Squares squares = {(int)op[26], _mm512_setzero_ps()};
  Chunk chunks[MOST_CHUNKS];
  int first = chunksOf(chunks, 0, left, right, across), count = first, narrow = op[45] == 1, leveled = op[45] == 2;
  for (int i = 0; i < op[29]; i++)
    count = chunksOf(chunks, count, at(op, 30 + 5 * i, r), at(op, 32 + 5 * i, r), (whole(op, 34 + 5 * i) + each - 1) / each);
  // sums in float32 go on from one product to the next; those in int32 stand for something else in each
  int alone = count == (narrow ? (int)op[29] + 1 : 1), turn = 0;
  int64_t downs32 = (high + 31) / 32, blocks = downs32 * ((wide + 31) / 32);
  for (int c = 0; c < count; c++) {
    const Chunk chunk = chunks[c];
    int begins = narrow ? chunk.from == 0 : c == 0, ends = narrow ? chunk.last : c + 1 == count;
    for (int64_t n = at1; n < toN; n += 32)
      for (int64_t m = at0; m < toM; m += 32) {
        int64_t here = (n - at1) / 32 * downs32 + (m - at0) / 32;
        // one is computed while the other is written
        float *own = sums + 1024 * (alone ? turn : 2 + here), *total = sums + 1024 * (2 + blocks + here);
        turn = !turn;
        const char *a = chunk.left + (m / 16 * chunk.across + chunk.from) * TILE, *b = chunk.right + (n / 16 * chunk.across + chunk.from) * TILE;
        // beyond the last tile the one before is computed again and not used
        int64_t farA = m / 16 + 1 < tilesM ? chunk.across * TILE : 0, farB = n / 16 + 1 < tilesN ? chunk.across * TILE : 0;
        if (leveled) {
          Levels rows = levelsAt(chunk.left, tilesM, chunk.across, m, chunk.from), columns = levelsAt(chunk.right, tilesN, chunk.across, n, chunk.from);
          leveledWithoutTiles(a, b, farA, farB, chunk.some, own, !begins, rows, columns);
        } else if (r->amx && narrow) block(a, b, farA, farB, chunk.some, own, !begins, 1, &pending, &squares);
        else if (r->amx) block(a, b, farA, farB, chunk.some, own, !begins, 0, &pending, &squares);
        else if (narrow) narrowWithoutTiles(a, b, farA, farB, chunk.some, own, !begins, (const int32_t *)(chunk.left + tilesM * (chunk.across * TILE + 64)) + m);
        else blockWithoutTiles(a, b, farA, farB, chunk.some, own, !begins);
        finishRows(&pending, &squares, 32);
        if (!ends) continue;
        pending = (Pending){.sums = own, .other = other ? other + m * whole(op, 21) + n : 0,
                            .to = op[25] ? (float *)((uint16_t *)out + m * ld + n) : out + m * ld + n, .half = (int)op[25], .ld = ld, .ldOther = whole(op, 21),
                            .alpha = (float)op[14], .low = lanes(N - n), .high = lanesFrom(N - n - 16), .rows = (int)least(32, M - m)};
        if (!narrow) continue;
        pending.scales = (const float *)(chunk.left + tilesM * chunk.across * TILE) + m;
        pending.columns = (const float *)(chunk.right + tilesN * chunk.across * TILE) + n;
        if (c >= first) pending.other = total, pending.ldOther = 32;
        if (c + 1 < count) pending.to = total, pending.ld = 32, pending.half = 0, pending.kept = 1;
      }
  }
  finishRows(&pending, &squares, 32);
  if (squares.wanted) ((double *)at(op, 27, r))[item] = _mm512_reduce_add_ps(squares.sums);
}
