-- The data keys of all scopes. What users and tenants name is kept as bytes, so
-- that no collation has a say in it. Times are Unix seconds.
CREATE TABLE IF NOT EXISTS {keys} (
	tenant        BLOB NOT NULL,
	class         BLOB NOT NULL,
	purpose       TEXT NOT NULL,
	key_id        BLOB NOT NULL,
	state         TEXT NOT NULL,
	root_key      BLOB NOT NULL,
	wrapped       BLOB,
	created       INTEGER NOT NULL,
	not_after     INTEGER,
	budget        INTEGER NOT NULL,
	taken         INTEGER NOT NULL DEFAULT 0,
	tag           BLOB NOT NULL,
	destroy_after INTEGER,
	changed_at    INTEGER,
	changed_by    BLOB,
	changed_why   BLOB,
	revision      INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (tenant, class, purpose, key_id),
	CHECK ((state = 'destroyed') = (wrapped IS NULL))
) STRICT;

-- At most one active key for each tenant, class and purpose.
CREATE UNIQUE INDEX IF NOT EXISTS {active} ON {keys} (tenant, class, purpose) WHERE state = 'active';

-- Who may make the next key of a scope, until when: in microseconds since 1970,
-- by the clock of the machine.
CREATE TABLE IF NOT EXISTS {claims} (
	tenant  BLOB NOT NULL,
	class   BLOB NOT NULL,
	purpose TEXT NOT NULL,
	holder  BLOB NOT NULL,
	until   INTEGER NOT NULL,
	PRIMARY KEY (tenant, class, purpose)
) STRICT;
