// Starts `cupel record` as a process of its own, which a test can kill.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

export interface RecordProcess {
  child: ChildProcess;
  /** Base URL for applications. */
  url: string;
  /** Sends a signal; resolves with the exit code once the process has ended. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

const root = join(import.meta.dirname, '..');

export async function startRecordProcess(workspace: string, upstream: string, access = 'open'): Promise<RecordProcess> {
  const ports = ['-p', '0', '--admin-port', '0', '--access', access];
  const args = ['--import', 'tsx', 'test/record-child.ts', 'record', '-u', upstream, '-w', workspace, ...ports];
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, DATABASE_URL: '' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  let text = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const found = /"url":"([^"]+)"/.exec(text);
      if (found) resolve(found[1]);
    });
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}: ${text}`)));
  });
  return {
    child,
    url,
    end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}
