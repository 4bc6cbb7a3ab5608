// Numbers in bfloat16 as products take them: tiles.
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

/**
 * A row of up to 16 rows' tiles, from `columns` numbers of each that lie together: one tile for 32 of them, `far` bytes apart. `right` is 1 for
 * the right side; with STREAM beside they are written past the caches.
 */
void packRows(const float *p, int64_t step, int rows, int64_t columns, int right, char *out, int64_t far) {
  __m512i v[16];
  for (int64_t c = 0; c < columns; c += 32, out += far) {
    __mmask16 low = lanes(columns - c), high = lanesFrom(columns - c - 16);
    for (int i = 0; i < 16; i++)
      v[i] = i < rows ? (__m512i)_mm512_cvtne2ps_pbh(load(high, p + i * step + c + 16), load(low, p + i * step + c)) : _mm512_setzero_si512();
    if (right & 1) turn(v);
    put(out, v, right & STREAM);
  }
}

/** Of up to 32 rows and each 16 of `columns` a tile whose inner axis are the rows; tiles lie `far` bytes apart. */
void packColumns(const float *p, int64_t step, int rows, int64_t columns, int right, char *out, int64_t far) {
  __m512i v[16];
  for (int64_t c = 0; c < columns; c += 16, out += far) {
    __mmask16 m = lanes(columns - c);
    for (int i = 0; i < 16; i++) {
      __m512 even = 2 * i < rows ? load(m, p + 2 * i * step + c) : _mm512_setzero_ps();
      __m512 odd = 2 * i + 1 < rows ? load(m, p + (2 * i + 1) * step + c) : _mm512_setzero_ps();
      v[i] = paired(even, odd);
    }
    if (!(right & 1)) turn(v);
    put(out, v, right & STREAM);
  }
}

/**
 * What becomes of up to 64 rows of a result [rows, width], which lie `step` apart: tiles in up to four forms, each a flag and a place from `forms` on (left
 * and right side of products over the width, left and right side of products over the rows), the left side over the width in int8 (`narrow` is the
 * position of its flag, before its place), behind it either side over the rows in int8, and the numbers themselves at 3 or 5 (`dense` is that place's position, or 0).
 */
void packBlock(const float *block, int64_t step, int64_t row, int64_t rows, int64_t width, Op op, int forms, int dense, int narrow, const Run *r) {
  int some = (int)least(rowsOf(op), rows - row);
  int64_t across = (width + 31) / 32, down = (rows + 31) / 32;
  for (int right = 0; right < 2; right++)
    if (op[forms + 3 * right])
      for (int half = 0; half < some; half += 16)
        packRows(block + half * step, step, (int)least(16, some - half), width, right,
                 at(op, forms + 3 * right + 1, r) + (row + half) / 16 * across * TILE, TILE);
  for (int right = 0; right < 2; right++)
    // those over the rows are for the weights' gradients, which come later: past the caches
    if (op[forms + 6 + 3 * right])
      for (int part = 0; part < some; part += 32)
        packColumns(block + part * step, step, (int)least(32, some - part), width, right | STREAM,
                    at(op, forms + 7 + 3 * right, r) + (row + part) / 32 * TILE, down * TILE);
  if (op[narrow]) {
    int64_t tiles = (width + 63) / 64;
    char *out = at(op, narrow + 1, r);
    float *scales = (float *)(out + (rows + 15) / 16 * tiles * TILE), *scratch = (float *)(r->scratch + SCRATCH - NARROW);
    for (int half = 0; half < some; half += 16)
      narrowRows(block + half * step, step, (int)least(16, some - half), width, 0, out + (row + half) / 16 * tiles * TILE, scales + row + half, (int32_t *)(scales + (rows + 15) / 16 * 16) + row + half, scratch);
  }
  if (op[narrow + 3]) {
    int64_t deep = (rows + 63) / 64, count = (width + 15) / 16 * deep;
    char *out = at(op, narrow + 4, r);
    float *scales = (float *)(out + count * TILE) + row / 64 * 16;
    narrowBlock(block, step, some, width, out + row / 64 * TILE, scales, (int32_t *)scales + count * 16, deep);
  }
  if (!dense) return;
  for (int i = 0; i < some; i++) {
    float *out = (float *)at(op, dense, r) + (row + i) * width;
    for (int64_t c = 0; c < width; c += 16) store(out + c, lanes(width - c), _mm512_load_ps(block + i * step + c));
  }
}

/**
 * Tiles of a matrix [rows, width], of all forms that are asked for at once: 5 in, 7 rows, 8 width, 10.. forms, 22 in int8 (packBlock), 28 whether
 * either side over the width in int8, by blocks, goes to 29. Items are rowsOf rows.
 */
void tiles(Op op, int64_t item, const Run *r) {
  int64_t rows = whole(op, 7), width = whole(op, 8), row = item * rowsOf(op);
  const float *in = (float *)at(op, 5, r);
  packBlock(in + row * width, width, row, rows, width, op, 10, 0, 22, r);
  if (!op[28]) return;
  int64_t across = (width + 63) / 64, count = (rows + 15) / 16 * across;
  for (int64_t some = row; some < least(rows, row + rowsOf(op)); some += 16) {
    char *out = at(op, 29, r);
    float *scales = (float *)(out + count * TILE) + some * across;
    narrowParts(in + some * width, width, (int)least(16, rows - some), width, out + some / 16 * across * TILE, scales, (int32_t *)scales + count * 16);
  }
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

