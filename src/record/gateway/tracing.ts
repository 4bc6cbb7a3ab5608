// OpenTelemetry: one span for each exchange, after the conventions for generative AI; sent only where the environment says so.
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor, type SpanProcessor } from '@opentelemetry/sdk-trace-base';
import { VERSION } from '../../base/version.ts';
import { apiOf, type Exchange } from '../exchange.ts';

export interface Tracing {
  /** Begins the span of an exchange; `traceparent` is the caller's header (W3C Trace Context). */
  begin(endpoint: string, traceparent: string | undefined): ExchangeSpan | undefined;
  close(): Promise<void>;
}

export interface ExchangeSpan {
  /** The header for the upstream, so that its spans become children of this one. */
  traceparent: string;
  end(exchange: Omit<Exchange, 'request' | 'response' | 'redactions'>): void;
}

/** Spans go to the OTLP endpoint of `OTEL_EXPORTER_OTLP_(TRACES_)ENDPOINT`; without one there are none. */
export function tracingFrom(env: NodeJS.ProcessEnv): Tracing | undefined {
  if (!env.OTEL_EXPORTER_OTLP_ENDPOINT && !env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) return undefined;
  return makeTracing(new BatchSpanProcessor(new OTLPTraceExporter()));
}

export function makeTracing(processor: SpanProcessor): Tracing {
  // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say otherwise
  const resource = resourceFromAttributes({ 'service.name': 'cupel-gateway', 'service.version': VERSION }).merge(
    detectResources({ detectors: [envDetector] }),
  );
  const provider = new BasicTracerProvider({ resource, spanProcessors: [processor] });
  const tracer = provider.getTracer('cupel-gateway');
  return {
    begin(endpoint, traceparent) {
      const span = tracer.startSpan(endpoint, { kind: SpanKind.CLIENT }, parentOf(traceparent));
      return { traceparent: headerOf(span), end: (exchange) => finish(span, exchange) };
    },
    close: () => provider.shutdown(),
  };
}

function finish(span: Span, exchange: Omit<Exchange, 'request' | 'response' | 'redactions'>): void {
  span.updateName(`${operationOf(exchange)} ${exchange.model ?? ''}`.trim());
  span.setAttributes(attributesOf(exchange));
  if (exchange.outcome !== 'complete') span.setStatus({ code: SpanStatusCode.ERROR, message: exchange.outcome });
  span.end();
}

function operationOf({ endpoint }: Pick<Exchange, 'endpoint'>): string {
  return OPERATIONS[apiOf(endpoint)] ?? endpoint;
}

const OPERATIONS: Record<string, string> = {
  'chat/completions': 'chat',
  completions: 'text_completion',
  embeddings: 'embeddings',
};

/** OpenTelemetry's semantic conventions for generative AI; no prompt, no answer. */
function attributesOf(exchange: Omit<Exchange, 'request' | 'response' | 'redactions'>): Attributes {
  const known: Attributes = {
    'gen_ai.operation.name': operationOf(exchange),
    'gen_ai.request.model': exchange.model ?? undefined,
    'gen_ai.response.id': exchange.completion_id ?? undefined,
    'gen_ai.usage.input_tokens': exchange.prompt_tokens ?? undefined,
    'gen_ai.usage.output_tokens': exchange.completion_tokens ?? undefined,
    'server.address': exchange.upstream ?? undefined,
    'http.response.status_code': exchange.status,
    'http.request.resend_count': exchange.attempts > 1 ? exchange.attempts - 1 : undefined,
    'error.type': exchange.outcome === 'complete' ? undefined : exchange.outcome,
    'cupel.exchange.id': exchange.id,
    'cupel.first_byte_ms': exchange.first_token_ms ?? undefined,
    'cupel.usd': exchange.usd ?? undefined,
  };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}

/** W3C Trace Context, level 1: `00-<32 hex>-<16 hex>-<2 hex>`. */
function parentOf(traceparent: string | undefined): Context {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/.exec(traceparent ?? '');
  if (!match || /^0+$/.test(match[1]) || /^0+$/.test(match[2])) return ROOT_CONTEXT;
  const [, traceId, spanId, flags] = match;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & 1,
    isRemote: true,
  });
}

function headerOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}
