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

/** 32 keys after 32: the first that are looked at, and the first after those. */
typedef struct { int64_t from, to; } Keys;

static int isSeen(const float *mask, int64_t step, int some, int64_t from, int64_t T) {
  const __m512 hidden = _mm512_set1_ps(HIDDEN);
  for (int i = 0; i < some; i++)
    for (int64_t c = from; c < least(T, from + SIDE); c += 16) {
      __mmask16 m = lanes(T - c);
      if (_mm512_mask_cmp_ps_mask(m, load(m, mask + i * step + c), hidden, _CMP_GT_OQ)) return 1;
    }
  return 0;
}

/**
 * The keys that 32 rows look at, from the first to the last that one of them sees, the first of all where there are none: 3 out, two int64 an
 * item, 5 mask, 7 rows, 8 T, 9 10 strides of the mask by row and batch. Items are batches times rows/32.
 */
void sight(Op op, int64_t item, const Run *r) {
  int64_t parts = up(whole(op, 7), SIDE), row = item % parts * SIDE, T = whole(op, 8), step = whole(op, 9);
  const float *mask = (float *)at(op, 5, r) + item / parts * whole(op, 10) + row * step;
  int some = (int)least(SIDE, whole(op, 7) - row);
  Keys keys = {0, up(T, SIDE)};
  while (keys.to > 1 && !isSeen(mask, step, some, (keys.to - 1) * SIDE, T)) keys.to--;
  while (keys.from < keys.to - 1 && !isSeen(mask, step, some, keys.from * SIDE, T)) keys.from++;
  ((Keys *)at(op, 3, r))[item] = keys;
}

/** Where number c of row i lies in blocks beside each other. */
static inline float *in(float *blocks, int64_t i, int64_t c) { return blocks + c / SIDE * SIDE * SIDE + i * SIDE + c % SIDE; }

/** alpha scores + mask, and nothing beyond the last key. */
static inline __m512 weighed(const float *scores, const float *mask, __mmask16 m, __m512 alpha) {
  return _mm512_fmadd_ps(_mm512_load_ps(scores), alpha, _mm512_mask_loadu_ps(_mm512_set1_ps(-__builtin_inff()), m, mask));
}

/** One over the natural logarithm of 2. */
#define PER_LOG2 1.44269504f

/**
 * 3 out, 5 log of each row's sum [B,H,S], 7 q, 9 tiles of k (right side, over d), 11 of v (right side, over T), 13 mask, 15 scale, 16 B, 17 H,
 * 18 G, 19 S, 20 T, 21 d, 22 e, 23 24 25 strides of q by batch, head and row, 26 27 28 of out, 29 30 of the mask by row and batch,
 * 31 the keys of 32 rows (sight). Items are B H S/32.
 */
