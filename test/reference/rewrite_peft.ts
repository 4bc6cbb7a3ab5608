// Reads an adapter and writes it again; called by check_peft.py. Usage: tsx rewrite_peft.ts FROM TO
import { readPeft, writePeft } from '../../src/formats/peft.ts';

const [from, to] = process.argv.slice(2);
writePeft(to, readPeft(from));
