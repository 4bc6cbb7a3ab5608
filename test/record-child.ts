// `cupel record` alone, as a process that a test can kill: the whole command line would load every stage.
import { Command } from 'commander';
import { register } from '../src/cli/record.ts';

const program = new Command('cupel');
register(program);
await program.parseAsync();
