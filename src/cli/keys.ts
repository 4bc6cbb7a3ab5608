// `cupel keys`: the gateway's own API keys, made, listed and revoked; also while it runs.
import type { Command } from 'commander';
import { CupelError } from '../base/errors.ts';
import { integerOption, numberOption } from './numbers.ts';
import { withRecordings } from './recordings.ts';
import { print } from './session.ts';
import { formatTable } from './table.ts';

interface Choices {
  workspace: string;
  json?: boolean;
}

export function register(program: Command): void {
  const keys = program
    .command('keys')
    .description("the gateway's own API keys: callers of `cupel record` need one as soon as one was made")
    .addHelpText('after', '\nExample:\n  cupel keys add checkout-service --requests-per-minute 600 --usd-per-day 20');
  const command = (usage: string, description: string) =>
    keys
      .command(usage)
      .description(description)
      .option('-w, --workspace <dir>', 'folder for everything Cupel makes', '.cupel')
      .option('--json', 'one JSON document on stdout');
  command('add <name>', 'make a key; it is shown once')
    .option('--requests-per-minute <n>', 'limit of requests', integerOption(1))
    .option('--usd-per-day <amount>', 'limit of money per day (UTC)', numberOption(0.000001))
    .action(async (name: string, choices: Choices & { requestsPerMinute?: number; usdPerDay?: number }) => {
      const { workspace, requestsPerMinute, usdPerDay } = choices;
      const made = await withRecordings(workspace, (all) => all.addKey({ name, requestsPerMinute, usdPerDay }));
      print(choices.json ?? false, made, () => `${made.key}\n(id ${made.id}; it is not shown again)`);
    });
  command('list', 'list keys and their limits').action(async (choices: Choices) => {
    const all = await withRecordings(choices.workspace, (recordings) => recordings.keys());
    print(choices.json ?? false, all, () =>
      formatTable([
        ['id', 'name', 'begins', 'a minute', 'dollars a day', 'made', 'revoked'],
        ...all.map((key) => [
          key.id,
          key.name,
          `${key.hint}…`,
          String(key.requests_per_minute ?? '-'),
          String(key.usd_per_day ?? '-'),
          day(key.created_at),
          key.revoked_at ? day(key.revoked_at) : '-',
        ]),
      ]),
    );
  });
  command('revoke <id>', 'end a key').action(async (id: string, choices: Choices) => {
    const revoked = await withRecordings(choices.workspace, (recordings) => recordings.revokeKey(id));
    if (!revoked) throw new CupelError(`there is no such key, or it was revoked before: ${id}`, { exitCode: 2 });
    print(choices.json ?? false, { revoked }, () => `${id} is revoked`);
  });
}

function day(time: string): string {
  return new Date(time).toISOString().slice(0, 10);
}
