// Products of matrices in bfloat16 with sums in float32, on AMX or AVX-512's bfloat16 instructions.
#include "tape.h"

void turn(__m512i v[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
    t[i + 8] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
    t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    v[i] = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
    v[i + 4] = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
    v[i + 12] = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
  }
}

static inline void put(char *out, const __m512i v[16], int stream) {
  if (stream) for (int i = 0; i < 16; i++) _mm512_stream_si512((__m512i *)out + i, v[i]);
  else for (int i = 0; i < 16; i++) _mm512_store_si512((__m512i *)out + i, v[i]);
}

/**
 * A row of up to 16 rows' tiles, from `columns` numbers of each that lie together: one tile for 32 of them, `far` bytes apart. `right` is 1 for
 * the right side; with STREAM beside they are written past the caches.
 */
void packRows(const float *p, int64_t step, int rows, int64_t columns, int right, char *out, int64_t far) {
  __m512i v[16];
  for (int64_t c = 0; c < columns; c += 32, out += far) {
    __mmask16 low = lanes(columns - c), high = lanes(columns - c > 16 ? columns - c - 16 : 0);
    for (int i = 0; i < 16; i++)
      v[i] = i < rows ? (__m512i)_mm512_cvtne2ps_pbh(load(high, p + i * step + c + 16), load(low, p + i * step + c)) : _mm512_setzero_si512();
    if (right & 1) turn(v);
    put(out, v, right & STREAM);
  }
}

