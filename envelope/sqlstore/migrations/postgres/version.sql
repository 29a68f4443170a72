-- Which versions of these tables were made, whether to the end, and how many a
-- library must know so that it may use them.
CREATE TABLE IF NOT EXISTS {version} (
	version  integer NOT NULL PRIMARY KEY,
	needs    integer NOT NULL,
	finished integer NOT NULL
);
