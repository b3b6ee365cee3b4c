-- Payloads, apart from the claim: they may be large, and a reader that hangs on them must hold no locks.
-- $1 ids
-- Locks: nothing.
SELECT id, payload FROM task WHERE id = ANY ($1::bigint[])