/** Of up to 32 rows and each 16 of `columns` a tile whose inner axis are the rows; tiles lie `far` bytes apart. */
void packColumns(const float *p, int64_t step, int rows, int64_t columns, int right, char *out, int64_t far) {
  const __m512i zip = _mm512_load_si512(ORDER);
  __m512i v[16];
  for (int64_t c = 0; c < columns; c += 16, out += far) {
    __mmask16 m = lanes(columns - c);
    for (int i = 0; i < 16; i++) {
      __m512 even = 2 * i < rows ? load(m, p + 2 * i * step + c) : _mm512_setzero_ps();
      __m512 odd = 2 * i + 1 < rows ? load(m, p + (2 * i + 1) * step + c) : _mm512_setzero_ps();
      v[i] = _mm512_permutexvar_epi16(zip, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
    }
    if (!(right & 1)) turn(v);
    put(out, v, right & STREAM);
  }
}

/**
 * What becomes of a block [32][columns] of a result [rows, width] whose rows lie `step` apart: tiles in up to four forms, each a flag and a place from `forms` on (left
 * and right side of products over the width, left and right side of products over the rows), and the numbers themselves at 3 or
 * 5 (`dense` is that place's position, or 0).
 */
void packBlock(const float *block, int64_t step, int64_t row, int64_t column, int64_t columns, int64_t rows, int64_t width, Op op, int forms, int dense, const Run *r) {
  int some = (int)least(BLOCK_ROWS, rows - row);
  int64_t across = (width + 31) / 32, down = (rows + 31) / 32;
  for (int right = 0; right < 2; right++)
    if (op[forms + 3 * right])
      for (int half = 0; half < some; half += 16)
        packRows(block + half * step, step, (int)least(16, some - half), columns, right,
                 at(op, forms + 3 * right + 1, r) + ((row + half) / 16 * across + column / 32) * TILE, TILE);
  for (int right = 0; right < 2; right++)
    // those over the rows are for the weights' gradients, which come later: past the caches
    if (op[forms + 6 + 3 * right])
      packColumns(block, step, some, columns, right | STREAM, at(op, forms + 7 + 3 * right, r) + (column / 16 * down + row / 32) * TILE, down * TILE);
  if (!dense) return;
  for (int i = 0; i < some; i++) {
    float *out = (float *)at(op, dense, r) + (row + i) * width + column;
    for (int64_t c = 0; c < columns; c += 16) store(out + c, lanes(columns - c), _mm512_load_ps(block + i * step + c));
  }
}

/** Tiles of a matrix [rows, width], of all forms that are asked for at once: 5 in, 7 rows, 8 width, 10.. forms (packBlock). Items are 32 rows. */
void tiles(Op op, int64_t item, const Run *r) {
  int64_t rows = whole(op, 7), width = whole(op, 8), row = item * BLOCK_ROWS;
  packBlock((float *)at(op, 5, r) + row * width, width, row, 0, width, rows, width, op, 10, 0, r);
}

/**
 * Tiles of a matrix [R,K] for a product over K, zeros beyond its edges: [R/16][K/32] of 16 rows (left side) or 16 pairs of K (right
 * side) by 64 bytes. 2 right side, 3 out, 5 in, 7 rows, 8 K, 9 10 strides of a row and of K, 11 12 sizes of two batch axes, 13 14
 * their strides. Items are batches times R/16 where rows lie together, else batches times K/32.
 */
void pack(Op op, int64_t item, const Run *r) {
  int64_t rows = whole(op, 7), k = whole(op, 8), sr = whole(op, 9), sk = whole(op, 10);
  int64_t down = (rows + 15) / 16, across = (k + 31) / 32, parts = sr == 1 ? across : down, batch = item / parts, part = item % parts;
  const float *in = (float *)at(op, 5, r) + batch / whole(op, 12) * whole(op, 13) + batch % whole(op, 12) * whole(op, 14);
  char *out = at(op, 3, r) + batch * down * across * TILE;
  int right = (int)op[2] | STREAM;
  if (sr == 1) {
    packColumns(in + part * 32 * sk, sk, (int)least(32, k - part * 32), rows, right, out + part * TILE, across * TILE);
    return;
  }
  int some = (int)least(16, rows - part * 16);
  in += part * 16 * sr;
  out += part * across * TILE;
  if (sk == 1) {
    packRows(in, sr, some, k, right, out, TILE);
    return;
  }
  // numbers that do not lie together are gathered first
  float lines[16 * 32];
  for (int64_t c = 0; c < k; c += 32) {
    int64_t wide = least(32, k - c);
    for (int i = 0; i < some; i++)
      for (int64_t j = 0; j < wide; j++) lines[i * 32 + j] = in[i * sr + (c + j) * sk];
    packRows(lines, 32, some, wide, right, out + c / 32 * TILE, TILE);
  }
}

/** Sums of 32 x 32 that are still to be scaled and written: while the next are computed, which leaves the other units idle. */
typedef struct {
  const float *sums, *other;
  float *to;
  int64_t ld, ldOther;
  float alpha;
  __mmask16 low, high;
  int rows, done, half;
} Pending;

/** Sums of squares of what is written, if anybody wants them. */
typedef struct { int wanted; __m512 sums; } Squares;

static inline __attribute__((always_inline)) void finishRows(Pending *p, Squares *squares, int count) {
  int to = (int)least(p->rows, p->done + count), whole64 = (__mmask16)(p->low & p->high) == 0xffff && ((uintptr_t)p->to & 63) == 0 && p->ld % 16 == 0;
  __m512 alpha = _mm512_set1_ps(p->alpha);
  for (int i = p->done; i < to; i++) {
    float *out = p->to + i * p->ld;
    __m512 x = _mm512_mul_ps(_mm512_load_ps(p->sums + i * 32), alpha), y = _mm512_mul_ps(_mm512_load_ps(p->sums + i * 32 + 16), alpha);
    if (p->other) {
      x = _mm512_add_ps(x, load(p->low, p->other + i * p->ldOther));
      y = _mm512_add_ps(y, load(p->high, p->other + i * p->ldOther + 16));
    }
    if (squares->wanted) {
      squares->sums = _mm512_mask3_fmadd_ps(x, x, squares->sums, p->low);
      squares->sums = _mm512_mask3_fmadd_ps(y, y, squares->sums, p->high);
    }
    if (p->half) {
      __m512i both = (__m512i)_mm512_cvtne2ps_pbh(y, x);
      uint16_t *to = (uint16_t *)p->to + i * p->ld;
      if ((__mmask16)(p->low & p->high) == 0xffff && ((uintptr_t)to & 63) == 0) _mm512_stream_si512((__m512i *)to, both);
      else _mm512_mask_storeu_epi16(to, (__mmask32)p->low | (__mmask32)p->high << 16, both);
    } else if (whole64) {
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
static inline __attribute__((always_inline)) void block(const char *a, const char *b, int64_t farA, int64_t farB, int64_t tiles, float *sums, int begun, Pending *pending, Squares *squares) {
  int each = pending ? (int)((32 + tiles - 1) / tiles) : 0;
  if (begun) {
    _tile_loadd(0, sums, 128); _tile_loadd(1, sums + 16, 128); _tile_loadd(2, sums + 512, 128); _tile_loadd(3, sums + 528, 128);
  } else {
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  }
  for (int64_t k = 0; k < tiles; k++, a += TILE, b += TILE) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + farB, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + farA, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
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

void multiply(const char *left, const char *right, int64_t farLeft, int64_t farRight, int64_t tiles, float *sums, int begun, const Run *r) {
  if (r->amx) block(left, right, farLeft, farRight, tiles, sums, begun, 0, 0);
  else blockWithoutTiles(left, right, farLeft, farRight, tiles, sums, begun);
}

/** Tiles of K that are multiplied at a time, at most. */
#define DEPTH 64

/** Some tiles of K of one of the products that are added up. */
typedef struct {
  const char *left, *right;
  /** Tiles in a row of both sides, and those of them that are multiplied. */
  int64_t across, from, some;
} Chunk;
#define MOST_CHUNKS 64

/** The chunks of a product's K, at most so many that they fit. */
static int chunksOf(Chunk *chunks, int count, const char *left, const char *right, int64_t K) {
  int64_t across = (K + 31) / 32, depth = DEPTH;
  while ((across + depth - 1) / depth > MOST_CHUNKS / 4) depth *= 2;
  for (int64_t k = 0; k < across; k += depth) chunks[count++] = (Chunk){left, right, across, k, least(depth, across - k)};
  return count;
}

/**
 * out = alpha left right (+ other): 2 whether something is added, 3 out, 5 left tiles, 7 right tiles, 9 what is added, 11 M, 12 N, 13 K, 14 alpha,
 * 15 row stride of out, 16 batch axes' size, 17 18 batch strides of out, 19 20 batches left and right: 1, or 0 where all share one,
 * 21 row stride of what is added (no batches), 22 23 rows and columns of an item (multiples of 32), 24 whether columns go first, 25 whether
 * out is in bfloat16, 26 whether the sum of the squares of an item's results goes to 27, a float64 an item.
 * 29 products that are added, of left and right tiles at 30 32, 35 37 and 40 42 over a K of 34, 39 and 44 (no batches).
 * Items are batches times M/22 times N/23.
 */
void product(Op op, int64_t item, const Run *r) {
  int64_t M = whole(op, 11), N = whole(op, 12), across = (whole(op, 13) + 31) / 32, ld = whole(op, 15);
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
  int count = chunksOf(chunks, 0, left, right, whole(op, 13));
  for (int i = 0; i < op[29]; i++) count = chunksOf(chunks, count, at(op, 30 + 5 * i, r), at(op, 32 + 5 * i, r), whole(op, 34 + 5 * i));
  int turn = 0;
  for (int c = 0; c < count; c++) {
    const Chunk chunk = chunks[c];
    for (int64_t n = at1; n < toN; n += 32)
      for (int64_t m = at0; m < toM; m += 32) {
        // one is computed while the other is written
        float *own = sums + 1024 * (count == 1 ? turn : (n - at1) / 32 * (high / 32) + (m - at0) / 32);
        turn = !turn;
        const char *a = chunk.left + (m / 16 * chunk.across + chunk.from) * TILE, *b = chunk.right + (n / 16 * chunk.across + chunk.from) * TILE;
        // beyond the last tile the one before is computed again and not used
        int64_t farA = m / 16 + 1 < tilesM ? chunk.across * TILE : 0, farB = n / 16 + 1 < tilesN ? chunk.across * TILE : 0;
        if (r->amx) block(a, b, farA, farB, chunk.some, own, c > 0, &pending, &squares);
        else blockWithoutTiles(a, b, farA, farB, chunk.some, own, c > 0);
        finishRows(&pending, &squares, 32);
        if (c + 1 < count) continue;
        pending = (Pending){.sums = own, .other = other ? other + m * whole(op, 21) + n : 0,
                            .to = op[25] ? (float *)((uint16_t *)out + m * ld + n) : out + m * ld + n, .half = (int)op[25], .ld = ld, .ldOther = whole(op, 21),
                            .alpha = (float)op[14], .low = lanes(N - n), .high = lanes(N - n > 16 ? N - n - 16 : 0), .rows = (int)least(32, M - m)};
      }
  }
  finishRows(&pending, &squares, 32);
  if (squares.wanted) ((double *)at(op, 27, r))[item] = _mm512_reduce_add_ps(squares.sums);
}