void attention(Op op, int64_t item, const Run *r) {
  int64_t H = whole(op, 17), G = whole(op, 18), S = whole(op, 19), T = whole(op, 20), d = whole(op, 21), e = whole(op, 22);
  int64_t parts = up(S, SIDE), b = item / parts / H, h = item / parts % H, s = item % parts * SIDE, g = b * G + h / (H / G);
  int64_t deep = up(d, 32), far = up(T, 32);
  int some = (int)least(SIDE, S - s);
  const float *masks = (float *)at(op, 13, r) + b * whole(op, 30) + s * whole(op, 29);
  // the others would not change what these are
  Keys keys = ((Keys *)at(op, 31, r))[(whole(op, 30) ? b * parts : 0) + s / SIDE];
  int64_t first = keys.from * SIDE, count = keys.to - keys.from;
  char *tiles = r->scratch, *powers = tiles + 2 * deep * TILE;
  float *scores = (float *)(powers + 2 * far * TILE), *sums = scores + far * SIDE * SIDE, inverse[SIDE], tops[SIDE];
  leftTiles((float *)at(op, 7, r) + b * whole(op, 23) + h * whole(op, 24) + s * whole(op, 25), whole(op, 25), some, d, tiles);
  across(tiles, at(op, 9, r) + (g * up(T, 16) + 2 * keys.from) * deep * TILE, deep, deep, least(T, keys.to * SIDE) - first, scores, r);
  const __m512 alpha = _mm512_set1_ps((float)op[15]), perLog2 = _mm512_set1_ps(PER_LOG2);
  double totals[SIDE];
  for (int64_t i = 0; i < some; i++) {
    const float *mask = masks + i * whole(op, 29) + first;
    __m512 top = _mm512_set1_ps(-__builtin_inff());
    for (int64_t k = 0; k < count; k++)
      for (int64_t c = k * SIDE; c < (k + 1) * SIDE; c += 16)
        top = _mm512_max_ps(top, weighed(in(scores, i, c), mask + c, lanesFrom(T - first - c), alpha));
    tops[i] = _mm512_reduce_max_ps(top);
    const __m512 largest = _mm512_set1_ps(tops[i]);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t k = 0; k < count; k++) {
      __m512 p[2];
      for (int j = 0; j < 2; j++) {
        int64_t c = k * SIDE + 16 * j;
        p[j] = power16(_mm512_mul_ps(_mm512_sub_ps(weighed(in(scores, i, c), mask + c, lanesFrom(T - first - c), alpha), largest), perLog2));
        sum = _mm512_add_ps(sum, p[j]);
      }
      _mm512_store_si512(powers + (i / 16 * far + k) * TILE + i % 16 * 64, (__m512i)_mm512_cvtne2ps_pbh(p[1], p[0]));
    }
    totals[i] = _mm512_reduce_add_ps(sum);
    inverse[i] = 1 / (float)totals[i];
  }
  for (int64_t i = 0; i < some; i++) ((float *)at(op, 5, r))[(b * H + h) * S + s + i] = tops[i] + (float)log1(totals[i]);
  across(powers, at(op, 11, r) + (g * up(e, 16) * far + keys.from) * TILE, count, far, e, sums, r);
  for (int64_t i = 0; i < some; i++) {
    float *out = (float *)at(op, 3, r) + b * whole(op, 26) + h * whole(op, 27) + (s + i) * whole(op, 28);
    for (int64_t c = 0; c < e; c += 16) store(out + c, lanes(e - c), _mm512_mul_ps(_mm512_load_ps(in(sums, i, c)), _mm512_set1_ps(inverse[i])));
  }
}

/** Rows, 32 after 32, of which one looks at some keys: the first and the last. */
typedef struct { int64_t first, last; } Rows;

/** left [width/16][rows/32] times right [T/16][rows/32], both over the rows that look at the keys, added to blocks [width/32][T/32] of sums. */
static void gather32(const char *left, const char *right, int64_t width, int64_t T, int64_t k, const Rows *rows, float *sums, int begun, const Run *r) {
  int64_t down = up(width, 16), side = up(T, 16);
  for (int64_t t = 0; t < side; t += 2) {
    Rows own = rows[t / 2];
    for (int64_t c = 0; c < down; c += 2) {
      float *to = sums + (c / 2 * up(T, SIDE) + t / 2) * SIDE * SIDE;
      if (own.last >= 0)
        multiply(left + (c * k + own.first) * TILE, right + (t * k + own.first) * TILE, c + 1 < down ? k * TILE : 0, t + 1 < side ? k * TILE : 0,
                 own.last + 1 - own.first, to, begun, r);
      else if (!begun) memset(to, 0, SIDE * SIDE * sizeof(float));
    }
  }
}

/** Blocks [width/32][T/32] of sums to rows [T] of `width` numbers, `step` apart. */
static void spread(float *out, int64_t step, const float *sums, int64_t T, int64_t width, float alpha) {
  __m512i v[16];
  for (int64_t c = 0; c < width; c += 16)
    for (int64_t t = 0; t < T; t += 16) {
      const float *from = sums + (c / SIDE * up(T, SIDE) + t / SIDE) * SIDE * SIDE + c % SIDE * SIDE + t % SIDE;
      for (int i = 0; i < 16; i++) v[i] = _mm512_load_si512(from + i * SIDE);
      turn(v);
      for (int64_t i = 0; i < least(16, T - t); i++) store(out + (t + i) * step + c, lanes(width - c), _mm512_mul_ps((__m512)v[i], _mm512_set1_ps(alpha)));
    }
}

/** Of 32 rows: what their scores and slopes become. */
typedef struct {
  const float *mask[SIDE];
  float log[SIDE], all[SIDE];
} Lines;

/**
 * Probabilities p and the scores' slopes p (dP - all) of 32 rows and 32 keys: `powers` and `slopesT` are tiles over the rows (`pair` apart,
 * `both` whether there is a second 16 of keys), `slopes` over the keys (`half` apart).
 */
