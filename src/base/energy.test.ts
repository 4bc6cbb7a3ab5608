// RAPL counters as the kernel lays them out: packages and memory are summed, parts are not counted twice, counters wrap.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openEnergyMeter } from './energy.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-energy-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function domain(folder: string, name: string, label: string, microjoules: number): (value: number) => void {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'name'), `${label}\n`);
  writeFileSync(join(path, 'max_energy_range_uj'), '1000000000\n');
  const set = (value: number) => writeFileSync(join(path, 'energy_uj'), `${value}\n`);
  set(microjoules);
  return set;
}

test('packages and memory, not cores; a counter that wrapped goes on', () => {
  const folder = join(root, 'powercap');
  const first = domain(folder, 'intel-rapl:0', 'package-0', 999_000_000);
  const cores = domain(folder, 'intel-rapl:0:0', 'core', 0);
  const memory = domain(folder, 'intel-rapl:0:1', 'dram', 5_000_000);
  const second = domain(folder, 'intel-rapl:1', 'package-1', 100);
  domain(folder, 'intel-rapl-mmio:0', 'package-0', 0);
  const meter = openEnergyMeter(folder)!;
  expect(meter.read()).toBe(0);
  first(2_000_000);
  cores(700_000_000);
  memory(6_000_000);
  second(4_000_100);
  expect(meter.read()).toBe(3 + 1 + 4);
  first(3_000_000);
  expect(meter.read()).toBe(9);
});

test('no counters, or none that may be read: no meter', () => {
  expect(openEnergyMeter(join(root, 'nowhere'))).toBeUndefined();
  const folder = join(root, 'empty');
  mkdirSync(join(folder, 'intel-rapl:0'), { recursive: true });
  writeFileSync(join(folder, 'intel-rapl:0', 'name'), 'package-0');
  expect(openEnergyMeter(folder)).toBeUndefined();
});
