// A model as GET /v1/models describes it.
import type { ServedModel } from '../served-model.ts';

export function describeModel({ name, engine, loaded }: ServedModel) {
  const { contextTokens, parallel, parameters, bytes, description } = engine.info;
  return {
    id: name,
    object: 'model',
    created: Math.floor(loaded.getTime() / 1000),
    owned_by: 'cupel',
    meta: { context_tokens: contextTokens, parallel, parameters, bytes, description },
  };
}
