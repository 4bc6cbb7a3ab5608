// Attention of rows that never leave the cache, forward and backward (Dao et al., 2022): scores are computed again in place of kept.
#include "tape.h"

#define SIDE 32

static int64_t up(int64_t n, int64_t by) { return (n + by - 1) / by; }

/** A block [32][columns] of rows that lie `step` apart to left tiles [2][columns/32]. */
static void leftTiles(const float *p, int64_t step, int some, int64_t columns, char *out) {
  int64_t across = up(columns, 32);
  for (int half = 0; half < SIDE; half += 16)
    packRows(p + half * step, step, some - half < 0 ? 0 : (int)least(16, some - half), columns, 0, out + half / 16 * across * TILE, TILE);
}

/** Blocks of 32 x 32 sums beside each other: `columns` columns of left [2][far] times right [..][far], over the first k tiles of both. */
static void across(const char *left, const char *right, int64_t k, int64_t far, int64_t columns, float *sums, const Run *r) {
  int64_t tiles = up(columns, 16);
  for (int64_t c = 0; c < tiles; c += 2)
    multiply(left, right + c * far * TILE, far * TILE, c + 1 < tiles ? far * TILE : 0, k, sums + c / 2 * SIDE * SIDE, 0, r);
}

/** Below any number that a mask lets through: a power of e to it is 0 beside that of any score. */
#define HIDDEN -1e8f

/** Keys up to the last 32 of which one is seen by one of some rows. */
static int64_t seen(const float *mask, int64_t step, int some, int64_t T) {
  const __m512 hidden = _mm512_set1_ps(HIDDEN);
  for (int64_t from = (up(T, SIDE) - 1) * SIDE; from > 0; from -= SIDE)
    for (int i = 0; i < some; i++)
      for (int64_t c = from; c < least(T, from + SIDE); c += 16) {
        __mmask16 m = lanes(T - c);
        if (_mm512_mask_cmp_ps_mask(m, load(m, mask + i * step + c), hidden, _CMP_GT_OQ)) return least(T, from + SIDE);
      }
  return least(T, SIDE);
}

/** Where number c of row i lies in blocks beside each other. */
static inline float *in(float *blocks, int64_t i, int64_t c) { return blocks + c / SIDE * SIDE * SIDE + i * SIDE + c % SIDE; }

/** Scores become alpha scores + mask, without those beyond the last key; returns the largest. */
static float finish(float *scores, int64_t i, const float *mask, int64_t T, float alpha) {
  const __m512 none = _mm512_set1_ps(-__builtin_inff()), by = _mm512_set1_ps(alpha);
  __m512 top = none;
  for (int64_t c = 0; c < up(T, SIDE) * SIDE; c += 16) {
    __mmask16 m = c < T ? lanes(T - c) : 0;
    float *p = in(scores, i, c);
    __m512 v = _mm512_mask_mov_ps(none, m, _mm512_fmadd_ps(_mm512_load_ps(p), by, load(m, mask + c)));
    _mm512_store_ps(p, v);
    top = _mm512_max_ps(top, v);
  }
  return _mm512_reduce_max_ps(top);
}

/**
 * 3 out, 5 log of each row's sum [B,H,S], 7 q, 9 tiles of k (right side, over d), 11 of v (right side, over T), 13 mask, 15 scale, 16 B, 17 H,
 * 18 G, 19 S, 20 T, 21 d, 22 e, 23 24 25 strides of q by batch, head and row, 26 27 28 of out, 29 30 of the mask by row and batch.
 * Items are B H S/32.
 */
