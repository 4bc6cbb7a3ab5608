// Every op by name. The mapped type has no `Partial`: an op without its record does not compile.
import type { OpTable } from '../op.ts';
import { geluTanh, geluTanhGradient, silu, siluGradient } from './activation.ts';
import { concat, pad, slice, split, transpose } from './arrange.ts';
import { attention } from './attention.ts';
import { crossEntropy, crossEntropyGradient } from './cross-entropy.ts';
import { abs, add, div, exp, mul, offset, scale, sigmoid, sub, tanh } from './elementwise.ts';
import { dispatch, partition, topMask, unite } from './experts.ts';
import { after, expandLike, iota, zerosLike } from './fill.ts';
import { int4MatMul } from './int4.ts';
import { int8MatMul } from './int8.ts';
import { int8Linear } from './int8-linear.ts';
import { int8Outer } from './int8-outer.ts';
import { linearCrossEntropy, linearCrossEntropyGradient } from './linear-cross-entropy.ts';
import { and, cast, equal, lessOrEqual, not, or, where } from './logic.ts';
import { matmul } from './matmul.ts';
import { rmsNorm, rmsNormGradient } from './norm.ts';
import { quantise } from './quantise.ts';
import { reduceMax, reduceMean, reduceSum } from './reduce.ts';
import { reshape, reshapeLike } from './reshape.ts';
import { rope } from './rope.ts';
import { gather, scatterAdd } from './rows.ts';
import { softmax, softmaxGradient } from './softmax.ts';
import { sumOfSquares } from './sum-of-squares.ts';

export const OPS: OpTable = {
  abs,
  add,
  after,
  and,
  attention,
  cast,
  concat,
  crossEntropy,
  crossEntropyGradient,
  dispatch,
  div,
  equal,
  exp,
  expandLike,
  gather,
  geluTanh,
  geluTanhGradient,
  int4MatMul,
  int8Linear,
  int8MatMul,
  int8Outer,
  iota,
  lessOrEqual,
  linearCrossEntropy,
  linearCrossEntropyGradient,
  matmul,
  mul,
  not,
  offset,
  or,
  pad,
  partition,
  quantise,
  reduceMax,
  reduceMean,
  reduceSum,
  reshape,
  reshapeLike,
  rmsNorm,
  rmsNormGradient,
  rope,
  scale,
  scatterAdd,
  sigmoid,
  silu,
  siluGradient,
  slice,
  softmax,
  softmaxGradient,
  split,
  sub,
  sumOfSquares,
  tanh,
  topMask,
  transpose,
  unite,
  where,
  zerosLike,
};
