// The last prompts, to see which begin alike.
import { commonPrefix } from './prefix.ts';

const REMEMBERED = 16;

export class RecentPrompts {
  private readonly prompts: { tokens: readonly number[]; adapter: string | undefined }[] = [];

  /** Remembers a prompt. @returns how many of its first tokens one of the last prompts had too */
  add(tokens: readonly number[], adapter: string | undefined): number {
    const alike = this.prompts.filter((each) => each.adapter === adapter);
    const shared = Math.max(0, ...alike.map((each) => commonPrefix(tokens, each.tokens)));
    this.prompts.push({ tokens, adapter });
    if (this.prompts.length > REMEMBERED) this.prompts.shift();
    // the last token is always evaluated: its logits are wanted
    return Math.min(shared, tokens.length - 1);
  }
}