void attention(Op op, int64_t item, const Run *r) {
  int64_t H = whole(op, 17), G = whole(op, 18), S = whole(op, 19), T = whole(op, 20), d = whole(op, 21), e = whole(op, 22);
  int64_t parts = up(S, SIDE), b = item / parts / H, h = item / parts % H, s = item % parts * SIDE, g = b * G + h / (H / G);
  int64_t deep = up(d, 32), far = up(T, 32);
  int some = (int)least(SIDE, S - s);
  const float *masks = (float *)at(op, 13, r) + b * whole(op, 30) + s * whole(op, 29);
  // all before them is as it would be without the others
  int64_t reach = seen(masks, whole(op, 29), some, T), keys = up(reach, SIDE);
  char *tiles = r->scratch, *powers = tiles + 2 * deep * TILE;
  float *scores = (float *)(powers + 2 * far * TILE), *sums = scores + far * SIDE * SIDE;
  leftTiles((float *)at(op, 7, r) + b * whole(op, 23) + h * whole(op, 24) + s * whole(op, 25), whole(op, 25), some, d, tiles);
  across(tiles, at(op, 9, r) + g * up(T, 16) * deep * TILE, deep, deep, reach, scores, r);
  float inverse[SIDE];
  for (int64_t i = 0; i < some; i++) {
    __m512 largest = _mm512_set1_ps(finish(scores, i, masks + i * whole(op, 29), reach, (float)op[15])), sum = _mm512_setzero_ps();
    for (int64_t c = 0; c < keys * SIDE; c += 16) {
      float *p = in(scores, i, c);
      __m512 v = exp16(_mm512_sub_ps(_mm512_load_ps(p), largest));
      _mm512_store_ps(p, v);
      sum = _mm512_add_ps(sum, v);
    }
    float total = _mm512_reduce_add_ps(sum);
    inverse[i] = 1 / total;
    ((float *)at(op, 5, r))[(b * H + h) * S + s + i] = _mm512_cvtss_f32(largest) + (float)log1(total);
  }
  for (int64_t k = 0; k < keys; k++)
    for (int half = 0; half < SIDE; half += 16)
      packRows(scores + k * SIDE * SIDE + half * SIDE, SIDE, some - half < 0 ? 0 : (int)least(16, some - half), SIDE, 0, powers + (half / 16 * far + k) * TILE, TILE);
  across(powers, at(op, 11, r) + g * up(e, 16) * far * TILE, keys, far, e, sums, r);
  for (int64_t i = 0; i < some; i++) {
    float *out = (float *)at(op, 3, r) + b * whole(op, 26) + h * whole(op, 27) + (s + i) * whole(op, 28);
    for (int64_t c = 0; c < e; c += 16) store(out + c, lanes(e - c), _mm512_mul_ps(_mm512_load_ps(in(sums, i, c)), _mm512_set1_ps(inverse[i])));
  }
}

/** left [T/16][rows/32] (over rows) times right [width/16][rows/32], added to blocks [T/32][width/32] of sums. */
static void gather32(const char *left, const char *right, int64_t T, int64_t width, int64_t k, float *sums, int begun, const Run *r) {
  int64_t down = up(T, 16), side = up(width, 16);
  for (int64_t t = 0; t < down; t += 2)
    for (int64_t c = 0; c < side; c += 2)
      multiply(left + t * k * TILE, right + c * k * TILE, t + 1 < down ? k * TILE : 0, c + 1 < side ? k * TILE : 0, k,
               sums + (t / 2 * up(width, 32) + c / 2) * SIDE * SIDE, begun, r);
}

static void spread(float *out, int64_t step, float *sums, int64_t T, int64_t width, float alpha) {
  for (int64_t t = 0; t < T; t++)
    for (int64_t c = 0; c < width; c += 16)
      store(out + t * step + c, lanes(width - c),
            _mm512_mul_ps(_mm512_load_ps(sums + (t / SIDE * up(width, 32) + c / SIDE) * SIDE * SIDE + t % SIDE * SIDE + c % SIDE), _mm512_set1_ps(alpha)));
}

/**
 * 3 dq, 5 dk and 7 dv [B,T,G,*]; 9 q, 11 out, 13 dOut, 15 tiles of k (right side, over d), 17 of v (right side, over e), 19 of k (right side, over T),
 * 21 mask, 23 logs of the rows' sums, 25 scale, 26 B, 27 H, 28 G, 29 S, 30 T, 31 d, 32 e, 33 34 35 strides of q by batch, head and row,
 * 36 37 38 of out, 39 40 41 of dOut, 42 43 of the mask by row and batch, 44 45 46 of dq. Items are B G.
 */
