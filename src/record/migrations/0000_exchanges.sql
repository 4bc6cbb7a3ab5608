CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"hash" text NOT NULL,
	"hint" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"revoked_at" timestamp with time zone,
	"requests_per_minute" integer,
	"usd_per_day" double precision,
	CONSTRAINT "api_keys_hash_unique" UNIQUE("hash")
);
--> statement-breakpoint
CREATE TABLE "exchanges" (
	"id" text PRIMARY KEY NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"endpoint" text NOT NULL,
	"model" text,
	"upstream" text,
	"attempts" integer NOT NULL,
	"status" integer NOT NULL,
	"outcome" text NOT NULL,
	"streamed" boolean NOT NULL,
	"request" json,
	"response" json,
	"completion_id" text,
	"prompt_tokens" integer,
	"cached_tokens" integer,
	"completion_tokens" integer,
	"reasoning_tokens" integer,
	"latency_ms" double precision NOT NULL,
	"first_token_ms" double precision,
	"usd" double precision,
	"key_id" text,
	"user_id" text,
	"tags" jsonb NOT NULL,
	"redactions" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "feedback" (
	"id" text PRIMARY KEY NOT NULL,
	"exchange_id" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"score" double precision,
	"corrected" json,
	"comment" text,
	"key_id" text
);
--> statement-breakpoint
CREATE INDEX "exchanges_at" ON "exchanges" USING btree ("at");--> statement-breakpoint
CREATE INDEX "exchanges_completion_id" ON "exchanges" USING btree ("completion_id");--> statement-breakpoint
CREATE INDEX "exchanges_user_id" ON "exchanges" USING btree ("user_id");--> statement-breakpoint
CREATE INDEX "exchanges_tags" ON "exchanges" USING gin ("tags" jsonb_path_ops);--> statement-breakpoint
CREATE INDEX "feedback_exchange_id" ON "feedback" USING btree ("exchange_id");