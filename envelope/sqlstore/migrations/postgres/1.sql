-- The data keys of all scopes. What users and tenants name is kept as bytes, so
-- that no collation has a say in it; psql shows it after SET bytea_output = escape.
-- Times are Unix seconds.
CREATE TABLE IF NOT EXISTS {keys} (
	tenant        bytea NOT NULL,
	class         bytea NOT NULL,
	purpose       text COLLATE "C" NOT NULL,
	key_id        bytea NOT NULL,
	state         text COLLATE "C" NOT NULL,
	root_key      bytea NOT NULL,
	wrapped       bytea,
	created       bigint NOT NULL,
	not_after     bigint,
	budget        bigint NOT NULL,
	taken         bigint NOT NULL DEFAULT 0,
	tag           bytea NOT NULL,
	destroy_after bigint,
	changed_at    bigint,
	changed_by    bytea,
	changed_why   bytea,
	revision      bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant, class, purpose, key_id),
	CHECK ((state = 'destroyed') = (wrapped IS NULL))
);

-- At most one active key for each tenant, class and purpose.
CREATE UNIQUE INDEX IF NOT EXISTS {active} ON {keys} (tenant, class, purpose) WHERE state = 'active';

-- Who may make the next key of a scope, until when: in microseconds since 1970,
-- by the clock of this database.
CREATE TABLE IF NOT EXISTS {claims} (
	tenant  bytea NOT NULL,
	class   bytea NOT NULL,
	purpose text COLLATE "C" NOT NULL,
	holder  bytea NOT NULL,
	until   bigint NOT NULL,
	PRIMARY KEY (tenant, class, purpose)
);
