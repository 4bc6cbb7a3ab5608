// A GGUF file ready to answer conversations: its engine, its chat template, its name.
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { CupelError } from '../base/errors.ts';
import type { ChatMessage } from '../chat/messages.ts';
import { type ChatTokenizer, chatPieces } from '../chat/template.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { type Engine, openEngine } from './engine/engine.ts';
import type { PromptPiece } from './engine/protocol.ts';

export interface ModelOptions {
  threads?: number;
  contextTokens?: number;
  parallel?: number;
}

export interface ServedModel {
  /** The file's name without `.gguf`. */
  name: string;
  path: string;
  engine: Engine;
  loaded: Date;
  /** The conversation as prompt pieces, ready for an assistant's turn. @throws CupelError when there is no chat template */
  piecesOf: (messages: readonly ChatMessage[], tools?: readonly unknown[]) => PromptPiece[];
  close: () => Promise<void>;
}

/** @throws CupelError when the file is none that llama.cpp and we can read */
export async function openServedModel(path: string, options: ModelOptions = {}): Promise<ServedModel> {
  const { tokenizer, template } = readChat(path);
  const engine = await openEngine({
    model: path,
    threads: options.threads ?? availableParallelism(),
    contextTokens: options.contextTokens,
    parallel: options.parallel,
    gpu: true,
  });
  return {
    name: basename(path).replace(/\.gguf$/i, ''),
    path,
    engine,
    loaded: new Date(),
    piecesOf: (messages, tools) => {
      if (template === undefined) {
        throw new CupelError('the model has no chat template', {
          place: { file: path },
          remedy: 'use /v1/completions, or a model made for conversations',
        });
      }
      return chatPieces(template, tokenizer, messages, { addGenerationPrompt: true, tools });
    },
    close: () => engine.close(),
  };
}

function readChat(path: string): { tokenizer: ChatTokenizer; template: string | undefined } {
  const checkpoint = openCheckpoint(path);
  try {
    return { tokenizer: checkpoint.tokenizer, template: checkpoint.chatTemplate };
  } finally {
    checkpoint.close();
  }
}