static inline __attribute__((always_inline)) void slopesOf(const float *scores, const float *dP, const Lines *lines, int64_t key, int64_t T, __m512 alpha,
                                                           char *powers, char *slopesT, int64_t pair, int both, char *slopes, int64_t half) {
  const __m512 perLog2 = _mm512_set1_ps(PER_LOG2);
  __mmask16 low = lanesFrom(T - key), high = lanesFrom(T - key - 16);
  for (int i = 0; i < SIDE; i += 2) {
    __m512 p[2][2], slope[2][2];
    for (int j = 0; j < 2; j++) {
      const float *s = scores + (i + j) * SIDE, *dp = dP + (i + j) * SIDE, *mask = lines->mask[i + j] + key;
      const __m512 log = _mm512_set1_ps(lines->log[i + j]), all = _mm512_set1_ps(lines->all[i + j]);
      p[j][0] = power16(_mm512_mul_ps(_mm512_sub_ps(weighed(s, mask, low, alpha), log), perLog2));
      p[j][1] = power16(_mm512_mul_ps(_mm512_sub_ps(weighed(s + 16, mask + 16, high, alpha), log), perLog2));
      slope[j][0] = _mm512_mul_ps(p[j][0], _mm512_sub_ps(_mm512_load_ps(dp), all));
      slope[j][1] = _mm512_mul_ps(p[j][1], _mm512_sub_ps(_mm512_load_ps(dp + 16), all));
      _mm512_store_si512(slopes + (i + j) / 16 * half + (i + j) % 16 * 64, (__m512i)_mm512_cvtne2ps_pbh(slope[j][1], slope[j][0]));
    }
    _mm512_store_si512(powers + i / 2 * 64, paired(p[0][0], p[1][0]));
    _mm512_store_si512(slopesT + i / 2 * 64, paired(slope[0][0], slope[1][0]));
    if (!both) continue;
    _mm512_store_si512(powers + pair + i / 2 * 64, paired(p[0][1], p[1][1]));
    _mm512_store_si512(slopesT + pair + i / 2 * 64, paired(slope[0][1], slope[1][1]));
  }
}

/** 32 keys after 32, at most: as many as fit a thread's scratch memory many times over. */
#define MOST_KEYS 4096

/**
 * 3 dq, 5 dk and 7 dv [B,T,G,*]; 9 q, 11 out, 13 dOut, 15 tiles of k (right side, over d), 17 of v (right side, over e), 19 of k (right side, over T),
 * 21 mask, 23 logs of the rows' sums, 25 scale, 26 B, 27 H, 28 G, 29 S, 30 T, 31 d, 32 e, 33 34 35 strides of q by batch, head and row,
 * 36 37 38 of out, 39 40 41 of dOut, 42 43 of the mask by row and batch, 44 45 46 of dq, 47 the keys of 32
 * rows (sight). Items are B G.
 */
