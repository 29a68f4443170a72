-- The data keys of all scopes. What users and tenants name is kept as bytes, so
-- that no collation has a say in it. Times are Unix seconds. At most one key of a
-- tenant, class and purpose has 1 in the column active; the others have NULL,
-- which a unique index lets pass.
CREATE TABLE IF NOT EXISTS {keys} (
	tenant        VARBINARY(255) NOT NULL,
	class         VARBINARY(255) NOT NULL,
	purpose       VARBINARY(16) NOT NULL,
	key_id        VARBINARY(32) NOT NULL,
	state         VARBINARY(16) NOT NULL,
	root_key      VARBINARY(512) NOT NULL,
	wrapped       VARBINARY(6144),
	created       BIGINT NOT NULL,
	not_after     BIGINT,
	budget        BIGINT NOT NULL,
	taken         BIGINT NOT NULL DEFAULT 0,
	tag           VARBINARY(32) NOT NULL,
	destroy_after BIGINT,
	changed_at    BIGINT,
	changed_by    VARBINARY(255),
	changed_why   VARBINARY(1024),
	revision      BIGINT NOT NULL DEFAULT 0,
	active        TINYINT GENERATED ALWAYS AS (CASE WHEN state = 'active' THEN 1 END) STORED,
	PRIMARY KEY (tenant, class, purpose, key_id),
	UNIQUE KEY active (tenant, class, purpose, active),
	CHECK ((state = 'destroyed') = (wrapped IS NULL))
) ENGINE = InnoDB;

-- Who may make the next key of a scope, until when: in microseconds since 1970,
-- by the clock of this database.
CREATE TABLE IF NOT EXISTS {claims} (
	tenant  VARBINARY(255) NOT NULL,
	class   VARBINARY(255) NOT NULL,
	purpose VARBINARY(16) NOT NULL,
	holder  VARBINARY(255) NOT NULL,
	until   BIGINT NOT NULL,
	PRIMARY KEY (tenant, class, purpose)
) ENGINE = InnoDB;