void attentionGradient(Op op, int64_t item, const Run *r) {
  int64_t H = whole(op, 27), G = whole(op, 28), S = whole(op, 29), T = whole(op, 30), d = whole(op, 31), e = whole(op, 32);
  int64_t b = item / G, group = H / G, deep = up(d, 32), wide = up(e, 32), far = up(T, 32), rows = up(S, 32);
  float alpha = (float)op[25];
  char *tilesQ = r->scratch, *tilesO = tilesQ + 2 * deep * TILE, *slopes = tilesO + 2 * wide * TILE, *queries = slopes + 2 * far * TILE;
  char *outs = queries + up(d, 16) * rows * TILE, *powersT = outs + up(e, 16) * rows * TILE, *slopesT = powersT + up(T, 16) * rows * TILE;
  float *scores = (float *)(slopesT + up(T, 16) * rows * TILE), *dP = scores + far * SIDE * SIDE, *dQ = dP + far * SIDE * SIDE;
  float *dK = dQ + deep * SIDE * SIDE, *dV = dK + far * deep * SIDE * SIDE;
  const char *overD = at(op, 15, r) + item * up(T, 16) * deep * TILE, *overE = at(op, 17, r) + item * up(T, 16) * wide * TILE;
  const char *overT = at(op, 19, r) + item * up(d, 16) * far * TILE;
  for (int64_t own = 0; own < group; own++) {
    int64_t h = item % G * group + own;
    for (int64_t s = 0; s < S; s += SIDE) {
      int some = (int)least(SIDE, S - s);
      const float *q = (float *)at(op, 9, r) + b * whole(op, 33) + h * whole(op, 34) + s * whole(op, 35);
      const float *o = (float *)at(op, 11, r) + b * whole(op, 36) + h * whole(op, 37) + s * whole(op, 38);
      const float *dO = (float *)at(op, 13, r) + b * whole(op, 39) + h * whole(op, 40) + s * whole(op, 41);
      leftTiles(q, whole(op, 35), some, d, tilesQ);
      leftTiles(dO, whole(op, 41), some, e, tilesO);
      packColumns(q, whole(op, 35), some, d, 1, queries + s / SIDE * TILE, rows * TILE);
      packColumns(dO, whole(op, 41), some, e, 1, outs + s / SIDE * TILE, rows * TILE);
      const float *masks = (float *)at(op, 21, r) + b * whole(op, 43) + s * whole(op, 42);
      int64_t reach = seen(masks, whole(op, 42), some, T), keys = up(reach, SIDE);
      across(tilesQ, overD, deep, deep, reach, scores, r);
      across(tilesO, overE, wide, wide, reach, dP, r);
      for (int64_t i = 0; i < some; i++) {
        finish(scores, i, masks + i * whole(op, 42), reach, alpha);
        __m512 log = _mm512_set1_ps(((float *)at(op, 23, r))[(b * H + h) * S + s + i]), sum = _mm512_setzero_ps();
        // the row sums of p dP equal those of o dO
        for (int64_t c = 0; c < e; c += 16) {
          __mmask16 m = lanes(e - c);
          sum = _mm512_fmadd_ps(load(m, o + i * whole(op, 38) + c), load(m, dO + i * whole(op, 41) + c), sum);
        }
        __m512 all = _mm512_set1_ps(_mm512_reduce_add_ps(sum));
        for (int64_t c = 0; c < keys * SIDE; c += 16) {
          __m512 p = exp16(_mm512_sub_ps(_mm512_load_ps(in(scores, i, c)), log));
          _mm512_store_ps(in(scores, i, c), p);
          _mm512_store_ps(in(dP, i, c), _mm512_mul_ps(p, _mm512_sub_ps(_mm512_load_ps(in(dP, i, c)), all)));
        }
      }
      for (int64_t k = 0; k < keys; k++) {
        const float *p = scores + k * SIDE * SIDE, *slope = dP + k * SIDE * SIDE;
        int64_t columns = least(SIDE, up(T, 16) * 16 - k * SIDE);
        packColumns(p, SIDE, some, columns, 0, powersT + (2 * k * rows + s / SIDE) * TILE, rows * TILE);
        packColumns(slope, SIDE, some, columns, 0, slopesT + (2 * k * rows + s / SIDE) * TILE, rows * TILE);
        for (int half = 0; half < SIDE; half += 16)
          packRows(slope + half * SIDE, SIDE, some - half < 0 ? 0 : (int)least(16, some - half), SIDE, 0, slopes + (half / 16 * far + k) * TILE, TILE);
      }
      // keys that these rows do not see get nothing from them
      for (int64_t t = 2 * keys; t < up(T, 16); t++) {
        memset(powersT + (t * rows + s / SIDE) * TILE, 0, TILE);
        memset(slopesT + (t * rows + s / SIDE) * TILE, 0, TILE);
      }
      across(slopes, overT, keys, far, d, dQ, r);
      for (int64_t i = 0; i < some; i++) {
        float *out = (float *)at(op, 3, r) + b * whole(op, 44) + h * whole(op, 45) + (s + i) * whole(op, 46);
        for (int64_t c = 0; c < d; c += 16) store(out + c, lanes(d - c), _mm512_mul_ps(_mm512_load_ps(in(dQ, i, c)), _mm512_set1_ps(alpha)));
      }
    }
    gather32(slopesT, queries, T, d, rows, dK, own > 0, r);
    gather32(powersT, outs, T, e, rows, dV, own > 0, r);
  }
  // rows of all groups beside each other
  spread((float *)at(op, 5, r) + (b * T * G + item % G) * d, G * d, dK, T, d, alpha);
  spread((float *)at(op, 7, r) + (b * T * G + item % G) * e, G * e, dV, T, e, 1);
}