void attentionGradient(Op op, int64_t item, const Run *r) {
  int64_t H = whole(op, 27), G = whole(op, 28), S = whole(op, 29), T = whole(op, 30), d = whole(op, 31), e = whole(op, 32);
  int64_t b = item / G, group = H / G, deep = up(d, 32), wide = up(e, 32), far = up(T, 32), rows = up(S, 32), thin = up(T, 16);
  float alpha = (float)op[25];
  char *tilesQ = r->scratch, *tilesO = tilesQ + 2 * deep * TILE, *slopes = tilesO + 2 * wide * TILE, *queries = slopes + 2 * far * TILE;
  char *outs = queries + up(d, 16) * rows * TILE, *powersT = outs + up(e, 16) * rows * TILE, *slopesT = powersT + thin * rows * TILE;
  float *scores = (float *)(slopesT + thin * rows * TILE), *dP = scores + far * SIDE * SIDE, *dQ = dP + far * SIDE * SIDE;
  float *dK = dQ + deep * SIDE * SIDE, *dV = dK + far * deep * SIDE * SIDE;
  const char *overD = at(op, 15, r) + item * thin * deep * TILE, *overE = at(op, 17, r) + item * thin * wide * TILE;
  const char *overT = at(op, 19, r) + item * up(d, 16) * far * TILE;
  Rows looking[MOST_KEYS];
  for (int64_t own = 0; own < group; own++) {
    int64_t h = item % G * group + own;
    for (int64_t k = 0; k < far; k++) looking[k] = (Rows){0, -1};
    for (int64_t s = 0; s < S; s += SIDE) {
      int some = (int)least(SIDE, S - s);
      const float *q = (float *)at(op, 9, r) + b * whole(op, 33) + h * whole(op, 34) + s * whole(op, 35);
      const float *o = (float *)at(op, 11, r) + b * whole(op, 36) + h * whole(op, 37) + s * whole(op, 38);
      const float *dO = (float *)at(op, 13, r) + b * whole(op, 39) + h * whole(op, 40) + s * whole(op, 41);
      leftTiles(q, whole(op, 35), some, d, tilesQ);
      leftTiles(dO, whole(op, 41), some, e, tilesO);
      packColumns(q, whole(op, 35), some, d, 0, queries + s / SIDE * TILE, rows * TILE);
      packColumns(dO, whole(op, 41), some, e, 0, outs + s / SIDE * TILE, rows * TILE);
      const float *masks = (float *)at(op, 21, r) + b * whole(op, 43) + s * whole(op, 42);
      Keys keys = ((Keys *)at(op, 47, r))[(whole(op, 43) ? b * rows : 0) + s / SIDE];
      int64_t columns = least(T, keys.to * SIDE) - keys.from * SIDE;
      across(tilesQ, overD + 2 * keys.from * deep * TILE, deep, deep, columns, scores, r);
      across(tilesO, overE + 2 * keys.from * wide * TILE, wide, wide, columns, dP, r);
      // rows beyond the last have probabilities of 0
      Lines lines;
      for (int i = some; i < SIDE; i++) lines.mask[i] = masks, lines.log[i] = 1e30f, lines.all[i] = 0;
      for (int64_t i = 0; i < some; i++) {
        __m512 sum = _mm512_setzero_ps();
        // the row sums of p dP equal those of o dO
        for (int64_t c = 0; c < e; c += 16) {
          __mmask16 m = lanes(e - c);
          sum = _mm512_fmadd_ps(load(m, o + i * whole(op, 38) + c), load(m, dO + i * whole(op, 41) + c), sum);
        }
        lines.all[i] = _mm512_reduce_add_ps(sum);
        lines.mask[i] = masks + i * whole(op, 42);
        lines.log[i] = ((float *)at(op, 23, r))[(b * H + h) * S + s + i];
      }
      for (int64_t k = keys.from; k < keys.to; k++) {
        int64_t tile = 2 * k * rows + s / SIDE, of = k - keys.from;
        slopesOf(scores + of * SIDE * SIDE, dP + of * SIDE * SIDE, &lines, k * SIDE, T, _mm512_set1_ps(alpha), powersT + tile * TILE, slopesT + tile * TILE,
                 rows * TILE, 2 * k + 1 < thin, slopes + of * TILE, far * TILE);
      }
      for (int64_t k = 0; k < far; k++) {
        int is = k >= keys.from && k < keys.to;
        if (is) looking[k] = (Rows){looking[k].last < 0 ? s / SIDE : looking[k].first, s / SIDE};
        else if (looking[k].last >= 0)
          // between rows that look at them: these get nothing
          for (int64_t t = 2 * k; t < least(thin, 2 * k + 2); t++) {
            memset(powersT + (t * rows + s / SIDE) * TILE, 0, TILE);
            memset(slopesT + (t * rows + s / SIDE) * TILE, 0, TILE);
          }
      }
      across(slopes, overT + keys.from * TILE, keys.to - keys.from, far, d, dQ, r);
      for (int64_t i = 0; i < some; i++) {
        float *out = (float *)at(op, 3, r) + b * whole(op, 44) + h * whole(op, 45) + (s + i) * whole(op, 46);
        for (int64_t c = 0; c < d; c += 16) store(out + c, lanes(d - c), _mm512_mul_ps(_mm512_load_ps(in(dQ, i, c)), _mm512_set1_ps(alpha)));
      }
    }
    gather32(queries, slopesT, d, T, rows, looking, dK, own > 0, r);
    gather32(outs, powersT, e, T, rows, looking, dV, own > 0, r);
  }
  // rows of all groups beside each other
  spread((float *)at(op, 5, r) + (b * T * G + item % G) * d, G * d, dK, T, d, alpha);
  spread((float *)at(op, 7, r) + (b * T * G + item % G) * e, G * e, dV, T, e, 1);
}
