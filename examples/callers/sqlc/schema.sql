CREATE TABLE contacts (
  id     TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  name   TEXT NOT NULL,
  "email" BLOB CHECK ("email" IS NULL OR (typeof("email") = 'blob' AND substr("email", 1, 3) = x'fc0102' AND length("email") BETWEEN 70 AND 7044) IS TRUE),
  "phone" BLOB CHECK ("phone" IS NULL OR (typeof("phone") = 'blob' AND substr("phone", 1, 3) = x'fc0102' AND length("phone") BETWEEN 70 AND 6756) IS TRUE)
);
