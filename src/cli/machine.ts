// What this machine is: instruction sets, memory, graphics cards. Read from the system, never guessed.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { promisify } from 'node:util';

/** Memory this process may use, bytes: the machine's, or a container's limit where that is lower. */
export function memory(): { totalBytes: number; freeBytes: number } {
  const available = existsSync('/proc/meminfo')
    ? Number(readFileSync('/proc/meminfo', 'utf8').match(/^MemAvailable:\s*(\d+) kB/m)?.[1] ?? 0) * 1024
    : freemem();
  const limit = process.constrainedMemory();
  const totalBytes = limit > 0 && limit < totalmem() ? limit : totalmem();
  return { totalBytes, freeBytes: Math.min(available || freemem(), totalBytes) };
}

export function freeDiskBytes(folder: string): number {
  const stats = statfsSync(folder);
  return stats.bavail * stats.bsize;
}

export interface Gpu {
  name: string;
  memoryBytes?: number;
}

/** Graphics cards the system reports: NVIDIA through nvidia-smi, AMD through the kernel, Apple through Metal's presence. */
export async function gpus(): Promise<Gpu[]> {
  const nvidia = await output('nvidia-smi', ['--query-gpu=name,memory.total', '--format=csv,noheader,nounits']);
  const found: Gpu[] = nvidia
    .split('\n')
    .filter((line) => line.includes(','))
    .map((line) => ({ name: line.split(',')[0].trim(), memoryBytes: Number(line.split(',')[1]) * 2 ** 20 }));
  if (existsSync('/dev/kfd')) found.push({ name: 'AMD GPU (ROCm device)' });
  if (process.platform === 'darwin' && process.arch === 'arm64') found.push({ name: 'Apple GPU (Metal)' });
  return found;
}

async function output(command: string, args: string[]): Promise<string> {
  try {
    return (await promisify(execFile)(command, args, { timeout: 5_000 })).stdout;
  } catch {
    return '';
  }
}
