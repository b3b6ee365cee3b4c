-- Payloads, apart from the claim: they may be large, and a reader that hangs on them must hold no locks. Only of
-- attempts that are still the caller's: the reply of a claim may have been read long after it was made, by a
-- worker that was frozen in between and overtaken.
-- $1 ids, $2 attempts, $3 incarnations
-- Locks: nothing.
SELECT t.id, t.payload
FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS a (id, attempt, incarnation)
JOIN task t ON t.id = a.id AND t.attempt = a.attempt AND t.incarnation = a.incarnation AND t.status = 'RUNNING'
