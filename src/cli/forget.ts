// `cupel forget`: removes recorded exchanges and what was said about them, by user, tag, model or time.
import type { Command } from 'commander';
import { CupelError } from '../base/errors.ts';
import { type FilterChoices, filterOf, filterOptions, withRecordings } from './recordings.ts';
import { print } from './session.ts';

export function register(program: Command): void {
  const command = program
    .command('forget')
    .description('remove recorded exchanges, with their feedback, by user, tag, model or time')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  cupel forget --user customer-4711');
  filterOptions(command).action(async (choices: FilterChoices & { json?: boolean }) => {
    const filter = filterOf(choices);
    if (Object.keys(filter).length === 0) {
      throw new CupelError('nothing says which exchanges to remove', {
        remedy: 'give --user, --tag, --model, --since or --until',
        exitCode: 2,
      });
    }
    const removed = await withRecordings(choices.workspace, (recordings) => recordings.remove(filter));
    print(choices.json ?? false, { removed }, () => `${removed} exchanges removed`);
  });
}
