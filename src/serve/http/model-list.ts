// A model as GET /v1/models describes it.
import type { Target } from '../models.ts';

export function describeModel({ name, model, adapter }: Target) {
  const { contextTokens, parallel, parameters, bytes, description } = model.engine.info;
  return {
    id: name,
    object: 'model',
    created: Math.floor(model.loaded.getTime() / 1000),
    owned_by: 'cupel',
    ...(adapter === undefined ? {} : { parent: model.name }),
    meta: { context_tokens: contextTokens, parallel, parameters, bytes, description },
  };
}
