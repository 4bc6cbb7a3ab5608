// Energy counters of the processor: Intel's and AMD's RAPL, as Linux shows them, where this process may read them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Counter {
  file: string;
  /** The counter starts again at 0 after this, microjoules. */
  range: number;
  last: number;
}

export interface EnergyMeter {
  /** Joules since the meter was opened: of all that the machine did. Ask more often than counters wrap (minutes). */
  read(): number;
}

/**
 * Packages and their memory (Linux Documentation/power/powercap); undefined where there are no counters or they cannot be read,
 * as in most virtual machines and, since CVE-2020-8694, for all but root.
 */
export function openEnergyMeter(root = '/sys/class/powercap'): EnergyMeter | undefined {
  const counters = findCounters(root);
  if (counters.length === 0) return undefined;
  let microjoules = 0;
  return {
    read: () => {
      for (const counter of counters) {
        const now = readNumber(counter.file);
        if (now === undefined) continue;
        microjoules += now >= counter.last ? now - counter.last : now - counter.last + counter.range;
        counter.last = now;
      }
      return microjoules / 1e6;
    },
  };
}

function findCounters(root: string): Counter[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .filter((name) => /^intel-rapl:\d+(?::\d+)?$/.test(name))
    .flatMap((name) => {
      const domain = join(root, name);
      // cores and graphics are parts of their package; memory is not
      if (!/^(?:package|dram)/.test(readText(join(domain, 'name')) ?? '')) return [];
      const file = join(domain, 'energy_uj');
      const last = readNumber(file);
      return last === undefined ? [] : [{ file, range: readNumber(join(domain, 'max_energy_range_uj')) ?? 0, last }];
    });
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function readNumber(file: string): number | undefined {
  const text = readText(file);
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
