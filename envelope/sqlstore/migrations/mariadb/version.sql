-- Which versions of these tables were made, whether to the end, and how many a
-- library must know so that it may use them.
CREATE TABLE IF NOT EXISTS {version} (
	version  INTEGER NOT NULL PRIMARY KEY,
	needs    INTEGER NOT NULL,
	finished INTEGER NOT NULL
) ENGINE = InnoDB;
