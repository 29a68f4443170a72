-- name: CreateContact :exec
INSERT INTO contacts (id, tenant, name, email, phone) VALUES (?, ?, ?, ?, ?);

-- name: GetContact :one
SELECT * FROM contacts WHERE id = ?;

-- name: ListContacts :many
SELECT * FROM contacts ORDER BY id;

-- name: ListEmails :many
SELECT id, tenant, email FROM contacts ORDER BY id;

-- name: UpdateEmail :execrows
UPDATE contacts SET email = sqlc.arg(email) WHERE tenant = sqlc.arg(tenant) AND id = sqlc.arg(id);
